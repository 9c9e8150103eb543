"""What a unit of work offers about the parts of an entity's inbox, and who works them off."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from connector.domain.partitions import Counts, Partition, PartitionState
from connector.domain.records import Change


class Partitions(Protocol):
    """An inbox divided among processes; a pair has those of one entity at a time."""

    def inbox_after(self, pair: str, entity: str, after: int,
                    limit: int) -> list[tuple[Change, bool]]:
        """Changes in the inbox with `id` > `after`, in the order of their ids, each with whether
        it is pending (else it waits)."""
        ...

    def divide(self, parts: Sequence[Partition], changes: Mapping[int, Collection[int]]) -> None:
        """Put changes, by slot, into partitions, which are open then and have counted nothing.
        The division before has ended; a change that is not named is in none."""
        ...

    def within(self, partition: Partition) -> None:
        """Narrow this transaction: `pending`, `merges`, `unkeyed` and `unsettled_batches` give
        only what is in the partition; what is received of its entity, and batches that are
        recorded, belong to it."""
        ...

    def end_division(self, pair: str) -> None:
        """There are no partitions any more, and whoever works on one has lost its lease. What was
        in them stays in the inbox."""
        ...

    def partition_state(self, partition: Partition) -> PartitionState | None:
        """How one stands; None where it is no more: its run has divided something else since."""
        ...

    def partition_states(self, pair: str) -> dict[int, PartitionState]:
        """How the partitions stand, by slot."""
        ...

    def save_partition(self, partition: Partition, state: PartitionState) -> None:
        """Keep how one stands. One that is begun is left as soon as nobody holds its lease."""
        ...

    def add_counts(self, partition: Partition, counts: Counts) -> None:
        """Keep what was counted in one, beside what was counted before."""
        ...

    def counts(self, pair: str) -> Counts:
        """What was counted in all of them."""
        ...


class Spread(Protocol):
    """Has partitions worked off by other processes. Whether one is done only the store knows."""

    def begin(self, partitions: Sequence[Partition], /) -> None:
        """Have these worked off, and return at once."""
        ...

    def awaits(self, partition: Partition, /) -> bool:
        """Whether some process may still begin with it."""
        ...

    def end(self) -> None:
        """The run works on them no more."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...
