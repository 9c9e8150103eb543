"""Compiles a mapping document into plain function calls, once, at start."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Mapping as AnyMapping
from dataclasses import replace
from datetime import date, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from connector.domain import values
from connector.domain.entities import Entity, Field
from connector.domain.values import MISSING, FieldType
from connector.mapping.compiled import FieldCode, LinesCode, Mapping, Read, at
from connector.mapping.formula import Formula
from connector.mapping.state import STATE_FIELDS
from connector.mapping.transforms import REGISTRY, Transform

if TYPE_CHECKING:
    from connector.mapping.document import FieldSpec, MappingDocument

__all__ = ["Mapping", "MappingError", "compile_mapping"]

Transforms = AnyMapping[str, Transform]
Convert = Callable[[Any], Any]


class MappingError(Exception):
    """A document that can't be compiled; `location` leads to the part at fault."""

    def __init__(self, location: list[str], message: str, hint: str = "") -> None:
        super().__init__(message)
        self.location, self.message, self.hint = location, message, hint


class _Pair(NamedTuple):
    """What turns a system's value into a canonical one and back."""

    decode: Convert
    encode: Convert | None
    lossy: bool = False


def compile_mapping(document: MappingDocument, entity: Entity,
                    transforms: Transforms = REGISTRY) -> Mapping:
    """Compile a document. Raises `MappingError` leading to the part at fault."""
    fields = _level(document.fields, entity.fields, ["fields"], "", entity, transforms)
    select = _formula(document.select, ["select"]) if document.select is not None else None
    if document.lines is None and entity.is_document:
        raise MappingError(["entity"], f"{entity.name} has lines.", "Map them under `lines`.")
    lines = _lines(document, entity, transforms) if document.lines is not None else None
    mapping = Mapping(document.system, entity, document.object, fields, lines, select)
    if document.sync_state is None:
        return mapping
    return replace(mapping, state=_state(document.sync_state, mapping, transforms))


def _state(specs: AnyMapping[str, FieldSpec], mapping: Mapping,
           transforms: Transforms) -> tuple[FieldCode, ...]:
    """Where a record is told how it stands. Raises `MappingError` where a field has a use for the
    place: what is written there would be taken for an edit."""
    where = ["sync_state"]
    for name, spec in specs.items():
        if spec.formula or spec.link or spec.direction != "both":
            raise MappingError([*where, name], f"{name} of sync_state is only written.",
                               "Give it a path, and values or a transform where it needs one.")
    if "state" not in specs:
        raise MappingError(where, "sync_state needs a place for the state.", "Add `state: PATH`.")
    codes = tuple(_field(name, spec, STATE_FIELDS, [*where, name], "", transforms)
                  for name, spec in specs.items())
    _apart(codes, where)
    table = specs["state"].values
    if table is not None and set(table) != set(STATE_FIELDS["state"].choices):
        raise MappingError([*where, "state", "values"], "every state needs a word: "
                           f"{', '.join(STATE_FIELDS['state'].choices)}.")
    for code in codes:
        for path in mapping.source_paths:
            steps = path.split(".")
            shorter = min(len(steps), len(code.steps))
            if tuple(steps[:shorter]) == code.steps[:shorter]:
                raise MappingError([*where, code.name], f"`{code.path}` is read as a field, too.",
                                   "Give it a place of its own.")
    return codes


def _level(specs: AnyMapping[str, FieldSpec], known: AnyMapping[str, Field], where: list[str],
           prefix: str, entity: Entity, transforms: Transforms) -> tuple[FieldCode, ...]:
    found = [_field(name, spec, known, [*where, name], prefix, transforms)
             for name, spec in specs.items()]
    codes = tuple(sorted(found, key=lambda code: bool(code.currency)))  # amounts after currencies
    readable = {code.name for code in codes if code.read}
    for name, field in known.items():
        if field.required and name not in readable:
            raise MappingError(where, f"{prefix}{name} of {entity.name} has to be mapped, and "
                               "read.", "Add it here." if name not in specs
                               else "Take `direction: push` out.")
    _apart((code for code in codes if code.encode), where)
    return codes


