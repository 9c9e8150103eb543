"""Quotes, orders and invoices: lines, sums, and what open quotes mean for stock."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from connector.native import amounts
from connector.native.crm.objects import OBJECTS, QUOTE_OPEN
from connector.native.database import Entry, Transaction
from connector.native.fields import Errors, check

MICRO = Decimal(1_000_000)


def checked_lines(object: str, lines: Any, errors: Errors) -> list[dict[str, Any]]:
    """A document's lines, checked and numbered; each number once."""
    if not isinstance(lines, list):
        errors["lines"] = "a list is expected"
        return []
    spec = OBJECTS[object]["lines"].nested
    clean = [check(spec, line, partial=False, errors=errors, prefix=f"lines[{i}].")
             for i, line in enumerate(lines)]
    for i, line in enumerate(clean, start=1):
        if line.get("lineNo") is None:
            line["lineNo"] = i * 10
    numbers = [line["lineNo"] for line in clean]
    if len(set(numbers)) < len(numbers):
        errors["lines"] = "a lineNo is given twice"
    return clean


def work_out(data: dict[str, Any]) -> None:
    """Fill in what follows from the lines."""
    taxed = []
    for line in data["lines"]:
        net = amounts.line_net(Decimal(line["quantity"]),
                               Decimal(line["unitPriceMicros"] or 0) / MICRO,
                               Decimal(line["discountPercent"] or 0))
        line["netMicros"] = int(net * MICRO)
        taxed.append((net, Decimal(line["taxPercent"] or 0)))
    sums = amounts.document(taxed)
    data["netMicros"], data["taxMicros"] = int(sums.net * MICRO), int(sums.tax * MICRO)
    data["totalMicros"] = int(sums.total * MICRO)


def quoted_of(data: dict[str, Any] | None) -> dict[tuple[str, str], Decimal]:
    """What an open quote asks of each product in its warehouse."""
    asked: dict[tuple[str, str], Decimal] = {}
    if not data or data["status"] not in QUOTE_OPEN or not data["warehouse"]:
        return asked
    for line in data["lines"]:
        if line["productId"]:
            key = line["productId"], data["warehouse"]
            asked[key] = asked.get(key, Decimal(0)) + Decimal(line["quantity"])
    return asked


def quote_moved(transaction: Transaction, before: dict[str, Any] | None,
                after: dict[str, Any] | None) -> None:
    """Move `quoted` on the stock levels that a quote's change touches, and win the opportunity
    of an accepted one."""
    old, new = quoted_of(before), quoted_of(after)
    moved = {key: new.get(key, Decimal(0)) - old.get(key, Decimal(0)) for key in {*old, *new}}
    levels = transaction.by("stockLevels", "natural", [f"{p}@{w}" for p, w in moved])
    for (product, warehouse), by in moved.items():
        level = levels.get(f"{product}@{warehouse}")
        if level is not None and by:
            level.data["quoted"] = plain(Decimal(level.data["quoted"] or 0) + by)
            transaction.touch(level)
    accepted = after is not None and after["status"] == "Accepted"
    if after is not None and accepted and after["opportunityId"]:
        opportunity = transaction.get("opportunities", after["opportunityId"])
        if opportunity is not None and opportunity.data["stage"] != "won":
            opportunity.data["stage"] = "won"
            transaction.touch(opportunity)


def plain(exact: Decimal) -> int | Decimal:
    """A whole number as int."""
    return int(exact) if exact == int(exact) else exact.normalize()


def quoted_for(quotes: Iterable[Entry], product: str, warehouse: str) -> int | Decimal:
    """What all open quotes ask of a product in a warehouse."""
    return plain(sum((quoted_of(q.data).get((product, warehouse), Decimal(0))
                      for q in quotes if not q.deleted), Decimal(0)))
