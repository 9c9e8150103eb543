"""Creating and changing records: rows of a bulk call, each with its own result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from connector.native.database import Entry, Transaction
from connector.native.erp.objects import (
    FINAL,
    LINES,
    NOT_CREATED,
    NUMBERS,
    OBJECTS,
    TERMS,
    UNIQUE,
    natural_key,
)
from connector.native.erp.sums import settle
from connector.native.erp.words import (
    Refused,
    Row,
    dmy,
    is_id,
    local,
    today,
)
from connector.native.fields import Errors, Spec, check

Changing = Callable[[Transaction, str, Row], Entry]
_EDITABLE = {"sales_orders": "entered", "quotations": "open"}
_LOCKED = ("customer_id", "currency_code", "warehouse", "lines", *TERMS)
_LINE = tuple(n for n, f in OBJECTS["quotations"]["lines"].nested.items() if not f.read_only)


def write_rows(transaction: Transaction, object: str, rows: Sequence[Any],
               changing: Changing) -> list[Entry | Refused]:
    """Create the rows without an ID and change the others; one that is refused leaves the others
    alone. An entry's `new` tells which it was."""
    preload(transaction, object, rows)
    ids = iter(transaction.next_ids(object, len(rows)))
    done: list[Entry | Refused] = []
    for row in rows:
        try:
            if not isinstance(row, dict):
                raise Refused("E422-FIELD", "a row is an object")
            done.append(changing(transaction, object, row) if "id" in row
                        else create(transaction, object, row, next(ids)))
        except Refused as refusal:
            done.append(refusal)
    return done


def preload(transaction: Transaction, object: str, rows: Sequence[Any]) -> None:
    """Load in a few queries what the rows are about and refer to."""
    given = [row for row in rows if isinstance(row, dict)]
    transaction.load(object, [row["id"] for row in given if is_id(row.get("id"))])
    transaction.by(object, "reference", [
        row["external_ref"] for row in given if isinstance(row.get("external_ref"), str)])
    if object in UNIQUE:
        transaction.by(object, "natural", [k for r in given if (k := _given_key(object, r))])
    spec = OBJECTS[object]
    wanted: dict[str, list[int]] = {}
    nested = spec["lines"].nested if "lines" in spec else {}
    keys: list[str] = []
    for row in given:
        _wanted(spec, row, wanted)
        if nested:
            lines, warehouse = _lines_of(transaction, object, row)
            for line in lines:
                _wanted(nested, line, wanted)
            keys += stock_keys(lines, warehouse)
    for ref, ids in wanted.items():
        transaction.load(ref, ids)
    if "warehouse" in spec:
        transaction.by("warehouses", "natural", [
            row["warehouse"] for row in given if isinstance(row.get("warehouse"), str)])
    if object == "quotations":
        transaction.by("stock_levels", "natural", keys)


def _lines_of(transaction: Transaction, object: str, row: Row) -> tuple[list[Row], Any]:
    """The lines that a row gives and those that its document has, and the warehouse."""
    entry = transaction.get(object, row["id"]) if is_id(row.get("id")) else None
    there: Row = entry.data if entry and object in LINES else {"lines": [], "warehouse": None}
    given = row.get("lines")
    lines = [*(given if isinstance(given, list) else ()), *there["lines"]]
    return ([line for line in lines if isinstance(line, dict)],
            row.get("warehouse") or there["warehouse"])


def stock_keys(lines: Sequence[Row], warehouse: Any) -> list[str]:
    """The natural keys of the stock levels that a document is about."""
    return [f"{line['item_id']}@{warehouse}" for line in lines if line.get("item_id")] \
        if warehouse else []


def _given_key(object: str, row: Row) -> str | None:
    try:
        return natural_key(object, dict(row))
    except KeyError:
        return None


def _wanted(spec: Mapping[str, Any], row: Row, wanted: dict[str, list[int]]) -> None:
    for name, field in spec.items():
        if field.ref and is_id(row.get(name)):
            wanted.setdefault(field.ref, []).append(row[name])


