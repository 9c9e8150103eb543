"""JSON as it is kept. What went in comes out the same; a Decimal too, where that is asked for."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import orjson

from connector.errors import StoreUnusable

_DECIMAL = "$decimal"


def dump(value: Any) -> bytes:
    """JSON; Decimals, dates and instants become text."""
    return orjson.dumps(value, default=_as_text)


def load(data: bytes | memoryview) -> Any:
    """What `dump` kept."""
    return orjson.loads(data)


def _as_text(value: Any) -> Any:
    if isinstance(value, Decimal | date | datetime):
        return str(value)
    raise TypeError(f"{type(value).__name__} can't be kept")


def dump_exact(value: Any) -> bytes:
    """JSON that gives Decimals back as Decimals."""
    return orjson.dumps(value, default=_as_tagged)


def _as_tagged(value: Any) -> Any:
    if isinstance(value, Decimal):
        return {_DECIMAL: str(value)}
    raise TypeError(f"{type(value).__name__} can't be kept")


def load_exact(data: bytes | memoryview) -> Any:
    """What `dump_exact` kept."""
    try:
        return _untagged(orjson.loads(data))
    except orjson.JSONDecodeError as error:
        raise StoreUnusable(f"The outbox holds a row that is no JSON: {error}.") from None


def _untagged(value: Any) -> Any:
    if isinstance(value, dict):
        if len(value) == 1 and _DECIMAL in value:
            return Decimal(value[_DECIMAL])
        return {k: _untagged(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_untagged(v) for v in value]
    return value


def instant(text: str | None) -> datetime | None:
    """An instant kept as text."""
    return None if text is None else datetime.fromisoformat(text)
