"""One run at work: its pair, its store, its lease, and the counts it keeps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event, Lock
from typing import Protocol

from connector.domain.actions import Outcome, OutcomeKind, Tally
from connector.domain.ledger import Request
from connector.domain.partitions import Counts
from connector.domain.policies import Role
from connector.domain.records import Operation
from connector.engine.fence import FencedStore
from connector.engine.pair import Pair
from connector.errors import RunCancelled
from connector.ports import Clock, UnitOfWork

LEASE_TTL = 60.0
"""Seconds a lease holds without being renewed; a run renews it before every batch of writes."""


def cancelled(pair: str) -> RunCancelled:
    """What is said to a run that was stopped."""
    return RunCancelled(f"The run on pair {pair!r} was stopped.",
                        hint="Nothing is lost: the next run goes on where it ended.")


class Observe(Protocol):
    """Told of progress: `phase` is `pull` or `write`, `done` the records of it so far."""

    def __call__(self, entity: str, phase: str, done: int) -> None: ...


def unobserved(entity: str, phase: str, done: int) -> None:
    """Nobody watches."""


@dataclass(slots=True)
class Session:
    """What a run carries along; `crash` is called at named points so that tests can die there,
    `in_flight` says how many batches are written at the same time. Its counts may be told from
    several threads."""

    pair: Pair
    store: FencedStore
    clock: Clock
    run_id: str
    observe: Observe = unobserved
    crash: Callable[[str], None] = lambda _point: None
    in_flight: int = 0
    tallies: dict[tuple[str, Role], Tally] = field(default_factory=lambda: defaultdict(Tally))
    writes: dict[tuple[str, Role, str], int] = field(default_factory=lambda: defaultdict(int))
    requeued: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    notes: dict[str, str] = field(default_factory=dict)  # by trace key, for the outcome's reason
    released: int = 0  # records that waited, and may go on by now
    put_off: set[tuple[str, str, str]] = field(default_factory=set)  # entity, system, external ID
    stop: Event = field(default_factory=Event)  # set by somebody who wants the run to end
    recovered: bool = False  # whether writes without a result have been verified
    requests: Sequence[Request] = ()  # left with runs that never did them
    told: dict[tuple[str, Role], int] = field(default_factory=lambda: defaultdict(int))
    places: dict[tuple[str, Role], bool] = field(default_factory=dict)  # for what records are told
    renewed_at: datetime = field(init=False)
    _counting: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.renewed_at = self.clock.now()

    def check(self) -> None:
        """Raise `RunCancelled` where the run was stopped."""
        if self.stop.is_set():
            raise cancelled(self.pair.name)

    def guard(self) -> None:
        """Renew the lease, before anything is written; raises `LeaseLost` where another run took
        over, and `RunCancelled`."""
        self.check()
        self.store.renew_lease(LEASE_TTL)
        self.renewed_at = self.clock.now()

    def keep_alive(self) -> None:
        """Renew the lease where a good part of its time has passed; for what writes nothing.
        Raises as `guard` does."""
        self.check()
        if (self.clock.now() - self.renewed_at).total_seconds() > LEASE_TTL / 4:
            self.guard()

    def for_batch(self) -> Session:
        """Who counts what comes of one batch."""
        return self

    def saving(self, uow: UnitOfWork) -> None:
        """Told of each transaction that keeps what came of records. What a run has counted it
        keeps itself, at its end."""

    def add(self, counts: Counts) -> None:
        """What others have counted for this run."""
        with self._counting:
            for key, tally in counts.tallies.items():
                self.tallies[key].add(tally)
            for write, number in counts.writes.items():
                self.writes[write] += number
            self.released += counts.released
            self.put_off |= counts.put_off

    def count_read(self, entity: str, role: Role, number: int = 1) -> None:
        """Records taken up: each of them has to get exactly one outcome."""
        with self._counting:
            self.tallies[entity, role].read += number

    def count_echoes(self, entity: str, role: Role, number: int) -> None:
        """Records read that are what was last seen of them."""
        with self._counting:
            tally = self.tallies[entity, role]
            tally.read += number
            tally.outcomes[OutcomeKind.UNCHANGED] += number

    def count(self, outcome: Outcome) -> None:
        """One outcome of one record read."""
        if outcome.counted:
            with self._counting:
                self.tallies[outcome.entity, outcome.side].outcomes[outcome.kind] += 1

    def unsettled(self) -> dict[tuple[str, Role], int]:
        """Records taken up that have no outcome yet, by entity and role."""
        with self._counting:
            return {key: tally.read - sum(tally.outcomes.values())
                    for key, tally in self.tallies.items()}

    def put_back(self, unsettled: Mapping[tuple[str, Role], int]) -> None:
        """A phase has failed: of what is without an outcome, only what was so before it counts as
        taken up. The rest is in the inbox still, and counted when it is taken up again."""
        with self._counting:
            for key, tally in self.tallies.items():
                tally.read = sum(tally.outcomes.values()) + unsettled.get(key, 0)

    def count_write(self, entity: str, role: Role, operation: Operation) -> None:
        """One write made."""
        with self._counting:
            self.writes[entity, role, operation] += 1

    def count_released(self, number: int) -> None:
        """Records that waited for something that is settled now."""
        with self._counting:
            self.released += number

    def count_told(self, entity: str, role: Role, number: int) -> None:
        """Records that were told how they stand: no writes of the run's own."""
        with self._counting:
            self.told[entity, role] += number

    @property
    def written(self) -> int:
        """Writes made so far on both sides."""
        return sum(self.writes.values())
