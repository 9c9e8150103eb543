"""The words, the rules and the books of the simulated company, and what its systems do by
themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

from connector.adapters.memory import MemorySystem, Row
from connector.domain.policies import (
    CRM,
    ERP,
    Becomes,
    EntityPolicy,
    FieldPolicy,
    NewerWins,
)

KINDS = {CRM: "front", ERP: "back"}
OBJECTS = {CRM: {"customer": "accounts", "contact": "people", "quote": "proposals",
                 "order": "deals"},
           ERP: {"customer": "debtors", "contact": "persons", "quote": "offers",
                 "order": "orders"}}
TEXTS = {"accounts": ("title", "phone", "town", "mail"), "people": ("name", "mail"),
         "proposals": ("note",), "deals": ("note",),
         "debtors": ("name1", "tel", "place", "e_mail"), "persons": ("surname", "mail"),
         "offers": ("ref",), "orders": ("ref",)}
"""The fields that users edit, by object; every value they give is a token of its own."""
AMOUNTS = {"accounts": "limit", "debtors": "credit"}
SHOWN = ("sync", "synced", "why")
"""In which the CRM's records are told how they stand with the ERP; no user edits them."""
STANDING = {"ok": "in_sync", "waits": "waiting", "asks": "conflict", "stuck": "failed"}
PARENTS = {"people": ("account", "accounts"), "proposals": ("account", "accounts"),
           "deals": ("account", "accounts"), "persons": ("debtor", "debtors"),
           "offers": ("debtor", "debtors"), "orders": ("debtor", "debtors")}
QUOTED = {"deals": ("proposal", "proposals"), "orders": ("offer", "offers")}
"""The field of an order that names the quote it was made from, and where that stands."""
VAT = {CRM: "tax_no", ERP: "vat_no"}
CURRENCY = {"proposals": "currency", "deals": "currency", "offers": "cur", "orders": "cur"}
DECIMALS = {"EUR": 2, "JPY": 0, "KWD": 3}
_FRONT, _BACK = ("positions", "no", "text", "amount", "price"), \
    ("items", "line", "label", "qty", "each")
LINES = {"proposals": _FRONT, "deals": _FRONT, "offers": _BACK, "orders": _BACK}
NEW = {"proposals": {"stage": "open", "currency": "EUR"},
       "deals": {"stage": "open", "currency": "EUR"},
       "offers": {"state": "new", "cur": "EUR"}, "orders": {"state": "new", "cur": "EUR"}}
"""What a new document says of itself."""
ACCEPTED = {"proposals": {"stage": "won"}, "offers": {"state": "ok"}}

POLICIES = {
    "customer": EntityPolicy(match=("vat_number",), fields={
        "phone": FieldPolicy(owner=CRM), "credit_limit": FieldPolicy(owner=ERP),
        "city": FieldPolicy(conflict="prefer_erp"),
        "email": FieldPolicy(conflict="prefer_crm_unless_blank")}),
    "contact": EntityPolicy(on_delete="propagate", fields={
        "email": FieldPolicy(conflict=NewerWins(CRM, timedelta(seconds=30)))}),
    "quote": EntityPolicy(default=FieldPolicy(conflict="prefer_crm"), becomes=Becomes(
        "order", "status", "accepted", made_in=ERP, values={"status": "draft"})),
    "order": EntityPolicy(default=FieldPolicy(conflict="prefer_erp")),
}


MARK = "ä"
"""What every value ends with that a user enters."""


class Late(NamedTuple):
    """A change whose transaction is still open; it ends before the order of changes reaches
    `until`."""

    object: str
    external_id: str
    until: int
    commit: Callable[[], Row]


@dataclass
class Books(MemorySystem):
    """A system that adds up the totals of its documents, rounds some prices, and whose
    transactions may stay open, though never for as long as the look-back."""

    look_back: int = 40
    open: list[Late] = field(default_factory=list)

    def late(self, object: str, external_id: str, payload: Mapping[str, Any],
             reference: str | None = None) -> Callable[[], Row]:
        """A change; those that were open for as long as one may be show first."""
        self._end(lambda late: late.until <= self.changes + 1)
        commit = super().late(object, external_id, payload, reference)

        def summed() -> Row:
            row = commit()
            if object in LINES:
                row.payload["total"] = _total(object, row.payload)
            return row

        return summed

    def delete(self, object: str, external_id: str) -> None:
        """Delete a record; see `late`."""
        self._end(lambda late: late.until <= self.changes + 1)
        super().delete(object, external_id)

    def merge(self, object: str, external_id: str, into: str) -> None:
        """Make a record part of another one, as a user would: what refers to it refers to that one
        from then on."""
        for name in (external_id, into):
            self.unlock(object, name)
        super().merge(object, external_id, into)
        for child, (link, parent) in PARENTS.items():
            for row in list(self.objects.get(child, {}).values() if parent == object else ()):
                if row.payload.get(link) == external_id and not row.deleted:
                    self.unlock(child, row.external_id)
                    self.put(child, row.external_id, {link: into})

    def hold(self, object: str, external_id: str, commit: Callable[[], Row], lasts: int) -> None:
        """Leave the transaction of the last change open, while `lasts` more are made."""
        self.open.append(Late(object, external_id, self.changes + lasts, commit))

    def unlock(self, object: str, external_id: str) -> None:
        """End the transaction that holds a record."""
        self._end(lambda late: (late.object, late.external_id) == (object, external_id))

    def unlock_all(self) -> None:
        """End every transaction."""
        self._end(lambda _late: True)

    def _end(self, ends: Callable[[Late], bool]) -> None:
        ending = [late for late in self.open if ends(late)]
        self.open = [late for late in self.open if late not in ending]
        for late in ending:
            late.commit()

    def taken(self, object: str, payload: Mapping[str, Any], *, new: bool) -> dict[str, Any]:
        """What the system makes of what it is told: in a new record a field that was not given
        is blank, and the ERP has prices in tenths."""
        blank = dict.fromkeys([*TEXTS[object], *([AMOUNTS[object]] if object in AMOUNTS else []),
                               *([QUOTED[object][0]] if object in QUOTED else []),
                               *(SHOWN if object in OBJECTS[CRM].values() else ())])
        made = {**blank, **payload} if new else dict(payload)
        if "items" in made:
            made["items"] = [{**line, "each": _tenths(line["each"])} for line in made["items"]]
        return made


def _tenths(price: str) -> str:
    return f"{Decimal(price).quantize(Decimal('0.1'), ROUND_HALF_UP):.2f}"


def _total(object: str, payload: Mapping[str, Any]) -> Any:
    path, _, _, amount, price = LINES[object]
    decimals = DECIMALS[payload[CURRENCY[object]]]
    total = sum((_rounded(Decimal(line[amount]) * Decimal(line[price]), decimals)
                 for line in payload.get(path, ())), Decimal(payload.get("surcharge") or 0))
    return f"{total:.{decimals}f}" if object in ("offers", "orders") else total


def _rounded(amount: Decimal, decimals: int) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)


def tokens(value: Any) -> set[str]:
    """The tokens in a value, however deep."""
    if isinstance(value, str):
        return {value} if value.endswith(MARK) else set()
    if isinstance(value, dict):
        return set().union(*(tokens(v) for v in value.values())) if value else set()
    if isinstance(value, list | tuple):
        return set().union(*(tokens(v) for v in value)) if value else set()
    return set()
