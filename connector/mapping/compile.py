"""Compiles a mapping document into plain function calls, once, at start.

`decode` and `encode` then do no lookups by name: each field is a small closure with everything
it needs bound in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from datetime import date, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from connector.domain import values
from connector.domain.entities import Entity, Field, FieldType
from connector.domain.values import MISSING, Record
from connector.errors import DecodeFailed, EncodeFailed, ParentMissing
from connector.mapping.formula import Formula
from connector.mapping.transforms import Transform

if TYPE_CHECKING:
    from connector.mapping.document import FieldSpec, MappingDocument

Resolve = Callable[[str, str], str | None]
Read = Callable[[AnyMapping[str, Any]], Any]


class MappingError(Exception):
    """A document that can't be compiled; `location` leads to the part at fault."""

    def __init__(self, location: list[str], message: str, hint: str = "") -> None:
        super().__init__(message)
        self.location, self.message, self.hint = location, message, hint


@dataclass(frozen=True, slots=True)
class FieldCode:
    """One field, compiled. `path` is for messages; `read` gives `MISSING` where it is absent."""

    name: str
    path: str
    read: Read | None
    decode: Callable[[Any], Any]
    steps: tuple[str, ...]
    encode: Callable[[Any], Any] | None
    link: str = ""
    lossy: bool = False
    required: bool = False


@dataclass(frozen=True)
class Mapping:
    """A compiled mapping between a system's object and a canonical entity."""

    system: str
    entity: Entity
    object: str
    fields: tuple[FieldCode, ...]
    lines: tuple[FieldCode, ...] = ()
    lines_path: tuple[str, ...] = ()
    lines_direction: str = "both"
    select: Formula | None = None
    readable: frozenset[str] = field(init=False)
    writable: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        readable = {f.name for f in self.fields if f.read}
        writable = {f.name for f in self.fields if f.encode}
        if self.lines:
            readable |= {"lines", *(f"lines.{f.name}" for f in self.lines if f.read)}
            if self.lines_direction == "both":
                writable |= {"lines", *(f"lines.{f.name}" for f in self.lines if f.encode)}
        object.__setattr__(self, "readable", frozenset(readable))
        object.__setattr__(self, "writable", frozenset(writable))

    @property
    def source_paths(self) -> frozenset[str]:
        """The system's paths that header fields use."""
        own = {f.path for f in self.fields if f.steps}
        return frozenset(own | ({".".join(self.lines_path)} if self.lines else set()))

    @property
    def line_paths(self) -> frozenset[str]:
        """The system's paths that line fields use, within a line."""
        return frozenset(f.path for f in self.lines if f.steps)

    def selects(self, payload: AnyMapping[str, Any]) -> bool:
        """Whether a record is among those the mapping is for. Raises `DecodeFailed`."""
        if self.select is None:
            return True
        try:
            return bool(self.select(payload))
        except ValueError as error:
            raise DecodeFailed(f"select: {error}.", field="select") from None

    def references(self, payload: AnyMapping[str, Any]) -> list[tuple[str, str]]:
        """(entity, external ID) of everything a payload refers to."""
        found = _external(self.fields, payload)
        if self.lines:
            for line in _lines_of(payload, self.lines_path):
                found += _external(self.lines, line)
        return found

    def wanted(self, record: Record) -> list[tuple[str, str]]:
        """(entity, canonical ID) of everything `encode` will have to resolve."""
        found = [(f.link, record[f.name]) for f in self.fields
                 if f.link and f.encode and record.get(f.name) is not None]
        for line in record.get("lines", ()):
            found += [(f.link, line[f.name]) for f in self.lines
                      if f.link and f.encode and line.get(f.name) is not None]
        return found

    def decode(self, payload: AnyMapping[str, Any], canonical: Resolve,
               previous: Record | None = None) -> dict[str, Any]:
        """A payload as a canonical record.

        `canonical` resolves (entity, external ID). `previous` is the record last agreed: where
        several canonical values look alike in the system, its value is kept. Raises
        `DecodeFailed` naming the field, or `ParentMissing`.
        """
        record = _decode(self.fields, payload, canonical, previous or {}, "")
        if self.lines:
            record["lines"] = self._decode_lines(payload, canonical, previous or {})
        return record

    def _decode_lines(self, payload: AnyMapping[str, Any], canonical: Resolve,
                      previous: Record) -> list[dict[str, Any]]:
        key = self.entity.line_key
        before = {line.get(key): line for line in previous.get("lines", ())}
        key_code = next(f for f in self.lines if f.name == key)
        lines: dict[Any, dict[str, Any]] = {}
        for number, line in enumerate(_lines_of(payload, self.lines_path), start=1):
            where = f"line {number}: "
            own_key = _decode((key_code,), line, canonical, {}, where).get(key)
            if own_key in lines or own_key is None:
                raise DecodeFailed(f"{where}the line key {own_key!r} is missing or not unique "
                                   f"(path `{key_code.path}`).", field=f"lines.{key}")
            lines[own_key] = _decode(self.lines, line, canonical, before.get(own_key, {}), where)
        return [lines[k] for k in sorted(lines)]

    def encode(self, record: Record, external: Resolve) -> dict[str, Any]:
        """A (partial) canonical record as a payload, of the fields that may be written.

        Raises `EncodeFailed` naming the field, or `ParentMissing`.
        """
        payload = _encode(self.fields, record, external)
        if self.lines and "lines" in record and self.lines_direction == "both":
            _put(payload, self.lines_path,
                 [_encode(self.lines, line, external) for line in record["lines"]])
        return payload


