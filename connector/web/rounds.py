"""When a pair is drained: as soon as something was told, no more often than it does good.

After a drain comes a pause as long as the drain took, so that a steady stream of hints is worked
off in ever larger parts, and whoever takes webhooks in has half of the time for itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from connector.engine.pacing import Pace
from connector.engine.run import Engine
from connector.errors import LeaseHeld, RetryLater

IDLE = 30.0
"""Seconds after which the inbox is looked at though nobody has called: what was left in it, records
to be tried again, hints that other receivers took in."""
BREATH, LONGEST_BREATH = 0.05, 1.0
"""Seconds between two drains."""
SHORTEST, LONGEST = 0.2, 60.0
"""Seconds before a drain that could not be made is tried again; doubled each time."""
LEASE_LOOK = 5.0
"""Seconds after which a pair that another run works on is tried again, at most."""
LOOKED_AT = 500
"""Hints that are looked through at a time."""


@dataclass(slots=True)
class Drained:
    """What the drains of a pair have done so far."""

    drains: int = 0
    failures: int = 0
    seconds: float = 0.0
    read: int = 0
    written: int = 0
    last: datetime | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    """Seconds until the next round: `least` whatever comes, `most` where nobody calls."""

    least: float
    most: float


class Rounds:
    """Drains one pair, round by round. Where another run holds the pair's lease the next round
    comes later, and where a system is away later each time; nothing is lost meanwhile."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._clock = engine, engine.clock
        self._log = structlog.get_logger().bind(pair=engine.pair.name)
        self._pace = Pace(engine.clock)
        self._failed = 0  # times in a row
        self._unsure = True  # whether something may be left that no hint tells of
        self._looked: datetime | None = None
        self.done = Drained()

    def round(self) -> Pause:
        """Drain, if there is something that may be read or worked off by now."""
        try:
            rest = timedelta() if self._must() else self._rest_left()
            if rest is None:
                return Pause(BREATH, IDLE)
            if rest:
                return Pause(BREATH, min(max(BREATH, rest.total_seconds()), IDLE))
            return self._drain()
        except LeaseHeld:
            return self._later(LEASE_LOOK)
        except Exception as error:  # the next round has to come, whatever happened in this one
            self.done.failures += 1
            self.done.error = f"{type(error).__name__}: {error}"
            self._log.warning("drain failed", error=type(error).__name__)
            return self._later(LONGEST, (isinstance(error, RetryLater) and error.after) or 0)

    def _drain(self) -> Pause:
        began = self._clock.now()
        self._pace.forget()
        run = self._engine.drain(pace=self._pace)
        self._failed, self._unsure, self._looked = 0, False, began
        done, done.last = self.done, self._clock.now()
        took = (done.last - began).total_seconds()
        breath = min(max(BREATH, took), LONGEST_BREATH)
        done.drains += 1
        done.seconds += took
        done.read += sum(tally.read for tally in run.tallies.values())
        done.written += sum(run.writes.values())
        done.error = run.message
        return Pause(breath, breath)

    def _must(self) -> bool:
        """Whether to drain, whatever hints there are: after the start, after a drain that broke
        off, and where a look, each half minute, finds something."""
        now = self._clock.now()
        if self._unsure or self._looked is None:
            return True
        if abs((now - self._looked).total_seconds()) < IDLE:
            return False
        self._looked = now
        pair = self._engine.pair
        with self._engine.store.begin() as uow:
            states = {state for *_, state in uow.inbox_counts(pair.name)}
            asked = uow.requests(pair.name)
            due = uow.due_dead_letters(pair.name, pair.entities, now, 0, 1)
        return "pending" in states or bool(due or asked)

    def _rest_left(self) -> timedelta | None:
        """How long it takes until the first record that a hint names may be read; None where
        there is no hint."""
        soonest = None
        for system, entity, external_id in self._hinted():
            left = self._pace.rest_left((entity, system, external_id))
            if not left:
                return left
            soonest = left if soonest is None else min(left, soonest)
        return soonest

    def _hinted(self) -> Iterator[tuple[str, str, str]]:
        """The records that hints name, as (system, entity, external ID); an entity that the config
        knows no more is nobody's."""
        pair = self._engine.pair
        for side in pair.sides:
            after, more = 0, True
            while more:
                with self._engine.store.begin() as uow:
                    hinted = uow.hinted(pair.name, side.system, after, LOOKED_AT)
                after, more = max(hinted, default=after), len(hinted) == LOOKED_AT
                yield from ((side.system, *record) for record in hinted.values()
                            if record[0] in pair.policies)

    def _later(self, longest: float, asked: float = 0) -> Pause:
        """Try again after a while, longer each time in a row or as long as was asked for."""
        seconds = max(asked, min(SHORTEST * 2 ** min(self._failed, 20), longest))
        self._failed += 1
        self._unsure = True
        return Pause(seconds, seconds)
