"""What follows from a record: a document's sums, what the ERP remarks, what is available."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from connector.native import amounts
from connector.native.amounts import Company, Line, Terms
from connector.native.database import Entry, Transaction
from connector.native.erp.objects import LINES
from connector.native.erp.words import Refused, Row, money, number, quantity
from connector.native.fields import Errors


def settle(transaction: Transaction, entry: Entry) -> None:
    """Work out what follows from a record's fields."""
    data = entry.data
    if entry.object in LINES:
        for line in data["lines"] if entry.object == "sales_orders" else ():
            for name in ("qty_delivered", "qty_invoiced"):
                line[name] = line.get(name) or "0"
        _check_discounts(data)
        sums(data, transaction.database.company)
    if entry.object == "quotations":
        _remarks(transaction, data)
    if entry.object == "stock_levels":
        for name in ("on_hand", "reserved", "earmarked"):
            data[name] = data.get(name) or "0"
        data["available"] = quantity(number(data["on_hand"]) - number(data["reserved"]))


def sums(data: dict[str, Any], company: Company) -> None:
    """A document's sums, each line's share of its net, and what it comes to in the company's own
    currency where it is in another one and has a rate."""
    code = data["currency_code"]
    worked = amounts.work_out(priced(data["lines"]), _terms(data), company.rule)
    for line, net in zip(data["lines"], worked.lines, strict=True):
        line["amount"] = money(net, code)
    data.update(net=money(worked.net, code), tax=money(worked.tax, code),
                gross=money(worked.total, code), base_currency=None, gross_base=None)
    if code != company.currency:
        data["base_currency"] = company.currency
        data["gross_base"] = in_books(data, worked.total, company)


def _terms(data: Row) -> Terms:
    return Terms(data["currency_code"], number(data.get("disc_pct")),
                 number(data.get("disc_amount")), bool(data.get("prices_with_tax")))


def _check_discounts(data: Row) -> None:
    errors: Errors = {}
    terms, lines = _terms(data), priced(data["lines"])
    if not 0 <= terms.discount_percent <= amounts.HUNDRED:
        errors["disc_pct"] = "0 to 100 are taken"
    if not amounts.is_amount(terms.discount, terms.currency):
        errors["disc_amount"] = f"{terms.currency} has {amounts.places(terms.currency)} decimals"
    elif terms.discount and not 0 <= terms.discount <= amounts.gross(lines):
        errors["disc_amount"] = "at most what the lines cost is taken off"
    if errors:
        raise Refused("E422-FIELD", ", ".join(errors) + " not accepted", errors)


def priced(lines: Iterable[Row]) -> list[Line]:
    """Lines as the arithmetic takes them."""
    return [Line(*(number(line[name]) for name in ("qty", "price", "disc_pct", "tax_pct")))
            for line in lines]


def in_books(data: Row, amount: Decimal, company: Company) -> str | None:
    """An amount of a document in the company's own currency, by the document's rate (what one
    unit of its currency is worth); None without a rate."""
    if not data.get("rate"):
        return None
    exact = amounts.EXACT.multiply(amount, number(data["rate"]))
    return money(amounts.rounded(exact, company.currency, company.rule), company.currency)


def _remarks(transaction: Transaction, data: dict[str, Any]) -> None:
    """What the ERP thinks of a quotation's prices and quantities."""
    told = []
    transaction.load("items", [line["item_id"] for line in data["lines"] if line["item_id"]])
    for line in data["lines"]:
        item = transaction.get("items", line["item_id"]) if line["item_id"] else None
        key = f"{line['item_id']}@{data['warehouse']}"
        level = transaction.by("stock_levels", "natural", [key]).get(key)
        line["price_note"] = _price_note(line, item)
        line["stock_note"] = _stock_note(line, level)
        told += [f"line {line['line_no']}: {note}"
                 for note in (line["price_note"], line["stock_note"]) if note]
    data["remark"] = "; ".join(told) or None


def _price_note(line: Row, item: Entry | None) -> str | None:
    if item is None or number(line["price"]) >= number(item.data["base_price"]):
        return None
    return f"price {line['price']} is below list {item.data['base_price']}"


def _stock_note(line: Row, level: Entry | None) -> str | None:
    if level is None or number(level.data["available"]) >= number(line["qty"]):
        return None
    return f"{max(number(level.data['available']), Decimal(0))} available of {line['qty']}"
