"""Fills an ERP's database directly: the same checks and sums as over the API, without the calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from connector.native.database import Entry
from connector.native.erp import billing, stock
from connector.native.erp.app import open_database
from connector.native.erp.kinds import exact, local_time
from connector.native.erp.lines import open_gross, stock_keys
from connector.native.erp.objects import OBJECTS
from connector.native.erp.rows import checked, create, prefetch
from connector.native.erp.work import Refused, Work
from connector.native.fields import F, Spec

Data = dict[str, Any]
_CHUNK = 2000
_WORKED_OUT = {
    "customers": ("balance", "open_orders"), "stock_levels": ("available",),
    "quotations": ("stock_note", "price_note", "remark", "sales_order_id"),
    "invoices": ("open_amount", "state", "kind")}
_SUMS = ("net", "tax", "gross", "amount")
_NEEDED = {"deliveries": ("sales_order_id", "lines"),
           "invoices": ("customer_id", "currency_code", "lines")}


def load(database: str, records: Mapping[str, Iterable[Mapping[str, Any]]], *,
         clock: Callable[[], datetime] | None = None) -> dict[str, int]:
    """Put rows into a database, in the API's own words and the order given; returns how many by
    object.

    Besides what the API takes, a row may carry its `id`, number, `modified` and `created`, an
    order its state and delivered and invoiced quantities; deliveries and invoices may be given. A
    parent may be named by its `external_ref` in place of its ID, an item also by its `item_code`.
    Sums, remarks, balances, reservations of confirmed orders and what payments settle are worked
    out. Raises `ValueError` for the first row that is not valid; what came in chunks before it
    stays.
    """
    opened = open_database(database, clock or (lambda: datetime.now(UTC)))
    counts = dict.fromkeys(records, 0)
    try:
        for object, rows in records.items():
            spec = _writable(object, OBJECTS[object])
            for chunk in _chunks(rows):
                with opened.write() as transaction:
                    _load(Work(transaction), object, spec, chunk)
                counts[object] += len(chunk)
    finally:
        opened.close()
    return counts


def _chunks(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Data]]:
    left = iter(rows)
    while chunk := [dict(row) for row in islice(left, _CHUNK)]:
        yield chunk


def _writable(object: str, spec: Spec) -> dict[str, F]:
    """The fields with those writable that only the ERP itself writes otherwise."""
    closed = (*_WORKED_OUT.get(object, ()), *_SUMS)
    return {name: replace(
        known, read_only=known.read_only and name in closed, create_only=False,
        required=known.required or name in _NEEDED.get(object, ()),
        nested=_writable(object, known.nested)) for name, known in spec.items()}


def _load(work: Work, object: str, spec: Spec, rows: list[Data]) -> None:
    rows = _resolved(work, spec, rows)
    prefetch(work, object, rows)
    lines = [line for row in rows for line in row.get("lines") or ()]
    work.load("items", [line.get("item_id") for line in lines])
    if object == "sales_orders":
        stock.load_levels(work, [key for row in rows for key in stock_keys(
            row.get("lines") or (), row.get("warehouse") or work.first_warehouse())])
    for row in rows:
        try:
            _dated(_one(work, object, spec, row), row)
        except (Refused, ValueError) as error:
            fields = getattr(error, "fields", {})
            raise ValueError(f"{object} {row}: {error} {fields}") from None


def _one(work: Work, object: str, spec: Spec, row: Data) -> Entry:
    own = {name: value for name, value in row.items() if name not in ("id", "modified", "created")}
    id = row.get("id")
    if object == "deliveries":
        data = checked(work, object, own, spec, partial=False)
        data["shipped_at"] = data["shipped_at"] or work.stamp
        return work.add(object, data, id)
    if object == "invoices":
        return _invoice(work, checked(work, object, own, spec, partial=False), id)
    entry = create(work, object, own, spec, id)
    if object == "sales_orders":
        if entry.data["state"] in ("confirmed", "part_delivered"):
            stock.reserve(work, entry.data, 1)
        billing.move_customer(work, entry.data["customer_id"], open_orders=open_gross(entry.data))
    return entry


def _invoice(work: Work, data: Data, id: int | None) -> Entry:
    data["issued_on"] = data["issued_on"] or work.day()
    data["due_on"] = data["due_on"] or billing.due_on(work, data["customer_id"])
    entry = billing.book(work, {**data, "open_amount": None}, id)
    billing.move_customer(work, data["customer_id"], balance=exact(entry.data["open_amount"]))
    return entry


def _dated(entry: Entry, row: Data) -> None:
    if row.get("modified"):
        entry.data["modified"] = local_time(row["modified"])
        entry.changed = datetime.fromisoformat(row["modified"]).astimezone(UTC).isoformat(
            timespec="microseconds")
    if "created" in entry.data:
        entry.data["created"] = local_time(row.get("created") or entry.data["modified"])


def _resolved(work: Work, spec: Spec, rows: list[Data]) -> list[Data]:
    """The rows with IDs where parents were named."""
    parents = {name: known.ref for name, known in spec.items()
               if known.ref and known.ref != "warehouses"}
    rows = _named(work, parents, rows)
    if "lines" not in spec:
        return rows
    flat = iter(_named(work, {"item_id": "items"},
                       [dict(line) for row in rows for line in row.get("lines") or ()]))
    return [{**row, "lines": list(islice(flat, len(row.get("lines") or ())))} for row in rows]


def _named(work: Work, parents: Mapping[str, str], rows: list[Data]) -> list[Data]:
    for name, object in parents.items():
        names = {row[name] for row in rows if isinstance(row.get(name), str)}
        if not names:
            continue
        columns = ("natural", "reference") if object == "items" else ("reference",)
        for column in columns:
            work.find(object, column, names)
        for row in rows:
            if isinstance(row.get(name), str):
                found = [e for column in columns if (e := work.by(object, column, row[name]))]
                row[name] = found[0].id if found else row[name]
    return rows
