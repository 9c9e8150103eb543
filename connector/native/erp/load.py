"""Fills an ERP's database directly: the same checks and sums as over the API, without the calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from connector.native.amounts import Company
from connector.native.database import Entry, Transaction
from connector.native.erp.app import LARGEST_BULK, Erp, paid, result
from connector.native.erp.objects import OBJECTS
from connector.native.erp.rows import create, preload, stamp
from connector.native.erp.words import Refused, is_id, local_instant, utc_text

Row = dict[str, Any]
_CHUNK = 2000
_OWN = ("id", "modified", "created")


def load(database: str, records: Mapping[str, Iterable[Mapping[str, Any]]], *,
         clock: Callable[[], datetime] | None = None,
         company: Company | None = None) -> dict[str, int]:
    """Put records into a database directly, in the API's own words; returns how many by object.

    A record may carry its own `id`, so that others can refer to it, and the instants `modified`
    and `created`. A parent may be named by its `external_ref` in place of its ID, an item also by
    its `item_code`. Besides objects, `actions` may be given: `{"action": "ship", "id": 1}`,
    carried out in order. Raises `ValueError` for the first record or action that is refused; what
    was loaded besides it stays.
    """
    erp = Erp(database, "", clock or (lambda: datetime.now(UTC)), company)
    counts = dict.fromkeys(records, 0)
    try:
        for object, rows in records.items():
            put = _act if object == "actions" else _put
            for chunk in _chunks(object, rows):
                put(erp, object, chunk)
                counts[object] += len(chunk)
    finally:
        erp.database.close()
    return counts


def _chunks(object: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Row]]:
    left = iter(rows)
    while chunk := [dict(row) for row in islice(
            left, LARGEST_BULK if object == "actions" else _CHUNK)]:
        yield chunk


def _put(erp: Erp, object: str, given: list[Row]) -> None:
    done: list[Entry | Refused] = []
    with erp.database.write() as transaction:
        rows = _resolved(transaction, object, [
            {k: v for k, v in row.items() if k not in _OWN} for row in given])
        preload(transaction, object, rows)
        following = transaction.next_ids(object, 1)[0]
        for row, own in zip(rows, given, strict=True):
            id = own["id"] if is_id(own.get("id")) else following
            following = max(following, id + 1)
            done.append(_one(transaction, object, row, id))
        stamp(transaction)
        for row, entry in zip(given, done, strict=True):
            if isinstance(entry, Entry):
                _date(entry, row)
    _raise(object, given, [result(entry) for entry in done])


def _one(transaction: Transaction, object: str, row: Row, id: int) -> Entry | Refused:
    try:
        entry = create(transaction, object, row, id)
    except Refused as refusal:
        return refusal
    return paid(transaction, entry) if object == "payments" else entry


def _date(entry: Entry, row: Row) -> None:
    for name in ("created", "modified"):
        if row.get(name):
            entry.data[name] = local_instant(row[name])
    if row.get("modified"):
        entry.changed = utc_text(row["modified"])


def _act(erp: Erp, object: str, rows: list[Row]) -> None:
    """Runs of the same action go together."""
    start = 0
    for i in range(1, len(rows) + 1):
        if i == len(rows) or rows[i]["action"] != rows[start]["action"]:
            run = rows[start:i]
            _raise(object, run, erp.act(run[0]["action"], [
                {k: v for k, v in row.items() if k != "action"} for row in run]))
            start = i


def _raise(object: str, rows: Sequence[Row], results: Sequence[Mapping[str, Any]]) -> None:
    for row, told in zip(rows, results, strict=True):
        if not told["ok"]:
            raise ValueError(f"{object} {row}: {told['error']}")


def _resolved(transaction: Transaction, object: str, rows: list[Row]) -> list[Row]:
    """The rows with IDs where parents were named."""
    spec = OBJECTS[object]
    _name(transaction, {n: f.ref for n, f in spec.items() if f.ref}, rows)
    if "lines" in spec:
        for row in rows:
            row["lines"] = [dict(line) for line in row.get("lines") or ()]
        _name(transaction, {n: f.ref for n, f in spec["lines"].nested.items() if f.ref},
              [line for row in rows for line in row["lines"]])
    return rows


def _name(transaction: Transaction, parents: Mapping[str, str], rows: list[Row]) -> None:
    for name, object in parents.items():
        names = {row[name] for row in rows if isinstance(row.get(name), str)}
        found = transaction.by(object, "reference", names)
        if object == "items":
            found |= transaction.by(object, "natural", names)
        for row in rows:
            if isinstance(row.get(name), str) and row[name] in found:
                row[name] = found[row[name]].id