def _apart(codes: Iterable[FieldCode], where: list[str]) -> None:
    """Refuse two fields that are written to one place, or one within the other."""
    taken: dict[tuple[str, ...], str] = {}
    for code in codes:
        for steps, name in taken.items():
            shorter = min(len(steps), len(code.steps))
            if steps[:shorter] == code.steps[:shorter]:
                raise MappingError([*where, code.name], f"{name} is written to "
                                   f"`{'.'.join(steps)}` and {code.name} to `{code.path}`: they "
                                   "would overwrite each other.",
                                   "Add `direction: pull` to one of them.")
        taken[code.steps] = code.name


def _lines(document: MappingDocument, entity: Entity, transforms: Transforms) -> LinesCode:
    spec = document.lines
    assert spec is not None
    if not entity.is_document:
        raise MappingError(["lines"], f"{entity.name} has no lines.", "Take `lines` out.")
    if spec.key != entity.line_key:
        raise MappingError(["lines", "key"], f"the line key of {entity.name} is "
                           f"{entity.line_key}, not {spec.key}.")
    codes = _level(spec.fields, entity.line_fields, ["lines", "fields"], "lines.", entity,
                   transforms)
    writable = spec.direction == "both"
    key = next(code for code in codes if code.name == spec.key)
    if writable and key.encode is None:
        raise MappingError(["lines", "fields", spec.key], "the line key has to be written with "
                           "the lines.", "Take `direction: pull` out, or add it to the lines.")
    return LinesCode(codes, key, tuple(spec.path.split(".")), writable)


def _field(name: str, spec: FieldSpec, known: AnyMapping[str, Field], where: list[str],
           prefix: str, transforms: Transforms) -> FieldCode:
    if name not in known:
        raise MappingError(where, f"there is no canonical field {prefix}{name}.",
                           _near(name, known))
    target = known[name]
    _fits(target, spec, where)
    pair = _pair(target, spec, where, transforms)
    pulled, pushed = spec.direction != "push", spec.direction != "pull"
    if pushed and pair.encode is None:
        raise MappingError([*where, "transform"], f"the transform {spec.transform} goes one way.",
                           "Add `direction: pull`.")
    steps = tuple(spec.path.split(".")) if spec.path else ()
    formula = _formula(spec.formula, [*where, "formula"]) if spec.formula else None
    read = _formula_reader(formula) if formula else _reader(steps)
    return FieldCode(
        name, prefix + name, spec.path or f"formula: {spec.formula}",
        formula.names if formula else frozenset([spec.path or ""]), steps,
        read if pulled else None, _normalised(target, pair.decode),
        pair.encode if pushed else None, _look(pair), spec.link or "",
        target.required and pulled,
        target.currency if target.type is FieldType.MONEY else "")


def _fits(target: Field, spec: FieldSpec, where: list[str]) -> None:
    """Refuse what can't be right for a field of this type."""
    name = target.name
    if target.computed and spec.direction != "pull":
        raise MappingError(where, f"{name} is computed by each side, never written.",
                           "Add `direction: pull`.")
    if target.to and spec.link is None:
        raise MappingError(where, f"{name} refers to a {target.to}.", f"Add `link: {target.to}`.")
    if spec.link is not None and spec.link != target.to:
        raise MappingError([*where, "link"], f"{name} does not refer to a {spec.link}.",
                           f"Write `link: {target.to}`." if target.to else "Take `link` out.")
    bare = spec.transform is None and spec.values is None and spec.formula is None
    if bare and target.type in _TRANSFORM_FOR:
        raise MappingError(where, f"{name} is a {target.type}, which needs a transform.",
                           f"Add `transform: {_TRANSFORM_FOR[target.type]}`, or one of your own.")
    if target.type is FieldType.MONEY and spec.transform == "decimal_2":
        raise MappingError([*where, "transform"], f"{name} is an amount, and not every currency "
                           "has two decimals.", "Write `transform: money`.")


