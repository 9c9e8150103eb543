"""A simulated company: two memory systems with their own words, users who edit both at once, and
the connector between them. All chance comes from one seed, all time from one clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from connector.adapters.memory import MemorySettings, MemorySystem, Row
from connector.domain.policies import CRM, ERP, EntityPolicy, FieldPolicy, Role, other
from connector.engine.pair import Pair, Side
from connector.engine.run import Engine
from connector.mapping.load import load_mappings
from connector.mapping.transforms import REGISTRY
from connector.store.unit_of_work import SqlStore
from connector.testing.clock import VirtualClock
from connector.testing.torture.faults import LOOK_BACK, Faults, FaultyAdapter

MAPPINGS = Path(__file__).parent / "mappings"
KINDS = {CRM: "front", ERP: "back"}
OBJECTS = {CRM: {"customer": "accounts", "contact": "people", "order": "deals"},
           ERP: {"customer": "debtors", "contact": "persons", "order": "orders"}}
TEXTS = {"accounts": ("title", "phone", "town", "mail"), "people": ("name", "mail"),
         "deals": ("note",), "debtors": ("name1", "tel", "place", "e_mail"),
         "persons": ("surname", "mail"), "orders": ("ref",)}
"""The fields that users edit, by object; every value they give is a token of its own."""
AMOUNTS = {"accounts": "limit", "debtors": "credit"}
PARENTS = {"people": ("account", "accounts"), "deals": ("account", "accounts"),
           "persons": ("debtor", "debtors"), "orders": ("debtor", "debtors")}
VAT = {CRM: "tax_no", ERP: "vat_no"}
LINES = {"deals": ("positions", "no", "text", "amount", "price"),
         "orders": ("items", "line", "label", "qty", "each")}

POLICIES = {
    "customer": EntityPolicy(match=("vat_number",), fields={
        "phone": FieldPolicy(owner=CRM), "credit_limit": FieldPolicy(owner=ERP),
        "city": FieldPolicy(conflict="prefer_erp"),
        "email": FieldPolicy(conflict="prefer_crm_unless_blank")}),
    "contact": EntityPolicy(),
    "order": EntityPolicy(default=FieldPolicy(conflict="prefer_erp")),
}


@dataclass(slots=True)
class Edits:
    """What the users did: every value they gave (a token), and those that somebody saw before he
    replaced or deleted them."""

    given: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    number: int = 0


class World:
    """Two systems, their users, and an engine that can be killed and started again."""

    def __init__(self, chance: Random, faults: Faults, store: SqlStore) -> None:
        self.chance, self.faults, self.store = chance, faults, store
        self.clock = store.clock = VirtualClock()
        self.edits = Edits()
        self.violations: list[str] = []
        self._late: list[tuple[MemorySystem, str, str, int, Callable[[], Row]]] = []
        self.systems = {role: MemorySystem() for role in (CRM, ERP)}
        self.pair = Pair("torture", self._side(CRM), self._side(ERP), POLICIES)

    def _side(self, role: Role) -> Side:
        adapter = FaultyAdapter(MemorySettings(name=role, world="torture"), self.clock,
                                self.faults, self)
        adapter.system = self.systems[role]
        return Side(role, role, adapter, load_mappings(MAPPINGS, KINDS[role], REGISTRY))

    def engine(self) -> Engine:
        """The connector, freshly started."""
        return Engine(self.pair, self.store, self.clock, crash=self.faults.crash, in_flight=0)

    # ---- the users

    def act(self) -> None:
        """One thing that some user does."""
        role: Role = self.chance.choice((CRM, ERP))
        entity = self.chance.choice(("customer", "customer", "customer", "contact", "order"))
        object = OBJECTS[role][entity]
        living = self._living(role, object)
        what = self.chance.random()
        if not living or what < 0.3:
            self._create(role, entity)
        elif what < 0.88:
            self.edit(role, object, self.chance.choice(living))
        elif what < 0.92 and entity != "order":
            self._spoil(role, object, self.chance.choice(living))
        else:
            self._delete(role, object, self.chance.choice(living))

    def meddle(self, system: MemorySystem, object: str, external_id: str | None) -> None:
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
        self.unlock(system, object, external_id)
        row = system.objects[object][external_id]
        changes = self._change(object, row.payload)
        for name, value in changes.items():
            self.edits.seen |= tokens(row.payload.get(name)) - tokens(value)
        if self.faults.happens("committed_late"):
            commit = system.late(object, external_id, changes)
            self._late.append((system, object, external_id, system.changes, commit))
        else:
            system.put(object, external_id, changes)
        self.edits.number += 1
        self.faults.trace.append(f"edit {role} {object} {external_id} {sorted(changes)}")

    def _change(self, object: str, payload: dict[str, Any]) -> dict[str, Any]:
        names = [*TEXTS[object], *([AMOUNTS[object]] if object in AMOUNTS else [])]
        name = self.chance.choice(names)
        if object in LINES and self.chance.random() < 0.6:
            return self._change_lines(object, payload)
        if name == AMOUNTS.get(object):
            return {name: self._amount(object)}
        blank = name not in ("title", "name1", "name", "surname") and self.chance.random() < 0.1
        return {name: None if blank else self._token()}

    def _change_lines(self, object: str, payload: dict[str, Any]) -> dict[str, Any]:
        path, key, text, amount, price = LINES[object]
        lines = [dict(line) for line in payload.get(path, ())]
        if not lines or self.chance.random() < 0.3:
            number = max((line[key] for line in lines), default=0) + self.chance.choice((10, 20))
            lines.append({key: number, text: self._token(), amount: self._amount(object),
                          price: self._amount(object)})
        elif len(lines) > 1 and self.chance.random() < 0.2:
            lines.pop(self.chance.randrange(len(lines)))
        else:
            self.chance.choice(lines)[text] = self._token()
        return {path: lines}

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
            payload |= self._change_lines(object, payload)
        external_id = system.next_id(object)
        system.put(object, external_id, payload)
        self.edits.number += 1
        self.faults.trace.append(f"create {role} {object} {external_id}")

    def _as_customer(self, role: Role) -> dict[str, Any]:
        """What a new customer has besides texts; sometimes the VAT number of one that stands in
        the other system only."""
        object, name = OBJECTS[role]["customer"], VAT[role]
        mine = {row.payload.get(name) for row in self._rows(role, object)}
        theirs = [row.payload[VAT[other(role)]] for row in
                  self._rows(other(role), OBJECTS[other(role)]["customer"]) if not row.deleted]
        fits = [vat for vat in theirs if vat not in mine]
        known = bool(fits) and self.chance.random() < 0.4
        return {name: self.chance.choice(fits) if known else f"DE{self.edits.number:06}",
                "currency" if role == CRM else "cur": "EUR", AMOUNTS[object]: self._amount(object),
                **self._in_use(role)}

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
        self.unlock(self.systems[role], object, external_id)
        self.systems[role].put(object, external_id, dict.fromkeys(self._in_use(role), "maybe"))
        self.faults.trace.append(f"spoil {role} {object} {external_id}")

    def mend(self) -> None:
        """Let every open transaction end, and put right what nobody can read."""
        self.unlock(self.systems[CRM], "", None)
        for role in (CRM, ERP):
            for object in OBJECTS[role].values():
                for row in self._rows(role, object):
                    if "maybe" in row.payload.values() and not row.deleted:
                        self.systems[role].put(object, row.external_id, self._in_use(role))

    def _delete(self, role: Role, object: str, external_id: str) -> None:
        system = self.systems[role]
        self.unlock(system, object, external_id)
        self.edits.seen |= tokens(dict(system.objects[object][external_id].payload))
        system.delete(object, external_id)
        self.edits.number += 1
        self.faults.trace.append(f"delete {role} {object} {external_id}")

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

    def to_create(self, system: MemorySystem, object: str,
                  payload: Mapping[str, Any]) -> dict[str, Any]:
        """What the system makes of a new record: a field that was not given is blank. A child may
        not be made before its parent."""
        if object in PARENTS:
            link, parent = PARENTS[object]
            if payload.get(link) not in system.objects.get(parent, {}):
                self.violations.append(f"I8: {object} was made before its parent")
        blank = dict.fromkeys([*TEXTS[object], *([AMOUNTS[object]] if object in AMOUNTS else [])])
        return {**blank, **payload}

    # ---- commits that come late

    def unlock(self, system: MemorySystem, object: str, external_id: str | None) -> None:
        """Let a transaction that holds a record end, and those that have been open for long."""
        still = []
        for late in self._late:
            at, commit = late[3], late[4]
            if late[:3] == (system, object, external_id) or external_id is None \
                    or late[0].changes - at > LOOK_BACK // 2:
                commit()
            else:
                still.append(late)
        self._late = still


def tokens(value: Any) -> set[str]:
    """The tokens in a value, however deep."""
    if isinstance(value, str):
        return {value} if value.endswith("ä") else set()
    if isinstance(value, dict):
        return set().union(*(tokens(v) for v in value.values())) if value else set()
    if isinstance(value, list | tuple):
        return set().union(*(tokens(v) for v in value)) if value else set()
    return set()
