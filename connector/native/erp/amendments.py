"""Changes that others ask for in an order: the ERP accepts or declines by the order's state, or a
clerk has to say.

The answer stands on the order under `amendment`, with the asker's `ref`. The same request is
answered once, however often it comes; another one takes the place of one that still waits.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from connector.native.database import Entry, Transaction
from connector.native.erp import billing, orders, rows
from connector.native.erp.sums import settle
from connector.native.erp.words import Refused, Row, money, number
from connector.native.fields import Errors, F, check, text

_WISH = {"ref": F(text(64)), "wanted_state": F(text(20))}
_SHIPPED = {"delivered": "shipped", "invoiced": "invoiced", "settled": "invoiced and paid",
            "void": "cancelled"}
_FIXED = ("customer_id", "currency_code")
_FREE_IN_PART = ("lines", "your_ref")
_OF_LINE = ("item_id", "text", "price", "disc_pct", "tax_pct")


def change(transaction: Transaction, object: str, row: Row) -> Entry:
    """Change a record, or ask for a change of an order where the row says so. Raises `Refused`."""
    if object != "sales_orders" or "amendment" not in row:
        return rows.change(transaction, object, row)
    order = rows.found(transaction, object, row)
    errors: Errors = {}
    wish = check(_WISH, row["amendment"] or {}, partial=False, errors=errors, prefix="amendment.")
    if errors:
        raise Refused("E422-FIELD", "not accepted: " + ", ".join(errors), errors)
    standing = order.data["amendment"] or {}
    if wish["ref"] is None:
        if standing.get("state") == "pending":
            order.data["amendment"] = None
            transaction.touch(order)
        return order
    if standing.get("ref") == wish["ref"]:
        return order
    asked = rows.differing(transaction, order, {
        name: value for name, value in row.items() if name != "amendment"})
    return _answered(transaction, order, asked, wish)


def _answered(transaction: Transaction, order: Entry, asked: dict[str, Any],
              wish: Row) -> Entry:
    state, reason = "accepted", None
    try:
        _check(transaction, order, asked, wish["wanted_state"])
        reason = _for_a_clerk(order, asked)
        if reason is not None:
            state = "pending"
        else:
            _carry_out(transaction, order, asked, wish["wanted_state"])
    except Refused as refusal:
        state, reason = "declined", str(refusal)
    order.data["amendment"] = {
        "ref": wish["ref"], "state": state, "reason": reason,
        "asked": {**asked, "wanted_state": wish["wanted_state"]} if state == "pending" else None}
    transaction.touch(order)
    return order


def accept_change(transaction: Transaction, order: Entry, _row: Row) -> None:
    """A clerk accepts what was asked for. Raises `Refused` where the order's state forbids it by
    now."""
    standing = _pending(order)
    asked = dict(standing["asked"])
    wanted = asked.pop("wanted_state")
    _check(transaction, order, asked, wanted)
    _carry_out(transaction, order, asked, wanted)
    order.data["amendment"] = {**standing, "state": "accepted", "reason": None, "asked": None}
    transaction.touch(order)


def decline_change(transaction: Transaction, order: Entry, row: Row) -> None:
    """A clerk declines what was asked for."""
    standing = _pending(order)
    order.data["amendment"] = {**standing, "state": "declined", "asked": None,
                               "reason": row["reason"] or "a clerk has declined it"}
    transaction.touch(order)


def _pending(order: Entry) -> dict[str, Any]:
    standing = order.data["amendment"]
    if not standing or standing["state"] != "pending":
        raise Refused("E409-STATE", f"nothing is asked for in order {order.data['order_no']}")
    return dict(standing)


def _check(transaction: Transaction, order: Entry, asked: Row, wanted: str | None) -> None:
    """Raise `Refused` where the order's state does not allow what is asked for."""
    state, number_ = order.data["state"], order.data["order_no"]
    if state in _SHIPPED:
        raise Refused("E409-STATE", f"order {number_} is {_SHIPPED[state]}")
    if wanted not in (None, "void", state):
        raise Refused("E409-STATE", f"order {number_} reaches the state {wanted} by its own "
                      "documents")
    fixed = [n for n in _FIXED if n in asked]
    if state == "part_delivered":
        if wanted == "void":
            raise Refused("E409-STATE", f"order {number_} is partly shipped")
        fixed = [n for n in asked if n not in _FREE_IN_PART]
        if "lines" in asked:
            _check_shipped_lines(order, asked["lines"])
    if fixed and state != "entered":
        raise Refused("E409-STATE", f"{', '.join(fixed)} of order {number_} can't be changed "
                      "any more")
    if state != "entered":
        _check_credit(transaction, order, asked)


