"""A simulated company: two memory systems with their own words, what is done in them, and the
connector between them, which can be killed and started again. All time comes from one clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import select, tuple_

from connector.adapters.memory import MemorySettings, Row
from connector.domain.policies import CRM, ERP, EntityPolicy, Role
from connector.engine.fan_out import Division
from connector.engine.pair import Pair, Side
from connector.engine.run import Engine
from connector.engine.session import LEASE_TTL
from connector.mapping.load import load_mappings
from connector.mapping.transforms import REGISTRY
from connector.ports import UnitOfWork
from connector.store.tables import links
from connector.store.unit_of_work import SqlStore
from connector.testing.clock import VirtualClock
from connector.testing.torture.at_rest import Edits
from connector.testing.torture.company import (
    KINDS,
    LINES,
    MARK,
    OBJECTS,
    PARENTS,
    POLICIES,
    QUOTED,
    VAT,
    Books,
    tokens,
)
from connector.testing.torture.faults import Faults, FaultyAdapter, Kind
from connector.testing.torture.watched import WatchedStore

MAPPINGS = Path(__file__).parent / "mappings"
TOLD = {role: load_mappings(MAPPINGS, KINDS[role], REGISTRY) for role in (CRM, ERP)}
"""The mappings, in which the CRM's records are told how they stand."""
LOADED = {role: {entity: replace(mapping, state=()) for entity, mapping in TOLD[role].items()}
          for role in (CRM, ERP)}
"""The same, in which they are not."""


