"""A compiled mapping: what `decode` and `encode` do with one record.

Everything that can be looked up was looked up when the mapping was compiled; each field is a few
plain functions with what they need bound in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field, replace
from typing import Any

from connector.domain.currencies import rounded
from connector.domain.entities import Entity
from connector.domain.values import MISSING, FieldType, Record
from connector.errors import ConnectorError, DecodeFailed, EncodeFailed, ParentMissing
from connector.mapping.formula import Formula
from connector.mapping.state import STATE_FIELDS

Resolve = Callable[[str, str], str | None]
Read = Callable[[AnyMapping[str, Any]], Any]
Payload = AnyMapping[str, Any]


@dataclass(frozen=True, slots=True)
class FieldCode:
    """One field, compiled.

    `shown` and `path` are for messages, `sources` are the system's paths it reads. `read` gives
    `MISSING` where the payload has no such path. `keeps` is set where several canonical values
    look alike in the system: it gives what a canonical value looks like there. `currency` names
    the canonical field with the currency of an amount, which is read before it.
    """

    name: str
    shown: str
    path: str
    sources: frozenset[str]
    steps: tuple[str, ...]
    read: Read | None
    decode: Callable[[Any], Any]
    encode: Callable[[Any], Any] | None
    keeps: Callable[[Any], Any] | None = None
    link: str = ""
    required: bool = False
    currency: str = ""


@dataclass(frozen=True, slots=True)
class LinesCode:
    """The lines of a document, compiled; `key` is among `fields`."""

    fields: tuple[FieldCode, ...]
    key: FieldCode
    steps: tuple[str, ...]
    writable: bool


@dataclass(frozen=True)
class Mapping:
    """A compiled mapping between a system's object and a canonical entity.

    `readable` and `writable` name canonical fields: those `decode` can give and those `encode`
    can send; lines as `lines` and `lines.quantity`. `source_paths` and `line_paths` are the
    system's paths used, in a record and within a line. `state` is where a record is told how it
    stands with the other side; nothing reads it.
    """

    system: str
    entity: Entity
    object: str
    fields: tuple[FieldCode, ...]
    lines: LinesCode | None = None
    select: Formula | None = None
    state: tuple[FieldCode, ...] = ()
    readable: frozenset[str] = field(init=False)
    writable: frozenset[str] = field(init=False)
    source_paths: frozenset[str] = field(init=False)
    line_paths: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        readable = {f.name for f in self.fields if f.read}
        writable = {f.name for f in self.fields if f.encode}
        paths = set().union(*(f.sources for f in self.fields))
        line_paths = set[str]()
        if self.select:
            paths |= self.select.names
        if self.lines:
            readable |= {"lines", *(f.shown for f in self.lines.fields if f.read)}
            if self.lines.writable:
                writable |= {"lines", *(f.shown for f in self.lines.fields if f.encode)}
            paths.add(".".join(self.lines.steps))
            line_paths.update(*(f.sources for f in self.lines.fields))
        paths |= self.state_paths
        for name, found in (("readable", readable), ("writable", writable),
                            ("source_paths", paths), ("line_paths", line_paths)):
            object.__setattr__(self, name, frozenset(found))

    @property
    def state_paths(self) -> frozenset[str]:
        """The system's paths at which a record is told how it stands; none where it is not."""
        return frozenset(code.path for code in self.state)

    @property
    def untold(self) -> Mapping:
        """The same without a place for how a record stands."""
        return replace(self, state=()) if self.state else self

    def reads_alike(self, one: Payload, other: Payload) -> bool:
        """Whether two payloads hold the same at every path that is read; a number may be text in
        one that was kept."""
        paths = [tuple(path.split(".")) for path in self.source_paths - self.state_paths]
        return all(_as_text(at(one, steps)) == _as_text(at(other, steps)) for steps in paths)

    @property
    def field_types(self) -> dict[str, FieldType]:
        """The canonical type of what stands at each of the system's paths; text where a path
        belongs to a formula."""
        types = dict.fromkeys(self.source_paths, FieldType.TEXT)
        types.update({source: self.entity.fields[f.name].type for f in self.fields
                      if len(f.sources) == 1 for source in f.sources})
        types.update({code.path: STATE_FIELDS[code.name].type for code in self.state})
        return types

    def narrowed(self, names: Collection[str]) -> Mapping:
        """The same mapping, of these header fields only."""
        return replace(self, fields=tuple(f for f in self.fields if f.name in names), lines=None)

    def among(self, entities: Collection[str]) -> Mapping:
        """The same mapping where only these entities are shared: what may refer to another one
        refers to nothing."""
        return replace(self, fields=tuple(f for f in self.fields if f.required or not f.link
                                          or f.link in entities))

    def selects(self, payload: Payload) -> bool:
        """Whether a record is among those the mapping is for. Raises `DecodeFailed`."""
        if self.select is None:
            return True
        try:
            return bool(self.select(payload))
        except ValueError as error:
            raise DecodeFailed(f"select: {error}.", field="select") from None

    def references(self, payload: Payload) -> list[tuple[str, str]]:
        """(entity, external ID) of everything a payload refers to; never fails: what can't be
        read is told by `decode`."""
        found = _external(self.fields, payload)
        if self.lines:
            lines = at(payload, self.lines.steps)
            for line in lines if isinstance(lines, list | tuple) else ():
                if isinstance(line, AnyMapping):
                    found += _external(self.lines.fields, line)
        return found

    def wanted(self, record: Record) -> list[tuple[str, str]]:
        """(entity, canonical ID) of everything `encode` will have to resolve."""
        found = [(f.link, record[f.name]) for f in self.fields
                 if f.link and f.encode and record.get(f.name) is not None]
        if self.lines and self.lines.writable:
            for line in record.get("lines", ()):
                found += [(f.link, line[f.name]) for f in self.lines.fields
                          if f.link and f.encode and line.get(f.name) is not None]
        return found

    def decode(self, payload: Payload, canonical: Resolve,
               previous: Record | None = None) -> dict[str, Any]:
        """A payload as a canonical record.

        `canonical` resolves (entity, external ID). `previous` is the record last agreed: where
        several canonical values look alike in the system, its value is kept. Raises
        `DecodeFailed` naming the field, or `ParentMissing`.
        """
        record = _decode(self.fields, payload, canonical, previous or {}, "")
        if self.lines:
            lines = at(payload, self.lines.steps)
            if lines is not MISSING:
                record["lines"] = _decode_lines(self.lines, lines, canonical, previous or {})
        return record

    def encode(self, record: Record, external: Resolve) -> dict[str, Any]:
        """A (partial) canonical record as a payload, of the fields that may be written.

        `external` resolves (entity, canonical ID). Raises `EncodeFailed` naming the field, or
        `ParentMissing`.
        """
        payload = _encode(self.fields, record, external)
        if self.lines and self.lines.writable and "lines" in record:
            fields = self.lines.fields
            _put(payload, self.lines.steps,
                 [_encode(fields, line, external) for line in record["lines"]])
        return payload

    def encode_state(self, told: Record) -> dict[str, Any]:
        """What a record is told (`state`, `since`, `reason`; None is blank) as a payload. Raises
        `EncodeFailed`."""
        return _encode(self.state, told, lambda _entity, _id: None)


