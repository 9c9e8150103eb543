"""Planted bugs: each breaks one promise of the engine, of an adapter or of the store for the time
of a `with`, so that it can be seen whether the torture test bites."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from functools import cache
from typing import Any, NamedTuple
from unittest.mock import patch

from connector.store.open import open_store
from connector.store.unit_of_work import SqlStore
from connector.testing.clock import VirtualClock
from connector.testing.torture.crashes import Crash, crash_everywhere, play
from connector.testing.torture.swarm import run_seed


class Bug(NamedTuple):
    """A planted bug: the promise it breaks, how, and whether it shows only where records are told
    how they stand."""

    promise: str
    plant: Callable[[], AbstractContextManager[Any]]
    tells: bool = False


class Caught(NamedTuple):
    """How many seeds it took, the last of them, and what did not hold."""

    seeds: int
    seed: int
    violation: str

    @property
    def invariant(self) -> str:
        """The number of the invariant."""
        return self.violation.partition(":")[0]


class Crashed(NamedTuple):
    """The scenario that went wrong, and the crash after which it did."""

    scenario: str
    crash: Crash

    @property
    def violation(self) -> str:
        """What did not hold."""
        return self.crash.violations[0]


BUGS: dict[str, Bug] = {}


def planted(promise: str, *,
            tells: bool = False) -> Callable[[Callable[[], Iterable[Any]]], None]:
    """Register a function that gives the patches of a bug, under its name; it `tells` where the bug
    shows only where records are told how they stand."""
    def register(patches: Callable[[], Iterable[Any]]) -> None:
        def plant() -> ExitStack:
            stack = ExitStack()
            for each in patches():
                stack.enter_context(each)
            return stack

        BUGS[patches.__name__] = Bug(promise, plant, tells)

    return register


def swap(owner: Any, name: str, make: Callable[[Any], Any]) -> Any:
    """A patch of `owner.name` by what `make` makes of the original."""
    where, original = owner, getattr(owner, name)
    return patch.object(where, name, make(original))


def caught(name: str, seeds: Iterable[int],
           by: str = "I1 I2 I3 I4 I5 I6 I7 I8 I12") -> Caught | None:
    """Simulate seeds with a bug in place until one of the invariants `by` breaks that holds
    without the bug."""
    for tried, seed in enumerate(seeds, 1):
        with BUGS[name].plant():
            violations = _violations(seed, BUGS[name].tells)
        if any("it breaks off: TypeError" in v for v in violations):
            raise RuntimeError(f"{name} no longer fits the code it is planted in: {violations}")
        of_them = [v for v in violations if v.partition(":")[0] in by.split()]
        if of_them and not _violations(seed, BUGS[name].tells):
            return Caught(tried, seed, of_them[0])
    return None


def caught_crashing(name: str, scenarios: Iterable[str]) -> Crashed | None:
    """Play scenarios of the crash test with a bug in place, undisturbed at first and then with a
    crash at every boundary, until one goes wrong."""
    every = list(scenarios)
    with BUGS[name].plant():
        for scenario in every:
            violations = play(scenario, _store()).violations
            if violations:
                return Crashed(scenario, Crash(0, False, violations))
        for scenario in every:
            failed = crash_everywhere(scenario, _store(), until_one_fails=True).failed
            if failed:
                return Crashed(scenario, failed[0])
    return None


def _violations(seed: int, tells: bool) -> list[str]:
    return run_seed(seed, _store(), tells=tells).violations


@cache
def _store() -> SqlStore:
    return open_store("sqlite://", VirtualClock())
