"""The ERP's objects and their fields, in its own words.

Money and quantities are decimals as text, dates are DD.MM.YYYY, instants carry the offset of
Europe/Berlin, and every record has a revision number `rev`.
"""

from __future__ import annotations

from typing import Any

from connector.native.erp.words import decimal, identifier, positive
from connector.native.fields import (
    F,
    Spec,
    anything,
    boolean,
    choice,
    code,
    dmy_date,
    rate,
    required_text,
    text,
    whole,
)

LINES = ("quotations", "sales_orders")
TERMS = ("disc_pct", "disc_amount", "prices_with_tax", "rate", "rate_date")
"""What of a document's header its amounts depend on."""


def _text(longest: int = 255) -> F:
    return F(text(longest))


def _money(default: str | None = None, *, read_only: bool = False) -> F:
    return F(decimal(2), default=default, read_only=read_only)


def _quantity(default: str | None = "0", *, read_only: bool = False) -> F:
    return F(decimal(0), default=default, read_only=read_only)


def _told(default: Any = None, kind: str = "string") -> F:
    return F(anything, read_only=True, default=default, json=kind)


def _ref(object: str, *, required: bool = False, create_only: bool = False) -> F:
    return F(identifier, required=required, ref=object, create_only=create_only, json="integer")


def _lines(**more: F) -> F:
    line: dict[str, F] = {
        "line_no": F(whole, json="integer"), "item_id": _ref("items"), "text": _text(1000),
        "qty": F(positive(0), required=True), "price": _money("0.00"), "disc_pct": _quantity(),
        "tax_pct": _money("0.00"), **more, "amount": _money(read_only=True)}
    return F(anything, required=True, nested=line, json="array")


_CURRENCY = F(code(3), required=True)
_TERMS = {"disc_pct": _quantity(), "disc_amount": _quantity(),
          "prices_with_tax": F(boolean, default=False, json="boolean"),
          "rate": F(rate), "rate_date": F(dmy_date)}
_BOOKED = {"base_currency": _told(), "gross_base": _told()}
_SUMS = {"net": _money(read_only=True), "tax": _money(read_only=True),
         "gross": _money(read_only=True)}
_ARCHIVED = F(boolean, default=False, json="boolean")

