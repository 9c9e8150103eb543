"""What came of the work on a record, told: to every change read its one outcome, and what was
written beside, so that it can be explained and undone."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

from connector.domain.actions import Action, ActionKind, FieldChange, Outcome, OutcomeKind
from connector.domain.paths import value_at
from connector.domain.policies import Role, other
from connector.domain.records import WriteResult, WriteStatus
from connector.domain.telling import SyncState, Told
from connector.engine.entries import Entries
from connector.engine.group import Work

_OUTCOME = {ActionKind.CREATE: OutcomeKind.CREATED, ActionKind.UPDATE: OutcomeKind.UPDATED,
            ActionKind.DELETE: OutcomeKind.UPDATED, ActionKind.SKIP: OutcomeKind.SKIPPED,
            ActionKind.CONFLICT: OutcomeKind.CONFLICT, ActionKind.LINK_UP: OutcomeKind.UNCHANGED,
            ActionKind.NONE: OutcomeKind.UNCHANGED}


class Outcomes(Entries):
    """Tells the outcomes of works."""

    def _settle(self, work: Work, written: Collection[Role], refusal: str = "") -> None:
        """Every change of the work gets its one outcome."""
        group, told = work.group, list[Action]()
        for change in group.changes:
            side = self.pair.role_of(change.system)
            action = self._answer(work, side)
            told.append(action)
            kind = _OUTCOME[action.kind]
            asked = {c.path or c.kind for a in work.actions for c in a.conflicts
                     if not c.settled_by}
            reason = refusal or action.reason or _linked_with(action)
            if asked:
                kind = OutcomeKind.CONFLICT
                reason = reason or f"conflict on {', '.join(sorted(asked))}"
            self.outcome(change, kind, group.canonical_id, action.target,
                         self._as_returned(work, action), reason)
            self.settled.append(change.id)
            self.succeeded.append(change.trace_key)
        self._outcomes_uncounted(work, [action for action in work.actions
                                        if action.target in written and action not in told])

    def _in_sync(self, system: str, result: WriteResult) -> None:
        """A write has told its record that it is in sync, if it was made."""
        if result.record is not None and result.status in (WriteStatus.CREATED,
                                                           WriteStatus.UPDATED):
            self.told[system].append(Told(result.record.external_id, SyncState.IN_SYNC.value,
                                          since=self.session.clock.now()))

    def _answer(self, work: Work, side: Role) -> Action:
        """The action that answers a change read on `side`: what was done to the other one."""
        for wanted in (other(side), side):
            for action in work.actions:
                if action.target == wanted:
                    return action
        return work.actions[0]

    def _outcomes_uncounted(self, work: Work, actions: Iterable[Action]) -> None:
        """What was written and answers no record read: else nobody could tell, or undo, it."""
        for action in actions:
            if action.target is not None:
                source = work.group.sides.get(other(action.target))
                self.outcomes.append(Outcome(
                    _OUTCOME[action.kind], self.entity, other(action.target),
                    source.external_id if source else "", work.group.canonical_id, action.target,
                    self._as_returned(work, action), action.reason or
                    "follows from what the other side returned", counted=False))

    def _as_returned(self, work: Work, action: Action) -> tuple[FieldChange, ...]:
        """The changes of an action with the values that the system made of them."""
        seen = work.group.sides.get(action.target) if action.target in work.writes else None
        if action.target is None or seen is None or seen.record is None:
            return action.changes
        return tuple(_returned(self.entity, seen.record, c) for c in action.changes)


def _returned(entity: str, record: dict[str, Any], change: FieldChange) -> FieldChange:
    """A change with what the system made of its value; of a line, of what was sent of it."""
    if change.after is None or change.path == "":
        return change
    now = value_at(entity, record, change.path)
    if isinstance(now, dict) and isinstance(change.after, dict):
        now = {name: now.get(name) for name in change.after}
    return change if now == change.after else replace(change, after=now)


def _linked_with(action: Action) -> str:
    if action.kind is not ActionKind.LINK_UP:
        return ""
    return "linked with the same record on the other side"