def at(payload: Payload, steps: tuple[str, ...]) -> Any:
    """What stands at a path: `MISSING` where it is absent, None where a part above it is null."""
    node: Any = payload
    for step in steps:
        if node is None:
            return None
        # The exact type first: asking an abstract one costs more than the whole rest.
        if type(node) is not dict and not isinstance(node, AnyMapping):
            return MISSING
        node = node.get(step, MISSING)
        if node is MISSING:
            return MISSING
    return node


def _as_text(raw: Any) -> Any:
    if isinstance(raw, AnyMapping):
        return {name: _as_text(value) for name, value in raw.items()}
    if isinstance(raw, list | tuple):
        return [_as_text(value) for value in raw]
    return str(raw)


def _is_id(raw: Any) -> bool:
    return isinstance(raw, str | int) and not isinstance(raw, bool)


def _external(fields: tuple[FieldCode, ...], payload: Payload) -> list[tuple[str, str]]:
    found = []
    for code in fields:
        if code.link and code.read:
            raw = code.read(payload)
            if _is_id(raw) and str(raw).strip():
                found.append((code.link, str(raw)))
    return found


def _decode_lines(code: LinesCode, lines: Any, canonical: Resolve,
                  previous: Record) -> list[dict[str, Any]]:
    path = ".".join(code.steps)
    if not isinstance(lines, list | tuple | None):
        raise DecodeFailed(f"lines: a list is expected (path `{path}`).", field="lines")
    key = code.key.name
    before = {line.get(key): line for line in previous.get("lines") or ()}
    found: dict[Any, dict[str, Any]] = {}
    for number, line in enumerate(lines or (), start=1):
        if not isinstance(line, AnyMapping):
            raise DecodeFailed(f"lines: number {number} is no line (path `{path}`).",
                               field="lines")
        own = _decode((code.key,), line, canonical, {}, f"line number {number}: ")[key]
        if own in found:
            raise DecodeFailed(f"lines: two lines have the {key} {own} "
                               f"(path `{code.key.path}`).", field=code.key.shown)
        found[own] = _decode(code.fields, line, canonical, before.get(own, {}), f"line {own}: ")
    return [found[own] for own in sorted(found)]


