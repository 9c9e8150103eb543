"""Quotations and orders: a sale is the one until it is confirmed, and the other from then on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from connector.adapters.tryton.kind import Found, Source, Unfit, Values, each
from connector.adapters.tryton.marks import (
    BEARS_NO_ORDER,
    BEARS_ORDER,
    BEARS_QUOTATION,
    ORDER,
    QUOTATION,
    marked,
)
from connector.adapters.tryton.opportunities import Opportunities
from connector.adapters.tryton.rpc import Row
from connector.adapters.tryton.sales import HEADER, LINE, OPEN, AnySale, payload
from connector.domain.records import Intent, ObjectSchema

_CONFIRMED = ["confirmed", "processing", "done"]


class Quotations(AnySale):
    """All sales but those that were made as orders; one that was confirmed is `ordered`."""

    object = "quotations"
    word = QUOTATION
    sources = (Source("sale.sale"), Source("sale.line", "sale"))
    schema = ObjectSchema(HEADER | {"opportunity"}, LINE - {"quantity_shipped"})
    steps: ClassVar[Mapping[str, Mapping[str, Sequence[str]]]] = {
        "draft": {"quotation": ("draft",), "cancelled": ("draft",)},
        "quotation": {"draft": ("quote",), "cancelled": ("draft", "quote")},
        "cancelled": {"draft": ("cancel",), "quotation": ("cancel",)}}

    def domain(self) -> list[Any]:
        return [*self.of_the_company(), ["OR", ["description", "=", None], BEARS_QUOTATION,
                                         BEARS_NO_ORDER]]

    def payload(self, row: Row, marks: Mapping[str, str]) -> Values:
        ordered = ORDER in marks or row["state"] in _CONFIRMED
        model, _, id = (row["origin"] or "").partition(",")
        found = {**payload(row), "progress": "ordered" if ordered else row["state"],
                 "opportunity": int(id) if model == Opportunities.model else None}
        for line in found["lines"]:
            del line["quantity_shipped"]
        return found


class Sales(AnySale):
    """Orders: sales that were confirmed, and those that were made as orders. `quotation` is the
    sale itself where it was made as a quotation first."""

    object = "sales"
    word = ORDER
    sources = (Source("sale.sale"), Source("sale.line", "sale"), Source("stock.move", "sale"))
    schema = ObjectSchema(HEADER | {"quotation", "shipment_state", "invoice_state"}, LINE)
    steps: ClassVar[Mapping[str, Mapping[str, Sequence[str]]]] = {
        "processing": {"draft": ("quote", "confirm"), "quotation": ("confirm",),
                       "confirmed": ("process",)},
        "cancelled": {"draft": ("cancel",), "quotation": ("cancel",)}}

    def domain(self) -> list[Any]:
        return [*self.of_the_company(), ["OR", ["state", "in", _CONFIRMED], BEARS_ORDER]]

    def payload(self, row: Row, marks: Mapping[str, str]) -> Values:
        return {**payload(row), "progress": progress(row),
                "quotation": row["id"] if QUOTATION in marks else None,
                "shipment_state": row["shipment_state"], "invoice_state": row["invoice_state"]}

    # ---- an order made from a quotation

    def becoming(self, pairs: Sequence[tuple[Intent, Found]]) -> list[Values | Unfit]:
        """What to write so that a quotation is the order that was asked for: its mark, and what
        differs."""
        changes = self.changes(pairs)

        def make(asked: tuple[Intent, Found, Values | Unfit]) -> Values:
            intent, (row, record), values = asked
            if record.reference is not None:
                raise Unfit(f"The quotation {row['number']} is the order for {record.reference} "
                            "already.")
            if row["state"] not in OPEN:
                raise Unfit(f"The quotation {row['number']} is {row['state']} in Tryton already; "
                            "whoever did that did it without the other side.")
            if isinstance(values, Unfit):
                raise values
            return {**values, "description": marked(row["description"], ORDER, intent.reference)}
        return each(make, [(i, f, c) for (i, f), c in zip(pairs, changes, strict=True)])


def progress(row: Row) -> str:
    """How far an order is, in one word of Tryton's; a step counts once the one before is done."""
    state, shipped, invoiced = row["state"], row["shipment_state"], row["invoice_state"]
    if state in OPEN:
        return "draft"
    if state == "cancelled":
        return "cancelled"
    if shipped in ("sent", "none"):
        if invoiced == "paid":
            return "paid"
        if invoiced in ("awaiting payment", "partially paid"):
            return "awaiting payment"
    return shipped if shipped in ("sent", "partially shipped") else "processing"
