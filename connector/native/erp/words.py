"""How this ERP writes numbers, dates and instants, and how it says no."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from connector.native.amounts import places
from connector.native.fields import Errors, Kind, decimal_as_text

ZONE = ZoneInfo("Europe/Berlin")
LARGEST_ID = 2**31 - 1
Row = Mapping[str, Any]
"""A record as it is sent and kept."""
_DECIMAL = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,6})?")


class Refused(Exception):
    """A refused call or row: code, message, and the fields at fault."""

    def __init__(self, code: str, message: str, fields: Errors | None = None,
                 **more: Any) -> None:
        super().__init__(message)
        self.code = code
        self.body: dict[str, Any] = {"code": code, "msg": message, "fields": fields or {}, **more}

    @property
    def status(self) -> int:
        """The HTTP status in the code (`E422-FIELD`)."""
        return int(self.code[1:4])


def decimal(places: int) -> Kind:
    """A decimal as text, kept with at least `places` decimals; at most 12 digits before the point
    and 6 behind it, so that sums stay exact."""
    def kind(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("a decimal is expected as text")
        if not _DECIMAL.fullmatch(value):
            raise ValueError(f"{value[:40]!r} is no decimal like 1234.50")
        return decimal_as_text(Decimal(value) + 0, places)
    return kind


def positive(places: int) -> Kind:
    """A decimal as text, more than nought."""
    plain = decimal(places)

    def kind(value: Any) -> str:
        text: str = plain(value)
        if Decimal(text) <= 0:
            raise ValueError("more than 0 is expected")
        return text
    return kind


def is_id(value: Any) -> bool:
    """Whether a value can be the ID of a record."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST_ID


def identifier(value: Any) -> int:
    """The ID of another record."""
    if not is_id(value):
        raise ValueError("the ID of a record is expected")
    return int(value)


def number(text: Any) -> Decimal:
    """A decimal kept as text; none is nought."""
    return Decimal(text or 0)


def money(exact: Decimal, currency: str = "EUR") -> str:
    """An amount as text, with the decimals of its currency."""
    return decimal_as_text(exact, places(currency))


def quantity(exact: Decimal) -> str:
    """A quantity as text."""
    return decimal_as_text(exact, 0)


def local(at: datetime) -> str:
    """An instant in the ERP's zone."""
    return at.astimezone(ZONE).isoformat(timespec="microseconds")


def local_instant(value: Any) -> str:
    """An instant from a caller, in the ERP's zone."""
    try:
        return local(datetime.fromisoformat(utc_text(value)))
    except (AttributeError, Refused):
        raise ValueError("an ISO instant with its offset is expected") from None


def dmy(day: date) -> str:
    """A date as this ERP writes it."""
    return day.strftime("%d.%m.%Y")


def day_of(text: str) -> date:
    """A date as this ERP writes it."""
    day, month, year = text.split(".")
    return date(int(year), int(month), int(day))


def today(now: datetime) -> date:
    """The date in the ERP's zone."""
    return now.astimezone(ZONE).date()


def utc_text(text: str) -> str:
    """An instant from a caller, as the database keeps it. Raises `Refused`."""
    try:
        given = datetime.fromisoformat(text.replace(" ", "+"))
        if given.tzinfo is None:
            raise ValueError("no offset")
        return given.astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError):
        raise Refused("E400-TIME", f"{text!r} is no instant with an offset") from None
