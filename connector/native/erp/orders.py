"""Sales orders on their way: confirmed, shipped, invoiced, closed, cancelled."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

from connector.native.database import Entry, Transaction
from connector.native.erp import billing
from connector.native.erp.rows import add
from connector.native.erp.sums import settle
from connector.native.erp.words import (
    Refused,
    Row,
    local,
    money,
    number,
    quantity,
)

DELIVERABLE = ("confirmed", "part_delivered")
ONE = Decimal(1)


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
    reserve(transaction, order, Decimal(1))


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


def reserve(transaction: Transaction, order: Entry, sign: Decimal) -> None:
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
    asked = billing.wanted({n: number(line["qty"]) - number(line["qty_delivered"])
                            for n, line in by_number.items()}, row["lines"], "delivered")
    lines = []
    for line_no, amount in asked.items():
        line = by_number[line_no]
        line["qty_delivered"] = quantity(number(line["qty_delivered"]) + amount)
        lines.append({"line_no": line_no, "item_id": line["item_id"], "qty": quantity(amount)})
        move_stock(transaction, line["item_id"], order.data["warehouse"], on_hand=-amount,
                   reserved=-amount)
    (id,) = transaction.next_ids("deliveries", 1)
    add(transaction, "deliveries", id, {
        "sales_order_id": order.id, "lines": lines, "state": "shipped",
        "shipped_at": row["shipped_at"] or local(transaction.now),
        "carrier": row["carrier"], "tracking": row["tracking"]})
    transaction.touch(order)
    billing.progress(transaction, order)


def take_back(transaction: Transaction, delivery_id: int) -> Entry:
    """Cancel a delivery of which nothing is invoiced: its goods are in stock again, and reserved
    for their order; returns it. Raises `Refused`."""
    delivery = transaction.get("deliveries", delivery_id)
    if delivery is None:
        raise Refused("E404", f"there is no delivery {delivery_id}")
    if delivery.data["state"] == "cancelled":
        return delivery
    order = transaction.get("sales_orders", delivery.data["sales_order_id"])
    assert order is not None
    by_number = {line["line_no"]: line for line in order.data["lines"]}
    left = {line["line_no"]: number(by_number[line["line_no"]]["qty_delivered"])
            - number(line["qty"]) for line in delivery.data["lines"]}
    billed = [n for n, amount in left.items()
              if amount < number(by_number[n]["qty_invoiced"])]
    if billed:
        raise Refused("E409-STATE", f"{delivery.data['delivery_no']} is invoiced and can't be "
                      "cancelled", {"lines": f"line {billed[0]} is invoiced"})
    for line in delivery.data["lines"]:
        by_number[line["line_no"]]["qty_delivered"] = quantity(left[line["line_no"]])
        move_stock(transaction, line["item_id"], order.data["warehouse"],
                   on_hand=number(line["qty"]), reserved=number(line["qty"]))
    delivery.data["state"] = "cancelled"
    transaction.touch(delivery)
    transaction.touch(order)
    billing.progress(transaction, order)
    return delivery


def invoice(transaction: Transaction, order: Entry, row: Row) -> None:
    """Invoice what is given, or all that was delivered and isn't invoiced yet."""
    if order.data["state"] == "void":
        raise _wrong_state(order, "invoiced")
    company, data = transaction.database.company, order.data
    weight, discount = (billing.weight(order, company),
                        billing.discount_share(data, "qty_invoiced", company))
    by_number = {line["line_no"]: line for line in data["lines"]}
    asked = billing.wanted({n: number(line["qty_delivered"]) - number(line["qty_invoiced"])
                            for n, line in by_number.items()}, row["lines"], "invoiced")
    if not asked:
        raise Refused("E409-STATE", f"nothing of order {data['order_no']} is to be invoiced")
    lines = [billing.part(by_number[n], amount) for n, amount in asked.items()]
    for n, amount in asked.items():
        by_number[n]["qty_invoiced"] = quantity(number(by_number[n]["qty_invoiced"]) + amount)
    made = billing.add_invoice(
        transaction, order, lines,
        billing.discount_share(data, "qty_invoiced", company) - discount)
    transaction.touch(order)
    billing.progress(transaction, order)
    in_account = partial(billing.in_account, transaction, data)
    billing.move(transaction, billing.customer_of(transaction, data),
                 balance=in_account(number(made.data["gross"])),
                 open_orders=in_account(billing.weight(order, company)) - in_account(weight))


def close(transaction: Transaction, order: Entry, _row: Row) -> None:
    """End an order that was delivered in part: what is not delivered goes out of it, and is free
    again. Raises `Refused`."""
    if order.data["state"] != "part_delivered":
        raise _wrong_state(order, "closed")
    company, data = transaction.database.company, order.data
    weight = billing.weight(order, company)
    reserve(transaction, order, Decimal(-1))
    if number(data.get("disc_amount")):
        data["disc_amount"] = quantity(billing.discount_share(data, "qty_delivered", company))
    data["lines"] = [{**line, "qty": line["qty_delivered"]}
                     for line in data["lines"] if number(line["qty_delivered"]) > 0]
    settle(transaction, order)
    transaction.touch(order)
    billing.progress(transaction, order)
    in_account = partial(billing.in_account, transaction, data)
    billing.move(transaction, billing.customer_of(transaction, data),
                 open_orders=in_account(billing.weight(order, company)) - in_account(weight))


def cancel(transaction: Transaction, order: Entry, _row: Row) -> None:
    """Cancel an order of which nothing was delivered; what it reserved is free again."""
    if order.data["state"] == "void":
        return
    if order.data["state"] not in ("entered", "confirmed"):
        raise _wrong_state(order, "cancelled")
    if order.data["state"] == "confirmed":
        reserve(transaction, order, Decimal(-1))
        gross = billing.in_account(transaction, order.data, number(order.data["gross"]))
        billing.move(transaction, billing.customer_of(transaction, order.data),
                     open_orders=-gross)
    order.data.update(state="void", block=None)
    transaction.touch(order)


def _wrong_state(order: Entry, done: str) -> Refused:
    return Refused("E409-STATE", f"order {order.data['order_no']} is {order.data['state']} and "
                   f"can't be {done}")
