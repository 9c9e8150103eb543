"""Planted bugs: each breaks one promise of the engine, of an adapter or of the store for the time
of a `with`, so that it can be seen whether the torture test bites."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from typing import Any, NamedTuple
from unittest.mock import patch

from connector.testing.torture.swarm import run_seeds

KNOWN: frozenset[int] = frozenset()
"""Seeds that the unbroken engine fails; what they tell proves nothing."""


class Bug(NamedTuple):
    """A planted bug: the promise it breaks, and how."""

    promise: str
    plant: Callable[[], AbstractContextManager[Any]]


class Caught(NamedTuple):
    """How many seeds it took, the last of them, and what did not hold."""

    seeds: int
    seed: int
    violation: str

    @property
    def invariant(self) -> str:
        """The number of the invariant."""
        return self.violation.partition(":")[0]


BUGS: dict[str, Bug] = {}


def planted(promise: str) -> Callable[[Callable[[], Iterable[Any]]], None]:
    """Register a function that gives the patches of a bug, under its name."""
    def register(patches: Callable[[], Iterable[Any]]) -> None:
        def plant() -> ExitStack:
            stack = ExitStack()
            for each in patches():
                stack.enter_context(each)
            return stack

        BUGS[patches.__name__] = Bug(promise, plant)

    return register


def swap(owner: Any, name: str, make: Callable[[Any], Any]) -> Any:
    """A patch of `owner.name` by what `make` makes of the original."""
    where, original = owner, getattr(owner, name)
    return patch.object(where, name, make(original))


def caught(name: str, seeds: Iterable[int]) -> Caught | None:
    """Simulate seeds with a bug in place until something does not hold."""
    with BUGS[name].plant():
        tried = 0
        for report in run_seeds(seed for seed in seeds if seed not in KNOWN):
            tried += 1
            if report.violations:
                return Caught(tried, report.seed, report.violations[0])
    return None
