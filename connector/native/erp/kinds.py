"""How the ERP writes numbers and times: decimals as text, German dates, local time with offset."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from connector.native.fields import Kind, decimal_as_text

ZONE = ZoneInfo("Europe/Berlin")
ZERO = Decimal(0)
LARGEST_ID = 2**31 - 1
_DECIMAL = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,6})?")


def exact(text: str | None) -> Decimal:
    """A stored decimal; nothing counts as zero."""
    return Decimal(text) if text else ZERO


def money(amount: Decimal) -> str:
    """An amount as text, with two decimals or as many as it needs."""
    return decimal_as_text(amount + 0)


def plain(quantity: Decimal) -> str:
    """A quantity as text, with no more decimals than it needs."""
    return decimal_as_text(quantity + 0, 0)


def decimal(places: int, *, lowest: int | None = None, highest: int | None = None) -> Kind:
    """A decimal as text with at least `places` decimals, between `lowest` and `highest`.

    At most 12 digits before the point and 6 behind it, so that every sum stays exact.
    """
    @lru_cache(maxsize=4096)
    def normal(value: str) -> str:
        if not _DECIMAL.fullmatch(value):
            raise ValueError(f"{value[:40]!r} is no decimal like 1234.50")
        number = Decimal(value)
        if lowest is not None and number < lowest:
            raise ValueError(f"must be at least {lowest}")
        if highest is not None and number > highest:
            raise ValueError(f"must be at most {highest}")
        return decimal_as_text(number + 0, places)

    def kind(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("a decimal is expected as text")
        return normal(value)
    return kind


def identifier(value: Any) -> int:
    """The ID of another row."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LARGEST_ID:
        raise ValueError("the ID of a row is expected")
    return value


def line_number(value: Any) -> int:
    """A document line's number."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= 99_999:
        raise ValueError("a line number from 1 to 99999 is expected")
    return value


def local(at: datetime) -> str:
    """An instant as local time with its offset, in microseconds."""
    return at.astimezone(ZONE).isoformat(timespec="microseconds")


def local_time(value: Any) -> str:
    """An instant with an offset, told as local time."""
    try:
        at = datetime.fromisoformat(value)
        if at.tzinfo is not None:
            return local(at)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError("a time with offset like 2026-11-24T09:13:22+01:00 is expected")