def create(transaction: Transaction, object: str, row: Row, id: int) -> Entry:
    """A new record. Raises `Refused`."""
    if object in NOT_CREATED:
        raise Refused("E405-OBJECT", f"{object} come up through actions only")
    reference = row.get("external_ref")
    if isinstance(reference, str) and reference:
        there = transaction.by(object, "reference", [reference]).get(reference)
        if there is not None:
            raise Refused("E409-REF", f"external_ref {reference} is taken",
                          {"external_ref": "is taken"}, existing_id=there.id, row=there.data)
    data = checked(transaction, object, row, partial=False)
    _unique(transaction, object, data)
    if data.get("state") == "ordered":
        raise Refused("E422-FIELD", "a quotation is ordered by a sales order",
                      {"state": "open, won and lost can be written"})
    if data.get("quotation_id"):
        _may_be_ordered(transaction, data["quotation_id"])
    entry = add(transaction, object, id, data)
    if object == "stock_levels":
        _counted(transaction, entry)
        settle(transaction, entry)
    return entry


def _may_be_ordered(transaction: Transaction, quotation_id: int) -> None:
    quotation = transaction.get("quotations", quotation_id)
    if quotation is not None and quotation.data["state"] == "lost":
        raise Refused("E409-STATE", f"{quotation.data['quotation_no']} is lost and can't be "
                      "ordered", {"quotation_id": "only one that is open or won"})


def add(transaction: Transaction, object: str, id: int, data: dict[str, Any]) -> Entry:
    """Put a checked record in: number, sums and what the ERP works out."""
    if object in NUMBERS:
        name, prefix = NUMBERS[object]
        data[name] = f"{prefix}{10000 + id}"
    data = {"id": id, **data, "rev": 0, "created": local(transaction.now), "modified": ""}
    entry = Entry(object, id, data, reference=data.get("external_ref") or None,
                  natural=natural_key(object, data), deleted=bool(data.get("archived")))
    settle(transaction, entry)
    if object == "sales_orders":
        data["ordered_on"] = data["ordered_on"] or dmy(today(transaction.now))
        data["warehouse"] = data["warehouse"] or _first_warehouse(transaction)
        _quotation_ordered(transaction, entry)
    return transaction.add(entry)


def change(transaction: Transaction, object: str, row: Row) -> Entry:
    """Change a record: the given fields only. What changes nothing moves nothing. Raises
    `Refused`."""
    entry = found(transaction, object, row)
    changed = differing(transaction, entry, row)
    if not changed:
        return entry
    _may_change(entry, changed)
    after = {**entry.data, **changed}
    if natural_key(object, after) != entry.natural:
        _unique(transaction, object, after)
    entry.data.update(changed)
    if "count" in changed:
        _counted(transaction, entry)
    entry.natural, entry.deleted = natural_key(object, after), bool(after.get("archived"))
    settle(transaction, entry)
    transaction.touch(entry)
    return entry


def found(transaction: Transaction, object: str, row: Row) -> Entry:
    """The record that a row is about, in the revision it names. Raises `Refused`."""
    entry = transaction.get(object, row["id"]) if is_id(row["id"]) else None
    if entry is None:
        raise Refused("E404", f"there is no {object} {row['id']}")
    if object in FINAL:
        raise Refused("E405-OBJECT", f"{object} can't be changed")
    if row.get("rev") is None:
        raise Refused("E428-REV", "rev has to be given")
    if row["rev"] != entry.version:
        raise Refused("E409-REV", f"rev is {entry.version} by now", {"rev": "is outdated"})
    return entry


def differing(transaction: Transaction, entry: Entry, row: Row) -> dict[str, Any]:
    """The fields of a row, checked, that differ from the record's. Raises `Refused`."""
    data = checked(transaction, entry.object,
                   {k: v for k, v in row.items() if k not in ("id", "rev")}, partial=True)
    merged = {k: {**entry.data[k], **v} if isinstance(v, dict) and entry.data.get(k) else v
              for k, v in data.items()}
    return {k: v for k, v in merged.items() if not _same(k, v, entry.data.get(k))}


def _same(name: str, new: Any, old: Any) -> bool:
    """Whether a value is the one already there; lines without what the ERP works out."""
    if name != "lines" or not old:
        return bool(new == old)
    return [[line[k] for k in _LINE] for line in old] == [[line[k] for k in _LINE] for line in new]


