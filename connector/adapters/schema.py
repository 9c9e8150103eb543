"""What an object's fields are, and that a mapping asks for no others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from connector.domain.records import ObjectSchema
from connector.errors import RequestRefused


def from_openapi(document: Mapping[str, Any], object: str) -> ObjectSchema:
    """The fields of the component schema named `object`; nested ones as `tax.vat_no`, the items
    of `lines` apart. Raises `RequestRefused` where there is no such schema."""
    schemas = document.get("components", {}).get("schemas", {})
    if object not in schemas:
        raise RequestRefused(f"The API documents no object {object!r}.",
                             hint=f"It has: {', '.join(sorted(schemas))}.")
    fields, lines = set[str](), set[str]()
    for name, spec in schemas[object].get("properties", {}).items():
        fields.add(name)
        items = spec.get("items", {})
        if name == "lines":
            lines |= set(items.get("properties", {}))
        for inner in spec.get("properties", {}):
            fields.add(f"{name}.{inner}")
    return ObjectSchema(frozenset(fields), frozenset(lines))


def all_there(object: str, schema: ObjectSchema, wanted: Iterable[str]) -> None:
    """`prepare` of a system whose objects take no new fields. Raises `RequestRefused` for a
    field that it lacks."""
    missing = sorted(set(wanted) - schema.fields)
    if missing:
        raise RequestRefused(f"{object} has no {', '.join(missing)}, and takes no new fields.",
                             hint="Mend the mapping.")
