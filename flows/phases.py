"""The phases of a run as Prefect tasks: seen one by one, and tried again where that can help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

from connector.errors import BudgetSpent, RetryLater

DELAYS = [5.0, 15.0, 20.0]
"""Seconds before a phase is tried again; each less than Prefect leaves a cancelled process to end
by itself (30 s)."""

T = TypeVar("T")


class PhaseFailed(Exception):
    """A phase failed, with an error of the class that it names. What the error said may hold
    something of a record, so Prefect's server, which keeps this one, is not told."""


def worth_another_try(error: BaseException | None) -> bool:
    """Whether doing the same again soon may go well: a system was away, and did not ask for more
    time than there is. A user's mistake stays one."""
    return isinstance(error, RetryLater) and not isinstance(error, BudgetSpent) \
        and (error.after or 0) <= max(DELAYS)


class Tasks:
    """Does each phase of a run as a task; see `connector.engine.phases.Phase`."""

    def __init__(self, delays: list[float] | None = None) -> None:
        self._delays = DELAYS if delays is None else delays
        self._numbers = Counter[str]()

    def __call__(self, name: str, work: Callable[[], T]) -> T:
        """Do it; raises what it raised in the end."""
        self._numbers[name] += 1
        done: list[T] = []
        failed: list[Exception] = []

        def phase() -> None:
            failed.clear()
            try:
                done.append(work())
            except Exception as error:
                failed.append(error)
                where = error.__traceback__
                raise PhaseFailed(type(error).__name__).with_traceback(where) from None

        def again(*_: Any) -> bool:
            return worth_another_try(failed[0] if failed else None)

        try:
            task(name=name, task_run_name=f"{name} {self._numbers[name]}",
                 retries=len(self._delays), retry_delay_seconds=self._delays,
                 retry_condition_fn=again, cache_policy=NO_CACHE, persist_result=False)(phase)()
        except PhaseFailed:
            raise failed[0] from None
        return done[0]
