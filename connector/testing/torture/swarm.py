"""Runs seeds: users and faults at work, then rest, then the invariants."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from random import Random

from sqlalchemy import delete

from connector.errors import ConnectorError
from connector.store.open import open_store
from connector.store.tables import metadata
from connector.store.unit_of_work import SqlStore
from connector.testing.clock import VirtualClock
from connector.testing.torture.faults import Died, Faults, Rates
from connector.testing.torture.invariants import broken
from connector.testing.torture.world import World

MOST_ROUNDS = 20


@dataclass(slots=True)
class Report:
    """What came of one seed."""

    seed: int
    violations: list[str]
    faults: Counter[str]
    edits: int
    writes: int
    rounds: int
    digest: str


@dataclass(slots=True)
class Total:
    """What came of many."""

    seeds: int = 0
    edits: int = 0
    writes: int = 0
    most_rounds: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    failed: list[Report] = field(default_factory=list)

    def add(self, report: Report) -> None:
        """Count one in."""
        self.seeds += 1
        self.edits += report.edits
        self.writes += report.writes
        self.most_rounds = max(self.most_rounds, report.rounds)
        self.faults += report.faults
        if report.violations:
            self.failed.append(report)


def run_seed(seed: int, store: SqlStore) -> Report:
    """Simulate one seed in a store that is emptied first; the same seed gives the same digest."""
    _empty(store)
    chance = Random(seed)
    faults = Faults(chance, Rates.drawn(chance))
    world = World(chance, faults, store)
    writes = 0
    for _ in range(chance.randint(3, 8)):
        for _ in range(chance.randint(1, 6)):
            world.act()
        writes += _attempt(world)
    faults.on = False
    world.mend()
    rounds = _rest(world)
    violations = broken(world)
    if rounds == MOST_ROUNDS:
        violations.append(f"I6: it never comes to rest within {MOST_ROUNDS} syncs")
    digest = hashlib.sha256("\n".join(faults.trace).encode()).hexdigest()
    return Report(seed, violations, faults.count, world.edits.number, writes, rounds, digest)


def _empty(store: SqlStore) -> None:
    with store.engine.begin() as connection:
        for table in metadata.sorted_tables:
            connection.execute(delete(table))


def _attempt(world: World) -> int:
    """A sync that may fail or die on the way."""
    world.clock.sleep(90)
    try:
        run = world.engine().sync(safety_stop=False)
    except (ConnectorError, Died):
        return 0
    return sum(run.writes.values())


def _rest(world: World) -> int:
    """Sync until two in a row write nothing; returns how many it took."""
    idle = 0
    for number in range(1, MOST_ROUNDS + 1):
        world.clock.sleep(90)
        run = world.engine().sync(safety_stop=False, reconcile=True)
        astray = [key for key, tally in run.tallies.items() if not tally.accounted]
        if astray:
            world.violations.append(f"I5: reads are not accounted for: {astray}")
        idle = idle + 1 if not any(run.writes.values()) else 0
        if idle == 2:
            return number
    return MOST_ROUNDS


def run_seeds(seeds: Iterable[int], *, url: str = "sqlite://") -> Iterator[Report]:
    """Simulate many, one after the other, in one store."""
    store = open_store(url, VirtualClock())
    try:
        for seed in seeds:
            yield run_seed(seed, store)
    finally:
        store.close()
