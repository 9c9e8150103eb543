"""How this CRM writes numbers and instants, what text it takes, and how it says no (RFC 9457)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from connector.native import fields
from connector.native.fields import Errors, Kind

LARGEST = 2**63 - 1
LONGEST_ID = 40
TITLES = {400: "Bad request", 401: "Unauthorized", 404: "Not found", 405: "Method not allowed",
          409: "Conflict", 410: "Gone", 412: "Precondition failed", 413: "Too large",
          422: "Invalid", 429: "Too many requests"}
_UNFIT = re.compile("[\x00\ud800-\udfff]")  # no database keeps it, or no JSON carries it
_WHOLE, _PLACES = 12, 6


class Refused(Exception):
    """A refused call or operation; `problem` is what is answered."""

    def __init__(self, status: int, detail: str, errors: Errors | None = None,
                 headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.headers = status, dict(headers or {})
        self.problem: dict[str, Any] = {
            "type": "about:blank", "title": TITLES.get(status, "Error"), "status": status,
            "detail": shown(detail),
            "errors": [{"field": shown(f), "message": shown(m)}
                       for f, m in (errors or {}).items()]}


def shown(text: str) -> str:
    """Text from a caller, fit to be answered."""
    return _UNFIT.sub("?", text)


def fit(text: str) -> bool:
    """Whether text can be kept and answered."""
    return _UNFIT.search(text) is None


def is_id(value: Any) -> bool:
    """Whether a value can be the ID of a record."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_ID and fit(value)


def text(longest: int = 255) -> Kind:
    """Text of at most `longest` characters."""
    return _fit(fields.text(longest))


def required_text(longest: int = 255) -> Kind:
    """Text that isn't blank."""
    return _fit(fields.required_text(longest))


def _fit(plain: Kind) -> Kind:
    def kind(value: Any) -> str:
        given = str(plain(value))
        if _UNFIT.search(given):
            raise ValueError("holds a character that can't be kept")
        return given
    return kind


def whole(smallest: int = -LARGEST, largest: int = LARGEST) -> Kind:
    """A whole number within bounds; of 64 bits at most."""
    def kind(value: Any) -> int:
        exact = int(fields.whole(value))
        if not smallest <= exact <= largest:
            raise ValueError(f"a whole number from {smallest} to {largest} is expected")
        return exact
    return kind


def number(value: Any) -> Any:
    """An exact JSON number, at most 12 digits before the point and 6 behind it."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool) and value:
        exact = Decimal(value)
        # looked at before anything is worked out: 1e999999999 would take all there is of memory
        digits = "".join(map(str, exact.as_tuple().digits))
        smallest = int(exact.as_tuple().exponent) + len(digits) - len(digits.rstrip("0"))
        if exact.adjusted() >= _WHOLE or smallest < -_PLACES:
            raise ValueError(f"at most {_WHOLE} digits before the point and {_PLACES} behind it "
                             "are taken")
    return fields.number(value)


def utc_instant(value: Any) -> str:
    """An instant from a caller, in UTC with Z."""
    try:
        return z(datetime.fromisoformat(fields.instant(value)))
    except OverflowError:
        raise ValueError("an ISO instant with its offset is expected") from None


def z(at: datetime) -> str:
    """An instant as this CRM writes it."""
    return stamp(at).replace("+00:00", "Z")


def stamp(at: datetime) -> str:
    """An instant as the database keeps it."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def plain(exact: Decimal) -> int | Decimal:
    """A whole number as int."""
    return int(exact) if exact == int(exact) else exact.normalize()
