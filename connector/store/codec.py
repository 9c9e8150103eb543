"""JSON as it is kept. What went in comes out the same; a Decimal too, where that is asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import orjson

from connector.errors import StoreUnusable

LONGEST_KEY = 500
"""Characters of a match key that are kept as they are; an index on PostgreSQL takes no 3 kB."""

# Other systems' JSON holds integers past 64 bits, and halves of emoji where a text was cut off.
# orjson takes neither, so such a value is written and read by the standard library. The blank in
# front, which orjson never writes, tells the two apart.
_BY_HAND = b" "


def dump(value: Any) -> bytes:
    """JSON; Decimals, dates and instants become text."""
    try:
        return orjson.dumps(value, default=_as_text)
    except orjson.JSONEncodeError:
        return _BY_HAND + _written(value, lambda inner: json.dumps(_as_text(inner))).encode()


def load(data: bytes | memoryview) -> Any:
    """What `dump` kept. Raises `StoreUnusable` where it is no JSON."""
    try:
        return orjson.loads(data) if data[:1] != _BY_HAND else json.loads(bytes(data))
    except ValueError as error:
        raise _damaged(error) from None


def _as_text(value: Any) -> str:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} can't be kept")


def dump_exact(value: Any) -> bytes:
    """JSON that gives Decimals back as Decimals, to the digit; refuses dates."""
    try:
        return orjson.dumps(value, default=lambda inner: orjson.Fragment(_as_number(inner)),
                            option=orjson.OPT_PASSTHROUGH_DATETIME)
    except orjson.JSONEncodeError:
        return _BY_HAND + _written(value, _as_number).encode()


def load_exact(data: bytes | memoryview) -> Any:
    """What `dump_exact` kept. Raises `StoreUnusable` where it is no JSON."""
    try:
        return json.loads(bytes(data), parse_float=Decimal)
    except ValueError as error:
        raise _damaged(error) from None


def _as_number(value: Any) -> str:
    """A Decimal as a JSON number that isn't taken for an integer: `3` becomes `3E0`."""
    if not isinstance(value, Decimal) or not value.is_finite():
        raise TypeError(f"{value!r} can't be kept")
    number = str(value)
    return number if "." in number or "E" in number else f"{number}E0"


def _written(value: Any, other: Callable[[Any], str]) -> str:
    """JSON in ASCII; `other` writes what JSON has no word for."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(str(k))}:{_written(v, other)}"
                              for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_written(v, other) for v in value) + "]"
    if value is None or isinstance(value, str | int | float):
        return json.dumps(value)
    return other(value)


def _damaged(error: ValueError) -> StoreUnusable:
    return StoreUnusable(f"The store holds a row that is no JSON: {error}.",
                         hint="It was damaged or changed by hand: restore it from a backup.")


def instant(text: str | None) -> datetime | None:
    """An instant kept as text."""
    return None if text is None else datetime.fromisoformat(text)


def moment(instant: datetime) -> str:
    """An instant as text that sorts by time."""
    return instant.isoformat(timespec="microseconds")


def bounded(match_key: str) -> str:
    """A match key as it is kept and indexed; its digest where it is very long or unprintable."""
    if len(match_key) <= LONGEST_KEY and match_key.isprintable():
        return match_key
    return "sha256:" + hashlib.sha256(match_key.encode("utf-8", "surrogatepass")).hexdigest()


def readable(text: str) -> str:
    """Text for people, without what a database can't hold in a text column."""
    if text.isprintable():
        return text
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
