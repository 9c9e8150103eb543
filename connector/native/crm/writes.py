"""Creating, changing and deleting records: one at a time or a hundred, always in bulk below."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connector.native.crm.documents import (
    checked_lines,
    quote_moved,
    quoted_for,
    work_out,
)
from connector.native.crm.objects import DOCUMENTS, NUMBERED, OBJECTS, PREFIX, natural_key
from connector.native.database import Entry, Transaction
from connector.native.fields import Errors, check

TITLES = {400: "Bad request", 404: "Not found", 409: "Conflict", 410: "Gone",
          412: "Precondition failed", 413: "Too large", 422: "Invalid"}


@dataclass(frozen=True, slots=True)
class Done:
    """The answer to one operation: a record, or a problem (RFC 9457)."""

    status: int
    entry: Entry | None = None
    problem: dict[str, Any] | None = None


def problem(status: int, detail: str, errors: Errors | None = None) -> dict[str, Any]:
    """A problem document."""
    return {"type": "about:blank", "title": TITLES.get(status, "Error"), "status": status,
            "detail": detail,
            "errors": [{"field": f, "message": m} for f, m in (errors or {}).items()]}


def refused(status: int, detail: str, errors: Errors | None = None) -> Done:
    """A refused operation."""
    return Done(status, problem=problem(status, detail, errors))


def carry_out(transaction: Transaction, object: str,
              operations: Sequence[Mapping[str, Any]]) -> list[Done]:
    """Carry out operations in order; one that is refused leaves the others alone."""
    _load(transaction, object, operations)
    return [_one(transaction, object, operation) for operation in operations]


def _load(transaction: Transaction, object: str,
          operations: Sequence[Mapping[str, Any]]) -> None:
    """Load in a few queries what the operations are about and refer to."""
    transaction.load(object, [o["id"] for o in operations if isinstance(o.get("id"), str)])
    spec = OBJECTS[object]
    line_refs = {n: f.ref for n, f in spec["lines"].nested.items() if f.ref} \
        if "lines" in spec else {}
    wanted: dict[str, list[str]] = {}
    for operation in operations:
        body = operation.get("body")
        if not isinstance(body, dict):
            continue
        for name, field in spec.items():
            if field.ref and isinstance(body.get(name), str):
                wanted.setdefault(field.ref, []).append(body[name])
        for line in body.get("lines") or ():
            for name, ref in line_refs.items():
                if isinstance(line, dict) and isinstance(line.get(name), str):
                    wanted.setdefault(ref, []).append(line[name])
    for ref, ids in wanted.items():
        transaction.load(ref, ids)
    if object in ("products", "stockLevels"):
        keys = [key for o in operations if isinstance(o.get("body"), dict)
                and (key := _given_key(object, o["body"]))]
        transaction.by(object, "natural", keys)


def _given_key(object: str, body: dict[str, Any]) -> str | None:
    try:
        return natural_key(object, body)
    except KeyError:
        return None


def _one(transaction: Transaction, object: str, operation: Mapping[str, Any]) -> Done:
    method = operation.get("method")
    if method == "create":
        return create(transaction, object, operation.get("body"))
    if method not in ("update", "delete"):
        return refused(400, "method is create, update or delete")
    entry = transaction.get(object, str(operation.get("id")))
    if entry is None:
        return refused(404, f"there is no {object} {operation.get('id')}")
    if entry.deleted:
        return refused(410, f"{entry.id} was deleted")
    expected = operation.get("ifMatch")
    if expected is not None and expected != etag(entry):
        return refused(412, f"{entry.id} has changed: its etag is {etag(entry)}")
    if method == "delete":
        return remove(transaction, entry)
    return change(transaction, entry, operation.get("body"))


def etag(entry: Entry) -> str:
    """The token that changes with every write."""
    return f'"{entry.version}"'


def create(transaction: Transaction, object: str, body: Any) -> Done:
    """A new record."""
    errors: Errors = {}
    data = _checked(transaction, object, body, errors, partial=False)
    if errors:
        return refused(422, f"the {object} record is not valid", errors)
    key = natural_key(object, data)
    if object in ("products", "stockLevels") and key is not None \
            and any(not e.deleted for e in transaction.by(object, "natural", [key]).values()):
        return refused(422, "there is one like it", {"sku" if object == "products"
                                                     else "warehouse": "is taken"})
    entry = Entry(object, f"{PREFIX[object]}_{uuid.uuid4().hex[:20]}", data, natural=key,
                  reference=data["externalRef"])
    if object in NUMBERED and data["number"] is None:
        data["number"] = f"{NUMBERED[object]}-{transaction.count(object) + 1:06d}"
    data.update(id=entry.id, createdAt=_stamp(transaction), deleted=False)
    if object == "stockLevels":
        data["quoted"] = quoted_for(transaction.every("quotes"), data["productId"],
                                    data["warehouse"])
    transaction.add(entry)
    return _saved(transaction, entry, None, 201)


def change(transaction: Transaction, entry: Entry, body: Any) -> Done:
    """Change a record: the given fields only. What changes nothing moves nothing."""
    errors: Errors = {}
    data = _checked(transaction, entry.object, body, errors, partial=True)
    if errors:
        return refused(422, f"{entry.id} can't be changed like that", errors)
    before = dict(entry.data)
    entry.data.update(data)
    if entry.object in DOCUMENTS:
        work_out(entry.data)
    if entry.data == before:
        return Done(200, entry)
    entry.natural = natural_key(entry.object, entry.data)
    entry.reference = entry.data["externalRef"]
    transaction.touch(entry)
    return _saved(transaction, entry, before, 200)


def remove(transaction: Transaction, entry: Entry) -> Done:
    """Delete a record; its tombstone stays."""
    before = dict(entry.data)
    entry.deleted = entry.data["deleted"] = True
    transaction.touch(entry, "deleted")
    if entry.object == "quotes":
        quote_moved(transaction, before, None)
    _stamped(transaction, entry)
    return Done(204, entry)


def _saved(transaction: Transaction, entry: Entry, before: dict[str, Any] | None,
           status: int) -> Done:
    if entry.object in DOCUMENTS and before is None:
        work_out(entry.data)
    if entry.object == "quotes":
        quote_moved(transaction, before, entry.data)
    return Done(status, _stamped(transaction, entry))


def _stamped(transaction: Transaction, entry: Entry) -> Entry:
    entry.data["updatedAt"] = _stamp(transaction)
    entry.data["etag"] = etag(entry)
    return entry


def _stamp(transaction: Transaction) -> str:
    return transaction.stamp.replace("+00:00", "Z")


def _checked(transaction: Transaction, object: str, body: Any, errors: Errors, *,
             partial: bool) -> dict[str, Any]:
    spec = OBJECTS[object]
    body = dict(body) if isinstance(body, dict) else body
    lines = body.pop("lines", None) if isinstance(body, dict) and "lines" in spec else None
    header = {n: f for n, f in spec.items() if n != "lines"}
    data = check(header, body, partial=partial, errors=errors)
    if "lines" in spec and (lines is not None or not partial):
        data["lines"] = checked_lines(object, lines, errors)
    _check_references(transaction, header, data, errors, "")
    if "lines" in data:
        for i, line in enumerate(data["lines"]):
            _check_references(transaction, spec["lines"].nested, line, errors, f"lines[{i}].")
    return data


def _check_references(transaction: Transaction, spec: Mapping[str, Any], data: dict[str, Any],
                      errors: Errors, prefix: str) -> None:
    for name, field in spec.items():
        if field.ref and data.get(name) is not None:
            target = transaction.get(field.ref, data[name])
            if target is None or target.deleted:
                errors[prefix + name] = f"there is no {field.ref} {data[name]}"


def restamp(transaction: Transaction) -> None:
    """Put time and etag into records that changed because others did."""
    for entry in transaction.changed():
        _stamped(transaction, entry)
