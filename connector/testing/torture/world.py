"""A simulated company: two memory systems with their own words, users who edit both at once, and
the connector between them. All chance comes from one seed, all time from one clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from connector.adapters.memory import MemorySettings, Row
from connector.domain.policies import CRM, ERP, Role, other
from connector.engine.pair import Pair, Side
from connector.engine.run import Engine
from connector.mapping.load import load_mappings
from connector.mapping.transforms import REGISTRY
from connector.store.unit_of_work import SqlStore
from connector.testing.clock import VirtualClock
from connector.testing.torture.company import (
    AMOUNTS,
    KINDS,
    LINES,
    OBJECTS,
    PARENTS,
    POLICIES,
    TEXTS,
    VAT,
    Books,
    tokens,
)
from connector.testing.torture.faults import Faults, FaultyAdapter, Kind

MAPPINGS = Path(__file__).parent / "mappings"
LOADED = {role: load_mappings(MAPPINGS, KINDS[role], REGISTRY) for role in (CRM, ERP)}


@dataclass(slots=True)
class Edits:
    """What the users did: every value they gave (a token), those that somebody saw before he
    replaced or deleted them, and those replaced alone."""

    given: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    replaced: dict[str, str] = field(default_factory=dict)  # by token, where
    number: int = 0


class World:
    """Two systems, their users, and an engine that can be killed and started again."""

    def __init__(self, chance: Random, faults: Faults, store: SqlStore) -> None:
        self.chance, self.faults, self.store = chance, faults, store
        self.clock = store.clock = VirtualClock()
        self.edits = Edits()
        self.born: set[tuple[Role, str, str]] = set()  # records that a user made
        self.spoiled: set[tuple[Role, str, str]] = set()
        self.violations: list[str] = []
        self.kinds = {role: Kind.drawn(chance) for role in (CRM, ERP)}
        self.systems = {role: Books(look_back=self.kinds[role].look_back) for role in (CRM, ERP)}
        self.pair = Pair("torture", self._side(CRM), self._side(ERP), POLICIES)

    def _side(self, role: Role) -> Side:
        adapter = FaultyAdapter(MemorySettings(name=role, world="torture"), self.clock,
                                self.kinds[role], self.faults, self, self.systems[role])
        return Side(role, role, adapter, LOADED[role])

    def engine(self) -> Engine:
        """The connector, freshly started."""
        return Engine(self.pair, self.store, self.clock, crash=self.faults.crash, in_flight=0)

    # ---- the users

    def act(self) -> None:
        """One thing that some user does."""
        role: Role = self.chance.choice((CRM, ERP))
        entity = self.chance.choice(("customer",) * 3 + ("contact", "order", "order"))
        object = OBJECTS[role][entity]
        living = self._living(role, object)
        what = self.chance.random()
        if living and what < 0.15:
            self._edit_both(role, entity, self.chance.choice(living))
        elif not living or what < 0.4:
            self._create(role, entity)
        elif what < 0.88:
            self.edit(role, object, self.chance.choice(living))
        elif what < 0.92 and entity != "order":
            self._spoil(role, object, self.chance.choice(living))
        else:
            self._delete(role, object, self.chance.choice(living))

    def _edit_both(self, role: Role, entity: str, external_id: str) -> None:
        """Both sides edit one record before the connector sees either, or one deletes it."""
        with self.store.begin() as uow:
            link = uow.links_by_external(self.pair.name, entity, role, [external_id]).get(
                external_id)
            tied = uow.links_by_canonical(self.pair.name, entity, [link.canonical_id])[
                link.canonical_id] if link else []
        if self.chance.random() < 0.2:
            self._delete(role, OBJECTS[role][entity], external_id)
        else:
            self.edit(role, OBJECTS[role][entity], external_id)
        theirs = OBJECTS[other(role)][entity]
        for link in tied:
            if link.external_id in self._living(other(role), theirs) and link.system != role:
                self.edit(other(role), theirs, link.external_id)

    def meddle(self, system: Books, object: str, external_id: str | None) -> None:
        """A user edits a record while the connector works on it, or any one."""
        role: Role = CRM if system is self.systems[CRM] else ERP
        living = self._living(role, object)
        if external_id is None and living:
            external_id = self.chance.choice(living)
        if external_id in living:
            self.edit(role, object, str(external_id))

    def edit(self, role: Role, object: str, external_id: str) -> None:
        """Give one field, an amount or a line a new value; sometimes blank it."""
        system = self.systems[role]
        system.unlock(object, external_id)
        row = system.objects[object][external_id]
        changes = self._change(object, row.payload)
        for name, value in changes.items():
            gone = tokens(row.payload.get(name)) - tokens(value)
            self.edits.seen |= gone
            self.edits.replaced.update(dict.fromkeys(gone, row.external_id))
        if self.faults.happens("committed_late"):
            commit = system.late(object, external_id, changes)
            system.hold(object, external_id, commit, self.chance.randrange(1, system.look_back))
        else:
            system.put(object, external_id, changes)
        self.edits.number += 1
        self.faults.note(f"edit {role} {object} {external_id} {sorted(changes)}")

    def _change(self, object: str, payload: dict[str, Any]) -> dict[str, Any]:
        if object == "orders" and self.chance.random() < 0.1:
            return {"surcharge": self.chance.choice(("5.00", "0.00"))}
        names = [*TEXTS[object], *([AMOUNTS[object]] if object in AMOUNTS else [])]
        name = self.chance.choice(names)
        if object in LINES and self.chance.random() < 0.6:
            return self._change_lines(object, payload)
        if name == AMOUNTS.get(object):
            return {name: self._amount(object)}
        blank = name not in ("title", "name1", "name", "surname") and self.chance.random() < 0.1
        return {name: None if blank else self._token()}

    def _change_lines(self, object: str, payload: dict[str, Any]) -> dict[str, Any]:
        path, _, text, *_ = LINES[object]
        lines = [dict(line) for line in payload.get(path, ())]
        if not lines or self.chance.random() < 0.4:
            self._add_line(object, lines)
        elif len(lines) > 1 and self.chance.random() < 0.3:
            lines.pop(self.chance.randrange(len(lines)))
        else:
            self.chance.choice(lines)[text] = self._token()
        return {path: lines}

    def _add_line(self, object: str, lines: list[dict[str, Any]]) -> None:
        _, key, text, amount, price = LINES[object]
        number = max((line[key] for line in lines), default=0) + self.chance.choice((10, 20))
        lines.append({key: number, text: self._token(), amount: self._amount(object),
                      price: self._amount(object)})

    def _create(self, role: Role, entity: str) -> None:
        """A new record, unless it is a child and there is no parent for it."""
        object, system = OBJECTS[role][entity], self.systems[role]
        more = self._as_customer(role) if entity == "customer" else self._as_child(role, object)
        if more is None:
            return
        payload = {name: self._token() for name in TEXTS[object]} | more
        if entity == "order":
            payload |= {"stage": "open", "currency": "EUR"} if role == CRM \
                else {"state": "new", "cur": "EUR"}
            lines: list[dict[str, Any]] = []
            for _ in range(self.chance.randint(1, 3)):
                self._add_line(object, lines)
            payload[LINES[object][0]] = lines
        external_id = system.next_id(object)
        system.put(object, external_id, payload)
        self.edits.number += 1
        self.born.add((role, object, external_id))
        self.faults.note(f"create {role} {object} {external_id}")

    def _as_customer(self, role: Role) -> dict[str, Any]:
        """What a new customer has besides texts; often the VAT number of one that stands in the
        other system only, sometimes that of one which is there already."""
        object, name = OBJECTS[role]["customer"], VAT[role]
        mine = {row.payload.get(name) for row in self._rows(role, object)}
        theirs = [row.payload[VAT[other(role)]] for row in
                  self._rows(other(role), OBJECTS[other(role)]["customer"]) if not row.deleted]
        fits = [vat for vat in theirs if vat not in mine]
        living = {self.systems[role].objects[object][ext].payload[name]
                  for ext in self._living(role, object)}
        same = sorted(living)
        number = f"DE{self.edits.number:06}"
        if fits and self.chance.random() < 0.4:
            number = self.chance.choice(fits)
        elif same and self.chance.random() < 0.1:
            number = self.chance.choice(same)
        return {name: number, "currency" if role == CRM else "cur": "EUR",
                AMOUNTS[object]: self._amount(object), **self._in_use(role)}

    def _as_child(self, role: Role, object: str) -> dict[str, Any] | None:
        link, parent = PARENTS[object]
        parents = self._living(role, parent)
        return {link: self.chance.choice(parents), **self._in_use(role)} if parents else None

    def _in_use(self, role: Role) -> dict[str, Any]:
        return {"active": True} if role == CRM else {"locked": False}

    def _rows(self, role: Role, object: str) -> list[Row]:
        return list(self.systems[role].objects.get(object, {}).values())

    def _spoil(self, role: Role, object: str, external_id: str) -> None:
        """Somebody enters what nobody can read."""
        self.systems[role].unlock(object, external_id)
        self.systems[role].put(object, external_id, dict.fromkeys(self._in_use(role), "maybe"))
        self.spoiled.add((role, object, external_id))
        self.faults.note(f"spoil {role} {object} {external_id}")

    def mend(self) -> None:
        """Let every open transaction end, and put right what nobody can read."""
        for role in (CRM, ERP):
            self.systems[role].unlock_all()
            for object in OBJECTS[role].values():
                for row in self._rows(role, object):
                    if "maybe" in row.payload.values() and not row.deleted:
                        self.systems[role].put(object, row.external_id, self._in_use(role))

    def _delete(self, role: Role, object: str, external_id: str) -> None:
        system = self.systems[role]
        system.unlock(object, external_id)
        self.edits.seen |= tokens(dict(system.objects[object][external_id].payload))
        system.delete(object, external_id)
        self.edits.number += 1
        self.faults.note(f"delete {role} {object} {external_id}")

    def _living(self, role: Role, object: str) -> list[str]:
        rows = self.systems[role].objects.get(object, {})
        return sorted(ext for ext, row in rows.items() if not row.deleted)

    def _token(self) -> str:
        token = f"t{len(self.edits.given)}ä"
        self.edits.given.add(token)
        return token

    def _amount(self, object: str) -> Any:
        number = Decimal(self.chance.randrange(1, 10**6)) / 100
        return f"{number:.2f}" if object in ("debtors", "orders") else number

    def to_create(self, system: Books, object: str,
                  payload: Mapping[str, Any]) -> dict[str, Any]:
        """What the system makes of a new record. A child may not be made before its parent."""
        if object in PARENTS:
            link, parent = PARENTS[object]
            if payload.get(link) not in system.objects.get(parent, {}):
                self.violations.append(f"I8: {object} was made before its parent")
        return system.taken(object, payload, new=True)
