"""The bench that an adapter is tortured on: its simulated system, a memory system of canonical
words, and the connector between them, which can be killed and started again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple, cast

from requests.adapters import HTTPAdapter

from connector.adapters.memory import MemoryAdapter, MemorySettings, MemorySystem
from connector.domain.entities import ENTITIES
from connector.domain.policies import CRM, ERP, EntityPolicy, FieldPolicy, Role, other
from connector.domain.records import Batch, Page, WriteResult, WriteStatus
from connector.engine.pair import Pair, Side
from connector.engine.run import Engine
from connector.mapping.compiled import Mapping as FieldMap
from connector.ports import Adapter
from connector.store.unit_of_work import SqlStore
from connector.testing.clock import VirtualClock
from connector.testing.torture.at_rest import Edits
from connector.testing.torture.faults import Faults
from connector.testing.torture.line import Line
from connector.testing.torture.simulated import Simulated, checked, opposite
from connector.testing.torture.watched import WatchedStore

Payload = Mapping[str, Any]
WRITTEN = {WriteStatus.CREATED, WriteStatus.UPDATED, WriteStatus.DELETED}


class Late(NamedTuple):
    """A user's edit whose transaction is still open; it ends before `until`."""

    object: str
    external_id: str
    until: datetime
    commit: Callable[[], Any]


class OpenClock(VirtualClock):
    """A clock on which transactions end in time."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[Late] = []

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass; what has to end in them ends at its time."""
        end = self.now() + timedelta(seconds=seconds)
        for late in sorted((late for late in self.open if late.until <= end),
                           key=lambda late: late.until):
            super().sleep(max(0.0, (late.until - self.now()).total_seconds()))
            self.end(late)
        super().sleep((end - self.now()).total_seconds())

    def end(self, late: Late) -> None:
        """End a transaction."""
        self.open.remove(late)
        late.commit()


class Counted:
    """An adapter whose writes are counted and noted, and who tells what is at hand."""

    def __init__(self, adapter: Adapter, bench: Bench, role: Role) -> None:
        self._adapter, self._bench, self._role = adapter, bench, role

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        """See the port."""
        for page in self._adapter.pull(object, cursor):
            self._bench.faults.crash(
                f"page {self._role} {object} {[r.external_id for r in page.records]}")
            yield page

    def write(self, batch: Batch) -> list[WriteResult]:
        """See the port."""
        with self._bench.at_hand(batch if self._role == self._bench.role else None):
            results = self._adapter.write(batch)
        told = [(i.key, r.status.value) for i, r in zip(batch.intents, results, strict=True)]
        self._bench.faults.note(f"write {self._role} {batch.operation} {batch.object} {told}")
        self._bench.faults.writes += sum(r.status in WRITTEN for r in results)
        return results


