"""The bench that an adapter is tortured on: its simulated system, a memory system of canonical
words, users who work in both, and the connector between them, which can be killed and started
again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
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
from connector.mapping.compiled import at
from connector.ports import Adapter
from connector.store.unit_of_work import SqlStore
from connector.testing.clock import VirtualClock
from connector.testing.torture.at_rest import Edits
from connector.testing.torture.company import MARK, tokens
from connector.testing.torture.faults import Faults
from connector.testing.torture.line import Line
from connector.testing.torture.simulated import (
    Simulated,
    code_at,
    merged,
    nested,
    opposite,
)
from connector.testing.torture.watched import WatchedStore

Payload = Mapping[str, Any]
FEW = 4
"""Records of an entity that users rather add to than edit."""
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
        self.simulated, self.clock, self.chance = simulated, clock, chance
        self.faults, self.store = faults, store
        store.clock = clock
        self.role = simulated.role
        self.edits = Edits()
        self.born: set[tuple[Role, str, str]] = set()  # records that a user made
        self.violations: list[str] = []
        self.memory = MemorySystem(clock=clock.now)
        self._page = chance.choice((2, 3, 50))
        self._at_hand: list[tuple[str, str]] = []  # (object, external ID) of what is being written
        self._listed: dict[str, list[str]] = {}  # what users have found in the simulated system
        self._line = Line(faults, before_call=self._users)
        self._adapter: Adapter | None = None
        self._onlooker = simulated.connect(HTTPAdapter())
        self._opposite = {entity: opposite(simulated.mappings[entity])
                          for entity in simulated.records}
        self._policies = {entity: simulated.policies.get(entity) or self._drawn_policy()
                          for entity in self._drawn_entities()}
        self._parents = {code.link for entity in self._policies
                         for code in self._opposite[entity].fields if code.link}
        self.pair = self._pair()

    def _drawn_entities(self) -> list[str]:
        """All entities that there are records of, or one and what it can't be without: with fewer
        records more happens to each."""
        known = [entity for entity in ENTITIES if entity in self.simulated.records]
        only = self.chance.choice([*known, *[""] * len(known)])
        wanted = {only}
        for entity in reversed(known):
            if entity in wanted:
                wanted |= {code.link for code in self._opposite[entity].fields if code.required}
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
                entity: self.simulated.mappings[entity].among(self._policies).untold
                for entity in self._policies}),
            other(self.role): Side(other(self.role), other(self.role),
                                   self._counted(memory, other(self.role)), {
                entity: self._opposite[entity].among(self._policies)
                for entity in self._policies})}
        return Pair("torture", sides[CRM], sides[ERP], self._policies)

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
        return self._onlooker.capabilities.look_back.total_seconds()

    def close(self) -> None:
        """Give connections back."""
        for adapter in (self._adapter, self._onlooker):
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
        last = {record.external_id: record for page in self._onlooker.pull(mapping.object, None)
                for record in page.records}
        return {ext: dict(record.payload) for ext, record in last.items()
                if not record.deleted and mapping.selects(record.payload)}

    def payload(self, role: Role, entity: str, external_id: str) -> dict[str, Any] | None:
        """One of them; None where it is gone, or archived."""
        object = self.mapping(role, entity).object
        if role != self.role:
            row = self.memory.objects.get(object, {}).get(external_id)
            return None if row is None or row.deleted else row.payload
        record = self._onlooker.get(object, [external_id]).get(external_id)
        return None if record is None or record.deleted or self._archived(record.payload) \
            else dict(record.payload)

    def living(self, role: Role, entity: str) -> list[str]:
        """The external IDs of the records that users work with, as they last looked."""
        if role != self.role:
            return sorted(self.payloads(role, entity))
        if entity not in self._listed:
            self._listed[entity] = sorted(
                ext for ext, payload in self.payloads(role, entity).items()
                if not self._archived(payload))
        return self._listed[entity]

    def _archived(self, payload: Payload) -> bool:
        return self._onlooker.capabilities.deletions == "archive" \
            and payload.get("archived") is True

    # ---- what users do, whom the connector meets in the middle of its work

    @contextmanager
    def at_hand(self, batch: Batch | None) -> Iterator[None]:
        """What users may edit under the connector's hands; nothing where it can't be noticed."""
        if batch is not None:
            self._at_hand = [(batch.object, intent.external_id) for intent in batch.intents
                             if intent.external_id]
        try:
            yield
        finally:
            self._at_hand = []

    def _users(self, writes: bool) -> None:
        """Users at work just before a call."""
        if not self.faults.on:
            return
        for object, external_id in self._at_hand if writes else ():
            self._unlock(object, external_id)
        if writes and self._at_hand and not self._onlooker.capabilities.write_window \
                and self.faults.happens("edited_under_hands"):
            object, external_id = self.chance.choice(self._at_hand)
            self.edit(self.role, self._entity_of(object), external_id)
            self._unlock(object, external_id)  # a write waits for whoever holds the record
        elif not writes and self.faults.happens("edited_between_reads"):
            for _ in range(self.chance.choice((1, 1, 4))):
                self._edit_any()

    def _edit_any(self) -> None:
        role, entity = self.chance.choice((CRM, ERP)), self.chance.choice(self.pair.entities)
        living = self.living(role, entity)
        if living:
            self.edit(role, entity, self.chance.choice(living))

    def _entity_of(self, object: str) -> str:
        return next(entity for entity in self.pair.entities
                    if self.simulated.mappings[entity].object == object)

    def look(self) -> None:
        """Users look what there is by now."""
        self._listed.clear()

    def act(self) -> None:
        """One thing that some user does."""
        role, entity = self.chance.choice((CRM, ERP)), self.chance.choice(self.pair.entities)
        living, what = self.living(role, entity), self.chance.random()
        if not living or what < (0.4 if len(living) < FEW else 0.1):
            self._enter(role, entity)
        elif what < 0.65:
            self.edit(role, entity, self.chance.choice(living))
        elif what < 0.87:
            self._edit_both(role, entity, self.chance.choice(living))
        elif self.simulated.records[entity].deleted and entity not in self._parents:
            self.delete(role, entity, self.chance.choice(living))
        else:
            self.edit(role, entity, self.chance.choice(living))

    def token(self) -> str:
        """A value that nobody has given yet."""
        token = f"t{len(self.edits.given)}{MARK}"
        self.edits.given.add(token)
        return token

    def _enter(self, role: Role, entity: str) -> None:
        """A new record, unless it needs a parent and there is none."""
        theirs, records = self.simulated.mappings[entity], self.simulated.records[entity]
        payload: dict[str, Any] = dict(records.payload(self.edits.number))
        for code in theirs.fields:
            if code.link in self._policies and code.encode is not None:
                parents = self.living(role, code.link)
                if not parents and code.required:
                    return
                if parents:
                    parent = self.chance.choice(parents)
                    payload = merged(payload, nested(code.path, code.encode(parent)
                                                     if role == self.role else parent))
        for path in records.texts:
            payload = merged(payload, nested(path, self.token()))
        self._put_in(role, entity, payload)

    def _put_in(self, role: Role, entity: str, payload: dict[str, Any]) -> None:
        if role == self.role:
            there = self.living(role, entity)
            external_id = self.simulated.create(self.mapping(role, entity).object, payload)
            self._listed[entity] = sorted([*there, external_id])
        else:
            record = self.simulated.mappings[entity].decode(payload, lambda _entity, ext: ext, None)
            blank = {code.name: None for code in self._opposite[entity].fields}
            external_id = self.memory.next_id(entity)
            self.memory.put(entity, external_id, {**blank, **_in_use(blank), **record})
        self._done(f"create {role} {entity} {external_id}")
        self.born.add((role, entity, external_id))

    def _done(self, what: str) -> None:
        self.edits.number += 1
        self.faults.note(what)

    def _edit_both(self, role: Role, entity: str, external_id: str) -> None:
        """Both sides edit one record before the connector sees either, or one deletes it."""
        with self.store.begin() as uow:
            link = uow.links_by_external(self.pair.name, entity, role, [external_id]).get(
                external_id)
            tied = uow.links_by_canonical(self.pair.name, entity, [link.canonical_id])[
                link.canonical_id] if link else []
        if self.simulated.records[entity].deleted and entity not in self._parents \
                and self.chance.random() < 0.15:
            self.delete(role, entity, external_id)
        else:
            self.edit(role, entity, external_id)
        for link in tied:
            if link.system != role:
                self.edit(other(role), entity, link.external_id)

    def edit(self, role: Role, entity: str, external_id: str) -> None:
        """Somebody, who sees what stands there, gives a field another value; nobody does where the
        record is gone."""
        object = self.mapping(role, entity).object
        if role == self.role:
            self._unlock(object, external_id)
        payload = self.payload(role, entity, external_id)
        if payload is None:
            return
        path, value, old = self._another_value(role, entity, payload)
        gone = tokens(old) - tokens(value)
        self.edits.seen |= gone
        self.edits.replaced.update(dict.fromkeys(gone, external_id))
        changes = nested(path, value)
        if role != self.role:
            self.memory.put(object, external_id, changes)
        elif not self._begun(object, external_id, changes):
            self.simulated.edit(object, external_id, changes)
        self._done(f"edit {role} {entity} {external_id} {path}")

    def _another_value(self, role: Role, entity: str, payload: Payload) -> tuple[str, Any, Any]:
        """A field, what somebody writes into it, and what stood there."""
        records, theirs = self.simulated.records[entity], self.simulated.mappings[entity]
        path = self.chance.choice((*records.texts, *records.amounts))
        code = code_at(theirs, path)
        value: Any = None
        if path in records.amounts:
            number = Decimal(self.chance.randrange(1, 10**6)) / 100
            value = code.encode(number) if role == self.role and code.encode else number
        elif path not in records.blank or self.chance.random() < 0.85:
            value = self.token()
        if role != self.role:
            return code.name, value, payload.get(code.name)
        return path, value, at(payload, tuple(path.split(".")))

    def _begun(self, object: str, external_id: str, changes: Payload) -> bool:
        """Whether an edit was begun whose transaction stays open for a while."""
        if self.simulated.late is None or self.look_back <= 1 \
                or not self.faults.happens("committed_late"):
            return False
        until = self.clock.now() + timedelta(seconds=self.chance.uniform(0, self.look_back - 1))
        commit = self.simulated.late(object, external_id, changes)
        self.clock.open.append(Late(object, external_id, until, commit))
        return True

    def _unlock(self, object: str, external_id: str) -> None:
        """End the transaction that holds a record of the simulated system."""
        for late in list(self.clock.open):
            if (late.object, late.external_id) == (object, external_id):
                self.clock.end(late)

    def delete(self, role: Role, entity: str, external_id: str) -> None:
        """Somebody, who sees what stands there, deletes a record."""
        object = self.mapping(role, entity).object
        if role == self.role:
            self._unlock(object, external_id)
        payload = self.payload(role, entity, external_id)
        if payload is None:
            return
        self.edits.seen |= tokens(payload)
        if role == self.role:
            self.simulated.delete(object, external_id)
            self._listed.pop(entity, None)
        else:
            self.memory.delete(object, external_id)
        self._done(f"delete {role} {entity} {external_id}")

    def mend(self) -> None:
        """Let every open transaction end."""
        for late in list(self.clock.open):
            self.clock.end(late)


def _in_use(blank: Payload) -> dict[str, Any]:
    return {"active": True} if "active" in blank else {}
