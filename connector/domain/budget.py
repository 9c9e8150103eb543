"""How many calls a connection may make: the arithmetic, without any clock or store.

Calls within a second are spread evenly, so that no window of a second ever sees more than one
call above the rate. A day is any 24 hours, counted by whole hours: one number for each instead of
a row for each call, and never fewer calls than were made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

HOUR = 3600
HOURS = 25
"""Hours that are counted: the present one, which is not over, and the 24 before it."""
PATIENCE = 60.0
"""Seconds that a call waits because the system asked for it; a longer wait ends the run."""
LONGEST_QUEUE = 600.0
"""Seconds; a turn further ahead was given out by a process whose clock was wrong."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a connection may use; `reserve_percent` of the calls of a day are kept for people."""

    per_second: float | None = None
    per_day: int | None = None
    reserve_percent: int = 0

    def calls_a_day(self, *, interactive: bool) -> int | None:
        """The calls of a day: all of them only where a person waits for the answer."""
        if self.per_day is None or interactive:
            return self.per_day
        return self.per_day * (100 - self.reserve_percent) // 100


@dataclass(frozen=True, slots=True)
class Account:
    """What a connection has used: calls by hour since the epoch, and the instants (seconds since
    the epoch) at which the next call may go (`free_at`) and before which the system wants none."""

    free_at: float = 0.0
    not_before: float = 0.0
    hours: Mapping[int, int] = field(default_factory=dict)

    def used(self, now: float) -> int:
        """Calls of the last 24 hours, and of what is left of the hour before them."""
        return sum(n for hour, n in self.hours.items() if _counts(hour, now))

    def hold_off(self, until: float) -> Account:
        """The same, with no call before `until`; an earlier wish of the system stands."""
        return replace(self, not_before=max(self.not_before, until))


@dataclass(frozen=True, slots=True)
class Turn:
    """When a call may go, in seconds since the epoch; where it is not `given`, it has to be asked
    for anew then, and `spent` says that it is the day's calls that are used up."""

    at: float
    given: bool = True
    spent: bool = False


def take(account: Account, limits: Limits, now: float, *,
         interactive: bool) -> tuple[Account, Turn]:
    """The turn of the next call, and the account with that call on it."""
    allowed = limits.calls_a_day(interactive=interactive)
    if allowed is not None and account.used(now) >= allowed:
        return account, Turn(_free_again(account, allowed, now), given=False, spent=True)
    if account.not_before - now > PATIENCE:
        return account, Turn(account.not_before, given=False)
    free_at = account.free_at if account.free_at - now <= LONGEST_QUEUE else now
    at = max(now, account.not_before, free_at)
    gap = 1 / limits.per_second if limits.per_second else 0.0
    hours = {hour: n for hour, n in account.hours.items() if _counts(hour, now)}
    this = int(now // HOUR)
    return (Account(at + gap, account.not_before, {**hours, this: hours.get(this, 0) + 1}),
            Turn(at))


def _counts(hour: int, now: float) -> bool:
    return hour > now // HOUR - HOURS


def _free_again(account: Account, allowed: int, now: float) -> float:
    """When enough hours no longer count for one more call."""
    left = account.used(now)
    for hour in sorted(h for h in account.hours if _counts(h, now)):
        left -= account.hours[hour]
        if left < allowed:
            return float((hour + HOURS) * HOUR)
    return now + HOUR  # not a call is allowed at all
