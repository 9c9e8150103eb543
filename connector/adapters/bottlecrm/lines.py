"""Lines of documents, with one rate of tax for each document, and of opportunities, without any;
discounts are in percent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

Line = Mapping[str, Any]


def read(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A document's lines: `tax_rate` is what is charged, which is the document's rate whatever a
    line says; `discount_percent` is worked out where a flat amount is taken off."""
    return [{**_plain(line), "order": number, "product": line["product"],
             "tax_rate": document.get("tax_rate"), "net_amount": line["net_amount"]}
            for number, line in _numbered(document)]


def read_apart(opportunity: Mapping[str, Any]) -> list[dict[str, Any]]:
    """An opportunity's lines, each with its ID."""
    return [{**_plain(line), "order": number, "product": (line["product"] or {}).get("id"),
             "net_amount": line["total"], "id": line["id"]}
            for number, line in _numbered(opportunity)]


def _numbered(record: Mapping[str, Any]) -> list[tuple[int, Line]]:
    """Lines with their numbers; lines that were added one by one all have the number 0."""
    lines = record.get("line_items") or []
    numbers = [line["order"] for line in lines]
    if len(set(numbers)) < len(numbers):
        numbers = list(range(len(lines)))
    return list(zip(numbers, lines, strict=True))


def _plain(line: Line) -> dict[str, Any]:
    return {**{name: line[name] for name in ("name", "description", "quantity", "unit_price")},
            "discount_percent": _percent(line)}


def _percent(line: Line) -> Any:
    if line["discount_type"] == "PERCENTAGE":
        return line["discount_value"]
    off, gross = Decimal(line["discount_amount"]), Decimal(line["subtotal"])
    return str(off * 100 / gross) if gross and off else "0.00"


def write(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Lines as BottleCRM takes them; a blank value is left out."""
    sent = []
    for line in lines:
        row = {name: value for name, value in line.items() if value is not None}
        percent = row.pop("discount_percent", None)
        if percent is not None:
            row |= {"discount_type": "PERCENTAGE", "discount_value": percent}
        sent.append(row)
    return sent


def write_apart(line: Line) -> dict[str, Any]:
    """A line of an opportunity as BottleCRM takes it, which says `product_id`; what is blank is
    blanked."""
    (sent,) = write([line])
    sent.pop("product", None)
    if "product" in line:
        sent["product_id"] = line["product"]
    return {**{name: "" for name in ("name", "description") if name in line}, **sent}


def rates(lines: Sequence[Line]) -> set[Decimal]:
    """The different rates of tax that lines have."""
    return {Decimal(str(line.get("tax_rate") or 0)) for line in lines}
