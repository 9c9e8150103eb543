"""Quotations and sales orders as they are written; what moves orders on is in `orders`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connector.native.erp.lines import remark_on, stock_keys, work_out
from connector.native.erp.objects import OBJECTS
from connector.native.erp.stock import load_levels
from connector.native.erp.work import Refused, Work

Data = dict[str, Any]
KINDS = ("quotations", "sales_orders")
_EDITABLE = {"quotations": "open", "sales_orders": "entered"}
_LOCKED = ("customer_id", "currency_code", "warehouse", "lines")


def prefetch(work: Work, object: str, rows: Sequence[Data]) -> None:
    """Load the items and stock levels that the rows' documents name, now or before."""
    keys: list[str] = []
    items: list[Any] = []
    for row in rows:
        entry = work.get(object, row.get("id"))
        before = entry.data if entry else {"lines": [], "warehouse": None}
        given = row.get("lines")
        lines = [*(given if isinstance(given, list) else ()), *before["lines"]]
        items += [line.get("item_id") for line in lines if isinstance(line, dict)]
        keys += stock_keys(lines, row.get("warehouse") or before["warehouse"])
    work.load("items", items)
    if object == "quotations":
        load_levels(work, keys)


def prepare(work: Work, object: str, data: Data) -> None:
    """Complete a new document; raises `Refused`."""
    if object == "quotations":
        if data["state"] == "ordered":
            raise _not_by_hand()
        work_out(data)
        remark_on(work, data)
        return
    data["warehouse"] = data["warehouse"] or work.first_warehouse()
    data["ordered_on"] = data["ordered_on"] or work.day()
    quotation = work.get("quotations", data["quotation_id"])
    if quotation is not None and quotation.data["state"] not in ("open", "won"):
        raise Refused("E409-STATE", f"the quotation is {quotation.data['state']}",
                      {"quotation_id": "can't be ordered"})
    work_out(data)


def take_quotation(work: Work, order: Any) -> None:
    """A quotation becomes ordered by the sales order that is made of it."""
    quotation = work.get("quotations", order.data["quotation_id"])
    if quotation is not None:
        quotation.data.update(state="ordered", sales_order_id=order.id)
        work.touch(quotation)


def keep_lines(before: Data, merged: Data) -> Data:
    """The document, with its lines as they were where nothing that can be written differs."""
    if [_written(line) for line in before["lines"]] == [_written(line) for line in merged["lines"]]:
        return {**merged, "lines": before["lines"]}
    return merged


def _written(line: Data) -> Data:
    spec = OBJECTS["quotations"]["lines"].nested
    return {name: line[name] for name, known in spec.items() if not known.read_only}


def revise(work: Work, object: str, before: Data, merged: Data) -> None:
    """Check what may still change in a document and work it out again; raises `Refused`."""
    state = before["state"]
    locked = [name for name in _LOCKED if before[name] != merged[name]]
    if locked and state != _EDITABLE[object]:
        raise Refused("E409-STATE", f"the document is {state}",
                      dict.fromkeys(locked, f"can't be changed in state {state}"))
    if merged["state"] != state and "ordered" in (state, merged["state"]):
        raise Refused("E409-STATE", f"the document is {state}",
                      {"state": "ordered is reached by a sales order and kept"})
    merged["lines"] = [dict(line) for line in merged["lines"]]
    work_out(merged)
    if object == "quotations":
        remark_on(work, merged)


def _not_by_hand() -> Refused:
    return Refused("E422-FIELD", "the quotations row is not valid",
                   {"state": "ordered is reached by a sales order"})
