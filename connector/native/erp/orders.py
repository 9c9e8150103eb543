"""What can be done with a sales order: confirm, ship, invoice, cancel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from connector.native.database import Entry, Transaction
from connector.native.erp import billing
from connector.native.erp.rows import add, settle, stock_keys
from connector.native.erp.words import (
    Refused,
    decimal,
    is_id,
    local,
    local_instant,
    money,
    number,
    quantity,
)
from connector.native.fields import Errors, F, Spec, anything, check, text, whole

Row = Mapping[str, Any]
DELIVERABLE = ("confirmed", "part_delivered")
_ASKED: Spec = {"id": F(anything, required=True), "rev": F(anything)}
_SHIPPED: Spec = {**_ASKED, "lines": F(anything), "carrier": F(text()), "tracking": F(text()),
                  "shipped_at": F(local_instant)}
_SHIPPED_LINE: Spec = {"line_no": F(whole, required=True), "qty": F(decimal(0), required=True)}


def preload(transaction: Transaction, rows: Sequence[Any]) -> None:
    """Load in a few queries what actions on orders are about."""
    ids = [row["id"] for row in rows if isinstance(row, dict) and is_id(row.get("id"))]
    transaction.load("sales_orders", ids)
    found = [order.data for id in ids if (order := transaction.get("sales_orders", id))]
    transaction.load("customers", [data["customer_id"] for data in found])
    transaction.by("stock_levels", "natural", [
        key for data in found for key in stock_keys(data["lines"], data["warehouse"])])


def act(transaction: Transaction, action: str, row: Any) -> Entry:
    """Carry out an action on one order; returns the order. Raises `Refused`."""
    work = ACTIONS.get(action)
    if work is None:
        raise Refused("E404-ACTION", f"there is no action {action}; {', '.join(ACTIONS)} are")
    errors: Errors = {}
    row = check(_SHIPPED if work is ship else _ASKED, row, partial=False, errors=errors)
    if errors:
        raise Refused("E422-FIELD", "not accepted: " + ", ".join(errors), errors)
    order = transaction.get("sales_orders", row["id"]) if is_id(row["id"]) else None
    if order is None:
        raise Refused("E404", f"there is no sales order {row['id']}")
    if row["rev"] not in (None, order.version):
        raise Refused("E409-REV", f"rev is {order.version} by now", {"rev": "is outdated"})
    work(transaction, order, row)
    return order


def confirm(transaction: Transaction, order: Entry, _row: Row) -> None:
    """Reserve stock and commit the customer's credit; over the limit the customer is put on hold
    and the order stays as it is. A confirmed order stays one."""
    if order.data["state"] in ("confirmed", "part_delivered", "delivered"):
        return
    if order.data["state"] != "entered":
        raise _wrong_state(order, "confirmed")
    customer = billing.customer_of(transaction, order.data)
    finance = customer.data["finance"]
    gross = billing.in_account(transaction, order.data, number(order.data["gross"]))
    over = number(finance["balance"]) + number(finance["open_orders"]) + gross \
        - number(finance["credit_limit"])
    if finance["on_hold"] or over > 0:
        _block(transaction, order, customer, over)
    order.data.update(state="confirmed", block=None)
    transaction.touch(order)
    billing.move(transaction, customer, open_orders=gross)
    _reserve(transaction, order, Decimal(1))


def _block(transaction: Transaction, order: Entry, customer: Entry, over: Decimal) -> None:
    finance = customer.data["finance"]
    by = money(over, finance["currency_code"])
    reason = f"credit limit {finance['credit_limit']} exceeded by {by}" if over > 0 \
        else "customer is on hold"
    if order.data["block"] != reason:
        order.data["block"] = reason
        transaction.touch(order)
    if not finance["on_hold"]:
        finance["on_hold"] = True
        transaction.touch(customer)
    raise Refused("E422-CREDIT", f"order {order.data['order_no']} can't be confirmed: {reason}")


def _reserve(transaction: Transaction, order: Entry, sign: Decimal) -> None:
    """Reserve what is not delivered yet, or free it."""
    for line in order.data["lines"]:
        open_quantity = number(line["qty"]) - number(line["qty_delivered"])
        move_stock(transaction, line["item_id"], order.data["warehouse"],
                   reserved=sign * open_quantity)


def move_stock(transaction: Transaction, item: int | None, warehouse: str | None, *,
               on_hand: Decimal = Decimal(0), reserved: Decimal = Decimal(0)) -> None:
    """Move a stock level, which comes up where there is none."""
    if item is None or warehouse is None:
        return
    key = f"{item}@{warehouse}"
    level = transaction.by("stock_levels", "natural", [key]).get(key)
    if level is None:
        (id,) = transaction.next_ids("stock_levels", 1)
        level = add(transaction, "stock_levels", id, {
            "item_id": item, "warehouse": warehouse, "on_hand": "0", "reserved": "0",
            "earmarked": "0", "count": {"qty": None, "on": None}, "external_ref": None})
    level.data["on_hand"] = quantity(number(level.data["on_hand"]) + on_hand)
    level.data["reserved"] = quantity(number(level.data["reserved"]) + reserved)
    settle(transaction, level)
    transaction.touch(level)


def ship(transaction: Transaction, order: Entry, row: Row) -> None:
    """Deliver what is given, or all that is open: stock falls, a delivery comes up."""
    if order.data["state"] not in DELIVERABLE:
        raise _wrong_state(order, "shipped")
    by_number = {line["line_no"]: line for line in order.data["lines"]}
    wanted = _wanted(by_number, row["lines"])
    lines = []
    for line_no, amount in wanted.items():
        line = by_number[line_no]
        line["qty_delivered"] = quantity(number(line["qty_delivered"]) + amount)
        lines.append({"line_no": line_no, "item_id": line["item_id"], "qty": quantity(amount)})
        move_stock(transaction, line["item_id"], order.data["warehouse"], on_hand=-amount,
                   reserved=-amount)
    (id,) = transaction.next_ids("deliveries", 1)
    add(transaction, "deliveries", id, {
        "sales_order_id": order.id, "lines": lines,
        "shipped_at": row["shipped_at"] or local(transaction.now),
        "carrier": row["carrier"], "tracking": row["tracking"]})
    done = all(number(line["qty_delivered"]) >= number(line["qty"])
               for line in order.data["lines"])
    order.data["state"] = "delivered" if done else "part_delivered"
    transaction.touch(order)


def _wanted(lines: Mapping[int, Row], given: Any) -> dict[int, Decimal]:
    """What is to be delivered, by line. Raises `Refused`."""
    still = {n: number(line["qty"]) - number(line["qty_delivered"]) for n, line in lines.items()}
    if given is None:
        return {n: amount for n, amount in still.items() if amount > 0}
    errors: Errors = {}
    wanted: dict[int, Decimal] = {}
    for i, line in enumerate(given if isinstance(given, list) else [given]):
        clean = check(_SHIPPED_LINE, line, partial=False, errors=errors, prefix=f"lines[{i}].")
        line_no, amount = clean.get("line_no") or 0, number(clean.get("qty"))
        if line_no not in still or line_no in wanted:
            errors.setdefault(f"lines[{i}].line_no", "is no line of the order, or given twice")
        elif not 0 < amount <= still[line_no]:
            errors.setdefault(f"lines[{i}].qty", f"{quantity(still[line_no])} is open")
        wanted[line_no] = amount
    if errors or not wanted:
        raise Refused("E422-QTY", "this can't be delivered",
                      errors or {"lines": "nothing is given"})
    return wanted


def invoice(transaction: Transaction, order: Entry, _row: Row) -> None:
    """Invoice what was delivered and isn't invoiced yet."""
    company = transaction.database.company
    weight, discount = billing.weight(order, company), billing.discount_invoiced(order, company)
    lines = []
    for line in order.data["lines"]:
        amount = number(line["qty_delivered"]) - number(line["qty_invoiced"])
        if amount > 0:
            lines.append({**{k: line[k] for k in ("line_no", "item_id", "text", "price",
                                                  "disc_pct", "tax_pct")},
                          "qty": quantity(amount)})
            line["qty_invoiced"] = line["qty_delivered"]
    if not lines:
        raise Refused("E409-STATE", f"nothing of order {order.data['order_no']} is to be invoiced")
    made = billing.add_invoice(transaction, order, lines,
                               billing.discount_invoiced(order, company) - discount)
    customer = billing.customer_of(transaction, order.data)
    if order.data["state"] == "delivered":
        order.data["state"] = "invoiced"
    in_account = partial(billing.in_account, transaction, order.data)
    billing.move(transaction, customer, balance=in_account(number(made.data["gross"])),
                 open_orders=in_account(billing.weight(order, company)) - in_account(weight))
    transaction.touch(order)


def cancel(transaction: Transaction, order: Entry, _row: Row) -> None:
    """Cancel an order of which nothing was delivered; what it reserved is free again."""
    if order.data["state"] == "void":
        return
    if order.data["state"] not in ("entered", "confirmed"):
        raise _wrong_state(order, "cancelled")
    if order.data["state"] == "confirmed":
        _reserve(transaction, order, Decimal(-1))
        gross = billing.in_account(transaction, order.data, number(order.data["gross"]))
        billing.move(transaction, billing.customer_of(transaction, order.data),
                     open_orders=-gross)
    order.data.update(state="void", block=None)
    transaction.touch(order)


def _wrong_state(order: Entry, done: str) -> Refused:
    return Refused("E409-STATE", f"order {order.data['order_no']} is {order.data['state']} and "
                   f"can't be {done}")


ACTIONS: dict[str, Callable[[Transaction, Entry, Row], None]] = {
    "confirm": confirm, "ship": ship, "invoice": invoice, "cancel": cancel}