def _decode(fields: tuple[FieldCode, ...], payload: Payload, canonical: Resolve,
            previous: Record, where: str) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for code in fields:
        if code.read is None:
            continue
        raw: Any = MISSING
        try:
            raw = code.read(payload)
            if raw is MISSING:
                if code.required:
                    raise ValueError("is missing")
                continue
            record[code.name] = value = _value(code, raw, canonical, previous, record)
            if value is None and code.required:
                raise ValueError("is blank, but has to be given")
        except ConnectorError:
            raise
        except Exception as error:  # a transform's own failure is the record's, not the run's
            raise DecodeFailed(f"{where}{code.name} {_said(error, raw)} (path `{code.path}`).",
                               field=code.shown) from None
    return record


def _said(error: Exception, value: Any) -> str:
    if isinstance(error, ValueError):
        return str(error)
    return f"{value!r} can't be converted: {type(error).__name__} {error}".rstrip()


def _value(code: FieldCode, raw: Any, canonical: Resolve, previous: Record,
           record: Record) -> Any:
    if raw is None or (type(raw) is str and (not raw or raw.isspace())):
        return None
    if code.link:
        if not _is_id(raw):
            raise ValueError(f"{raw!r} is no ID")
        found = canonical(code.link, str(raw))
        if found is None:
            raise ParentMissing(f"{code.link}:{raw}", field=code.shown)
        return found
    if code.keeps is not None:
        before = previous.get(code.name)
        if before is not None and code.keeps(before) == raw:
            return before
    value = code.decode(raw)
    currency = record.get(code.currency) if code.currency else None
    return value if value is None or currency is None else rounded(value, currency)


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
                    raise ParentMissing(f"{code.link}:{value}", field=code.shown)
                value = found
            try:
                value = code.encode(value)
            except Exception as error:  # a transform's own failure is the record's, not the run's
                raise EncodeFailed(f"{code.shown} {_said(error, value)} (path `{code.path}`).",
                                   field=code.shown) from None
        _put(payload, code.steps, value)
    return payload


def _put(payload: dict[str, Any], steps: tuple[str, ...], value: Any) -> None:
    node = payload
    for step in steps[:-1]:
        node = node.setdefault(step, {})
    node[steps[-1]] = value
