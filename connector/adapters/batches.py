"""Sends a batch's rows by one call, and tells every failure of the call in each result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from connector.adapters.wire import dumps
from connector.domain.records import Intent, WriteResult, WriteStatus
from connector.errors import BodyRefused, RetryLater

Send = Callable[[list[Any], str], list[WriteResult]]
"""Makes the call with some rows; the text names the part of the batch, empty for the whole."""


def write_rows(intents: Sequence[Intent], row: Callable[[Intent], Any],
               send: Send) -> list[WriteResult]:
    """One result for each intent, in order: `row` makes what is sent for it, `send` makes the
    call with all rows.

    A row that is no JSON (half a surrogate pair, a number past 64 bits) is refused here, so that
    it can't hold up the others. A call whose body is refused is made in halves, down to the row
    that the system won't have. Where the call as a whole fails, every result is RETRY if it
    surely was not made, else UNKNOWN; `AccessDenied` and any other `RequestRefused` are raised.
    """
    rows, places, refused = [], [], {}
    for place, intent in enumerate(intents):
        try:
            rows.append(orjson.Fragment(dumps(row(intent))))
            places.append(place)
        except ValueError as error:
            refused[place] = WriteResult(WriteStatus.REJECTED, error=f"It can't be sent: {error}.")
    told = dict(zip(places, _sent(rows, send), strict=True))
    return [refused[i] if i in refused else told[i] for i in range(len(intents))]


def _sent(rows: list[Any], send: Send, part: str = "") -> list[WriteResult]:
    if not rows:
        return []
    try:
        results = send(rows, part)
    except BodyRefused as error:
        if len(rows) == 1:
            return [WriteResult(WriteStatus.REJECTED, error=str(error))]
        half = len(rows) // 2
        return [*_sent(rows[:half], send, f"{part}.0"), *_sent(rows[half:], send, f"{part}.1")]
    except RetryLater as error:
        return [WriteResult.put_off(error)] * len(rows)
    if len(results) != len(rows):
        return [WriteResult(WriteStatus.UNKNOWN, error=(
            f"The system gave {len(results)} results for {len(rows)} rows."))] * len(rows)
    return results
