"""The faults of a simulated system, drawn from one source of chance, and a memory system that has
them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from random import Random
from typing import Any, ClassVar, Protocol, Self

from connector.adapters.memory import MemoryAdapter, MemorySettings
from connector.domain.records import (
    Batch,
    Intent,
    Operation,
    Page,
    RemoteRecord,
    WriteResult,
    WriteStatus,
)
from connector.errors import CursorExpired, RateLimited, ReauthRequired, SystemUnreachable
from connector.ports import Clock
from connector.testing.torture.company import SHOWN, Books

MOST_CALLS = 20_000
"""What is noted of a seed at most: the engine runs in circles then."""


class Died(BaseException):
    """The process was killed: nothing of ours may catch it."""


class Stuck(BaseException):
    """The engine does not come to an end."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What sort of system it is: its page, its look-back in changes, whether it knows a record
    that was made for the same reference before, and by how many seconds its clock is wrong."""

    page: int
    look_back: int
    unique: bool
    skew: int = 0

    @classmethod
    def drawn(cls, chance: Random) -> Kind:
        """Small pages and look-backs, or none where no change shows late: a large one would mend
        what goes wrong elsewhere."""
        return cls(chance.choice((2, 3, 50)), chance.choice((0, 2, 5, 40)),
                   chance.random() < 0.5, chance.choice((0, 0, -90, 3600)))


@dataclass(frozen=True, slots=True)
class Likely:
    """How likely each fault of some sort is, at each place where it may happen; of those in
    `weights` so many times more, or less."""

    weights: ClassVar[Mapping[str, float]] = {
        "died": 0.08, "store_failed": 0.08, "overtaken": 0.3, "slowed_down": 0.3,
        "token_expired": 0.2}

    @classmethod
    def drawn(cls, chance: Random) -> Self:
        """A swarm: each fault is off, rare or frequent, so that one can't hide another. What may
        happen at every boundary is rarer by far."""
        return cls(**{f.name: chance.choice((0.0, 0.03, 0.25)) * cls.weights.get(f.name, 1)
                      for f in fields(cls)})


@dataclass(frozen=True, slots=True)
class Rates(Likely):
    """The faults of a memory system, and of what is about it."""

    away_on_read: float = 0  # a read fails, in the middle of a pull too
    away_on_write: float = 0  # a write surely was not made
    lost_answer: float = 0  # a write was made, and nobody told
    half_written: float = 0  # a part of a batch was made, and nobody told
    refused: float = 0  # one record of a batch is refused
    edited_under_hands: float = 0  # a record of the batch is edited just before it is written
    edited_between_pages: float = 0  # some record is edited while a pull goes on
    committed_late: float = 0  # an edit shows behind the cursor
    cursor_expired: float = 0  # the system won't go on from where we were
    overtaken: float = 0  # the process stalls, and another one takes over its lease
    clock_jumped: float = 0  # our clock is set, by a minute and a half or an hour, either way
    store_failed: float = 0  # the store's disk is full, or another program holds it too long
    died: float = 0  # the process is killed before or after a call, a commit or a step
    slowed_down: float = 0  # the system asks us to wait
    token_expired: float = 0  # our credentials lapse, in the middle of a pull or of a batch too


@dataclass(slots=True)
class Faults:
    """Draws the faults, counts them, and notes every call in a trace."""

    chance: Random
    rates: Likely
    count: Counter[str] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)
    writes: int = 0
    told: int = 0  # records that were told how they stand
    on: bool = True
    alive: bool = True

    def note(self, what: str) -> None:
        """Put something on the trace."""
        self.trace.append(what)
        if len(self.trace) > MOST_CALLS:
            raise Stuck

    def happens(self, name: str) -> bool:
        """Whether a fault strikes here."""
        if not self.on or self.chance.random() >= getattr(self.rates, name):
            return False
        self.count[name] += 1
        self.note(name)
        return True

    def crash(self, point: str) -> None:
        """A boundary: the process may die here. One that is dead does nothing any more."""
        if not self.alive:
            raise Died(point)
        self.note(point)
        if self.dies(point):
            self.alive = False
            raise Died(point)

    def dies(self, _point: str) -> bool:
        """Whether the process dies at a boundary."""
        return self.happens("died")


class Users(Protocol):
    """The people who work with a simulated system while the connector does."""

    def meddle(self, system: Books, object: str, external_id: str | None) -> None:
        """Edit the record named, or any one of the object."""
        ...

    def overtake(self) -> None:
        """Let the lease run out, and another process sync meanwhile."""
        ...

    def to_create(self, system: Books, object: str, payload: Mapping[str, Any],
                  reference: str) -> dict[str, Any]:
        """What the system makes of a new record, which is made for the one that its reference
        names."""
        ...


class FaultyAdapter(MemoryAdapter):
    """A memory system that fails as real ones do."""

    system: Books

    def __init__(self, settings: MemorySettings, clock: Clock, kind: Kind, faults: Faults,
                 users: Users, system: Books) -> None:
        super().__init__(settings, clock, page=kind.page, look_back=kind.look_back)
        self.name, self.kind, self.faults = settings.name, kind, faults
        self.users, self.system = users, system

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        if cursor is not None and self.faults.happens("cursor_expired"):
            raise CursorExpired("read everything again")
        for page in super().pull(object, cursor):
            self.faults.crash(f"page {object} {[r.external_id for r in page.records]}")
            self._may_be_away()
            yield page
            if self.faults.happens("edited_between_pages"):
                for _ in range(self.faults.chance.choice((1, 1, 4))):
                    self.users.meddle(self.system, object, None)

    def get(self, object: str, external_ids: Sequence[str]) -> dict[str, RemoteRecord]:
        self._may_be_away()
        found = super().get(object, external_ids)
        self.faults.crash(f"got {object}")
        return found

    def find(self, object: str, references: Sequence[str]) -> dict[str, RemoteRecord]:
        self._may_be_away()
        found = super().find(object, references)
        self.faults.crash(f"found {object}")
        return found

    def _may_be_away(self) -> None:
        if self.faults.happens("away_on_read"):
            raise SystemUnreachable("the system is away")
        if self.faults.happens("slowed_down"):
            raise RateLimited("too many calls", after=30)
        if self.faults.happens("token_expired"):
            raise ReauthRequired("the token has expired", system=self.name)

    def write_one(self, object: str, intent: Intent) -> WriteResult:
        self.system.unlock(object, intent.external_id or "")
        if intent.operation is Operation.CREATE:
            payload = self.users.to_create(self.system, object, intent.payload,
                                            intent.reference)
        else:
            payload = self.system.taken(object, intent.payload, new=False)
        before = self.system.changes
        result = super().write_one(object, replace(intent, payload=payload))
        if self.system.changes > before:
            if payload.keys() <= set(SHOWN):
                self.faults.told += 1
            else:
                self.faults.writes += 1
        return result

    def _create(self, object: str, intent: Intent) -> WriteResult:
        if self.kind.unique:
            return super()._create(object, intent)
        row = self.system.put(object, self.system.next_id(object), intent.payload,
                              intent.reference)
        return WriteResult(WriteStatus.CREATED, row.record())

    def write(self, batch: Batch) -> list[WriteResult]:
        # No one can hold back a call that is on its way; a system that can't tell a repeated create
        # from a new one would make it twice.
        if (self.kind.unique or batch.operation is not Operation.CREATE) \
                and self.faults.happens("overtaken"):
            self.users.overtake()
        if self.faults.happens("away_on_write"):
            return _told(WriteStatus.RETRY, batch)
        if self.faults.happens("slowed_down"):
            return [WriteResult.put_off(RateLimited("too many calls", after=30))] \
                * len(batch.intents)
        for intent in batch.intents:
            if intent.external_id and self.faults.happens("edited_under_hands"):
                self.users.meddle(self.system, batch.object, intent.external_id)
        made, expired = len(batch.intents), self.faults.happens("token_expired")
        if expired or self.faults.happens("half_written"):
            made = self.faults.chance.randrange(made)
        results = []
        for intent in batch.intents[:made]:
            if self.faults.happens("refused"):
                results.append(WriteResult(WriteStatus.REJECTED, error="not today"))
            else:
                results.append(self.write_one(batch.object, intent))
            self.faults.crash(f"written {batch.object}")
        told = [(i.key, r.status.value) for i, r in zip(batch.intents, results, strict=False)]
        self.faults.note(f"write {batch.operation} {batch.object} {told}")
        if self.faults.happens("overtaken"):
            self.users.overtake()
        if expired:
            raise ReauthRequired("the token has expired", system=self.name)
        if made < len(batch.intents) or self.faults.happens("lost_answer"):
            return _told(WriteStatus.UNKNOWN, batch)
        return results


def _told(status: WriteStatus, batch: Batch) -> list[WriteResult]:
    return [WriteResult(status, error="no answer")] * len(batch.intents)
