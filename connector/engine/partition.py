"""Works off one partition of an inbox, in whatever process: the run that divided it has read
everything, and sums up what is counted here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import structlog

from connector.domain.actions import Tally
from connector.domain.partitions import Counts, Partition, PartitionState
from connector.engine.apply import recover
from connector.engine.drain import drain
from connector.engine.fence import PartitionStore, holder
from connector.engine.pair import Pair
from connector.engine.session import LEASE_TTL, Session
from connector.errors import LeaseHeld
from connector.ports import Clock, Store, UnitOfWork
from connector.tracing import span


@dataclass(slots=True)
class PartitionSession(Session):
    """A worker's part of a run. What is counted of a batch is kept in the transaction that keeps
    what came of it, so that nothing is counted twice, or not at all, where a worker dies."""

    partition: Partition = field(kw_only=True)
    alive: Callable[[], None] = field(kw_only=True)
    batches: list[PartitionSession] = field(default_factory=list)

    def check(self) -> None:
        """See there: whoever had it begun is told that this goes on, and may stop it."""
        self.alive()

    def for_batch(self) -> Session:
        """See there: each batch counts for itself, for several are in flight."""
        batch = replace(self, tallies=defaultdict(Tally), writes=defaultdict(int), released=0,
                        batches=[])
        self.batches.append(batch)
        return batch

    def saving(self, uow: UnitOfWork) -> None:
        """Keep what was counted since; of the records read those that have their outcome, for the
        others' is not kept yet."""
        uow.add_counts(self.partition, self._taken(lambda tally: min(
            tally.read, sum(tally.outcomes.values()))))

    def finish(self) -> None:
        """Keep that it is done; and what was read and has no outcome, if there is any."""
        with self.store.begin() as uow:
            for batch in (*self.batches, self):
                uow.add_counts(self.partition, batch._taken(lambda tally: tally.read))
            uow.add_counts(self.partition, Counts(put_off=frozenset(self.put_off)))
            uow.save_partition(self.partition, PartitionState.DONE)

    def _taken(self, reads: Callable[[Tally], int]) -> Counts:
        """What was counted, and is counted here no more."""
        with self._counting:
            tallies = {key: Tally(reads(tally), tally.outcomes)
                       for key, tally in self.tallies.items()}
            left = {key: Tally(tally.read - tallies[key].read)
                    for key, tally in self.tallies.items()}
            taken = Counts(tallies, dict(self.writes), self.released)
            self.tallies.clear()
            self.tallies.update({key: tally for key, tally in left.items() if tally.read})
            self.writes.clear()
            self.released = 0
        return taken


def drain_partition(pair: Pair, store: Store, clock: Clock, partition: Partition, *,
                    crash: Callable[[str], None] = lambda _point: None,
                    alive: Callable[[], None] = lambda: None, in_flight: int = 1) -> bool:
    """Work off a partition; False where it is done already, the run has gone on to something else,
    or somebody else works on it. `alive` is called before every batch and every write, and may
    raise.

    One batch is written at a time (none beside the gathering where `in_flight` is 0), so that what
    hangs on one customer is written in the order in which it was read. What an earlier worker left
    is verified first. Raises `LeaseLost` where the run has ended or another one has taken over, and
    what a sync raises: what was not written stays in the inbox.
    """
    try:
        token = store.acquire_lease(partition.lease, holder(), LEASE_TTL)
    except LeaseHeld:
        return False
    named = structlog.contextvars.bind_contextvars(
        run=partition.run_id, pair=partition.pair, partition=partition.slot)
    try:
        session = PartitionSession(
            pair, PartitionStore(store, partition, token), clock, partition.run_id, crash=crash,
            in_flight=in_flight, partition=partition, alive=alive)
        with session.store.begin() as uow:
            if uow.partition_state(partition) in (None, PartitionState.DONE):
                return False
            uow.save_partition(partition, PartitionState.BEGUN)
        structlog.get_logger().info("partition begun", entity=partition.entity)
        with span("partition", run=partition.run_id, entity=partition.entity):
            recover(session)
            drain(session, partition.entity)
            session.finish()
        structlog.get_logger().info("partition done", entity=partition.entity)
        return True
    finally:
        store.release_lease(partition.lease, token)
        structlog.contextvars.reset_contextvars(**named)
