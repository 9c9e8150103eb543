"""Where in a canonical record something stands: the field `phone`, the line `lines[10]`, its field
`lines[10].quantity`, or the whole record, whose path is empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from connector.domain.entities import ENTITIES, Field

_LINE, _END = "lines[", "]"


class Path(NamedTuple):
    """A path, taken apart: the key of the `line` as text, None outside of the lines; and the
    `name` of the field, empty for all of the line, or of the record."""

    line: str | None
    name: str


def path_of(line_key: Any, name: str = "") -> str:
    """The path of a line, or of one of its fields."""
    return f"{_LINE}{line_key}{_END}.{name}" if name else f"{_LINE}{line_key}{_END}"


def parsed(path: str) -> Path:
    """A path as its parts."""
    if not path.startswith(_LINE):
        return Path(None, path)
    line, _, name = path.removeprefix(_LINE).partition(_END)
    return Path(line, name.removeprefix("."))


def field_at(entity: str, path: str) -> Field | None:
    """The field that a path names; None where it names the whole of a line or of the record."""
    spec, (line, name) = ENTITIES[entity], parsed(path)
    return (spec.fields if line is None else spec.line_fields).get(name)


def value_at(entity: str, record: Mapping[str, Any], path: str) -> Any:
    """What stands at a path: the value of a field, a line, or the record itself; None where the
    record lacks it."""
    line_key, name = parsed(path)
    if line_key is None:
        return record.get(name) if name else record
    key = ENTITIES[entity].line_key
    line = next((line for line in record.get("lines", ()) if str(line[key]) == line_key), None)
    return line if line is None or not name else line.get(name)
