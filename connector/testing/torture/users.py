"""The users of the simulated company, who edit both systems at once, and while the connector is at
work. All chance comes from one seed."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from connector.domain.policies import CRM, ERP, Role, other
from connector.store.unit_of_work import SqlStore
from connector.testing.torture.at_rest import tied_to
from connector.testing.torture.company import (
    ACCEPTED,
    AMOUNTS,
    CURRENCY,
    DECIMALS,
    LINES,
    NEW,
    OBJECTS,
    PARENTS,
    TEXTS,
    VAT,
    Books,
)
from connector.testing.torture.faults import Faults, Kind
from connector.testing.torture.world import World, amount, entity_of, in_use

LONG, FOREIGN = "x" * 4000, " ☃ Łódź 東京 \u202e"
_CURRENCIES = ("EUR", "EUR", *DECIMALS)


class Crowded(World):
    """A company whose users do what chance tells them."""

    def __init__(self, chance: Random, faults: Faults, store: SqlStore, *,
                 tells: bool = False) -> None:
        self.chance = chance
        self.webhooks = chance.choice((0.0, 0.3, 1.0))
        self.tidying = Random(chance.random())  # of its own, so that others do what they did
        self.merging = self.tidying.choice((0.0, 0.0, 0.03, 0.15))
        super().__init__(faults, store, {role: Kind.drawn(chance) for role in (CRM, ERP)},
                         tells=tells)

    def token(self) -> str:
        """Sometimes a long one, or one in other letters."""
        what, token = self.chance.random(), super().token()
        if what >= 0.03:
            return token
        odd = token[:-1] + (LONG if what < 0.01 else FOREIGN) + token[-1]
        self.edits.given ^= {token, odd}
        return odd

    def hint(self, role: Role, object: str, external_id: str) -> None:
        """The system's webhooks: sent for all, for some or for no edits, sometimes twice, and
        sometimes by somebody else, about a record that isn't there."""
        if self.chance.random() >= self.webhooks:
            return
        entity = entity_of(role, object)
        named = [external_id] * self.chance.choice((1, 1, 1, 2))
        if self.chance.random() < 0.05:
            named.append("nobody-1")
        with self.store.begin() as uow:
            for ext in named:
                uow.hint(self.pair.name, [(entity, role, ext)])

    def act(self) -> None:
        """One thing that some user does."""
        if self.tidying.random() < self.merging and self._merge():
            return
        role: Role = self.chance.choice((CRM, ERP))
        entity = self.chance.choice(("customer",) * 4 + ("contact", "quote", "order", "order"))
        object = OBJECTS[role][entity]
        living = self.living(role, object)
        what = self.chance.random()
        if living and what < 0.15:
            self._edit_both(role, entity, self.chance.choice(living))
        elif living and entity == "quote" and what < 0.4:
            self.change(role, object, self.chance.choice(living), ACCEPTED[object])
        elif not living or what < 0.4:
            self._enter(role, entity)
        elif what < 0.88:
            self.edit(role, object, self.chance.choice(living))
        elif what < 0.92 and object not in LINES:
            self.spoil(role, object, self.chance.choice(living))
        elif what < 0.94 and (deleted := self._deleted(role, object)):
            self.undelete(role, object, self.chance.choice(deleted))
        else:
            self.delete(role, object, self.chance.choice(living))

    def _merge(self) -> bool:
        """Somebody makes one customer of two; False where there are none to merge."""
        role: Role = self.tidying.choice((CRM, ERP))
        living = self.living(role, OBJECTS[role]["customer"])
        if len(living) > 1:
            self.merge(role, *self.tidying.sample(living, 2))
        return len(living) > 1

    def _deleted(self, role: Role, object: str) -> list[str]:
        """The records that may be brought back: nothing stands in their place."""
        there = {row.reference for row in self.rows(role, object) if not row.deleted}
        return sorted(row.external_id for row in self.rows(role, object)
                      if row.deleted and row.merged_into is None
                      and (row.reference is None or row.reference not in there))

    def _edit_both(self, role: Role, entity: str, external_id: str) -> None:
        """Both sides edit one record before the connector sees either, or one deletes it."""
        tied = tied_to(self, role, entity, external_id)
        if self.chance.random() < 0.2:
            self.delete(role, OBJECTS[role][entity], external_id)
        else:
            self.edit(role, OBJECTS[role][entity], external_id)
        theirs = OBJECTS[other(role)][entity]
        for link in tied:
            if link.external_id in self.living(other(role), theirs) and link.system != role:
                self.edit(other(role), theirs, link.external_id)

    def meddle(self, system: Books, object: str, external_id: str | None) -> None:
        """A user edits a record while the connector works on it, or any one."""
        role: Role = CRM if system is self.systems[CRM] else ERP
        living = self.living(role, object)
        if external_id is None and living:
            external_id = self.chance.choice(living)
        if external_id in living:
            self.edit(role, object, str(external_id))

    def edit(self, role: Role, object: str, external_id: str) -> None:
        """Give one field, an amount or a line a new value; sometimes blank it."""
        system = self.systems[role]
        system.unlock(object, external_id)
        changes = self._other_values(object, system.objects[object][external_id].payload)
        late = system.look_back > 1 and self.faults.happens("committed_late")
        self.change(role, object, external_id, changes,
                    lasts=self.chance.randrange(1, system.look_back) if late else 0)

    def _other_values(self, object: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        if object in ("offers", "orders") and self.chance.random() < 0.1:
            return {"surcharge": self.chance.choice(("5.00", "0.00"))}
        names = [*TEXTS[object], *([AMOUNTS[object]] if object in AMOUNTS else [])]
        name = self.chance.choice(names)
        if object in LINES and self.chance.random() < 0.6:
            return self._other_lines(object, payload)
        if name == AMOUNTS.get(object):
            return {name: self._amount(object)}
        blank = name not in ("title", "name1", "name", "surname") and self.chance.random() < 0.1
        return {name: self.chance.choice((None, "")) if blank else self.token()}

    def _other_lines(self, object: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        path, _, text, *_ = LINES[object]
        lines = [dict(line) for line in payload.get(path, ())]
        if not lines or self.chance.random() < 0.4:
            self._add_line(object, lines)
        elif len(lines) > 1 and self.chance.random() < 0.3:
            lines.pop(self.chance.randrange(len(lines)))
        else:
            self.chance.choice(lines)[text] = self.token()
        return {path: lines}

    def _add_line(self, object: str, lines: list[dict[str, Any]]) -> None:
        _, key, text, quantity, price = LINES[object]
        number = max((line[key] for line in lines), default=0) + self.chance.choice((10, 20))
        lines.append({key: number, text: self.token(), quantity: self._amount(object),
                      price: self._amount(object)})

    def _enter(self, role: Role, entity: str) -> None:
        """A new record, unless it is a child and there is no parent for it."""
        object = OBJECTS[role][entity]
        more = self._as_customer(role) if entity == "customer" else self._as_child(role, object)
        if more is None:
            return
        payload = {name: self.token() for name in TEXTS[object]} | more
        lines: list[dict[str, Any]] = []
        if object in LINES:
            payload |= NEW[object] | {CURRENCY[object]: self.chance.choice(_CURRENCIES)}
            for _ in range(self.chance.randint(1, 3)):
                self._add_line(object, lines)
        self.create(role, entity, payload, lines)

    def _as_customer(self, role: Role) -> dict[str, Any]:
        """What a new customer has besides texts; often the VAT number of one that stands in the
        other system only, sometimes that of one which is there already."""
        object, name = OBJECTS[role]["customer"], VAT[role]
        mine = {row.payload.get(name) for row in self.rows(role, object)}
        theirs = [row.payload[VAT[other(role)]] for row in
                  self.rows(other(role), OBJECTS[other(role)]["customer"]) if not row.deleted]
        fits = [vat for vat in theirs if vat not in mine]
        same = sorted({self.systems[role].objects[object][ext].payload[name]
                       for ext in self.living(role, object)})
        number = f"DE{self.edits.number:06}"
        if fits and self.chance.random() < 0.4:
            number = self.chance.choice(fits)
        elif same and self.chance.random() < 0.1:
            number = self.chance.choice(same)
        return {name: number, "currency" if role == CRM else "cur": "EUR",
                AMOUNTS[object]: self._amount(object), **in_use(role)}

    def _as_child(self, role: Role, object: str) -> dict[str, Any] | None:
        link, parent = PARENTS[object]
        parents = self.living(role, parent)
        return {link: self.chance.choice(parents), **in_use(role)} if parents else None

    def _amount(self, object: str) -> Any:
        return amount(object, self.chance.randrange(1, 10**6))
