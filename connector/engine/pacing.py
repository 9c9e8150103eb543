"""How often a record that webhooks keep telling of is read.

The first hint of a record is followed at once. Then the record rests: whatever is told of it
meanwhile is one hint, followed when the rest is over. Each further rest is twice as long, up to the
longest, until the record has been left alone for as long as it last rested.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from connector.ports import Clock

SHORTEST, LONGEST = timedelta(seconds=1), timedelta(seconds=15)
"""What a record rests after it was read once, and after it was read again and again."""

Named = tuple[str, str, str]
"""A record, as (entity, system, external ID)."""


@dataclass(frozen=True, slots=True)
class _Rest:
    since: datetime
    length: timedelta


class Pace:
    """Remembers which records were read lately. What it forgets by a restart costs a read."""

    def __init__(self, clock: Clock, shortest: timedelta = SHORTEST,
                 longest: timedelta = LONGEST) -> None:
        self._clock, self._shortest, self._longest = clock, shortest, longest
        self._rests: dict[Named, _Rest] = {}

    def rest_left(self, record: Named) -> timedelta:
        """How long the record is not to be read yet; zero where it may be."""
        rest = self._rests.get(record)
        since = self._since(rest)
        if rest is None or since is None or since >= rest.length:
            return timedelta()
        return rest.length - since

    def was_read(self, records: Iterable[Named]) -> None:
        """These were read just now: each of them rests."""
        now = self._clock.now()
        for record in records:
            self._rests[record] = _Rest(now, self._next(self._rests.get(record)))

    def forget(self) -> None:
        """Drop what is known of records that have been left alone for long enough."""
        self._rests = {record: rest for record, rest in self._rests.items() if self._warm(rest)}

    def _next(self, rest: _Rest | None) -> timedelta:
        if rest is None or not self._warm(rest):
            return self._shortest
        return min(2 * rest.length, self._longest)

    def _warm(self, rest: _Rest) -> bool:
        """Whether it was read so lately that another read makes its rests longer."""
        since = self._since(rest)
        return since is not None and since < 3 * rest.length

    def _since(self, rest: _Rest | None) -> timedelta | None:
        """What has passed since it was read; None where that can't be known, for the machine's
        clock was put back."""
        if rest is None:
            return None
        since = self._clock.now() - rest.since
        return since if since >= timedelta() else None
