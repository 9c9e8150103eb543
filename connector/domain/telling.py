"""What a record is told about itself: how it stands with the other side, since when, and why.

It is no content: it is never decoded, merged or undone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

LONGEST_REASON = 250
"""Characters of a reason; a text field of most systems holds 255."""


class SyncState(StrEnum):
    """How a record stands with the other side."""

    IN_SYNC = "in_sync"
    WAITING = "waiting"  # for another record, for the other system's answer, or for a quiet moment
    CONFLICT = "conflict"  # a person has to say
    FAILED = "failed"  # it is parked as a dead letter


@dataclass(frozen=True, slots=True)
class Told:
    """What a record was last told; `state` is empty where it never was, `since` when that began
    (UTC), None where it was gone by then. One that is `due` is told anew, though it
    stands as before: it was carried over since. `moved_to` is the version that the record had then,
    if nothing else had changed; empty where that isn't known."""

    external_id: str
    state: str = ""
    reason: str = ""
    since: datetime | None = None
    due: bool = False
    moved_to: str = ""


@dataclass(frozen=True, slots=True)
class Parked:
    """A dead letter in short: the record, the version in which it was parked, and why."""

    system: str
    external_id: str
    version: str
    message: str


@dataclass(frozen=True, slots=True)
class Unsettled:
    """An inbox row in short; `wanted` is what it waits for, None where it is pending."""

    system: str
    external_id: str
    version: str
    wanted: str | None


def shortened(reason: str) -> str:
    """A reason in one line that fits a text field."""
    line = " ".join(reason.split())
    return line if len(line) <= LONGEST_REASON else line[:LONGEST_REASON - 1] + "…"
