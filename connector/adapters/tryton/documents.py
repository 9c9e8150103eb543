"""What Tryton makes of sales by itself: shipments and invoices. Both are only read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from connector.adapters.tryton.kind import UNNUMBERED, OneForOne, Source, Values, line_numbers
from connector.adapters.tryton.products import percent, quantity
from connector.adapters.tryton.rpc import Row
from connector.domain.records import ObjectSchema, RemoteRecord

_NOT_WRITTEN = "Tryton makes its {} by its own documents; change the sale."


def _sale_line(origin: str | None) -> int | None:
    """The sale line that a reference such as `sale.line,5` leads to."""
    model, _, id = (origin or "").partition(",")
    return int(id) if model == "sale.line" and id.isdigit() else None


class _Documents(OneForOne):
    """What both share: their lines lead back to those of sales."""

    def sale_lines(self, origins: Sequence[str | None]) -> dict[int, int]:
        """The numbers of the sale lines that these lead to."""
        ids = {id for id in map(_sale_line, origins) if id is not None}
        if not ids:
            return {}
        sales = {row["sale"] for row in self.rpc.read("sale.line", [["id", "in", sorted(ids)]],
                                                      ["sale"])}
        by_sale: dict[int, list[Row]] = defaultdict(list)
        for row in self.rpc.read("sale.line", [["sale", "in", sorted(sales)],
                                               ["type", "=", "line"]], ["sale", "sequence"]):
            by_sale[row["sale"]].append(row)
        numbers: dict[int, int] = {}
        for lines in by_sale.values():
            numbers |= line_numbers(lines)
        return numbers


class Shipments(_Documents):
    """Customer shipments that are done."""

    object = "shipments"
    model = "stock.shipment.out"
    fields = ("number", "reference", "state", "effective_date", "customer", "warehouse.code",
              "warehouse.name", "_timestamp",
              *(f"outgoing_moves.{f}" for f in ("origin", "sale", "product", "quantity", "state",
                                                "unit.digits", "unit.symbol", "_timestamp")))
    locks: ClassVar[Mapping[str, str]] = {"outgoing_moves": "stock.move"}
    sources = (Source("stock.shipment.out"),)
    cannot_write = _NOT_WRITTEN.format("shipments")
    schema = ObjectSchema(
        frozenset({"id", "number", "reference", "state", "effective_date", "customer", "sale",
                   "warehouse", "lines"}),
        frozenset({"line_no", "product", "quantity", "unit"}))

    def domain(self) -> list[Any]:
        return [["company", "=", self.rpc.context["company"]], ["state", "=", "done"]]

    def records(self, rows: Sequence[Row]) -> list[RemoteRecord]:
        numbers = self.sale_lines([m["origin"] for row in rows for m in row["outgoing_moves."]])
        return [self.record(row, _shipment(row, numbers), None) for row in rows]


def _shipment(row: Row, numbers: Mapping[int, int]) -> Values:
    """A shipment; moves of one sale line count as one line."""
    moves = [move for move in row["outgoing_moves."] if move["state"] == "done"]
    lines: dict[int, Values] = {}
    for move in moves:
        line_no = numbers.get(_sale_line(move["origin"]) or 0, UNNUMBERED + move["id"])
        unit = move["unit."]
        line = lines.setdefault(line_no, {"line_no": line_no, "product": move["product"],
                                          "quantity": Decimal(0), "unit": unit["symbol"]})
        line["quantity"] += quantity(move["quantity"], unit["digits"])
    warehouse = row["warehouse."] or {}
    return {
        **{name: row[name] for name in ("id", "number", "reference", "state", "effective_date",
                                        "customer")},
        "sale": min((m["sale"] for m in moves if m["sale"]), default=None),
        "warehouse": warehouse.get("code") or warehouse.get("name"),
        "lines": [lines[line_no] for line_no in sorted(lines)]}


class Invoices(_Documents):
    """Customer invoices and credit notes that were posted."""

    object = "invoices"
    model = "account.invoice"
    fields = ("number", "reference", "state", "invoice_date", "party", "currency.code", "sales",
              "untaxed_amount", "tax_amount", "total_amount", "amount_to_pay", "cancel_move",
              "lines_to_pay.maturity_date", "_timestamp",
              *(f"lines.{f}" for f in ("type", "sequence", "origin", "product", "description",
                                       "quantity", "unit.digits", "unit.symbol", "unit_price",
                                       "taxes.rate", "_timestamp")))
    locks: ClassVar[Mapping[str, str]] = {"lines": "account.invoice.line"}
    sources = (Source("account.invoice"), Source("account.invoice.line", "invoice"))
    cannot_write = _NOT_WRITTEN.format("invoices")
    schema = ObjectSchema(
        frozenset({"id", "number", "reference", "kind", "state", "payment_state", "invoice_date",
                   "due_date", "party", "currency", "sale", "untaxed_amount", "tax_amount",
                   "total_amount", "amount_to_pay", "lines"}),
        frozenset({"id", "line_no", "product", "description", "quantity", "unit", "unit_price",
                   "tax_percent"}))

    def domain(self) -> list[Any]:
        return [["company", "=", self.rpc.context["company"]], ["type", "=", "out"],
                ["number", "!=", None],
                ["state", "in", ["posted", "paid", "cancelled"]]]

    def records(self, rows: Sequence[Row]) -> list[RemoteRecord]:
        numbers = self.sale_lines([line["origin"] for row in rows for line in row["lines."]])
        return [self.record(row, _invoice(row, numbers), None) for row in rows]


def _invoice(row: Row, of_sales: Mapping[int, int]) -> Values:
    lines = [line for line in row["lines."] if line["type"] == "line"]
    own = line_numbers(lines)
    numbers = {line["id"]: of_sales.get(_sale_line(line["origin"]) or 0) for line in lines}
    if None in numbers.values() or len(set(numbers.values())) < len(numbers):
        numbers = {**own}
    due = sorted(line["maturity_date"] for line in row["lines_to_pay."] if line["maturity_date"])
    return {
        **{name: row[name] for name in ("id", "number", "reference", "state", "invoice_date",
                                        "party", "untaxed_amount", "tax_amount", "total_amount",
                                        "amount_to_pay")},
        "kind": "credit_note" if row["total_amount"] < 0 else "invoice",
        "payment_state": _payment_state(row), "due_date": due[0] if due else None,
        "currency": row["currency."]["code"], "sale": min(row["sales"], default=None),
        "lines": sorted(({
            "id": line["id"], "line_no": numbers[line["id"]], "product": line["product"],
            "description": line["description"], "unit": (line["unit."] or {}).get("symbol"),
            "quantity": quantity(line["quantity"], (line["unit."] or {"digits": 2})["digits"]),
            "unit_price": line["unit_price"], "tax_percent": percent(line["taxes."]),
        } for line in lines), key=lambda line: line["line_no"])}


def _payment_state(row: Row) -> str:
    """Tryton's state, with what was paid of a posted invoice."""
    if row["state"] == "posted" and row["amount_to_pay"] != row["total_amount"]:
        return "partially paid"
    return str(row["state"])