def _may_change(entry: Entry, changed: Mapping[str, Any]) -> None:
    state = _EDITABLE.get(entry.object)
    if state is None:
        return
    if "state" in changed and "ordered" in (changed["state"], entry.data["state"]):
        raise Refused("E409-STATE", f"{entry.object} {entry.id} is {entry.data['state']}: ordered "
                      "comes of a sales order and stays", {"state": "can't be changed"})
    locked = [name for name in _LOCKED if name in changed]
    if locked and entry.data["state"] != state:
        raise Refused("E409-STATE", f"{entry.object} {entry.id} is {entry.data['state']}, "
                      f"{', '.join(locked)} can't be changed any more",
                      dict.fromkeys(locked, f"only while {state}"))


def _counted(transaction: Transaction, entry: Entry) -> None:
    """A count sets what is on hand, by an inventory adjustment; the same count (quantity and day)
    does so once, however often it is written."""
    count = entry.data["count"]
    if count["qty"] is None:
        return
    key = f"{entry.id}:{count['qty']}:{count['on']}"
    if transaction.kept("count", key) is None:
        transaction.keep("count", key, b"")
        entry.data["on_hand"] = count["qty"]


def checked(transaction: Transaction, object: str, row: Row, *, partial: bool) -> dict[str, Any]:
    """The given fields, checked, references too. Raises `Refused` naming each field."""
    errors: Errors = {}
    spec = OBJECTS[object]
    header = {n: f for n, f in spec.items() if n != "lines" or object not in LINES}
    data = check(header, {k: v for k, v in row.items() if k in header or k not in spec},
                 partial=partial, errors=errors)
    _fill(header, data)
    _references(transaction, header, data, errors, "")
    if data.get("warehouse") and not transaction.by("warehouses", "natural", [data["warehouse"]]):
        errors["warehouse"] = f"there is no warehouse {data['warehouse']}"
    if object in LINES and ("lines" in row or not partial):
        data["lines"] = _lines(transaction, object, row.get("lines"), errors)
    if errors:
        raise Refused("E422-FIELD", f"{object}: " + ", ".join(errors) + " not accepted", errors)
    return data


def _fill(spec: Spec, data: dict[str, Any]) -> None:
    """Null stands for the default, where there is one."""
    for name, field in spec.items():
        if name in data and field.nested and isinstance(data[name], dict):
            _fill(field.nested, data[name])
        elif name in data and data[name] is None:
            data[name] = field.default


def _lines(transaction: Transaction, object: str, lines: Any,
           errors: Errors) -> list[dict[str, Any]]:
    if not isinstance(lines, list):
        errors["lines"] = "a list is expected"
        return []
    spec = OBJECTS[object]["lines"].nested
    clean = []
    for i, line in enumerate(lines):
        data = check(spec, line, partial=False, errors=errors, prefix=f"lines[{i}].")
        if data.get("line_no") is None:
            data["line_no"] = i + 1
        _fill(spec, data)
        _references(transaction, spec, data, errors, f"lines[{i}].")
        clean.append(data)
    if len({line["line_no"] for line in clean}) < len(clean):
        errors["lines"] = "a line_no is given twice"
    return clean


def _references(transaction: Transaction, spec: Mapping[str, Any], data: Row, errors: Errors,
                prefix: str) -> None:
    for name, field in spec.items():
        value = data.get(name)
        if field.ref and value is not None and transaction.get(field.ref, value) is None:
            errors[prefix + name] = f"there is no {field.ref} {value}"


def _unique(transaction: Transaction, object: str, data: dict[str, Any]) -> None:
    key = natural_key(object, data)
    if object in UNIQUE and key is not None and transaction.by(object, "natural", [key]):
        raise Refused("E409-UNIQUE", f"there is one of these {object} already: {key}",
                      {UNIQUE[object]: "is taken"})


def _first_warehouse(transaction: Transaction) -> str | None:
    every = transaction.every("warehouses")
    return str(every[0].data["code"]) if every else None


def _quotation_ordered(transaction: Transaction, order: Entry) -> None:
    quotation = transaction.get("quotations", order.data["quotation_id"]) \
        if order.data["quotation_id"] else None
    if quotation is not None:
        quotation.data.update(state="ordered", sales_order_id=order.id)
        transaction.touch(quotation)


def stamp(transaction: Transaction) -> None:
    """Put revision and time into every record that has changed."""
    modified = local(transaction.now)
    for entry in transaction.changed():
        entry.data["rev"], entry.data["modified"] = entry.version, modified
