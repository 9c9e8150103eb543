"""Canonical values and when two of them are equal.

A canonical value is `None` (known to be blank), `str`, `bool`, `int`, `Decimal`, `date`, or an
aware UTC `datetime`. Three things that are never the same: `MISSING` (the system said nothing, so
it has no say), `None` (it says: blank) and `0`. Values are normalised once, on decode, so that
afterwards equality is plain `==`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from enum import Enum, StrEnum
from typing import Any, Final

from connector.domain.currencies import EXACT


class FieldType(StrEnum):
    """What kind of value a field holds."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"  # quantities, percentages and unit prices, exact
    MONEY = "money"  # an amount with the decimals of its currency
    RATE = "rate"  # an exchange rate, exact, more than nought
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"  # an instant, UTC
    CHOICE = "choice"
    REFERENCE = "reference"  # the canonical ID of a record of `to`


class Missing(Enum):
    """The type of `MISSING`; an enum so that type checkers can narrow it."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing.MISSING

_ONE: Final = Decimal(1)
_WHOLE: Final = Context(prec=EXACT.prec, traps=[InvalidOperation, Inexact])
"""As `EXACT`, but what doesn't fit is refused instead of rounded."""

Value = None | str | bool | int | Decimal | date | datetime
Line = Mapping[str, Any]
Record = Mapping[str, Any]
"""Canonical field → `Value`; documents also hold `lines`: a list of `Line`, sorted by line key."""


def text(value: object) -> str | None:
    """Trimmed text; blank text is `None`."""
    if value is None:
        return None
    trimmed = str(value).strip()
    return trimmed or None


def decimal(value: object) -> Decimal | None:
    """An exact number without an exponent or trailing zeros; refuses floats and non-numbers."""
    if value is None or value == "":
        return None
    if isinstance(value, bool | float):
        raise ValueError(f"{value!r} is not an exact decimal")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{value!r} is not a number") from None
    if not number.is_finite():
        raise ValueError(f"{value!r} is not a finite number")
    return plain(number)


def plain(number: Decimal) -> Decimal:
    """`number` without trailing zeros and without an exponent (`1E+2` becomes `100`); refuses
    more than 120 digits."""
    try:
        if number == number.to_integral_value():
            return number.quantize(_ONE, context=_WHOLE)
        return number.normalize(_WHOLE)
    except (InvalidOperation, Inexact):
        raise ValueError(f"{number:.3E} has more than {_WHOLE.prec} digits") from None


def utc(value: datetime) -> datetime:
    """The same instant in UTC; refuses a time without a zone."""
    if value.tzinfo is None:
        raise ValueError(f"{value.isoformat()} has no time zone")
    return value.astimezone(UTC)


def shown(value: object) -> str:
    """`value` as a person reads it in tables and messages."""
    if value is MISSING:
        return "(absent)"
    if value is None:
        return "(blank)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%SZ")
    return str(value)
