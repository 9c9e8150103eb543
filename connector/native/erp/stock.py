"""Stock: what is on hand and reserved, moved by documents and counts."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from sqlalchemy import insert, select

from connector.native.database import Entry
from connector.native.erp.kinds import ZERO, exact, plain
from connector.native.erp.lines import to_deliver
from connector.native.erp.work import Work

COUNTED = "count"


def set_available(level: dict[str, Any]) -> None:
    """What is on hand and not reserved; reservations may go beyond it."""
    level["available"] = plain(exact(level["on_hand"]) - exact(level["reserved"]))


def move(work: Work, item_id: int | None, warehouse: str | None, *, on_hand: Decimal = ZERO,
         reserved: Decimal = ZERO) -> None:
    """Move an item's stock in a warehouse; the level is made where there is none. Lines without
    an item and documents without a warehouse move nothing."""
    if item_id is None or warehouse is None or not (on_hand or reserved):
        return
    level = work.by("stock_levels", "natural", f"{item_id}@{warehouse}") or _new(
        work, item_id, warehouse)
    data = level.data
    data["on_hand"] = plain(exact(data["on_hand"]) + on_hand)
    data["reserved"] = plain(exact(data["reserved"]) + reserved)
    set_available(data)
    work.touch(level)


def _new(work: Work, item_id: int, warehouse: str) -> Entry:
    return work.add("stock_levels", {
        "item_id": item_id, "warehouse": warehouse, "on_hand": "0", "reserved": "0",
        "available": "0", "earmarked": "0", "count": {"qty": None, "on": None},
        "external_ref": None})


def reserve(work: Work, order: dict[str, Any], sign: int) -> None:
    """Reserve what an order has yet to deliver (`sign` 1), or free it (-1)."""
    for line in order["lines"]:
        move(work, line["item_id"], order["warehouse"], reserved=sign * to_deliver(line))


def post_count(work: Work, level_id: int, data: dict[str, Any]) -> None:
    """Take over a count as what is on hand; the same count (quantity and day) is posted once,
    however often it is written."""
    quantity, day = data["count"]["qty"], data["count"]["on"]
    if quantity is None or day is None:
        return
    extra = work.transaction.database.extra
    key = f"{level_id}:{quantity}:{day}"
    known = work.transaction.connection.execute(
        select(extra.c.key).where(extra.c.kind == COUNTED, extra.c.key == key)).first()
    if known is None:
        work.transaction.connection.execute(insert(extra).values(
            kind=COUNTED, key=key, at=work.transaction.stamp, value=b""))
        data["on_hand"] = quantity
        set_available(data)


def load_levels(work: Work, keys: Iterable[str]) -> None:
    """Load the stock levels that will be moved."""
    work.find("stock_levels", "natural", list(keys))
