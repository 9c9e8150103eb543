"""The phases of a run: each can be tried again by itself, for what it had done is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from connector.engine.apply import recover
from connector.engine.session import Session

T = TypeVar("T")


class Phase(Protocol):
    """Does one phase of a run, `read`, `compare`, `work off` or `tell`: calls `work`, and where
    that raises `RetryLater` maybe once more, later. What it raises in the end ends the run."""

    def __call__(self, name: str, work: Callable[[], T]) -> T: ...


def at_once(name: str, work: Callable[[], T]) -> T:  # noqa: ARG001 - a `Phase`
    """A phase is done once."""
    return work()


def in_phase(session: Session, phase: Phase, name: str, work: Callable[[], T]) -> T:
    """Do a phase. Before anything else, in a run and after each failure, writes whose results were
    never kept are verified."""
    def attempt() -> T:
        unsettled = session.unsettled()
        try:
            if not session.recovered:
                recover(session)
                session.recovered = True
            return work()
        except BaseException:
            session.recovered = False
            session.put_back(unsettled)
            raise

    return phase(name, attempt)
