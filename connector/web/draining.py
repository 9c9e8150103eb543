"""Drains a pair as soon as webhooks have told something, in a thread of its own."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime

import structlog

from connector.engine.run import Engine
from connector.errors import ConnectorError, LeaseHeld, RetryLater

IDLE = 30.0
"""Seconds after which the store is looked at though nobody has called: other receivers, records to
be tried again."""
SHORTEST, LONGEST = 0.2, 60.0
"""Seconds before a drain that could not be made is tried again; doubled each time."""


@dataclass(slots=True)
class Drained:
    """What a drain thread has done so far."""

    drains: int = 0
    failures: int = 0
    seconds: float = 0.0
    last: datetime | None = None
    error: str = ""


class Drain:
    """Drains one pair whenever it is woken. Where another run holds the pair's lease it waits, and
    where a system is away it waits longer each time; nothing is lost meanwhile."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._log = structlog.get_logger().bind(pair=engine.pair.name)
        self._woken, self._stop = threading.Event(), threading.Event()
        self._tries = 0
        self.done = Drained()
        self._thread = threading.Thread(target=self._work, name=f"drain {engine.pair.name}",
                                        daemon=True)

    def start(self) -> None:
        """Begin, with what is left from before."""
        self._woken.set()
        self._thread.start()

    def wake(self) -> None:
        """There is something to do."""
        self._woken.set()

    def stop(self) -> None:
        """Finish the drain at hand, then end; what is left is drained after the next start."""
        self._stop.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while not self._stop.is_set():
            woken = self._woken.wait(IDLE)
            self._woken.clear()
            try:
                if not self._stop.is_set() and (woken or self._something_waits()):
                    self._drain()
            except Exception as error:  # the thread has to outlive whatever happens in one drain
                self._failed(error)
                self._later()

    def _drain(self) -> None:
        began = self._engine.clock.now()
        try:
            run = self._engine.drain()
        except LeaseHeld:
            self._later(longest=5.0)
            return
        except RetryLater as error:
            self._failed(error)
            self._later(asked=error.after or 0)
            return
        except ConnectorError as error:  # a person has to see to it; the next hint may go well
            self._failed(error)
            return
        self._tries = 0
        self.done.drains += 1
        self.done.last = self._engine.clock.now()
        self.done.seconds += (self.done.last - began).total_seconds()
        self.done.error = run.message

    def _something_waits(self) -> bool:
        pair = self._engine.pair
        with self._engine.store.begin() as uow:
            states = {state for *_, state in uow.inbox_counts(pair.name)}
            asked = uow.requests(pair.name)
            due = uow.due_dead_letters(pair.name, pair.entities, self._engine.clock.now(), 0, 1)
        return bool(states & {"hinted", "pending"} or due or asked)

    def _failed(self, error: Exception) -> None:
        self.done.failures += 1
        self.done.error = f"{type(error).__name__}: {error}"
        self._log.warning("drain failed", error=type(error).__name__)

    def _later(self, *, longest: float = LONGEST, asked: float = 0) -> None:
        """Wait, longer each time in a row or as long as was asked for, and try again without
        being woken."""
        seconds = max(asked, min(SHORTEST * 2 ** self._tries, longest))
        self._tries = min(self._tries + 1, 20)
        self._stop.wait(seconds)
        self._woken.set()
