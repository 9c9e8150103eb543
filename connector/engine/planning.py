"""Plans what waits in the inbox without doing it, and does what a saved plan says and no more."""

from __future__ import annotations

from collections.abc import Sequence

from connector.domain.actions import Action, ActionKind
from connector.domain.records import Change
from connector.engine.aliases import MERGED
from connector.engine.apply import carry_out
from connector.engine.drain import batches, decided
from connector.engine.entries import Entries
from connector.engine.gather import Gathered
from connector.engine.group import Work
from connector.engine.in_flight import InFlight
from connector.engine.known import Planned
from connector.engine.pair import Pair
from connector.engine.plan import fingerprint
from connector.engine.plan_file import Gate
from connector.engine.session import Session

_WRITING = {ActionKind.CREATE, ActionKind.UPDATE, ActionKind.DELETE, ActionKind.LINK_UP}


def plan_all(session: Session, entities: Sequence[str]) -> list[Action]:
    """What would be done with all that waits in the inbox."""
    planned, actions = Planned(), list[Action]()
    for entity in entities:
        for gathered in batches(session, entity, planned, InFlight(0)):
            actions += _planned(session, entity, gathered, planned)
    return actions


def _planned(session: Session, entity: str, gathered: Gathered,
             planned: Planned) -> list[Action]:
    works, refused = decided(session, entity, gathered.groups)
    for work in works:
        planned.add(session.pair, work.group)
    actions = [action for work in works for action in work.actions
               if action.kind is not ActionKind.NONE]
    for group, failure in refused:
        actions.append(Action(ActionKind.FAIL, entity, group.canonical_id, group.title,
                              reason=str(failure)))
    return actions + _set_aside_actions(session.pair, gathered)


def apply_gated(session: Session, entity: str, gathered: Gathered, gate: Gate) -> None:
    """Carry out those works of a batch that a saved plan names as they are now; the others that it
    names are refused, for their records have moved."""
    works, _ = decided(session, entity, gathered.groups)
    allowed, moved = list[Work](), list[Work]()
    for work in works:
        prints = gate.get(work.group.canonical_id)
        writing = [a for a in work.actions if a.kind in _WRITING]
        if prints is None or not writing:
            continue
        fits = all(fingerprint(action) in prints for action in writing)
        (allowed if fits else moved).append(work)
    for work in (*allowed, *moved):
        for change in work.group.changes:
            session.count_read(entity, session.pair.role_of(change.system))
    _refuse(session, entity, moved)
    if allowed:
        carry_out(session, entity, allowed, follow=False)


def _refuse(session: Session, entity: str, moved: Sequence[Work]) -> None:
    if not moved:
        return
    with session.store.begin() as uow:
        entries = Entries(session, entity)
        for work in moved:
            for change in work.group.changes:
                entries.leave(change, "changed since the plan was made; plan it again")
        entries.save(uow)


def _set_aside_actions(pair: Pair, gathered: Gathered) -> list[Action]:
    def action(kind: ActionKind, change: Change, reason: str) -> Action:
        return Action(kind, change.entity, "", change.external_id, None,
                      {pair.role_of(change.system): change.external_id}, reason=reason)

    return [*(action(ActionKind.FAIL, c, str(failure)) for c, failure in gathered.failed),
            *(action(ActionKind.WAIT, c, reason) for c, _, reason in gathered.waiting),
            *(action(ActionKind.SKIP, c, reason) for c, reason in gathered.skipped),
            *(action(ActionKind.SKIP, c, MERGED.format(c.merged_into)) for c in gathered.merged),
            *(action(ActionKind.LINK_UP, c, "another record of the same thing")
              for c, _ in gathered.aliases),
            *(action(ActionKind.LINK_UP, c, f"deleted; {heir.external_id} takes its place")
              for c, heir in gathered.heirs),
            *(action(ActionKind.CONFLICT, c, question.reason)
              for c, _, question, _ in gathered.ambiguous)]
