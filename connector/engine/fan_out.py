"""Has an entity's inbox worked off by several processes, and waits for them.

The run that holds the pair's lease divides the inbox, and the workers are handed the parts. The
store tells how far they are. What a worker has left, because it died or met an error, the run takes
up itself, as it does what nobody begins with: so it comes to an end without any worker, and meets
an error that still stands where it can tell it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from connector.domain.partitions import Counts, Partition, PartitionState
from connector.engine.aliases import settle_merges
from connector.engine.divide import divided
from connector.engine.partition import drain_partition
from connector.engine.session import Session
from connector.errors import RetryLater
from connector.ports import Spread

BETWEEN_LOOKS = 0.5
"""Seconds between two looks at how the partitions stand."""


@dataclass(frozen=True, slots=True)
class Division:
    """An inbox with `at_least` so many changes pending is divided into so many `partitions` at
    most; `spread` gives who has them worked off, when it is first wanted. While none of them moves
    they are left alone for `patience` seconds."""

    spread: Callable[[], Spread]
    partitions: int
    at_least: int = 1
    patience: float = 0.0


def fan_out(session: Session, entity: str, division: Division) -> bool:
    """Work off the inbox of an entity in partitions; False where too little is pending. Raises
    what a drain raises."""
    with session.store.begin() as uow:
        pending = sum(number for (of, _, state), number in
                      uow.inbox_counts(session.pair.name).items()
                      if of == entity and state == "pending")
    if pending < division.at_least:
        return False
    parts = _divide(session, entity, division.partitions)
    if parts:
        try:
            _FanOut(session, division, parts).run()
        except RetryLater:
            # This may be tried again: nobody else may be at work then, or begin late.
            with session.store.begin() as uow:
                uow.end_division(session.pair.name)
            raise
    return True


def _divide(session: Session, entity: str, slots: int) -> list[Partition]:
    settle_merges(session, entity)
    changes = dict(enumerate(divided(session, entity, slots)))
    parts = [Partition(session.pair.name, session.run_id, entity, slot, session.store.token)
             for slot in changes]
    session.guard()
    if parts:
        with session.store.begin() as uow:
            uow.divide(parts, changes)
    structlog.get_logger().info("inbox divided", entity=entity, partitions=len(parts),
                                changes=sum(map(len, changes.values())))
    return parts


class _FanOut:
    """Partitions at work."""

    def __init__(self, session: Session, division: Division, parts: list[Partition]) -> None:
        self._session, self._parts = session, parts
        self._spread, self._patience = division.spread(), division.patience
        self._moved_at = session.clock.now()
        self._stood: dict[int, PartitionState] = {}
        self._written = 0

    def run(self) -> None:
        """Wait until all partitions are done; where a system goes away, until nobody works on any,
        for a write on its way can't be held back."""
        self._spread.begin(self._parts)
        try:
            while left := self._left():
                if not any(self._take_up(part) for part in left if self._abandoned(part)):
                    self._session.clock.sleep(BETWEEN_LOOKS)
        except RetryLater:
            while any(self._stood[part.slot] is PartitionState.BEGUN for part in self._left()):
                self._session.clock.sleep(BETWEEN_LOOKS)
            raise
        finally:
            self._spread.end()
            self._session.add(self._counts())

    def _left(self) -> list[Partition]:
        """The partitions that are not done; tells of progress."""
        session = self._session
        session.keep_alive()
        with session.store.begin() as uow:
            states = uow.partition_states(session.pair.name)
        if states != self._stood:
            self._stood, self._moved_at = states, session.clock.now()
        self._tell(self._counts())
        return [part for part in self._parts if states[part.slot] is not PartitionState.DONE]

    def _counts(self) -> Counts:
        with self._session.store.store.begin() as uow:
            return uow.counts(self._session.pair.name)

    def _tell(self, counts: Counts) -> None:
        written = sum(counts.writes.values())
        if written > self._written:
            self._moved_at = self._session.clock.now()
            self._session.observe(self._parts[0].entity, "write", written - self._written)
            self._written = written

    def _abandoned(self, part: Partition) -> bool:
        """Whether a partition is to be taken up here: a worker has left it, nobody will begin with
        it, or nothing moves."""
        state = self._stood[part.slot]
        waited = (self._session.clock.now() - self._moved_at).total_seconds()
        return state is PartitionState.LEFT or (state is PartitionState.OPEN and (
            waited > self._patience or not self._spread.awaits(part)))

    def _take_up(self, part: Partition) -> bool:
        """Work a partition off here, unless somebody does."""
        session, moved_at, state = self._session, self._moved_at, self._stood[part.slot]
        done = drain_partition(session.pair, session.store.store, session.clock, part,
                               crash=session.crash, alive=session.keep_alive,
                               in_flight=min(session.in_flight, 1))
        if done:
            self._stood[part.slot] = PartitionState.DONE
            self._tell(self._counts())
            self._moved_at = moved_at  # nobody else has moved
            structlog.get_logger().warning("partition worked off by the run itself",
                                           entity=part.entity, partition=part.slot,
                                           it_was=state.value)
        return done