def _lines_of(payload: AnyMapping[str, Any], path: tuple[str, ...]) -> Iterable[Any]:
    node: Any = payload
    for step in path:
        node = node.get(step) if isinstance(node, AnyMapping) else None
    return node or ()


def _external(fields: tuple[FieldCode, ...],
              payload: AnyMapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    for code in fields:
        if code.link and code.read:
            value = code.read(payload)
            if value is not MISSING and value not in (None, ""):
                found.append((code.link, str(value)))
    return found


def _decode(fields: tuple[FieldCode, ...], payload: AnyMapping[str, Any], canonical: Resolve,
            previous: Record, where: str) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for code in fields:
        if code.read is None:
            continue
        try:
            raw = code.read(payload)
            if raw is MISSING:
                if code.required:
                    raise ValueError("is missing")
                continue
            record[code.name] = value = _value(code, raw, canonical, previous)
            if value is None and code.required:
                raise ValueError("is blank, but has to be given")
        except ValueError as error:
            raise DecodeFailed(f"{where}{code.name}: {error} (path `{code.path}`).",
                               field=code.name) from None
    return record


def _value(code: FieldCode, raw: Any, canonical: Resolve, previous: Record) -> Any:
    if raw is None or raw == "":
        return None
    if code.link:
        found = canonical(code.link, str(raw))
        if found is None:
            raise ParentMissing(f"{code.link}:{raw}", field=code.name)
        return found
    if code.lossy and code.encode is not None:
        before = previous.get(code.name)
        if before is not None and code.encode(before) == raw:
            return before
    return code.decode(raw)


def _encode(fields: tuple[FieldCode, ...], record: Record, external: Resolve) -> dict[str, Any]:
    payload: dict[str, Any] = {}
    for code in fields:
        if code.encode is None or code.name not in record:
            continue
        value = record[code.name]
        if value is not None:
            if code.link:
                found = external(code.link, value)
                if found is None:
                    raise ParentMissing(f"{code.link}:{value}", field=code.name)
                value = found
            try:
                value = code.encode(value)
            except ValueError as error:
                raise EncodeFailed(f"{code.name}: {error} (path `{code.path}`).",
                                   field=code.name) from None
        _put(payload, code.steps, value)
    return payload


def _put(payload: dict[str, Any], steps: tuple[str, ...], value: Any) -> None:
    node = payload
    for step in steps[:-1]:
        node = node.setdefault(step, {})
    node[steps[-1]] = value


# ---- compiling


def compile_mapping(document: MappingDocument, entity: Entity,
                    transforms: AnyMapping[str, Transform]) -> Mapping:
    """Compile a document. Raises `MappingError` leading to the part at fault."""
    fields = tuple(_compile(name, spec, entity.fields, ["fields", name], transforms)
                   for name, spec in document.fields.items())
    mapped = {f.name for f in fields if f.read}
    for name, spec in entity.fields.items():
        if spec.required and name not in mapped:
            raise MappingError(["fields"], f"{entity.name}.{name} has to be mapped.",
                               "Add it to fields.")
    select = None
    if document.select is not None:
        select = _formula(document.select, ["select"])
    lines: tuple[FieldCode, ...] = ()
    if document.lines is not None:
        lines = _compile_lines(document, entity, transforms)
    elif entity.is_document:
        raise MappingError(["entity"], f"{entity.name} has lines; map them under `lines`.")
    return Mapping(document.system, entity, document.object, fields, lines,
                   tuple(document.lines.path.split(".")) if document.lines else (),
                   document.lines.direction if document.lines else "both", select)


def _compile_lines(document: MappingDocument, entity: Entity,
                   transforms: AnyMapping[str, Transform]) -> tuple[FieldCode, ...]:
    spec = document.lines
    assert spec is not None
    if not entity.is_document:
        raise MappingError(["lines"], f"{entity.name} has no lines.")
    if spec.key != entity.line_key or spec.key not in spec.fields:
        raise MappingError(["lines", "key"], f"the line key of {entity.name} is "
                           f"{entity.line_key}, and it has to be among the lines' fields.")
    return tuple(_compile(name, field_spec, entity.line_fields, ["lines", "fields", name],
                          transforms) for name, field_spec in spec.fields.items())


def _compile(name: str, spec: FieldSpec, known: AnyMapping[str, Field], at: list[str],
             transforms: AnyMapping[str, Transform]) -> FieldCode:
    if name not in known:
        near = get_close_matches(name, known, n=1)
        raise MappingError(at, f"there is no canonical field {name!r}.",
                           f"Did you mean {near[0]}?" if near
                           else f"Known: {', '.join(known)}.")
    target = known[name]
    if target.computed and spec.direction != "pull":
        raise MappingError(at, f"{name} is computed by each side; add `direction: pull`.")
    if (target.type is FieldType.REFERENCE) != (spec.link is not None) or (
            spec.link is not None and spec.link != target.to):
        raise MappingError(at, f"{name} " + (f"refers to {target.to}: give `link: {target.to}`."
                                             if target.to else "is no reference: take `link` out."))
    decode, encode, lossy = _functions(target, spec, at, transforms)
    steps = tuple(spec.path.split(".")) if spec.path else ()
    read = _formula_read(spec.formula, at) if spec.formula else _reader(steps)
    return FieldCode(
        name, spec.path or f"formula {spec.formula}",
        read if spec.direction != "push" else None, _normalised(target, decode), steps,
        encode if spec.direction != "pull" else None, spec.link or "", lossy,
        target.required and spec.direction != "push")


def _functions(target: Field, spec: FieldSpec, at: list[str],
               transforms: AnyMapping[str, Transform],
               ) -> tuple[Callable[[Any], Any], Callable[[Any], Any] | None, bool]:
    if spec.values is not None:
        return _by_values(target, spec.values, at)
    if spec.transform is not None:
        if spec.transform not in transforms:
            near = get_close_matches(spec.transform, transforms, n=1)
            raise MappingError([*at, "transform"], f"there is no transform {spec.transform!r}.",
                               f"Did you mean {near[0]}?" if near
                               else f"Known: {', '.join(transforms)}.")
        transform = transforms[spec.transform]
        if transform.encode is None and spec.direction != "pull":
            raise MappingError([*at, "transform"], f"{transform.name} goes one way; add "
                               "`direction: pull`.")
        return transform.decode, transform.encode, transform.lossy
    return _same, _same, False


def _same(value: Any) -> Any:
    return value


def _by_values(target: Field, table: dict[str, str], at: list[str],
               ) -> tuple[Callable[[Any], Any], Callable[[Any], Any], bool]:
    for canonical in table:
        if target.choices and canonical not in target.choices:
            raise MappingError([*at, "values", canonical], f"{target.name} is never "
                               f"{canonical!r}.", f"Known: {', '.join(target.choices)}.")
    reverse: dict[str, str] = {}
    for canonical, theirs in table.items():
        reverse.setdefault(theirs, canonical)

    def decode(raw: Any) -> str:
        try:
            return reverse[raw]
        except (KeyError, TypeError):
            raise ValueError(f"{raw!r} is none of {', '.join(reverse)}") from None

    def encode(value: Any) -> str:
        try:
            return table[value]
        except KeyError:
            raise ValueError(f"{value!r} has no counterpart among {', '.join(table)}") from None

    return decode, encode, len(reverse) < len(table)


def _normalised(target: Field, decode: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`decode`, and its result checked and normalised by the canonical field's type."""
    check = _CHECKS[target.type]
    if target.type is FieldType.CHOICE and target.choices:
        choices = frozenset(target.choices)

        def choose(raw: Any) -> Any:
            value = decode(raw)
            if value not in choices:
                raise ValueError(f"{value!r} is none of {', '.join(target.choices)}")
            return value

        return choose
    return lambda raw: check(decode(raw))


def _typed(kind: type, what: str) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if value is not None and type(value) is not kind:
            raise ValueError(f"{value!r} is not {what}; give it a transform")
        return value
    return check


def _money(value: Any) -> Any:
    number = values.decimal(value)
    return None if number is None else values.cents(number)


_CHECKS: dict[FieldType, Callable[[Any], Any]] = {
    FieldType.TEXT: values.text, FieldType.CHOICE: values.text,
    FieldType.DECIMAL: values.decimal, FieldType.MONEY: _money,
    FieldType.REFERENCE: values.text, FieldType.BOOLEAN: _typed(bool, "true or false"),
    FieldType.INTEGER: _typed(int, "a whole number"),
    FieldType.DATE: _typed(date, "a date"),
    FieldType.TIMESTAMP: _typed(datetime, "an instant"),
}


def _reader(steps: tuple[str, ...]) -> Read:
    if len(steps) == 1:
        (only,) = steps
        return lambda payload: payload.get(only, MISSING)

    def read(payload: AnyMapping[str, Any]) -> Any:
        node: Any = payload
        for step in steps:
            if node is None:
                return None
            if not isinstance(node, AnyMapping) or step not in node:
                return MISSING
            node = node[step]
        return node

    return read


def _formula(text: str, at: list[str]) -> Formula:
    try:
        return Formula(text)
    except ValueError as error:
        raise MappingError(at, f"{error}.") from None


def _formula_read(text: str, at: list[str]) -> Read:
    return _formula(text, [*at, "formula"])
