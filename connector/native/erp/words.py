"""How this ERP writes numbers, dates and instants, and how it says no."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from connector.native.fields import Errors, decimal_as_text

ZONE = ZoneInfo("Europe/Berlin")


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


def number(text: Any) -> Decimal:
    """A decimal kept as text; none is nought."""
    return Decimal(text or 0)


def money(exact: Decimal) -> str:
    """An amount as text."""
    return decimal_as_text(exact, 2)


def quantity(exact: Decimal) -> str:
    """A quantity as text."""
    return decimal_as_text(exact, 0)


def local(at: datetime) -> str:
    """An instant in the ERP's zone."""
    return at.astimezone(ZONE).isoformat(timespec="microseconds")


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
    except ValueError:
        raise Refused("E400-TIME", f"{text!r} is no instant with an offset") from None
    return given.astimezone(UTC).isoformat(timespec="microseconds")
