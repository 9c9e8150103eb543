"""Merging duplicates: one record becomes part of another, and what referred to it follows."""

from __future__ import annotations

from typing import Any

from connector.native.crm.objects import MERGED, OBJECTS
from connector.native.crm.words import Refused, is_id
from connector.native.crm.writes import remove
from connector.native.database import Entry, Transaction


def merge(transaction: Transaction, object: str, id: str, body: Any) -> Entry:
    """Make a record part of the one that `body` names under `into`; returns that one, and leaves
    a tombstone that tells of it. Raises `Refused`."""
    if object not in MERGED:
        raise Refused(405, f"{object} can't be merged")
    into: Any = body.get("into") if isinstance(body, dict) else None
    if into == id or not is_id(into):
        raise Refused(422, "another record is expected", {"into": "another record is expected"})
    transaction.load(object, [id, into])
    duplicate, survivor = (_living(transaction, object, wanted) for wanted in (id, into))
    for other, spec in OBJECTS.items():
        names = [name for name, field in spec.items() if field.ref == object]
        for entry in transaction.every(other) if names else ():
            _follow(transaction, entry, names, id, into)
    remove(transaction, duplicate)
    duplicate.data["mergedInto"] = into
    transaction.touch(survivor)
    return survivor


def _living(transaction: Transaction, object: str, id: str) -> Entry:
    entry = transaction.get(object, id)
    if entry is None or entry.deleted:
        raise Refused(404 if entry is None else 410, f"there is no {object} {id}")
    return entry


def _follow(transaction: Transaction, entry: Entry, names: list[str], id: str,
            into: str) -> None:
    moved = {name: into for name in names if entry.data.get(name) == id}
    if moved and not entry.deleted:
        entry.data = {**entry.data, **moved}
        transaction.touch(entry)