def _check_shipped_lines(order: Entry, lines: list[dict[str, Any]]) -> None:
    after = {line["line_no"]: line for line in lines}
    for line in order.data["lines"]:
        done, new = number(line["qty_delivered"]), after.get(line["line_no"])
        if not done:
            continue
        if new is None or number(new["qty"]) < done:
            raise Refused("E409-STATE", f"{line['qty_delivered']} of line {line['line_no']} are "
                          "shipped")
        if any(new[name] != line[name] for name in _OF_LINE):
            raise Refused("E409-STATE", f"line {line['line_no']} is partly shipped: only its "
                          "quantity can still be changed")


def _check_credit(transaction: Transaction, order: Entry, asked: Row) -> None:
    company = transaction.database.company
    customer = billing.customer_of(transaction, order.data)
    after = Entry(order.object, order.id, _after(order, asked))
    settle(transaction, after)
    in_account = partial(billing.in_account, transaction)
    more = in_account(after.data, billing.weight(after, company)) \
        - in_account(order.data, billing.weight(order, company))
    finance = customer.data["finance"]
    over = number(finance["balance"]) + number(finance["open_orders"]) + more \
        - number(finance["credit_limit"])
    if more > 0 and finance["on_hold"]:
        raise Refused("E422-CREDIT", "customer is on hold")
    if more > 0 and over > 0:
        raise Refused("E422-CREDIT", f"credit limit {finance['credit_limit']} exceeded by "
                      f"{money(over, finance['currency_code'])}")


def _after(order: Entry, asked: Row) -> dict[str, Any]:
    """The order with what is asked for; its lines keep what is shipped and billed of them."""
    before = {line["line_no"]: line for line in order.data["lines"]}
    lines = [{**line, **{name: before.get(line["line_no"], {}).get(name, "0")
                         for name in ("qty_delivered", "qty_invoiced")}}
             for line in asked.get("lines", order.data["lines"])]
    return {**order.data, **asked, "lines": lines}


def _for_a_clerk(order: Entry, asked: Row) -> str | None:
    """Why a clerk has to look at a change that the state allows: a price that was confirmed is
    lowered."""
    if order.data["state"] == "entered":
        return None
    before = {line["line_no"]: line for line in order.data["lines"]}
    for line in asked.get("lines", ()):
        old = before.get(line["line_no"])
        if old and (number(line["price"]) < number(old["price"])
                    or number(line["disc_pct"]) > number(old["disc_pct"])):
            return f"a clerk has to approve the price of line {line['line_no']}"
    if any(number(asked[n]) > number(order.data.get(n)) for n in ("disc_pct", "disc_amount")
           if n in asked):
        return "a clerk has to approve the discount"
    return None


def _carry_out(transaction: Transaction, order: Entry, asked: Row, wanted: str | None) -> None:
    if asked:
        _put(transaction, order, asked)
    if wanted == "void":
        orders.cancel(transaction, order, {})


def _put(transaction: Transaction, order: Entry, asked: Row) -> None:
    """Change the order, and what it has reserved and weighs on its customer."""
    company, confirmed = transaction.database.company, order.data["state"] in orders.DELIVERABLE
    in_account = partial(billing.in_account, transaction)
    before = in_account(order.data, billing.weight(order, company))
    if confirmed:
        orders.reserve(transaction, order, -orders.ONE)
    order.data.update(_after(order, asked))
    settle(transaction, order)
    billing.progress(transaction, order)
    if confirmed:
        orders.reserve(transaction, order, orders.ONE)
        billing.move(transaction, billing.customer_of(transaction, order.data),
                     open_orders=in_account(order.data, billing.weight(order, company)) - before)
