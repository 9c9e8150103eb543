"""What can be done with sales orders, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from connector.native.database import Entry, Transaction
from connector.native.erp import amendments, orders
from connector.native.erp.rows import stock_keys
from connector.native.erp.words import Refused, Row, is_id, local_instant
from connector.native.fields import Errors, F, Spec, anything, check, text

_ASKED: Spec = {"id": F(anything, required=True), "rev": F(anything)}
_TAKEN: dict[str, Spec] = {
    "ship": {**_ASKED, "lines": F(anything), "carrier": F(text()), "tracking": F(text()),
             "shipped_at": F(local_instant)},
    "invoice": {**_ASKED, "lines": F(anything)},
    "decline_change": {**_ASKED, "reason": F(text(1000))}}
ACTIONS: dict[str, Callable[[Transaction, Entry, Row], None]] = {
    "confirm": orders.confirm, "ship": orders.ship, "invoice": orders.invoice,
    "cancel": orders.cancel, "close": orders.close,
    "accept_change": amendments.accept_change, "decline_change": amendments.decline_change}


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
    row = check(_TAKEN.get(action, _ASKED), row, partial=False, errors=errors)
    if errors:
        raise Refused("E422-FIELD", "not accepted: " + ", ".join(errors), errors)
    order = transaction.get("sales_orders", row["id"]) if is_id(row["id"]) else None
    if order is None:
        raise Refused("E404", f"there is no sales order {row['id']}")
    if row["rev"] not in (None, order.version):
        raise Refused("E409-REV", f"rev is {order.version} by now", {"rev": "is outdated"})
    work(transaction, order, row)
    return order
