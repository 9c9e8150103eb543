"""How a run comes to its turn: one at a time works on a pair, under its lease.

A second one waits, or leaves what it was to do with the one at work (`merge`). Which run comes next
of several that wait is left open: each of them does what is to be done by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from threading import Event

import structlog

from connector.domain.ledger import Request
from connector.engine.fence import holder
from connector.engine.session import LEASE_TTL, cancelled
from connector.errors import LeaseHeld
from connector.ports import Clock, Store

BETWEEN_TRIES = 0.2
"""Seconds before a lease that another run holds is asked for again."""


@dataclass(frozen=True, slots=True)
class Busy:
    """What a run does where another one works on its pair: it waits for `patience` seconds before
    it gives up; with `merge` it first tries to leave what it was to do with that one."""

    patience: float = 0
    merge: bool = False


AT_ONCE = Busy()
"""It gives up at once."""


class Merged(Exception):
    """The run that was to begin is merged into the run `into`."""

    def __init__(self, into: str) -> None:
        super().__init__(into)
        self.into = into


def take_turn(store: Store, clock: Clock, pair: str, busy: Busy, request: Request | None,
              stop: Event) -> int:
    """Take the pair's lease and return its token. Raises `LeaseHeld` where it isn't free in time,
    and `Merged` where `request`, if there is one, was left with the run at work."""
    given_up = clock.now() + timedelta(seconds=busy.patience)
    waiting = False
    while True:
        try:
            return store.acquire_lease(pair, holder(), LEASE_TTL)
        except LeaseHeld as held:
            into = store.leave_request(pair, request) if busy.merge and request else None
            if into is not None:
                raise Merged(into) from None
            if clock.now() >= given_up:
                raise
            if not waiting:
                structlog.get_logger().warning("waiting for another run", pair=pair,
                                               longest=busy.patience, held=held.message)
            waiting = True
        if stop.is_set():
            raise cancelled(pair)
        clock.sleep(BETWEEN_TRIES)


def close_abandoned(store: Store, clock: Clock, pair: str) -> None:
    """Mark runs that dead processes have left running, unless one works on the pair."""
    with store.begin() as uow:
        if uow.is_free(pair, clock.now()):
            uow.abandon_runs(pair, clock.now())
