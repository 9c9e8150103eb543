"""The thread that drains: it comes when it is called, and ends when it is told to."""

from __future__ import annotations

import threading
from typing import Any

from connector.domain.ledger import Run, RunState
from connector.engine.run import Engine
from connector.store.open import open_store
from connector.testing.clock import VirtualClock
from connector.web.draining import Drain


class Counting(Engine):
    """An engine that tells of each of its drains."""

    drained: threading.Semaphore

    def drain(self, *_: Any, **__: Any) -> Run:
        with self.store.begin() as uow:
            uow.settle_hints(uow.hinted("main", "crm", 0, 9))
        self.drained.release()
        return Run("1", "main", "webhook", RunState.COMPLETED, self.clock.now())


def test_it_drains_at_the_start_and_when_woken(example_pair: Any) -> None:
    clock = VirtualClock()
    store = open_store("sqlite://", clock)
    engine = Counting(example_pair, store, clock)
    engine.drained = threading.Semaphore(0)
    drain = Drain(engine)
    drain.start()
    assert engine.drained.acquire(timeout=60)
    for number in range(3):
        with store.begin() as uow:
            uow.hint("main", [("customer", "crm", str(number))])
        drain.wake()
        assert engine.drained.acquire(timeout=60)
    drain.stop()
    assert drain.done.drains == 4
    assert not [t for t in threading.enumerate() if t.name == "drain main"]
    store.close()


def test_one_that_was_never_started_can_be_stopped(example_pair: Any) -> None:
    clock = VirtualClock()
    store = open_store("sqlite://", clock)
    drain = Drain(Engine(example_pair, store, clock))
    drain.stop()
    assert drain.done.drains == 0
    store.close()
