"""Takes in what came of a batch of writes.

What a system returned becomes what was last seen of it. Where that differs from what it was
told (it assigned a number, rounded, defaulted), the difference is a change of that side, and the
work it calls for follows at once; where that isn't carried out the link is kept without a
version, so that the record is taken up again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from connector.domain.actions import AMBIGUOUS, OutcomeKind
from connector.domain.entities import ENTITIES, pack
from connector.domain.ledger import ConflictState
from connector.domain.policies import CRM, ERP, Role
from connector.domain.records import (
    Change,
    Intent,
    Link,
    Operation,
    RemoteRecord,
    Snapshot,
    WriteResult,
    WriteStatus,
)
from connector.engine.derive import derived_change, derived_name
from connector.engine.group import Group, Seen, Work
from connector.engine.hand_off import PROPOSAL, after_asking, declined
from connector.engine.intents import Outgoing
from connector.engine.merge import agreed
from connector.engine.outcomes import Outcomes
from connector.engine.plan import decide
from connector.engine.present import Decoded, in_canonical_words
from connector.engine.session import Session
from connector.errors import RecordFailed
from connector.ports import UnitOfWork

MAX_REQUEUES = 5
"""Times a record that keeps moving is taken up again within one run."""


class Result(NamedTuple):
    """What came of one intent."""

    intent: Intent
    result: WriteResult


Results = Mapping[int, dict[Role, Result]]
"""Results by work (its identity) and role."""


class Keeping(Outcomes):
    """Takes the results of works in, and turns them into entries."""

    def __init__(self, session: Session, entity: str) -> None:
        super().__init__(session, entity)
        self.next: list[Work] = []
        self.returned: dict[tuple[Role, str], Decoded] = {}

    def take(self, uow: UnitOfWork, works: Sequence[Work], out: Outgoing, results: Results,
             moved: Mapping[tuple[Role, str], Change]) -> list[Work]:
        """Take the results of works in; returns the works that they call for."""
        self.next = []
        waiting = {id(work): (wanted, reason) for work, wanted, reason in out.waiting}
        failed = {id(work): failure for work, failure in out.failed}
        self._decode_returned(uow, [(role, result, self._sent(work, role))
                                    for work in works
                                    for role, result in results.get(id(work), {}).items()])
        for by_role in results.values():
            for intent, result in by_role.values():
                if intent.key in out.stamped:
                    self._in_sync(intent.system, result)
        for work in works:
            if id(work) in waiting:
                self.wait(work.group.changes, *waiting[id(work)], work.group.canonical_id)
            elif id(work) in failed:
                self._fail(work, failed[id(work)])
            else:
                self._work(work, results.get(id(work), {}), moved)
        self._derive(works)
        return self.next

    def _sent(self, work: Work, role: Role) -> Mapping[str, Any]:
        """What a side holds if it took what it was told."""
        before = work.group.sides.get(role)
        known = before.record if before is not None and before.record else {}
        return {**known, **work.writes[role].record}

    def _decode_returned(self, uow: UnitOfWork,
                         results: Iterable[tuple[Role, Result, Mapping[str, Any]]]) -> None:
        told: dict[Role, list[tuple[RemoteRecord, Mapping[str, Any]]]] = defaultdict(list)
        for role, (_, result), sent in results:
            if result.record is not None and not result.record.deleted:
                told[role].append((result.record, sent))
        for role, records in told.items():
            found = in_canonical_words(self.session, uow, self.entity,
                                       self.pair.side(role), records)
            self.returned.update({(role, ext): record for ext, record in found.items()})

    # ---- one work

    def _work(self, work: Work, results: dict[Role, Result],
              moved: Mapping[tuple[Role, str], Change]) -> None:
        statuses = {result.status for _, result in results.values()}
        if work.asks and ERP in results and results[ERP].result.status is WriteStatus.REJECTED:
            self._declined(work, results)
        elif WriteStatus.REJECTED in statuses:
            error = next(r.error for _, r in results.values()
                         if r.status is WriteStatus.REJECTED)
            self._made_in_part(work, results)
            self._fail(work, RecordFailed(error, stage="write"))
        elif statuses & {WriteStatus.STALE, WriteStatus.GONE}:
            self._made_in_part(work, results)
            anew = [moved[role, intent.external_id] for role, (intent, _) in results.items()
                    if intent.external_id and (role, intent.external_id) in moved]
            self._again(work, results, "it keeps changing on the other side", anew)
        elif statuses & {WriteStatus.RETRY, WriteStatus.UNKNOWN}:
            self._made_in_part(work, results)
            self._again(work, results, next(r.error for _, r in results.values()))
        else:
            self._done(work, results)

    def _declined(self, work: Work, results: dict[Role, Result]) -> None:
        """The ERP has answered a change by refusing it; what that calls for takes the changes
        over."""
        group = work.group
        self._made_in_part(work, results)
        erp, crm = group.sides[ERP], group.sides[CRM]
        base = agreed(self.rules, group.base or {}, crm.record or {}, erp.record or {})
        told = replace(erp, record=declined(erp.record or {}, work.asks,
                                            results[ERP].result.error))
        again = replace(group, base=base, sides={CRM: crm, ERP: told}, depth=group.depth + 1)
        try:
            self.next.append(decide(self.rules, again))
        except RecordFailed as failure:
            self._fail(work, failure)

    def unfollowed(self, works: Sequence[Work]) -> None:
        """Leave works that were called for and are not carried out in this run to the next one."""
        for work in works:
            if work.group.changes:
                self._again(work, {}, "the run ended before it was answered")

    def _made_in_part(self, work: Work, results: dict[Role, Result]) -> None:
        """Keep the sides that were written; the base takes what both hold alike by now, or what
        is undone on one side meanwhile would come back from the other. Both are tied: one that is
        parked next is out of sight of first contact."""
        group, written = work.group, set[Role]()
        for role, (_, result) in results.items():
            decoded = result.record and self.returned.get((role, result.record.external_id))
            if result.record is not None and isinstance(decoded, dict):
                group.sides[role] = _written(group, role, result.record, decoded)
                self.link(group, role)
                written.add(role)
                self._outcomes_uncounted(work, [a for a in work.actions if a.target == role])
        there = {role: seen.record for role, seen in group.sides.items()
                 if seen.record is not None and not seen.virtual}
        if len(there) < 2:
            return
        if written:
            self.snapshots.append(Snapshot(self.entity, group.canonical_id, pack(
                ENTITIES[self.entity],
                agreed(self.rules, group.base or {}, there[CRM], there[ERP]))))
        gone = {role for role, (_, result) in results.items()
                if result.status is WriteStatus.GONE}
        for role in sorted(there.keys() - written - gone):
            if written or role not in group.linked:
                self.link(group, role, unsettled=True)

    def _done(self, work: Work, results: dict[Role, Result]) -> None:
        group, agreed_before = work.group, work.group.base
        base = dict(work.base) if work.base is not None else None
        # what both sides work out by themselves is compared whatever they answer
        refusal, as_told = "", len(group.sides) == 2 and not self.rules.computed
        for role, (intent, result) in results.items():
            before = group.sides.get(role)
            decoded = self._seen_after(work, role, intent, result)
            as_told = as_told and before is not None and before.record is not None \
                and decoded == {**before.record, **work.writes[role].record}
            if result.refusal and decoded is not None and base is not None:
                refusal = result.refusal
                base.update({name: decoded[name] for name in work.writes[role].record
                             if name != "lines" and name in decoded})
        if work.asks:
            erp = group.sides[ERP]
            base, as_told = after_asking(self.rules, group, work.asks), False
            if refusal and erp.record is not None:
                group.sides[ERP] = replace(erp, record=declined(erp.record, work.asks, refusal))
                base, refusal = {**base, "amendment_asked": (group.base or {}).get(
                    "amendment_asked")}, ""
        follow = self._follow_up(work, base) if results and not as_told else None
        if follow is not None and _declined_already(work, results, follow):
            follow = None
        group.base = base
        if results:
            self.carried.add(group.canonical_id)
        for role, seen in group.sides.items():
            if not seen.virtual:
                self.link(group, role, unsettled=follow is not None and role in results)
        if base is not None and (results or base != agreed_before or not group.linked):
            self.snapshots.append(Snapshot(self.entity, group.canonical_id,
                                           pack(ENTITIES[self.entity], base)))
        self._close_conflicts(work, follow)
        if follow is not None:
            self.next.append(follow)
        derived = any(change.derived_from for change in group.changes)
        if refusal and not derived:
            self._fail(work, RecordFailed(refusal, stage="write"))
        else:
            self._settle(work, results, refusal)

    def _seen_after(self, work: Work, role: Role, intent: Intent,
                    result: WriteResult) -> dict[str, Any] | None:
        """Note a written side as the system returned it; the decoded record, if there is one."""
        group = work.group
        if result.status is WriteStatus.DELETED or result.record is None:
            group.sides[role] = Seen(intent.external_id or "", "", None)
            return None
        if intent.operation is Operation.CREATE:
            self._replaces(group, role, intent, result.record.external_id)
        decoded = self.returned[role, result.record.external_id]
        if isinstance(decoded, RecordFailed):
            # It will be read again, and fail there under its own name.
            group.sides[role] = Seen(result.record.external_id, "",
                                     dict(self._sent(work, role)))
            return None
        group.sides[role] = _written(group, role, result.record, decoded)
        return decoded

    def _replaces(self, group: Group, role: Role, intent: Intent, external_id: str) -> None:
        """Note that a record was made in the place of a deleted one, if it was."""
        before = group.sides.get(role)
        if before is not None and before.external_id != external_id:
            group.retired.append(Link(self.entity, group.canonical_id, intent.system,
                                      before.external_id, before.version, None))
            self.replaced[intent.system].add(group.canonical_id)

    def _follow_up(self, work: Work, base: dict[str, Any] | None) -> Work | None:
        """The work that a result calls for: it differs from what was sent."""
        group = work.group
        sides = {role: seen for role, seen in group.sides.items() if not seen.virtual}
        if any(seen.record is None for seen in sides.values()):
            return None
        again = Group(self.entity, group.canonical_id, base, sides, linked=set(sides),
                      held=group.holds, orphaned=group.orphaned, depth=group.depth + 1)
        try:
            follow = decide(self.rules, again)
        except RecordFailed:
            return None  # told when the record is next taken up
        if follow.writes or any(action.conflicts for action in follow.actions):
            return follow
        work.base = group.base = follow.base
        if base is not None and follow.base is not None:
            base.update(follow.base)
        return None

    def _close_conflicts(self, work: Work, follow: Work | None) -> None:
        told = [c for action in work.actions for c in action.conflicts
                if not (work.asks and c.kind == PROPOSAL)]  # that one is answered by now
        next_told = [c for action in (follow.actions if follow else ()) for c in action.conflicts]
        still = {c.path for c in (*told, *next_told) if not c.settled_by} | {
            c.path for c in next_told if c.kind == PROPOSAL}
        erp = work.group.sides.get(ERP)
        accepted = work.asks or (erp and erp.record and erp.record.get("amendment") == "accepted")
        for conflict in work.group.conflicts:
            if conflict.kind == AMBIGUOUS:
                continue  # that ends where the record is linked
            if conflict.kind == "total_differs" and self._still_differs(work, conflict.path):
                continue  # totals are compared last, when all else is agreed
            if conflict.path not in still and len(work.group.sides) == 2:
                decided = conflict.state is ConflictState.DECIDED
                how = "accepted by the erp" if conflict.kind == PROPOSAL and accepted \
                    else "both sides agree"
                self.closed[conflict.id] = "a person" if decided else how

    def _still_differs(self, work: Work, name: str) -> bool:
        values = [value for seen in work.group.sides.values()
                  if (value := (seen.record or {}).get(name)) is not None]
        return len(values) == 2 and bool(
            abs(values[0] - values[1]) > self.rules.policy.total_tolerance)

    def _fail(self, work: Work, failure: RecordFailed) -> None:
        self.fail_group(work.group, failure, work.group.changes or self._stand_in(work.group))

    def _stand_in(self, group: Group) -> list[Change]:
        """A change to be parked for a work that no change brought up."""
        return [Change(0, self.entity, self.pair.side(role).system, seen.external_id,
                       seen.version, hint=True)
                for role, seen in group.sides.items() if not seen.virtual][:1]

    def _again(self, work: Work, results: Mapping[Role, Result], reason: str,
               anew: Sequence[Change] = ()) -> None:
        """Take the work's changes up again: at once, a few times; then in the next run. What was
        read `anew`, or written, comes in the place of what was read before."""
        group = work.group
        tries = self.session.requeued[group.entity, group.canonical_id] + 1
        self.session.requeued[group.entity, group.canonical_id] = tries
        for change in group.changes:
            if tries <= MAX_REQUEUES:
                self.session.count_read(self.entity, self.pair.role_of(change.system), -1)
            else:
                self.outcome(change, OutcomeKind.WAITING, group.canonical_id, reason=reason)
        now = {(c.system, c.external_id): c for c in group.changes or self._stand_in(group)}
        for role, (_, result) in results.items():
            at = self.pair.side(role).system, result.record.external_id if result.record else ""
            if at in now and result.record is not None:
                now[at] = replace(now[at], version=result.record.version,
                                  payload=result.record.payload, hint=False)
        now.update({(c.system, c.external_id): c for c in anew})
        self.received.extend(now.values())
        if tries > MAX_REQUEUES:
            self.session.put_off.update(
                (group.entity, self.pair.side(role).system, seen.external_id)
                for role, seen in group.sides.items())

    # ---- the next documents

    def _derive(self, works: Sequence[Work]) -> None:
        becomes = self.rules.policy.becomes
        if becomes is None:
            return
        for work in works:
            change = derived_change(self.pair, becomes, work.group)
            if change is not None:
                self.derived[self.pair.canonical_id(becomes.entity, change.system,
                                                    change.external_id)] = change
            elif (name := derived_name(self.pair, becomes, work.group)) is not None:
                self.succeeded.append(name)  # what it was to become is not wanted any more


def _written(group: Group, role: Role, now: RemoteRecord, decoded: dict[str, Any]) -> Seen:
    """A side as our write left it: when others changed it last stands as it was."""
    before = group.sides.get(role)
    return Seen(now.external_id, now.version, decoded,
                changed_at=now.changed_at if before is None else before.changed_at)


def _declined_already(work: Work, results: dict[Role, Result], follow: Work) -> bool:
    """Whether a side would be told once more what it has just declined."""
    return any(result.refusal and role in follow.writes and follow.writes[role].record.items()
               <= work.writes[role].record.items() for role, (_, result) in results.items())