_OWN: dict[str, dict[str, F]] = {
    "customers": {
        "customer_no": _told(), "kind": F(choice("company", "person"), default="company"),
        "display_name": F(required_text(200), required=True),
        "tax": F(anything, json="object", nested={"vat_no": _text(40)}),
        "finance": F(anything, json="object", nested={
            "credit_limit": _money("5000.00"), "balance": _money("0.00", read_only=True),
            "open_orders": _money("0.00", read_only=True),
            "on_hold": F(boolean, default=False, json="boolean"),
            "currency_code": F(code(3), default="EUR")}),
        "terms": F(choice("14D", "30D", "60D", "COD", "ADV"), default="30D"),
        "address": F(anything, json="object", nested={
            "line1": _text(), "line2": _text(), "town": _text(), "county": _text(),
            "zip": _text(20), "country_code": F(code(2))}),
        "tel": _text(60), "mail": _text(), "web": _text(),
        "grp": F(choice("S", "M", "L", "G")), "archived": _ARCHIVED,
        "merged_into": _told(kind="integer"),
    },
    "contact_persons": {
        "customer_id": _ref("customers", required=True), "given_name": _text(),
        "family_name": _text(), "mail": _text(), "tel": _text(60), "function": _text(),
        "main": F(boolean, default=False, json="boolean"), "archived": _ARCHIVED,
    },
    "items": {
        "item_code": F(required_text(60), required=True),
        "label": F(required_text(), required=True), "text": _text(4000),
        "uom": F(text(20), default="EA"), "base_price": _money("0.00"),
        "currency_code": F(code(3), default="EUR"), "tax_pct": _money("0.00"),
        "archived": _ARCHIVED,
    },
    "warehouses": {"code": F(required_text(20), required=True),
                   "name": F(required_text(), required=True)},
    "stock_levels": {
        "item_id": _ref("items", required=True, create_only=True),
        "warehouse": F(required_text(20), required=True, create_only=True),
        "on_hand": F(decimal(0), default="0", create_only=True),
        "reserved": F(decimal(0), default="0", create_only=True),
        "available": _quantity(None, read_only=True),
        "earmarked": _quantity("0"),
        "count": F(anything, json="object", nested={
            "qty": _quantity(None), "on": F(dmy_date)}),
    },
    "quotations": {
        "quotation_no": _told(), "customer_id": _ref("customers", required=True),
        "state": F(choice("open", "won", "lost", "ordered"), default="open"),
        "valid_to": F(dmy_date), "currency_code": _CURRENCY, "warehouse": _text(20),
        "your_ref": _text(), "lines": _lines(price_note=_told(), stock_note=_told()),
        **_TERMS, **_SUMS, **_BOOKED,
        "remark": _told(), "sales_order_id": _told(kind="integer"),
    },
    "sales_orders": {
        "order_no": _told(), "customer_id": _ref("customers", required=True),
        "quotation_id": _ref("quotations", create_only=True), "state": _told("entered"),
        "ordered_on": F(dmy_date), "currency_code": _CURRENCY, "warehouse": _text(20),
        "your_ref": _text(), "lines": _lines(qty_delivered=_quantity(read_only=True),
                                             qty_invoiced=_quantity(read_only=True)),
        **_TERMS, **_SUMS, **_BOOKED, "block": _told(),
        "amendment": F(anything, json="object", read_only=True, nested={
            "ref": _told(), "state": _told(), "reason": _told(),
            "asked": _told(kind="object")}),
    },
    "deliveries": {
        "delivery_no": _told(), "sales_order_id": _told(kind="integer"), "shipped_at": _told(),
        "carrier": _told(), "tracking": _told(), "state": _told(),
        "lines": F(anything, read_only=True, json="array", nested={
            "line_no": _told(kind="integer"), "item_id": _told(kind="integer"),
            "qty": _told()}),
    },
    "invoices": {
        "invoice_no": _told(), "kind": _told(), "credits_id": _told(kind="integer"),
        "customer_id": _told(kind="integer"),
        "sales_order_id": _told(kind="integer"), "issued_on": _told(), "due_on": _told(),
        "currency_code": _told(), "state": _told(),
        "lines": F(anything, read_only=True, json="array", nested=_lines(
            qty_credited=_told()).nested),
        **{name: _told(field.default, field.json) for name, field in _TERMS.items()}, **_SUMS,
        **_BOOKED,
        "open_amount": _told(), "paid_amount": _told(), "set_off": _told(),
        "dispute": F(boolean, default=False, json="boolean"), "promised_on": F(dmy_date),
    },
    "payments": {
        "payment_no": _told(), "invoice_id": _ref("invoices", required=True),
        "customer_id": _told(kind="integer"), "currency_code": _told(),
        "amount": F(decimal(2), required=True), "paid_on": F(dmy_date),
        "reference": F(required_text()), "on_account": F(boolean, default=False, json="boolean"),
    },
}

_META = {"external_ref": F(text(255), create_only=True)}
_ANSWERED = {"id": _told(kind="integer"), "rev": _told(kind="integer"), "created": _told(),
             "modified": _told()}

OBJECTS: dict[str, Spec] = {
    name: {**fields, **(_META if name not in ("warehouses", "payments", "deliveries", "invoices")
                        else {})} for name, fields in _OWN.items()}
"""What callers may write, by object."""

ANSWERED: dict[str, Spec] = {name: {**spec, **_ANSWERED} for name, spec in OBJECTS.items()}
"""What is answered, by object."""

NOT_CREATED = ("deliveries", "invoices")
"""Objects that only come up through actions."""

NUMBERS = {"customers": ("customer_no", "C"), "quotations": ("quotation_no", "QT"),
           "sales_orders": ("order_no", "SO"), "deliveries": ("delivery_no", "D"),
           "invoices": ("invoice_no", "IN"), "payments": ("payment_no", "P")}


def natural_key(object: str, data: dict[str, Any]) -> str | None:
    """What makes a record unique besides its ID, and what lists can be filtered by."""
    if object == "items":
        return str(data["item_code"])
    if object == "warehouses":
        return str(data["code"])
    if object == "stock_levels":
        return f"{data['item_id']}@{data['warehouse']}"
    if object == "payments" and data["reference"]:
        return str(data["reference"])
    if object == "invoices" and data.get("sales_order_id"):
        return f"order {data['sales_order_id']}"
    if object == "sales_orders" and data.get("quotation_id"):
        return f"quotation {data['quotation_id']}"
    if object == "customers" and data["tax"].get("vat_no"):
        return str(data["tax"]["vat_no"])
    return None


FINAL = ("deliveries", "payments")
"""Objects that nobody changes."""

UNIQUE = {"items": "item_code", "warehouses": "code", "stock_levels": "warehouse",
          "payments": "reference", "sales_orders": "quotation_id"}
"""The field to blame where a natural key is taken."""
