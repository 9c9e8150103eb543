"""Checks what callers send: the fields of an object, their kinds, and messages that name them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

Kind = Callable[[Any], Any]
_RATE = re.compile(r"[0-9]{1,12}(\.[0-9]{1,20})?")
Errors = dict[str, str]


@dataclass(frozen=True, slots=True)
class F:
    """A field: its kind, whether it has to be given, and what it holds where it isn't.

    `read_only` fields are answered, never taken. `ref` names the object whose ID is expected.
    `nested` fields hold a group of fields.
    """

    kind: Kind
    required: bool = False
    default: Any = None
    read_only: bool = False
    create_only: bool = False
    ref: str = ""
    nested: Mapping[str, F] = field(default_factory=dict)
    json: str = "string"


Spec = Mapping[str, F]


def check(spec: Spec, given: Any, *, partial: bool, errors: Errors,
          prefix: str = "") -> dict[str, Any]:
    """The given fields, checked; what is wrong is added to `errors` under its path."""
    if not isinstance(given, dict):
        errors[prefix.rstrip(".") or "body"] = "an object is expected"
        return {}
    clean: dict[str, Any] = {}
    for name, value in given.items():
        known = spec.get(name)
        if known is None or known.read_only:
            errors[prefix + name] = "unknown field" if known is None else "can't be written"
        elif known.create_only and partial:
            errors[prefix + name] = "can only be given at creation"
        elif known.nested:
            clean[name] = check(known.nested, value or {}, partial=partial, errors=errors,
                                prefix=f"{prefix}{name}.")
        elif value is None and not known.required:
            clean[name] = None
        else:
            try:
                clean[name] = known.kind(value)
            except ValueError as error:
                errors[prefix + name] = str(error)
    if not partial:
        _complete(spec, clean, errors, prefix)
    return clean


def _complete(spec: Spec, clean: dict[str, Any], errors: Errors, prefix: str) -> None:
    for name, known in spec.items():
        if known.nested:
            clean.setdefault(name, check(known.nested, {}, partial=False, errors=errors,
                                         prefix=f"{prefix}{name}."))
        elif name not in clean:
            clean[name] = known.default
            if known.required and prefix + name not in errors:
                errors[prefix + name] = "has to be given"


def text(longest: int = 255) -> Kind:
    """Text of at most `longest` characters."""
    def kind(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("text is expected")
        if len(value) > longest:
            raise ValueError(f"at most {longest} characters are taken")
        return value
    return kind


def required_text(longest: int = 255) -> Kind:
    """Text that isn't blank."""
    plain = text(longest)

    def kind(value: Any) -> str:
        if not str(plain(value)).strip():
            raise ValueError("must not be blank")
        return str(value)
    return kind


def choice(*known: str) -> Kind:
    """One of some words."""
    def kind(value: Any) -> str:
        if value not in known:
            raise ValueError(f"{value!r} is none of {', '.join(known)}")
        return str(value)
    return kind


def boolean(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("true or false is expected")
    return value


def whole(value: Any) -> int:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("a whole number is expected")
    return value


def number(value: Any) -> int | Decimal:
    """An exact JSON number; whole ones as int."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("a number is expected")
    return int(value) if value == int(value) else Decimal(value).normalize()


def decimal_text(places: int) -> Kind:
    """A decimal as text, kept with at least `places` decimals."""
    def kind(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("a decimal is expected as text")
        try:
            exact = Decimal(value)
        except InvalidOperation:
            raise ValueError(f"{value!r} is no decimal") from None
        return decimal_as_text(exact, places)
    return kind


def decimal_as_text(exact: Decimal, places: int = 2) -> str:
    """An exact number as text with at least `places` decimals, never more than needed."""
    exact = exact.normalize()
    own = max(places, -int(exact.as_tuple().exponent))
    return f"{exact:.{own}f}"


def rate(value: Any) -> str:
    """An exchange rate as text: more than nought, at most 20 decimals."""
    if not isinstance(value, str) or not _RATE.fullmatch(value) or not Decimal(value):
        raise ValueError("a rate like 1.0832 is expected as text, more than 0")
    return decimal_as_text(Decimal(value), 0)


def iso_date(value: Any) -> str:
    """A date as 2026-11-24."""
    try:
        return date.fromisoformat(value).isoformat()
    except (TypeError, ValueError):
        raise ValueError("a date like 2026-11-24 is expected") from None


def dmy_date(value: Any) -> str:
    """A date as 24.11.2026."""
    try:
        return datetime.strptime(value, "%d.%m.%Y").strftime("%d.%m.%Y")  # noqa: DTZ007
    except (TypeError, ValueError):
        raise ValueError("a date like 24.11.2026 is expected") from None


def instant(value: Any) -> str:
    """An instant in ISO form with its offset; kept as given."""
    try:
        if datetime.fromisoformat(value).tzinfo is None:
            raise ValueError("no offset")
    except (TypeError, ValueError):
        raise ValueError("an ISO instant with its offset is expected") from None
    return str(value)


def code(length: int) -> Kind:
    """An upper-case code of letters, such as a currency or a country."""
    def kind(value: Any) -> str:
        if not (isinstance(value, str) and len(value) == length and value.isalpha()
                and value.isupper()):
            raise ValueError(f"a code of {length} capital letters is expected")
        return value
    return kind


def anything(value: Any) -> Any:
    """Whatever: it is looked at elsewhere."""
    return value


def schema(spec: Spec) -> dict[str, Any]:
    """The fields as a JSON schema, for the OpenAPI document."""
    properties: dict[str, Any] = {}
    for name, known in spec.items():
        if known.nested and known.json == "array":
            properties[name] = {"type": "array", "items": schema(known.nested)}
        elif known.nested:
            properties[name] = schema(known.nested)
        else:
            properties[name] = {"type": known.json, **({"readOnly": True} if known.read_only
                                                       else {})}
    return {"type": "object", "properties": properties,
            "required": [n for n, known in spec.items() if known.required]}
