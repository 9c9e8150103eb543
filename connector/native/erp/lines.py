"""Document lines: checked and numbered, their amounts, what is open in them, and remarks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from connector.native import amounts
from connector.native.erp.kinds import ZERO, exact, money, plain
from connector.native.erp.work import Work
from connector.native.fields import Errors, Spec, check

Line = dict[str, Any]


def checked(spec: Spec, lines: Any, errors: Errors) -> list[Line]:
    """A document's lines, each with a number of its own; absent numbers follow the highest."""
    if not isinstance(lines, list):
        errors["lines"] = "a list is expected"
        return []
    clean = []
    for i, line in enumerate(lines):
        one = check(spec, line, partial=False, errors=errors, prefix=f"lines[{i}].")
        for name, field in spec.items():
            if one.get(name) is None and field.default is not None:
                one[name] = field.default
        clean.append(one)
    numbers = [line["line_no"] for line in clean if line.get("line_no")]
    if len(set(numbers)) < len(numbers):
        errors["lines"] = "a line_no is given twice"
    following = max(numbers, default=0)
    for line in clean:
        if line.get("line_no") is None:
            following += 1
            line["line_no"] = following
    return clean


def amount(line: Mapping[str, Any], quantity: Decimal) -> Decimal:
    """What a quantity of a line costs before tax."""
    return amounts.line_net(quantity, exact(line["price"]), exact(line["disc_pct"]))


def sums(priced: Iterable[tuple[Mapping[str, Any], Decimal]]) -> amounts.Amounts:
    """The sums over quantities of lines."""
    return amounts.document((amount(line, quantity), exact(line["tax_pct"]))
                            for line, quantity in priced)


def work_out(document: Line) -> None:
    """Fill in the amounts of a document from its lines."""
    taxed = []
    for line in document["lines"]:
        net = amount(line, exact(line["qty"]))
        line["amount"] = money(net)
        taxed.append((net, exact(line["tax_pct"])))
    total = amounts.document(taxed)
    document.update(net=money(total.net), tax=money(total.tax), gross=money(total.total))


def to_deliver(line: Mapping[str, Any]) -> Decimal:
    """What of a line has not been delivered."""
    return exact(line["qty"]) - exact(line["qty_delivered"])


def to_invoice(line: Mapping[str, Any]) -> Decimal:
    """What of a line was delivered and not invoiced."""
    return exact(line["qty_delivered"]) - exact(line["qty_invoiced"])


def open_gross(order: Mapping[str, Any]) -> Decimal:
    """What an order weighs in its customer's `open_orders`: its gross, less what is invoiced."""
    if order["state"] not in ("confirmed", "part_delivered", "delivered"):
        return ZERO
    if all(line["qty_invoiced"] == "0" for line in order["lines"]):
        return exact(order["gross"])
    return sums((line, exact(line["qty"]) - exact(line["qty_invoiced"]))
                for line in order["lines"]).total


def stock_keys(lines: Sequence[Any], warehouse: Any) -> list[str]:
    """The natural keys of the stock levels that a document touches."""
    return [f"{line['item_id']}@{warehouse}" for line in lines
            if isinstance(line, dict) and line.get("item_id")] if warehouse else []


def remark_on(work: Work, quotation: Line) -> None:
    """Note on a quotation's lines prices below the list and stock that is short; the remark
    sums them up."""
    told = []
    for line in quotation["lines"]:
        line["price_note"] = _price_note(work, line, quotation["currency_code"])
        line["stock_note"] = _stock_note(work, line, quotation["warehouse"])
        notes = [note for note in (line["price_note"], line["stock_note"]) if note]
        if notes:
            told.append(f"line {line['line_no']}: {', '.join(notes)}")
    quotation["remark"] = "; ".join(told) or None


def _price_note(work: Work, line: Line, currency: str) -> str | None:
    item = work.get("items", line["item_id"])
    if item is None or item.data["currency_code"] != currency \
            or exact(line["price"]) >= exact(item.data["base_price"]):
        return None
    return f"price {line['price']} is below list {item.data['base_price']}"


def _stock_note(work: Work, line: Line, warehouse: str | None) -> str | None:
    if warehouse is None or line["item_id"] is None:
        return None
    level = work.by("stock_levels", "natural", f"{line['item_id']}@{warehouse}")
    available = exact(level.data["available"]) if level else ZERO
    if available >= exact(line["qty"]):
        return None
    return f"{plain(available)} available of {line['qty']}"
