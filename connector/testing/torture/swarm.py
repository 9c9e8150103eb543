"""Runs seeds: users and faults at work, then rest, then the invariants."""

from __future__ import annotations

import hashlib
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import structlog
from sqlalchemy import delete

from connector.errors import ConnectorError
from connector.store.open import open_store
from connector.store.tables import metadata
from connector.store.unit_of_work import SqlStore
from connector.testing.alone import alone
from connector.testing.clock import VirtualClock
from connector.testing.torture.company import MARK
from connector.testing.torture.faults import Died, Faults, Rates, Stuck
from connector.testing.torture.operators import Operators
from connector.testing.torture.rest import rest, settled
from connector.testing.torture.users import Crowded


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


class Said:
    """I10: what the log says, none of which may be a value that a user entered."""

    def __init__(self) -> None:
        self.violations: list[str] = []

    def __call__(self, _log: object, _level: str, event: MutableMapping[str, Any]) -> str:
        """Look at one entry, and keep it from being shown."""
        told = str(dict(event))
        if MARK in told:
            self.violations.append(f"I10: the log says {told}")
        raise structlog.DropEvent


def run_seed(seed: int, store: SqlStore, partitions: int = 1, *, tells: bool = False) -> Report:
    """Simulate one seed in a store that is emptied first; the same seed gives the same digest. An
    inbox is worked off in so many `partitions`. Where the engine `tells` the CRM's records how they
    stand, a seed takes another course."""
    emptied(store)
    chance = Random(seed)
    faults = Faults(chance, Rates.drawn(chance))
    world = Crowded(chance, faults, store, tells=tells)
    world.division = alone(partitions) if partitions > 1 else None
    operators = Operators(Random(seed), world)
    rounds = 0
    said = Said()
    structlog.configure(processors=[said])
    try:
        for _ in range(chance.randint(3, 8)):
            for _ in range(chance.randint(1, 6)):
                world.act()
            _attempt(world)
            operators.act()
        faults.on = False
        world.clock.sleep(10 * max(JUMPS))  # as far as it may have been set back
        world.mend()
        rounds = rest(world)
        violations = settled(world)
    except (Exception, Stuck) as error:
        violations = [*world.violations, f"I6: it breaks off: {told(error)}"]
    violations += said.violations
    digest = hashlib.sha256("\n".join(faults.trace).encode()).hexdigest()
    return Report(seed, violations, faults.count, world.edits.number, faults.writes, rounds,
                  digest)


def told(error: BaseException) -> str:
    """What broke off, and where."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"


def emptied(store: SqlStore) -> SqlStore:
    """The store without a row, its schema left as it is."""
    with store.engine.begin() as connection:
        for table in metadata.sorted_tables:
            connection.execute(delete(table))
    return store


JUMPS = -90, 3600, -3600
"""Seconds by which our clock may be set; a lease that a dead one has left lasts so much longer."""


def _attempt(world: Crowded) -> None:
    """A sync that may fail or die on the way; where webhooks are on, sometimes a drain."""
    if world.faults.happens("clock_jumped"):
        world.clock.sleep(world.chance.choice(JUMPS))
    world.clock.sleep(90)
    drains = world.chance.random() < 0.5 * world.webhooks
    with suppress(ConnectorError, Died):
        if drains:
            world.engine().drain(safety_stop=False)
        else:
            world.engine().sync(safety_stop=False)


def run_seeds(seeds: Iterable[int], *, url: str = "sqlite://",
              partitions: int = 1, tells: bool = False) -> Iterator[Report]:
    """Simulate many, one after the other, in one store."""
    store = open_store(url, VirtualClock())
    try:
        for seed in seeds:
            yield run_seed(seed, store, partitions, tells=tells)
    finally:
        store.close()
