"""Creating, changing and deleting records: one at a time or a hundred, always in bulk below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connector.native.crm.documents import (
    SUMS,
    checked_lines,
    load_levels,
    quote_moved,
    quoted_for,
    quoted_of,
    work_out,
)
from connector.native.crm.objects import NUMBERED, OBJECTS, PREFIX, UNIQUE, natural_key
from connector.native.crm.words import Refused, is_id, z
from connector.native.database import Entry, Transaction
from connector.native.fields import Errors, Spec, check


@dataclass(frozen=True, slots=True)
class Done:
    """What came of one operation: a status and the record, or a problem (RFC 9457)."""

    status: int
    entry: Entry | None = None
    problem: dict[str, Any] | None = None


def carry_out(transaction: Transaction, object: str,
              operations: Sequence[Any]) -> list[Done]:
    """Carry out operations in order; one that is refused leaves the others alone."""
    preload(transaction, object, operations)
    return [_one(transaction, object, operation) for operation in operations]


def preload(transaction: Transaction, object: str, operations: Sequence[Any]) -> None:
    """Load in a few queries what the operations are about and refer to."""
    given = [o for o in operations if isinstance(o, dict)]
    bodies = [o["body"] for o in given if isinstance(o.get("body"), dict)]
    transaction.load(object, [o["id"] for o in given if is_id(o.get("id"))])
    wanted: dict[str, list[str]] = {}
    for rows, spec in _with_lines(OBJECTS[object], bodies):
        for name, field in spec.items():
            if field.ref:
                wanted.setdefault(field.ref, []).extend(
                    row[name] for row in rows if is_id(row.get(name)))
    for ref, ids in wanted.items():
        transaction.load(ref, ids)
    keys = [key for body in bodies if (key := _given_key(object, body))]
    if object in UNIQUE:
        transaction.by(object, "natural", keys)
    if object == "stockLevels":
        load_levels(transaction, keys)
    if object == "quotes":
        _load_levels_of(transaction, given)


def _with_lines(spec: Spec, bodies: list[Any]) -> list[tuple[list[Any], Spec]]:
    """The bodies and, apart, their lines; each with their fields."""
    if "lines" not in spec:
        return [(bodies, spec)]
    lines = [line for body in bodies for line in _lines(body)]
    return [(bodies, spec), (lines, spec["lines"].nested)]


def _lines(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    lines = body.get("lines")
    return [x for x in lines if isinstance(x, dict)] if isinstance(lines, list) else []


def _given_key(object: str, body: dict[str, Any]) -> str | None:
    try:
        return natural_key(object, body)
    except KeyError:
        return None


def _load_levels_of(transaction: Transaction, operations: Sequence[Mapping[str, Any]]) -> None:
    """Load the stock levels that quotes ask of, or asked of so far."""
    keys: dict[str, None] = {}
    for operation in operations:
        old = transaction.get("quotes", operation["id"]) if is_id(operation.get("id")) else None
        keys.update(dict.fromkeys(quoted_of(old.data if old else None)))
        body = operation.get("body")
        if isinstance(body, dict):
            warehouse = body.get("warehouse", old.data["warehouse"] if old else None)
            lines = _lines(body) or (old.data["lines"] if old else [])
            keys.update({f"{line.get('productId')}@{warehouse}": None for line in lines})
    load_levels(transaction, keys)


def _one(transaction: Transaction, object: str, operation: Any) -> Done:
    try:
        return _carried_out(transaction, object, operation)
    except Refused as refusal:
        return Done(refusal.status, problem=refusal.problem)


def _carried_out(transaction: Transaction, object: str, operation: Any) -> Done:
    method = operation.get("method") if isinstance(operation, dict) else None
    if method == "create":
        return Done(201, create(transaction, object, operation.get("body")))
    if method not in ("update", "delete"):
        raise Refused(400, "method is create, update or delete")
    id = operation.get("id")
    entry = transaction.get(object, id) if is_id(id) else None
    if entry is None:
        raise Refused(404, f"there is no {object} {id}")
    if entry.deleted:
        raise Refused(410, f"{entry.id} was deleted")
    expected = operation.get("ifMatch")
    if expected not in (None, "*", etag(entry)):
        raise Refused(412, f"{entry.id} has changed: its etag is {etag(entry)}")
    if method == "delete":
        return Done(204, remove(transaction, entry))
    return Done(200, change(transaction, entry, operation.get("body")))


def etag(entry: Entry) -> str:
    """The token that changes with every write."""
    return f'"{entry.version}"'


def create(transaction: Transaction, object: str, body: Any, id: str | None = None) -> Entry:
    """A new record, under an ID of its own unless one is given. Raises `Refused`."""
    errors: Errors = {}
    data = _checked(transaction, object, body, errors, partial=False)
    if not errors:
        work_out(object, data, transaction.database.company, errors)
    key = None if errors else natural_key(object, data)
    if not errors:
        _check_key(transaction, object, key, errors)
    if errors:
        raise Refused(422, f"the {object} record is not valid", errors)
    entry = Entry(object, id or f"{PREFIX[object]}_{transaction.database.new_id()}", data,
                  natural=key, reference=data["externalRef"])
    if object in NUMBERED and data["number"] is None:
        data["number"] = f"{NUMBERED[object]}-{transaction.next_number(object):06d}"
    data.update(id=entry.id, createdAt=z(transaction.now), deleted=False)
    if object == "stockLevels":
        data["quoted"] = quoted_for(transaction, str(key))
    transaction.add(entry)
    if object == "quotes":
        quote_moved(transaction, None, data)
    return _stamped(transaction, entry)


def change(transaction: Transaction, entry: Entry, body: Any) -> Entry:
    """Change a record: the given fields only. What changes nothing moves nothing. Raises
    `Refused`."""
    errors: Errors = {}
    before = entry.data
    after = {**before, **_checked(transaction, entry.object, body, errors, partial=True)}
    if not errors:
        work_out(entry.object, after, transaction.database.company, errors)
    key = None if errors else natural_key(entry.object, after)
    if not errors and key != entry.natural:
        _check_key(transaction, entry.object, key, errors)
    if errors:
        raise Refused(422, f"{entry.id} can't be changed like that", errors)
    if after == before:
        return entry
    if entry.object == "stockLevels" and key != entry.natural:
        after["quoted"] = quoted_for(transaction, str(key))
    entry.data, entry.natural, entry.reference = after, key, after["externalRef"]
    transaction.touch(entry)
    if entry.object == "quotes":
        quote_moved(transaction, before, after)
    return _stamped(transaction, entry)


def remove(transaction: Transaction, entry: Entry) -> Entry:
    """Delete a record; its tombstone stays, its natural key is free again."""
    before = entry.data
    entry.data = {**before, "deleted": True}
    entry.deleted, entry.natural = True, None
    transaction.touch(entry, "deleted")
    if entry.object == "quotes":
        quote_moved(transaction, before, None)
    return _stamped(transaction, entry)


def bring_back(transaction: Transaction, object: str, id: str) -> Entry:
    """Undo a deletion: the record is there again, as it was. Raises `Refused`, also where its
    natural key was given to another one meanwhile, or where something it refers to is gone."""
    entry = transaction.get(object, id) if is_id(id) else None
    if entry is None:
        raise Refused(404, f"there is no {object} {id}")
    data = entry.data
    if not entry.deleted or data.get("mergedInto"):
        raise Refused(409, f"{id} was merged into {data['mergedInto']}" if entry.deleted
                      else f"{id} is not deleted")
    errors: Errors = {}
    key = natural_key(object, data)
    _check_key(transaction, object, key, errors)
    for rows, spec in _with_lines(OBJECTS[object], [data]):
        for row in rows:
            _check_references(transaction, spec, row, errors, "")
    if errors:
        raise Refused(422, f"{id} can't be brought back", errors)
    entry.data, entry.deleted, entry.natural = {**data, "deleted": False}, False, key
    transaction.touch(entry)
    if object == "quotes":
        load_levels(transaction, quoted_of(entry.data))
        quote_moved(transaction, None, entry.data)
    return _stamped(transaction, entry)


def _stamped(transaction: Transaction, entry: Entry) -> Entry:
    entry.data["updatedAt"] = z(transaction.now)
    entry.data["etag"] = etag(entry)
    return entry


def restamp(transaction: Transaction) -> None:
    """Put time and etag into records that changed because others did."""
    for entry in transaction.changed():
        if entry.object != SUMS:
            _stamped(transaction, entry)


def _check_key(transaction: Transaction, object: str, key: str | None, errors: Errors) -> None:
    """A natural key belongs to one record."""
    if object in UNIQUE and key is not None and transaction.by(object, "natural", [key]):
        errors[UNIQUE[object]] = "is taken"


def _checked(transaction: Transaction, object: str, body: Any, errors: Errors, *,
             partial: bool) -> dict[str, Any]:
    spec = OBJECTS[object]
    body = dict(body) if isinstance(body, dict) else body
    with_lines = "lines" in spec and isinstance(body, dict) and (not partial or "lines" in body)
    lines = body.pop("lines", None) if with_lines else None
    header = {n: f for n, f in spec.items() if n != "lines"}
    data = check(header, body, partial=partial, errors=errors)
    for name, value in data.items():
        if value is None:
            data[name] = header[name].default
    if with_lines:
        data["lines"] = checked_lines(object, lines, errors)
        for i, line in enumerate(data["lines"]):
            _check_references(transaction, spec["lines"].nested, line, errors, f"lines[{i}].")
    _check_references(transaction, header, data, errors, "")
    return data


def _check_references(transaction: Transaction, spec: Spec, data: Mapping[str, Any],
                      errors: Errors, prefix: str) -> None:
    for name, field in spec.items():
        if field.ref and data.get(name) is not None:
            target = transaction.get(field.ref, data[name])
            if target is None or target.deleted:
                errors[prefix + name] = f"there is no {field.ref} {data[name]}"
