"""Keeps what webhooks tell: a thread that commits the deliveries that come together at once.

A delivery is answered only after its transaction was committed, durably. What came twice, by its
ID, has no second effect for thirty days.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from connector.domain.records import Delivery
from connector.errors import ConnectorError, StoreContended, StoreUnusable
from connector.ports import Clock, Store

GROUP = 500
"""Deliveries that are committed together at most."""
KEPT = timedelta(days=30)
"""How long a delivery's ID is known: senders try again for some days."""
PRUNED_AT_ONCE = 2000
"""Old IDs that are dropped after a group, once a minute or until none are left."""
TRIES = 6

Shared = Mapping[tuple[str, str], Sequence[tuple[str, str]]]
"""(pair, entity) of each (system, object): what it is shared as."""


class _Waiting(NamedTuple):
    system: str
    delivery: Delivery
    answer: asyncio.Future[bool]
    loop: asyncio.AbstractEventLoop


class Intake:
    """Keeps deliveries and their hints; `arrived` is told the pairs that have something to do."""

    def __init__(self, store: Store, clock: Clock, shared: Shared,
                 arrived: Callable[[set[str]], None]) -> None:
        self._store, self._clock, self._shared, self._arrived = store, clock, shared, arrived
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._pruned_at: datetime | None = None
        self.waiting = 0  # deliveries that are not answered yet
        self._thread = threading.Thread(target=self._work, name="intake", daemon=True)
        self._thread.start()

    @property
    def at_work(self) -> bool:
        """Whether deliveries are being kept."""
        return self._thread.is_alive()

    async def keep(self, system: str, delivery: Delivery) -> bool:
        """Keep a delivery; False where it had come before. Raises `StoreUnusable`."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(system, delivery, loop.create_future(), loop)
        self.waiting += 1
        try:
            self._queue.put(waiting)
            return await waiting.answer
        finally:
            self.waiting -= 1

    def close(self) -> None:
        """Keep what has come, then stop."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while True:
            group, more = self._gathered()
            if group:
                self._keep_and_answer(group)
                self._prune()
            if not more:
                return

    def _gathered(self) -> tuple[list[_Waiting], bool]:
        """What has come by now, once something has; False after the last of it."""
        group = list[_Waiting]()
        item = self._queue.get()
        while item is not None:
            group.append(item)
            if len(group) == GROUP:
                return group, True
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return group, True
        return group, False

    def _keep_and_answer(self, group: Sequence[_Waiting]) -> None:
        try:
            new, pairs = self._kept(group)
        except Exception as error:  # whoever waits for an answer has to get one
            structlog.get_logger().error("deliveries could not be kept", number=len(group),
                                         error=type(error).__name__)
            _tell([(waiting, None) for waiting in group])
            return
        answers = list[tuple[_Waiting, bool | None]]()
        for waiting in group:
            key = waiting.system, waiting.delivery.id
            answers.append((waiting, key in new))
            new.discard(key)
        _tell(answers)
        if pairs:
            self._arrived(pairs)

    def _kept(self, group: Sequence[_Waiting]) -> tuple[set[tuple[str, str]], set[str]]:
        """The deliveries that are new, and the pairs that their hints are for."""
        for tried in range(TRIES):
            try:
                return self._keep(group)
            except StoreContended:
                if tried == TRIES - 1:
                    raise
                self._clock.sleep(0.01 * 2 ** tried)
        raise AssertionError("the last try returns or raises")

    def _keep(self, group: Sequence[_Waiting]) -> tuple[set[tuple[str, str]], set[str]]:
        told: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
        with self._store.begin(durable=True) as uow:
            new = uow.note_deliveries(self._clock.now(),
                                      {(w.system, w.delivery.id) for w in group})
            for system, delivery, *_ in group:
                for hint in delivery.hints if (system, delivery.id) in new else ():
                    for pair, entity in self._shared.get((system, hint.object), ()):
                        told[pair].add((entity, system, hint.external_id))
            for pair in sorted(told):
                uow.hint(pair, told[pair])
        return new, set(told)

    def _prune(self) -> None:
        now = self._clock.now()
        if self._pruned_at is not None and now - self._pruned_at < timedelta(minutes=1):
            return
        try:
            with self._store.begin() as uow:
                dropped = uow.forget_deliveries(now - KEPT, PRUNED_AT_ONCE)
        except ConnectorError as error:
            structlog.get_logger().warning("old delivery IDs could not be dropped",
                                           error=type(error).__name__)
            dropped = 0
        if dropped < PRUNED_AT_ONCE:
            self._pruned_at = now


def _tell(answers: Sequence[tuple[_Waiting, bool | None]]) -> None:
    """Answer all of a group in the loop that each waits in; None where it was not kept."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Waiting, bool | None]]] = \
        defaultdict(list)
    for waiting, new in answers:
        by_loop[waiting.loop].append((waiting, new))
    for loop, some in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_answer, some)


def _answer(some: Sequence[tuple[_Waiting, bool | None]]) -> None:
    for waiting, new in some:
        if waiting.answer.done():
            continue  # its sender went away
        if new is None:
            waiting.answer.set_exception(StoreUnusable("The delivery could not be kept."))
        else:
            waiting.answer.set_result(new)