class World:
    """Two systems, what is done in them, and an engine that can be killed and started again; it
    `tells` the CRM's records how they stand, or does not."""

    def __init__(self, faults: Faults, store: SqlStore, kinds: Mapping[Role, Kind],
                 policies: Mapping[str, EntityPolicy] = POLICIES, *, tells: bool = False) -> None:
        self.faults, self.store, self.kinds, self.tells = faults, store, kinds, tells
        self.clock = store.clock = VirtualClock()
        self.edits = Edits()
        self.born: set[tuple[Role, str, str]] = set()  # records that a user made
        self.spoiled: set[tuple[Role, str, str]] = set()
        self.unmet: set[tuple[Role, str, str]] = set()  # deleted before the connector knew of them
        self.distinct: set[tuple[Role, str]] = set()  # customers that none is the same as, as said
        self.doubtful: dict[tuple[Role, str], set[tuple[Role, str]]] = {}  # those may be, of these
        self.parted = False  # whether a record of our making may stand by itself, as a person said
        self.violations: list[str] = []
        self.overtaken = False
        self.division: Division | None = None
        self.systems = {role: Books(look_back=kind.look_back, clock=partial(self._time, kind))
                        for role, kind in kinds.items()}
        self.pair = Pair("torture", self._side(CRM), self._side(ERP), policies)

    def _time(self, kind: Kind) -> datetime:
        """What a system's clock says."""
        return self.clock.now() + timedelta(seconds=kind.skew)

    def _side(self, role: Role) -> Side:
        adapter = FaultyAdapter(MemorySettings(name=role, world="torture"), self.clock,
                                self.kinds[role], self.faults, self, self.systems[role])
        return Side(role, role, adapter, (TOLD if self.tells else LOADED)[role])

    def engine(self) -> Engine:
        """The connector, freshly started."""
        self.faults.alive, self.overtaken = True, False
        return Engine(self.pair, WatchedStore(self.store, self.faults), self.clock,
                      crash=self.faults.crash, in_flight=0, division=self.division)

    def overtake(self) -> None:
        """The process stalls until its lease has run out, and another one syncs meanwhile, in
        peace; what stalled goes on as if nothing had happened."""
        self.overtaken = True
        on, self.faults.on = self.faults.on, False
        self.clock.sleep(2 * LEASE_TTL)
        Engine(self.pair, self.store, self.clock, in_flight=0).sync(safety_stop=False)
        self.faults.on = on

    # ---- what is done in the systems

    def create(self, role: Role, entity: str, payload: Mapping[str, Any],
               lines: Iterable[Mapping[str, Any]] = ()) -> str:
        """A user enters a record; what he gives no value is blank. Returns its external ID."""
        object, system = OBJECTS[role][entity], self.systems[role]
        full = {**system.taken(object, {}, new=True), **payload}
        if object in LINES:
            full[LINES[object][0]] = [dict(line) for line in lines]
        self._given(full)
        external_id = system.next_id(object)
        system.put(object, external_id, full)
        self.edits.number += 1
        self.born.add((role, object, external_id))
        self.faults.note(f"create {role} {object} {external_id}")
        self.hint(role, object, external_id)
        return external_id

    def change(self, role: Role, object: str, external_id: str, changes: Mapping[str, Any], *,
               lasts: int = 0) -> None:
        """A user, who sees what stands there, gives a record other values; his transaction stays
        open while `lasts` more changes are made."""
        system = self.systems[role]
        system.unlock(object, external_id)
        row = system.objects[object][external_id]
        for name, value in changes.items():
            gone = tokens(row.payload.get(name)) - tokens(value)
            self.edits.seen |= gone
            self.edits.replaced.update(dict.fromkeys(gone, row.external_id))
        self._given(changes)
        if lasts:
            commit = system.late(object, external_id, changes)
            system.hold(object, external_id, commit, lasts)
        else:
            system.put(object, external_id, changes)
        self.edits.number += 1
        self.faults.note(f"edit {role} {object} {external_id} {sorted(changes)}")
        self.hint(role, object, external_id)

    def delete(self, role: Role, object: str, external_id: str) -> None:
        """A user, who sees what stands there, deletes a record."""
        system = self.systems[role]
        system.unlock(object, external_id)
        self.edits.seen |= tokens(dict(system.objects[object][external_id].payload))
        entity = entity_of(role, object)
        with self.store.begin() as uow:
            if not uow.canonical_ids(self.pair.name, entity, role, [external_id]):
                self.unmet.add((role, object, external_id))
        system.delete(object, external_id)
        self.edits.number += 1
        self.faults.note(f"delete {role} {object} {external_id}")
        self.hint(role, object, external_id)

    def undelete(self, role: Role, object: str, external_id: str) -> None:
        """A user brings a deleted record back as it was."""
        self.systems[role].put(object, external_id, {})
        self.edits.number += 1
        self.faults.note(f"undelete {role} {object} {external_id}")
        self.hint(role, object, external_id)

    def merge(self, role: Role, external_id: str, into: str) -> None:
        """A user, who sees both, makes a customer part of another one of its system."""
        object, system = OBJECTS[role]["customer"], self.systems[role]
        system.unlock(object, external_id)
        self.edits.seen |= tokens(dict(system.objects[object][external_id].payload))
        self._take_a_known_number(role, into)
        changes = system.changes
        system.merge(object, external_id, into)
        self.edits.number += system.changes - changes
        self.faults.note(f"merge {role} {object} {external_id} into {into}")
        for name in (external_id, into):
            self.hint(role, object, name)

    def _take_a_known_number(self, role: Role, into: str) -> None:
        """Whoever merges into a customer that the connector doesn't know yet says that it is none
        of those which have its number and are known before it is."""
        number = self.systems[role].objects[OBJECTS[role]["customer"]][into].payload[VAT[role]]
        with self.store.begin() as uow:
            known = uow.canonical_ids(self.pair.name, "customer", role, [into])
        if not known:
            self.doubtful[role, into] = {
                (side, row.external_id) for side in (CRM, ERP)
                for row in self.rows(side, OBJECTS[side]["customer"])
                if row.payload[VAT[side]] == number} - {(role, into)}
            self.settle_doubts()

    def spoil(self, role: Role, object: str, external_id: str) -> None:
        """Somebody enters what nobody can read."""
        self.systems[role].unlock(object, external_id)
        self.systems[role].put(object, external_id, dict.fromkeys(in_use(role), "maybe"))
        self.spoiled.add((role, object, external_id))
        self.faults.note(f"spoil {role} {object} {external_id}")
        self.hint(role, object, external_id)

    def mend(self) -> None:
        """Let every open transaction end, and put right what nobody can read."""
        for role in (CRM, ERP):
            self.systems[role].unlock_all()
            for object in OBJECTS[role].values():
                for row in self.rows(role, object):
                    if "maybe" in row.payload.values() and not row.deleted:
                        self.systems[role].put(object, row.external_id, in_use(role))

    def _given(self, payload: Mapping[str, Any]) -> None:
        self.edits.given |= tokens(dict(payload))

    def token(self) -> str:
        """A value that nobody has given yet."""
        token = f"t{len(self.edits.given)}{MARK}"
        self.edits.given.add(token)
        return token

    def hint(self, role: Role, object: str, external_id: str) -> None:
        """What a system tells of an edit by itself; nothing here."""

    # ---- what stands in the systems

    def rows(self, role: Role, object: str) -> list[Row]:
        """All records of an object, deleted ones too."""
        return list(self.systems[role].objects.get(object, {}).values())

    def payloads(self, role: Role, entity: str) -> dict[str, dict[str, Any]]:
        """The payloads of the records that are not deleted, by external ID."""
        rows = self.systems[role].objects.get(OBJECTS[role][entity], {})
        return {ext: row.payload for ext, row in rows.items() if not row.deleted}

    def living(self, role: Role, object: str) -> list[str]:
        """The external IDs of the records that are not deleted."""
        return sorted(row.external_id for row in self.rows(role, object) if not row.deleted)

    def to_create(self, system: Books, object: str, payload: Mapping[str, Any],
                  reference: str) -> dict[str, Any]:
        """What the system makes of a new record. A child may not be made before its parent, and
        nothing that was read there before and has no counterpart yet, unless a person has said that
        what it is made for is none of those."""
        role: Role = CRM if system is self.systems[CRM] else ERP
        if object == OBJECTS[role]["customer"] and not self.overtaken \
                and not self._made_for_a_distinct_one(reference):
            self.violations.extend(
                f"I2: {object} was made for {payload[VAT[role]]}, which {ext} was read as before"
                for ext in self._known(role, payload[VAT[role]]))
        for link, parent in _before(object, payload):
            if payload.get(link) not in system.objects.get(parent, {}):
                self.violations.append(f"I8: {object} was made before what stands in {link}")
        return system.taken(object, payload, new=True)

    def _made_for_a_distinct_one(self, reference: str) -> bool:
        """Whether a reference is that of a customer which a person has told apart, or of another
        record of it."""
        role, _, external_id = reference.partition(":")
        self.settle_doubts()
        with self.store.begin() as uow:
            own = uow.canonical_ids(self.pair.name, "customer", role, [external_id])
            return (role, external_id) in self.distinct or any(
                self.is_distinct(uow, canonical_id) for canonical_id in own.values())

    def is_distinct(self, uow: UnitOfWork, canonical_id: str) -> bool:
        """Whether one of the records of a customer was told apart from the others by a person."""
        tied = uow.links_by_canonical(self.pair.name, "customer", [canonical_id])[canonical_id]
        return any((link.system, link.external_id) in self.distinct for link in tied)

    def settle_doubts(self) -> None:
        """Count those in that a person has told apart from one which the connector came to know
        before it knew them."""
        for place, alike in list(self.doubtful.items()):
            with self.store.engine.connect() as connection:
                known = [tuple(row) for row in connection.execute(
                    select(links.c.system, links.c.external_id).where(
                        links.c.entity == "customer",
                        tuple_(links.c.system, links.c.external_id).in_([place, *alike]),
                    ).order_by(links.c.id))]
            if known[:1] not in ([], [place]):
                self.distinct.add(place)
            if known:
                del self.doubtful[place]

    def _known(self, role: Role, number: str) -> Iterator[str]:
        """The customers with this VAT number that a user made, that were read as they stand, and
        that are tied to none of the other side."""
        object = OBJECTS[role]["customer"]
        same = {row.external_id: str(row.at) for row in self.rows(role, object)
                if row.payload.get(VAT[role]) == number and not row.deleted
                and (role, object, row.external_id) in self.born}
        if not same:
            return
        with self.store.begin() as uow:
            linked = uow.canonical_ids(self.pair.name, "customer", role, same)
            read = {**uow.inbox_versions(self.pair.name, "customer", role, same),
                    **uow.dead_versions(self.pair.name, "customer", role, same)}
        yield from (ext for ext, version in same.items()
                    if ext not in linked and read.get(ext) == version)

    def meddle(self, system: Books, object: str, external_id: str | None) -> None:
        """A user edits a record while the connector works on it, or any one; nobody does here."""


def _before(object: str, payload: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The fields that name what has to be there before a record is, and where it stands."""
    if object in PARENTS:
        yield PARENTS[object]
    if object in QUOTED and payload.get(QUOTED[object][0]) is not None:
        yield QUOTED[object]


def entity_of(role: Role, object: str) -> str:
    """The entity that an object of a side holds."""
    return next(entity for entity, name in OBJECTS[role].items() if name == object)


def in_use(role: Role) -> dict[str, Any]:
    """What says that a record is in use."""
    return {"active": True} if role == CRM else {"locked": False}


def amount(object: str, cents: int) -> Any:
    """An amount as an object of a system holds it."""
    number = Decimal(cents) / 100
    return f"{number:.2f}" if object in ("debtors", "orders", "offers") else number
