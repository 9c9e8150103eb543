"""Merging customers: one becomes part of another, and what referred to it follows."""

from __future__ import annotations

from typing import Any

from connector.native.database import Entry, Transaction
from connector.native.erp.billing import move
from connector.native.erp.objects import OBJECTS
from connector.native.erp.words import Refused, is_id, number


def merge(transaction: Transaction, id: int, body: Any) -> Entry:
    """Make a customer part of the one that `body` names under `into`; returns that one. The
    other is archived and tells of it. Raises `Refused`."""
    into: Any = body.get("into") if isinstance(body, dict) else None
    if into == id or not is_id(into):
        raise Refused("E422-FIELD", "another customer is expected",
                      {"into": "another customer is expected"})
    transaction.load("customers", [id, into])
    duplicate, survivor = (_living(transaction, wanted) for wanted in (id, into))
    finance, figures = survivor.data["finance"], duplicate.data["finance"]
    if finance["currency_code"] != figures["currency_code"]:
        raise Refused("E409-STATE", f"customers {id} and {into} have accounts in "
                      f"{figures['currency_code']} and {finance['currency_code']}, which can't be "
                      "merged", {"into": "has an account in another currency"})
    for other in (name for name, spec in OBJECTS.items() if "customer_id" in spec):
        for entry in transaction.every(other):
            if entry.data["customer_id"] == id:
                entry.data = {**entry.data, "customer_id": into}
                transaction.touch(entry)
    owed = {name: number(figures[name]) for name in ("balance", "open_orders")}
    move(transaction, survivor, **owed)
    move(transaction, duplicate, **{name: -amount for name, amount in owed.items()})
    duplicate.data = {**duplicate.data, "archived": True, "merged_into": into, "external_ref": None}
    duplicate.deleted, duplicate.natural, duplicate.reference = True, None, None
    transaction.touch(duplicate)
    return survivor


def _living(transaction: Transaction, id: int) -> Entry:
    entry = transaction.get("customers", id)
    if entry is None or entry.data.get("merged_into"):
        raise Refused("E404", f"there is no customer {id}")
    return entry
