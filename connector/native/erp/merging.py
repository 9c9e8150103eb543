"""Merging customers: one becomes part of another, and what referred to it follows."""

from __future__ import annotations

from typing import Any

from connector.native.database import Entry, Transaction
from connector.native.erp.objects import OBJECTS
from connector.native.erp.words import Refused, is_id, money, number

_SUMMED = ("balance", "open_orders")


def merge(transaction: Transaction, id: int, body: Any) -> Entry:
    """Make a customer part of the one that `body` names under `into`; returns that one. The
    other is archived and tells of it. Raises `Refused`."""
    into: Any = body.get("into") if isinstance(body, dict) else None
    if into == id or not is_id(into):
        raise Refused("E422-FIELD", "another customer is expected",
                      {"into": "another customer is expected"})
    transaction.load("customers", [id, into])
    duplicate, survivor = (_living(transaction, wanted) for wanted in (id, into))
    for other, spec in OBJECTS.items():
        names = [name for name, field in spec.items() if name == "customer_id"]
        for entry in transaction.every(other) if names else ():
            if entry.data["customer_id"] == id:
                entry.data = {**entry.data, "customer_id": into}
                transaction.touch(entry)
    finance, figures = survivor.data["finance"], duplicate.data["finance"]
    survivor.data["finance"] = {**finance, **{
        name: money(number(finance[name]) + number(figures[name])) for name in _SUMMED}}
    duplicate.data = {**duplicate.data, "archived": True, "merged_into": into, "external_ref": None,
                      "finance": {**figures, **dict.fromkeys(_SUMMED, "0.00")}}
    duplicate.deleted, duplicate.natural, duplicate.reference = True, None, None
    transaction.touch(duplicate)
    transaction.touch(survivor)
    return survivor


def _living(transaction: Transaction, id: int) -> Entry:
    entry = transaction.get("customers", id)
    if entry is None or entry.data.get("merged_into"):
        raise Refused("E404", f"there is no customer {id}")
    return entry
