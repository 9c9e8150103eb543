"""The calls that a connection may make, and who counts them: this process, or the store for all."""

from __future__ import annotations

from datetime import UTC, datetime
from threading import Lock

from pydantic import BaseModel, ConfigDict, Field

from connector.domain.budget import Account, Limits, Turn, take
from connector.errors import BudgetSpent, RateLimited
from connector.ports import INTERACTIVE, Clock, Meter


class BudgetSettings(BaseModel):
    """How many calls a connection may make; what is not said is not limited."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    per_second: float | None = Field(None, gt=0, le=10_000, description="calls a second")
    per_day: int | None = Field(None, ge=1, description="calls in any 24 hours")
    reserve_percent: int = Field(
        0, ge=0, le=90, description="the share of a day's calls that is kept for people")

    @property
    def limits(self) -> Limits:
        """The same, as the arithmetic takes it."""
        return Limits(self.per_second, self.per_day, self.reserve_percent)


class OwnMeter:
    """Counts the calls of this process alone."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, Lock()
        self._accounts: dict[str, Account] = {}

    def take_turn(self, system: str, limits: Limits, *, interactive: bool) -> Turn:
        """See the port."""
        now = self._clock.now().timestamp()
        with self._lock:
            account, turn = take(self._accounts.get(system, Account()), limits, now,
                                 interactive=interactive)
            self._accounts[system] = account
        return turn

    def hold_off(self, system: str, until: datetime) -> None:
        """See the port."""
        with self._lock:
            account = self._accounts.get(system, Account())
            self._accounts[system] = account.hold_off(until.timestamp())


class Budget:
    """The budget of one connection."""

    def __init__(self, system: str, settings: BudgetSettings, meter: Meter | None,
                 clock: Clock) -> None:
        self._system, self._settings, self._clock = system, settings, clock
        self._meter: Meter = meter or OwnMeter(clock)

    def wait(self) -> None:
        """Let time pass until a call may go. Raises `BudgetSpent` where the calls of a day are
        used up, `RateLimited` where the system wants no call for longer than a run waits."""
        now = self._clock.now().timestamp()
        turn = self._meter.take_turn(self._system, self._settings.limits,
                                     interactive=INTERACTIVE.get())
        if turn.given:
            if turn.at > now:
                self._clock.sleep(turn.at - now)
            return
        until = datetime.fromtimestamp(turn.at, UTC)
        after = max(0.0, turn.at - now)
        if not turn.spent:
            raise RateLimited(f"{self._system} wants no call until {until:%Y-%m-%d %H:%M:%S} UTC.",
                              after=after, hint="Sync again then.")
        reserve = self._settings.reserve_percent
        kept = f" (of these, {reserve} % are kept for people)" if reserve else ""
        raise BudgetSpent(
            f"{self._system}: the {self._settings.per_day} calls of a day{kept} are used up until "
            f"{until:%Y-%m-%d %H:%M} UTC.", after=after,
            hint="Nothing is lost: what is left waits, and the next run goes on with it.")

    def hold_off(self, seconds: float) -> None:
        """The system wants no call for so long: nobody who shares the budget makes one."""
        until = self._clock.now().timestamp() + seconds
        self._meter.hold_off(self._system, datetime.fromtimestamp(until, UTC))