_TRANSFORM_FOR = {FieldType.DATE: "date_iso", FieldType.TIMESTAMP: "utc",
                  FieldType.RATE: "rate` (units of the document's currency for one of the "
                                  "company's) or `inverse_rate"}


def _near(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}."


# ---- values


def _pair(target: Field, spec: FieldSpec, where: list[str], transforms: Transforms) -> _Pair:
    if spec.values is not None:
        return _by_values(target, spec.values, [*where, "values"])
    if spec.transform is None:
        return _Pair(_same, _same)
    if spec.transform not in transforms:
        raise MappingError([*where, "transform"], f"there is no transform {spec.transform}.",
                           _near(spec.transform, transforms))
    transform = transforms[spec.transform]
    return _Pair(transform.decode, transform.encode, transform.lossy)


def _same(value: Any) -> Any:
    return value


def _by_values(target: Field, table: dict[str, str], where: list[str]) -> _Pair:
    for canonical in table:
        if target.choices and canonical not in target.choices:
            raise MappingError([*where, canonical], f"{target.name} is never {canonical}.",
                               _near(canonical, target.choices))
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
            raise ValueError(f"{value!r} is none of {', '.join(table)}") from None

    return _Pair(decode, encode, len(reverse) < len(table))


def _look(pair: _Pair) -> Convert | None:
    """What a canonical value looks like in the system, where several may look alike."""
    encode = pair.encode
    if not pair.lossy or encode is None:
        return None

    def look(value: Any) -> Any:
        try:
            return encode(value)
        except Exception:  # a value from the other side that this one has no word for
            return MISSING

    return look


def _normalised(target: Field, decode: Convert) -> Convert:
    """`decode`, and its result checked and normalised by the canonical field's type."""
    check = _CHECKS[target.type]
    if target.choices:
        check = _choice(target.choices)
    if decode is _same:
        return check
    return lambda raw: check(decode(raw))


def _choice(choices: tuple[str, ...]) -> Convert:
    def check(value: Any) -> Any:
        if value not in choices:
            raise ValueError(f"{value!r} is none of {', '.join(choices)}")
        return value
    return check


def _typed(kind: type, what: str) -> Convert:
    def check(value: Any) -> Any:
        if value is not None and type(value) is not kind:
            raise ValueError(f"{value!r} is not {what}; give it a transform")
        return value
    return check


def _text(value: Any) -> str | None:
    if type(value) is str:
        return value.strip() or None
    if isinstance(value, bool | float | list | tuple | AnyMapping):
        raise ValueError(f"{value!r} is no text")
    return values.text(value)


def _rate(value: Any) -> Any:
    number = values.decimal(value)
    if number is not None and number <= 0:
        raise ValueError(f"{value!r} is no exchange rate: more than 0 is expected")
    return number


_CHECKS: dict[FieldType, Convert] = {
    FieldType.TEXT: _text, FieldType.CHOICE: _text, FieldType.REFERENCE: _text,
    FieldType.DECIMAL: values.decimal, FieldType.MONEY: values.decimal,
    FieldType.RATE: _rate,
    FieldType.BOOLEAN: _typed(bool, "true or false"),
    FieldType.INTEGER: _typed(int, "a whole number"),
    FieldType.DATE: _typed(date, "a date"),
    FieldType.TIMESTAMP: _typed(datetime, "an instant"),
}


# ---- reading


def _reader(steps: tuple[str, ...]) -> Read:
    if len(steps) == 1:
        (only,) = steps
        return lambda payload: payload.get(only, MISSING)
    return lambda payload: at(payload, steps)


def _formula(text: str, where: list[str]) -> Formula:
    try:
        return Formula(text)
    except ValueError as error:
        raise MappingError(where, f"{error}.") from None


def _formula_reader(formula: Formula) -> Read:
    names = formula.names

    def read(payload: AnyMapping[str, Any]) -> Any:
        if names and not any(name in payload for name in names):
            return MISSING
        return formula(payload)

    return read
