"""The parts into which a run divides an entity's inbox, for several processes to work off."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from connector.domain.actions import Tally
from connector.domain.policies import Role


@dataclass(frozen=True, slots=True)
class Partition:
    """One part: all changes of an entity that have the same `slot`. `token` is that of the lease
    under which the run works that divided the inbox: once another run has taken over, nobody may
    work on its partitions any more."""

    pair: str
    run_id: str
    entity: str
    slot: int
    token: int

    @property
    def lease(self) -> str:
        """The name of the lease of whoever works on it."""
        return f"{self.pair}#{self.slot}"


class PartitionState(StrEnum):
    """How a partition stands."""

    OPEN = "open"
    BEGUN = "begun"
    LEFT = "left"  # begun, and nobody holds its lease: who worked on it has died or met an error
    DONE = "done"


@dataclass(slots=True)
class Counts:
    """What was counted: records read and what came of them by (entity, role), writes by (entity,
    role, operation), how many that waited may go on, and which records, as (entity, system,
    external ID), are put off to the next run."""

    tallies: Mapping[tuple[str, Role], Tally] = field(default_factory=dict)
    writes: Mapping[tuple[str, Role, str], int] = field(default_factory=dict)
    released: int = 0
    put_off: frozenset[tuple[str, str, str]] = frozenset()

    def plus(self, more: Counts) -> Counts:
        """Both together."""
        tallies: dict[tuple[str, Role], Tally] = defaultdict(Tally)
        writes: dict[tuple[str, Role, str], int] = defaultdict(int)
        for counts in (self, more):
            for key, tally in counts.tallies.items():
                tallies[key].add(tally)
            for write, number in counts.writes.items():
                writes[write] += number
        return Counts(dict(tallies), dict(writes), self.released + more.released,
                      self.put_off | more.put_off)
