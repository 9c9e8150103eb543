"""Where a side's records are told how they stand, and what a write takes along of that."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

import structlog

from connector.domain.records import Link, Payload
from connector.domain.telling import SyncState
from connector.engine.group import Work
from connector.engine.pair import Pair, Side
from connector.engine.session import Session
from connector.errors import RetryLater
from connector.ports import UnitOfWork


def has_places(session: Session, entity: str, side: Side) -> bool:
    """Whether the mapping says where, and the system has those fields; asked once in a run. A
    field that is not there yet is no reason to have every write refused."""
    mapping = side.mappings[entity]
    if not mapping.state:
        return False
    key = entity, side.role
    if key not in session.places:
        try:
            schema = side.adapter.describe(mapping.object)
        except RetryLater:
            return False
        missing = sorted(mapping.state_paths - schema.fields)
        session.places[key] = not missing
        if missing:
            structlog.get_logger().warning("sync state has no place", entity=entity,
                                           system=side.system, missing=missing)
    return session.places[key]


def stamp(side: Side, entity: str, at: datetime) -> Payload:
    """What a record is told with a write that brings both sides into agreement."""
    return side.mappings[entity].encode_state(
        {"state": SyncState.IN_SYNC.value, "since": at, "reason": None})


def let_be_told(uow: UnitOfWork, pair: Pair, entity: str, links: Iterable[Link], *,
                anew: bool) -> None:
    """Let the records of links be told how they stand, where the mapping says where: those that
    never were, or all of them, `anew`."""
    telling = {side.system for side in pair.sides if side.mappings[entity].state}
    if telling:
        uow.to_tell(pair.name, [
            (entity, link.system, link.external_id) for link in links
            if link.system in telling and not link.alias and link.seen is not None], anew=anew)


def take_back(uow: UnitOfWork, pair: Pair, entity: str, aliases: Collection[Link]) -> None:
    """Let living aliases that were told how they stand say nothing any more."""
    for side in pair.sides:
        living = [link.external_id for link in aliases
                  if link.system == side.system and link.seen is not None]
        if living and side.mappings[entity].state:
            told = uow.told(pair.name, entity, side.system, living)
            uow.to_tell(pair.name, [(entity, side.system, ext) for ext in sorted(told)], anew=True)


def agrees(work: Work) -> bool:
    """Whether nobody is asked any more once a work is done."""
    return not work.asks and not any(
        not conflict.settled_by for action in work.actions for conflict in action.conflicts)
