"""Fills a CRM's database directly: the same checks and sums as over the API, without the calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import String

from connector.native.amounts import Company
from connector.native.crm.objects import OBJECTS
from connector.native.crm.words import LONGEST_ID, Refused, is_id, stamp, utc_instant
from connector.native.crm.writes import create, preload, restamp
from connector.native.database import Database, Entry, Transaction, random_id
from connector.native.fields import Spec

Row = dict[str, Any]
_CHUNK = 2000
_OWN = ("id", "createdAt", "updatedAt")


def opened(database: str, clock: Callable[[], datetime] | None,
           company: Company | None = None,
           new_id: Callable[[], str] | None = None) -> Database:
    """A CRM's database, with the time of day where no clock is given, and random IDs where no
    `new_id` is."""
    return Database(database, clock or (lambda: datetime.now(UTC)), id_type=String(LONGEST_ID),
                    unique_reference=False, company=company, new_id=new_id or random_id)


def load(database: str, records: Mapping[str, Iterable[Mapping[str, Any]]], *,
         clock: Callable[[], datetime] | None = None,
         company: Company | None = None) -> dict[str, int]:
    """Put records into a database directly, in the API's own words; returns how many by object.

    A record may carry its own `id`, so that others can refer to it, and the instants `createdAt`
    and `updatedAt`. A parent may be named by its `externalRef` in place of its ID, a product also
    by its `sku`. Raises `ValueError` for the first record that is refused; what was loaded before
    its object's last 2,000 records stays.
    """
    into = opened(database, clock, company)
    counts = dict.fromkeys(records, 0)
    try:
        for object, rows in records.items():
            for chunk in _chunks(rows):
                with into.write() as transaction:
                    _put(transaction, object, chunk)
                counts[object] += len(chunk)
    finally:
        into.close()
    return counts


def _chunks(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Row]]:
    left = iter(rows)
    while chunk := [dict(row) for row in islice(left, _CHUNK)]:
        yield chunk


def _put(transaction: Transaction, object: str, given: Sequence[Row]) -> None:
    rows = _resolved(transaction, object,
                     [{k: v for k, v in row.items() if k not in _OWN} for row in given])
    preload(transaction, object, [{"body": row} for row in rows])
    entries = []
    for row, own in zip(rows, given, strict=True):
        try:
            entries.append(create(transaction, object, row, _id(own)))
        except Refused as refusal:
            raise ValueError(f"{object} {own}: {refusal.problem}") from None
    restamp(transaction)
    for entry, own in zip(entries, given, strict=True):
        _date(entry, own)


def _id(row: Row) -> str | None:
    if "id" not in row:
        return None
    if not is_id(str(row["id"])):
        raise Refused(422, "not valid", {"id": f"1 to {LONGEST_ID} characters are expected"})
    return str(row["id"])


def _date(entry: Entry, row: Row) -> None:
    for name in ("createdAt", "updatedAt"):
        if row.get(name):
            entry.data[name] = utc_instant(row[name])
    if row.get("updatedAt"):
        entry.changed = stamp(datetime.fromisoformat(entry.data["updatedAt"]))


def _resolved(transaction: Transaction, object: str, rows: list[Row]) -> list[Row]:
    """The rows with IDs where parents were named otherwise."""
    spec = OBJECTS[object]
    _name(transaction, spec, rows)
    if "lines" in spec:
        for row in rows:
            row["lines"] = [dict(line) for line in row.get("lines") or ()]
        _name(transaction, spec["lines"].nested, [line for row in rows for line in row["lines"]])
    return rows


def _name(transaction: Transaction, spec: Spec, rows: list[Row]) -> None:
    parents = {name: field.ref for name, field in spec.items() if field.ref}
    for name, object in parents.items():
        names = {row[name] for row in rows if isinstance(row.get(name), str)}
        transaction.load(object, names)
        unknown = [n for n in names if transaction.get(object, n) is None]
        found = transaction.by(object, "reference", unknown)
        if object == "products":
            found |= transaction.by(object, "natural", unknown)
        for row in rows:
            if isinstance(row.get(name), str) and row[name] in found:
                row[name] = found[row[name]].id
