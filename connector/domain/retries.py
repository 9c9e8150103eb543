"""When a parked record is tried again by itself: after waits that grow, a number of times."""

from __future__ import annotations

from datetime import datetime, timedelta

FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(days=1)
MAX_ATTEMPTS = 14
"""Tries, the first one included, after which only a person tries once more: about four days."""

RETRIED_STAGES = frozenset({"write"})
"""Where trying again may help though the record stays as it is: what a system refuses today (a
locked period, a customer on hold, a missing right) it may take tomorrow. What can't be decoded,
encoded or merged waits for a change of the record, the mapping or the rules."""


def next_try(stage: str, attempts: int, failed_at: datetime) -> datetime | None:
    """When a record that has failed `attempts` times, last at `failed_at`, is tried again; None
    where only a person tries."""
    if stage not in RETRIED_STAGES or attempts >= MAX_ATTEMPTS:
        return None
    doubled = min(attempts - 1, 20)  # beyond that the longest wait is passed anyhow
    return failed_at + min(FIRST_WAIT * (1 << doubled), LONGEST_WAIT)