class Bench:
    """A pair of which one side is the simulated system; see the module."""

    def __init__(self, simulated: Simulated, clock: OpenClock, chance: Random, faults: Faults,
                 store: SqlStore) -> None:
        self.simulated, self.clock, self.chance = checked(simulated), clock, chance
        self.faults, self.store = faults, store
        store.clock = clock
        self.role = simulated.role
        self.edits = Edits()
        self.born: set[tuple[Role, str, str]] = set()  # records that a user made
        self.violations: list[str] = []
        self.memory = MemorySystem(clock=clock.now)
        self._page = chance.choice((2, 3, 50))
        self.hands: list[tuple[str, str]] = []  # (object, external ID) of what is being written
        self.listed: dict[str, list[str]] = {}  # what users have found in the simulated system
        self._line = Line(faults, before_call=self.users)
        self._adapter: Adapter | None = None
        self.onlooker = simulated.connect(HTTPAdapter())
        self.opposite = {entity: opposite(simulated.mappings[entity])
                         for entity in simulated.records}
        self.policies = {entity: simulated.policies.get(entity) or self._drawn_policy()
                         for entity in self._drawn_entities()}
        self.parents = {code.link for entity in self.policies
                        for code in self.opposite[entity].fields if code.link}
        self.pair = self._pair()

    def _drawn_entities(self) -> list[str]:
        """All entities that there are records of, or one and what it can't be without: with fewer
        records more happens to each."""
        known = [entity for entity in ENTITIES if entity in self.simulated.records]
        only = self.chance.choice([*known, *[""] * len(known)])
        wanted = {only}
        for entity in reversed(known):
            if entity in wanted:
                wanted |= {code.link for code in self.opposite[entity].fields if code.required}
        return [entity for entity in known if not only or entity in wanted]

    def _drawn_policy(self) -> EntityPolicy:
        return EntityPolicy(
            default=FieldPolicy(conflict=self.chance.choice(
                ("manual", "prefer_crm", "prefer_erp"))),
            on_delete=self.chance.choice(("deactivate", "propagate", "manual")))

    def _pair(self) -> Pair:
        if self._adapter is None:
            self._adapter = self.simulated.connect(self._line)
        memory = MemoryAdapter(MemorySettings(name=other(self.role), world="torture"), self.clock,
                               page=self._page)
        memory.system = self.memory
        sides = {
            self.role: Side(self.role, self.role, self._counted(self._adapter, self.role), {
                entity: self.simulated.mappings[entity].among(self.policies).untold
                for entity in self.policies}),
            other(self.role): Side(other(self.role), other(self.role),
                                   self._counted(memory, other(self.role)), {
                entity: self.opposite[entity].among(self.policies)
                for entity in self.policies})}
        return Pair("torture", sides[CRM], sides[ERP], self.policies)

    def _counted(self, adapter: Adapter, role: Role) -> Adapter:
        return cast(Adapter, Counted(adapter, self, role))

    def engine(self) -> Engine:
        """The connector; started anew if it has died."""
        if not self.faults.alive and self._adapter is not None:
            self._adapter.close()
            self._adapter = None
        self.faults.alive = True
        self.pair = self._pair()
        return Engine(self.pair, WatchedStore(self.store, self.faults), self.clock,
                      crash=self.faults.crash, in_flight=0)

    @property
    def look_back(self) -> float:
        """How far behind a cursor a change of the simulated system may come up, in seconds."""
        return self.onlooker.capabilities.look_back.total_seconds()

    def close(self) -> None:
        """Give connections back."""
        for adapter in (self._adapter, self.onlooker):
            if adapter is not None:
                adapter.close()

    # ---- what stands in the systems

    def mapping(self, role: Role, entity: str) -> FieldMap:
        """The mapping of an entity on a side."""
        return self.pair.side(role).mappings[entity]

    def payloads(self, role: Role, entity: str) -> dict[str, dict[str, Any]]:
        """The payloads of the records of a side that are there, by external ID; archived ones
        too."""
        mapping = self.mapping(role, entity)
        if role != self.role:
            return {row.external_id: row.payload for row in
                    self.memory.objects.get(mapping.object, {}).values() if not row.deleted}
        last = {record.external_id: record for page in self.onlooker.pull(mapping.object, None)
                for record in page.records}
        return {ext: dict(record.payload) for ext, record in last.items()
                if not record.deleted and mapping.selects(record.payload)}

    def payload(self, role: Role, entity: str, external_id: str) -> dict[str, Any] | None:
        """One of them; None where it is gone, or archived."""
        object = self.mapping(role, entity).object
        if role != self.role:
            row = self.memory.objects.get(object, {}).get(external_id)
            return None if row is None or row.deleted else row.payload
        record = self.onlooker.get(object, [external_id]).get(external_id)
        return None if record is None or record.deleted or self.archived(record.payload) \
            else dict(record.payload)

    def living(self, role: Role, entity: str) -> list[str]:
        """The external IDs of the records that users work with, as they last looked."""
        if role != self.role:
            return sorted(self.payloads(role, entity))
        if entity not in self.listed:
            self.listed[entity] = sorted(
                ext for ext, payload in self.payloads(role, entity).items()
                if not self.archived(payload))
        return self.listed[entity]

    def archived(self, payload: Payload) -> bool:
        """Whether a record of the simulated system was archived."""
        return self.onlooker.capabilities.deletions == "archive" \
            and payload.get("archived") is True

    # ---- what users do, whom the connector meets in the middle of its work

    @contextmanager
    def at_hand(self, batch: Batch | None) -> Iterator[None]:
        """What is being written of the simulated system, and may be edited under the connector's
        hands."""
        if batch is not None:
            self.hands = [(batch.object, intent.external_id) for intent in batch.intents
                          if intent.external_id]
        try:
            yield
        finally:
            self.hands = []

    def users(self, writes: bool) -> None:
        """Users at work just before a call, which may write; nobody is here."""

    def unlock(self, object: str, external_id: str) -> None:
        """End the transaction that holds a record of the simulated system."""
        for late in list(self.clock.open):
            if (late.object, late.external_id) == (object, external_id):
                self.clock.end(late)

    def look(self) -> None:
        """Users look what there is by now."""
        self.listed.clear()

    def mend(self) -> None:
        """Let every open transaction end."""
        for late in list(self.clock.open):
            self.clock.end(late)
