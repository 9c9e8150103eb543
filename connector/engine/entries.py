"""What a batch leaves in the store, collected and saved in one transaction: links, snapshots,
outcomes, settled inbox rows, dead letters, waits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

import structlog

from connector.domain.actions import AMBIGUOUS, FieldChange, Outcome, OutcomeKind
from connector.domain.entities import ENTITIES, pack
from connector.domain.ledger import ConflictState
from connector.domain.policies import Role
from connector.domain.records import Change, Link, Snapshot
from connector.domain.telling import Told
from connector.engine.group import Group
from connector.engine.match import match_key
from connector.engine.places import let_be_told
from connector.engine.session import Session
from connector.errors import RecordFailed
from connector.ports import UnitOfWork

LIVE = (ConflictState.OPEN, ConflictState.DECIDED)
"""States of a conflict that is not settled."""


class Entries:
    """The entries of one batch; every change taken up gets exactly one outcome among them."""

    def __init__(self, session: Session, entity: str) -> None:
        self.session, self.entity = session, entity
        self.pair = session.pair
        self.rules = session.pair.rules[entity]
        self.links: list[Link] = []
        self.snapshots: list[Snapshot] = []
        self.outcomes: list[Outcome] = []
        self.settled: list[int] = []
        self.succeeded: list[str] = []
        self.batches: list[str] = []
        self.derived: dict[str, Change] = {}
        self.received: list[Change] = []
        self.failures: list[tuple[Change, str, str, str]] = []
        self.waits: dict[int, str] = {}
        self.claims: dict[str, str] = {}
        self.released: list[str] = []
        self.matched: list[str] = []
        self.closed: dict[int, str] = {}
        self.carried: set[str] = set()  # canonical IDs of what was written, on either side
        self.replaced: dict[str, set[str]] = defaultdict(set)  # canonical IDs by system
        self.vacated: dict[str, set[str]] = defaultdict(set)  # match keys of deleted, by system
        self.told: dict[str, list[Told]] = defaultdict(list)  # with a write; by system

    def outcome(self, change: Change, kind: OutcomeKind, canonical_id: str = "",
                target: Role | None = None, changes: tuple[FieldChange, ...] = (),
                reason: str = "") -> None:
        """Account for a change; what is unchanged, and has nothing to say, is only counted."""
        outcome = Outcome(kind, self.entity, self.pair.role_of(change.system), change.external_id,
                          canonical_id, target, changes, self._noted(change, reason))
        self.session.count(outcome)
        if kind is not OutcomeKind.UNCHANGED or outcome.reason:
            self.outcomes.append(outcome)

    def fail(self, changes: Iterable[Change], failure: RecordFailed, canonical_id: str = "", *,
             counted: bool = True) -> None:
        """Park changes with what went wrong."""
        for change in changes:
            structlog.get_logger().info(
                "record failed", record=change.trace_key,
                stage=failure.stage, error=type(failure).__name__)
            self.failures.append((change, failure.stage, type(failure).__name__, str(failure)))
            outcome = Outcome(OutcomeKind.FAILED, self.entity, self.pair.role_of(change.system),
                              change.external_id, canonical_id,
                              reason=self._noted(change, str(failure)), counted=counted)
            self.session.count(outcome)
            self.outcomes.append(outcome)

    def _noted(self, change: Change, reason: str) -> str:
        """A reason, and what is noted of the change: that a person has edited it."""
        note = self.session.notes.get(change.trace_key, "")
        return "; ".join(filter(None, (note, reason)))

    def fail_group(self, group: Group, failure: RecordFailed, changes: Sequence[Change]) -> None:
        """Park the changes of a group. Which records belong together is known all the same: they
        are tied, for a parked change is out of sight of first contact."""
        both = {role for role, seen in group.sides.items() if not seen.virtual and seen.record}
        if len(both) == 2:
            for role in sorted(both - group.linked):
                self.link(group, role, unsettled=True)
        self.fail(changes, failure, group.canonical_id, counted=bool(group.changes))

    def link(self, group: Group, role: Role, *, unsettled: bool = False) -> None:
        """Tie a side to its record as it was seen; `unsettled` so that it is taken up again."""
        seen = group.sides[role]
        system = self.pair.side(role).system
        packed = pack(ENTITIES[self.entity], seen.record) if seen.record is not None else None
        self.links.append(Link(self.entity, group.canonical_id, system, seen.external_id,
                               "" if unsettled else seen.version, packed, seen.changed_at))
        if role not in group.linked:
            self.released.append(f"{self.entity}:{system}:{seen.external_id}")
            self.released.append(f"{self.entity}:{group.canonical_id}@{system}")
            own = self.pair.canonical_id(self.entity, system, seen.external_id)
            if own != group.canonical_id:
                self.matched.append(own)
        elif role in group.deleted_now:
            known = [group.base, *(side.record for side in group.sides.values())]
            self.vacated[system].update(match_key(self.rules.policy.match, r or {}) for r in known)
        self.links += [replace(link, alias=True, seen=None) for link in group.retired
                       if link.system == system]
        for key in group.match_keys:
            self.claims[key] = group.canonical_id

    def alias(self, change: Change, canonical_id: str) -> None:
        """Tie a record to the thing that another one of its side stands for: it is known, and
        not kept in agreement."""
        self.links.append(Link(self.entity, canonical_id, change.system, change.external_id,
                               change.version, None if change.deleted else {}, alias=True))
        self.released.append(f"{self.entity}:{change.system}:{change.external_id}")
        self.matched.append(self.pair.canonical_id(self.entity, change.system,
                                                   change.external_id))
        if change.deleted:  # whoever names it is to name the one that is kept in agreement
            self.replaced[change.system].add(canonical_id)
        self.outcome(change, OutcomeKind.SKIPPED, canonical_id,
                     reason="another record of the same thing is kept in agreement")
        self.settled.append(change.id)
        self.succeeded.append(change.trace_key)

    def inherit(self, change: Change, heir: Link) -> None:
        """A record was deleted, and an alias takes its place; it is read again."""
        self.links += [
            Link(self.entity, heir.canonical_id, change.system, change.external_id,
                 change.version, None, alias=True), replace(heir, alias=False, version="")]
        self.received.append(Change(0, self.entity, heir.system, heir.external_id, "", hint=True))
        self.replaced[heir.system].add(heir.canonical_id)
        self.outcome(change, OutcomeKind.UNCHANGED, heir.canonical_id,
                     reason=f"deleted; {heir.external_id} takes its place")
        self.settled.append(change.id)
        self.succeeded.append(change.trace_key)

    def wait(self, changes: Iterable[Change], wanted: str, reason: str,
             canonical_id: str = "") -> None:
        """Let changes wait for a link."""
        for change in changes:
            self.waits[change.id] = wanted
            self.outcome(change, OutcomeKind.WAITING, canonical_id, reason=reason)

    def skip(self, change: Change, reason: str) -> None:
        """Settle a change that calls for nothing. Whoever waited for the record to be read, being
        the same thing, is taken up again: it may have gone."""
        self.outcome(change, OutcomeKind.SKIPPED, reason=reason)
        self.settled.append(change.id)
        self.succeeded.append(change.trace_key)
        self.released.append(f"{self.entity}:{change.system}:{change.external_id}")

    def leave(self, change: Change, reason: str) -> None:
        """Account for a change that stays in the inbox."""
        self.outcome(change, OutcomeKind.SKIPPED, reason=reason)

    def ask(self, change: Change, canonical_id: str, reason: str) -> None:
        """Hold a change up until a person has said which record it is."""
        self.waits[change.id] = f"conflict:{canonical_id}"
        self.outcome(change, OutcomeKind.CONFLICT, canonical_id, reason=reason)
        self.succeeded.append(change.trace_key)

    def save(self, uow: UnitOfWork) -> None:
        """Everything at once, into an open transaction."""
        pair = self.pair.name
        now = self.session.clock.now()
        uow.save_links(pair, self.links)
        uow.save_snapshots(pair, self.snapshots)
        if self.claims:
            uow.claim(pair, self.entity, self.claims)
        let_be_told(uow, self.pair, self.entity, self.links, anew=False)
        let_be_told(uow, self.pair, self.entity, [
            link for link in self.links if link.canonical_id in self.carried], anew=True)
        for system, told in self.told.items():
            uow.save_told(pair, self.entity, system, told)
        self._take_up_children(uow)
        self._offer_vacated(uow)
        uow.settle(self.settled)
        uow.receive(pair, self.received)
        if self.waits:
            uow.wait(pair, self.waits)
        if self.released:
            self.session.count_released(uow.release(pair, self.released))
        if self.failures:
            uow.bury(pair, self.session.run_id, now, self.failures)
        if self.succeeded:
            uow.resolve_dead_letters(pair, self.succeeded)
        if self.matched:  # whoever was asked which record it is need not be asked any more
            self.closed.update({c.id: "it was linked" for c in uow.conflicts(
                pair, entity=self.entity, canonical_ids=self.matched, states=LIVE)
                if c.kind == AMBIGUOUS})
        if self.closed:
            uow.settle_conflicts(pair, self.entity, self.closed)
        uow.add_outcomes(pair, self.session.run_id, now, self.outcomes)
        uow.settle_batches(pair, self.batches)
        becomes = self.rules.policy.becomes
        if self.derived and becomes is not None:
            known = uow.links_by_canonical(pair, becomes.entity, list(self.derived))
            uow.receive(pair, [change for canonical_id, change in self.derived.items()
                               if canonical_id not in known])
        self.session.saving(uow)

    def _offer_vacated(self, uow: UnitOfWork) -> None:
        """Take up again who was held up because another record had his place, which is free now."""
        for system, keys in self.vacated.items():
            held_up = uow.inbox_by_match_key(self.pair.name, self.entity, system, keys - {""}, {})
            self.released += [
                f"conflict:{self.pair.canonical_id(self.entity, system, change.external_id)}"
                for changes in held_up.values() for change in changes]

    def _take_up_children(self, uow: UnitOfWork) -> None:
        """Let those that name a record by the ID of the deleted one it replaces be read again; what
        was seen of them may name what the record was before it became part of this one."""
        for system, replaced in self.replaced.items():
            replaced.update(uow.redirected_to(self.pair.name, replaced))
            for child in self.pair.entities:
                if self.entity in ENTITIES[child].parents:
                    self.received.extend(
                        Change(0, child, system, external_id, "", hint=True) for external_id in
                        uow.referring(self.pair.name, child, system, replaced))
