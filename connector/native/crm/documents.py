"""Quotes, orders and invoices: lines, sums, and what open quotes mean for stock."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from connector.native import amounts
from connector.native.amounts import HUNDRED, Amounts, Company, Line, Terms
from connector.native.crm.objects import AMOUNTS, DOCUMENTS, OBJECTS, QUOTE_OPEN
from connector.native.crm.words import LARGEST, plain
from connector.native.database import Entry, Transaction
from connector.native.fields import Errors, F, check

MICRO = Decimal(1_000_000)
SUMS = "quoteSums"
"""What open quotes ask of each product in each warehouse; kept as an object that no caller sees,
so that a new stock level need not read all quotes."""


def checked_lines(object: str, lines: Any, errors: Errors) -> list[dict[str, Any]]:
    """A document's lines, checked and numbered; each number once."""
    own = OBJECTS[object]["lines"]
    if lines is None and not own.required:
        return []
    if not isinstance(lines, list):
        errors["lines"] = "a list is expected"
        return []
    clean = [_line(own, line, errors, f"lines[{i}].") for i, line in enumerate(lines)]
    highest = max((line.get("lineNo") or 0 for line in clean), default=0)
    for line in clean:
        if line.get("lineNo") is None:
            highest = line["lineNo"] = highest - highest % 10 + 10
    numbers = [line["lineNo"] for line in clean]
    if len(set(numbers)) < len(numbers):
        errors["lines"] = "a lineNo is given twice"
    return clean


def _line(spec: F, line: Any, errors: Errors, prefix: str) -> dict[str, Any]:
    clean = check(spec.nested, line, partial=False, errors=errors, prefix=prefix)
    for name, field in spec.nested.items():
        if clean.get(name) is None:
            clean[name] = field.default
    return clean


def work_out(object: str, data: dict[str, Any], company: Company, errors: Errors) -> None:
    """Fill in what follows from the lines, and refuse what is no amount in its currency."""
    for name, currency in AMOUNTS.items():
        amount, code = data.get(name), data.get(currency)
        if amount and code and not amounts.is_amount(Decimal(amount) / MICRO, code):
            errors[name] = f"{code} has {amounts.places(code)} decimals"
    if errors or object not in DOCUMENTS:
        return
    try:
        sums = _sums(data, company, errors)
        figures = [int(exact * MICRO) for exact in (sums.net, sums.tax, sums.total, *sums.lines)]
    except ArithmeticError:
        figures = [LARGEST + 1]
    if max(map(abs, figures)) > LARGEST:
        errors["lines"] = "the sums are too large"
        return
    data["netMicros"], data["taxMicros"], data["totalMicros"], *own = figures
    for line, net in zip(data["lines"], own, strict=True):
        line["netMicros"] = net


def _sums(data: dict[str, Any], company: Company, errors: Errors) -> Amounts:
    lines = [Line(Decimal(line["quantity"]), Decimal(line["unitPriceMicros"] or 0) / MICRO,
                  Decimal(line["discountPercent"]), Decimal(line["taxPercent"]))
             for line in data["lines"]]
    terms = Terms(data["currency"], Decimal(data.get("discountPercent") or 0),
                  Decimal(data.get("discountMicros") or 0) / MICRO,
                  bool(data.get("taxIncluded")))
    if not 0 <= terms.discount_percent <= HUNDRED:
        errors["discountPercent"] = "0 to 100 are taken"
    if terms.discount and not 0 <= terms.discount <= amounts.gross(lines):
        errors["discountMicros"] = "at most what the lines cost is taken off"
    return amounts.work_out(lines, terms, company.rule)


def quoted_of(data: dict[str, Any] | None) -> dict[str, Decimal]:
    """What a quote asks of each stock level (by its natural key), as long as it is open."""
    asked: dict[str, Decimal] = {}
    if data is None or data["status"] not in QUOTE_OPEN or not data["warehouse"]:
        return asked
    for line in data["lines"]:
        if line["productId"]:
            key = f"{line['productId']}@{data['warehouse']}"
            asked[key] = asked.get(key, Decimal(0)) + Decimal(line["quantity"])
    return asked


def load_levels(transaction: Transaction, keys: Iterable[str]) -> None:
    """Load in two queries the stock levels and sums that will be asked for."""
    wanted = list(keys)
    transaction.by("stockLevels", "natural", wanted)
    transaction.by(SUMS, "natural", wanted)


def quote_moved(transaction: Transaction, before: dict[str, Any] | None,
                after: dict[str, Any] | None) -> None:
    """Move `quoted` on the stock levels that a quote's change touches, and win the opportunity
    of one that has just been accepted."""
    old, new = quoted_of(before), quoted_of(after)
    for key in {**old, **new}:
        by = new.get(key, Decimal(0)) - old.get(key, Decimal(0))
        if by:
            _ask(transaction, key, by)
    if after is not None and _accepted(after) and not (
            _accepted(before) and before and before["opportunityId"] == after["opportunityId"]):
        _win(transaction, after["opportunityId"])


def _ask(transaction: Transaction, key: str, by: Decimal) -> None:
    asked = transaction.by(SUMS, "natural", [key]).get(key)
    if asked is None:
        asked = transaction.add(Entry(SUMS, f"sum_{transaction.database.new_id()}", {"quantity": 0},
                                      natural=key))
    asked.data["quantity"] = plain(Decimal(asked.data["quantity"]) + by)
    transaction.touch(asked)
    level = transaction.by("stockLevels", "natural", [key]).get(key)
    if level is not None:
        level.data["quoted"] = asked.data["quantity"]
        transaction.touch(level)


def quoted_for(transaction: Transaction, key: str) -> Any:
    """What all open quotes ask of a stock level."""
    asked = transaction.by(SUMS, "natural", [key]).get(key)
    return 0 if asked is None else asked.data["quantity"]


def _accepted(quote: dict[str, Any] | None) -> bool:
    return quote is not None and quote["status"] == "Accepted"


def _win(transaction: Transaction, opportunity_id: str | None) -> None:
    opportunity = transaction.get("opportunities", opportunity_id) if opportunity_id else None
    if opportunity is not None and not opportunity.deleted \
            and opportunity.data["stage"] != "won":
        opportunity.data["stage"] = "won"
        transaction.touch(opportunity)
