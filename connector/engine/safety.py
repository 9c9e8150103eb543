"""The safety stop: a run that would delete or change too much of what is linked stops before its
first write, and says what it saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from connector.domain.actions import Action, ActionKind
from connector.domain.policies import EntityPolicy, Role, SafetyStop, other
from connector.domain.records import Stake
from connector.engine.session import Session
from connector.errors import SafetyStopped

Stakes = Mapping[tuple[str, Role], Stake]
"""What is at stake, by entity and role."""
Policies = Mapping[str, EntityPolicy]
"""The rules of each entity."""


def stakes(session: Session, entities: Iterable[str]) -> Stakes:
    """What is at stake on each side of the entities of which enough waits to be taken up to go
    beyond a limit; of the others the linked records need not be counted."""
    pending = Counter[str]()
    with session.store.begin() as uow:
        for (entity, _, state), number in uow.inbox_counts(session.pair.name).items():
            pending[entity] += number if state == "pending" else 0
        return {(entity, side.role): uow.stake(session.pair.name, entity, side.system)
                for entity in entities
                if pending[entity] >= session.pair.policies[entity].safety_stop.at_least
                for side in session.pair.sides}


def suspicious(policies: Policies, found: Stakes) -> bool:
    """Whether so much was read that the run could be beyond its limits: worth planning it."""
    return any(_beyond(policies[entity].safety_stop, "delete_percent", stake.deleted, stake)
               or _beyond(policies[entity].safety_stop, "change_percent", stake.changed, stake)
               for (entity, _), stake in found.items())


def stop_beyond(policies: Policies, found: Stakes, actions: Sequence[Action]) -> None:
    """Raise `SafetyStopped` where the actions of a run go beyond its limits."""
    for (entity, role), stake in found.items():
        limits = policies[entity].safety_stop
        mine = [a for a in actions if a.entity == entity and a.target == role]
        deleting = sum(map(_deletes, mine))
        changing = sum(a.kind is ActionKind.UPDATE and not _deletes(a) for a in mine)
        for number, limit, what in ((deleting, "delete_percent", "deleted or deactivated"),
                                    (changing, "change_percent", "changed")):
            if _beyond(limits, limit, number, stake):
                raise SafetyStopped(
                    f"{number} of {stake.linked} linked {entity} records of the {role} would be "
                    f"{what}, more than {getattr(limits, limit)} %. Nothing was written.",
                    hint=f"See `connector plan`. If that is right, sync with --no-safety-stop; "
                         f"else put the records of the {other(role)} right and sync again.")


def _deletes(action: Action) -> bool:
    return action.kind is ActionKind.DELETE or any(
        change.rule.startswith("on_delete") for change in action.changes)


def _beyond(limits: SafetyStop, limit: str, number: int, stake: Stake) -> bool:
    return number >= limits.at_least and number * 100 > getattr(limits, limit) * stake.linked
