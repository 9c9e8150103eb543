"""Lines of estimates and invoices: one rate of tax for the whole document, discounts in percent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

Line = Mapping[str, Any]


def read(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A document's lines: `tax_rate` is what is charged, which is the document's rate whatever a
    line says; `discount_percent` is worked out where a flat amount is taken off."""
    lines = document.get("line_items") or []
    numbers = [line["order"] for line in lines]
    renumbered = len(set(numbers)) < len(numbers)  # lines that were added one by one are all 0
    return [{
        "product": line["product"], "name": line["name"], "description": line["description"],
        "quantity": line["quantity"], "unit_price": line["unit_price"],
        "discount_percent": _percent(line), "tax_rate": document.get("tax_rate"),
        "net_amount": line["net_amount"], "order": place if renumbered else line["order"],
    } for place, line in enumerate(lines)]


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


def rates(lines: Sequence[Line]) -> set[Decimal]:
    """The different rates of tax that lines have."""
    return {Decimal(str(line.get("tax_rate") or 0)) for line in lines}
