"""The batches that are being written while the next ones are gathered."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from types import TracebackType
from typing import NamedTuple

from connector.engine.gather import Gathered

BATCHES_IN_FLIGHT = 3
"""Batches written at the same time, while another is gathered; how many calls a system gets at
once is its connection's to say."""


class _Batch(NamedTuple):
    work: Future[None]
    canonical_ids: frozenset[str]
    match_keys: frozenset[str]


class InFlight:
    """Writes batches in threads, `limit` at a time; in the caller's own where that is 0, so that
    a simulation has one order of events. No two of them have to do with the same record."""

    def __init__(self, limit: int) -> None:
        self._threads = ThreadPoolExecutor(limit, "write") if limit else None
        self._limit = limit
        self._batches: list[_Batch] = []

    def __enter__(self) -> InFlight:
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: BaseException | None,
                 _traceback: TracebackType | None) -> None:
        if self._threads is not None:
            self._threads.shutdown()
        if kind is None:
            self.land()

    def begin(self, gathered: Gathered, work_off: Callable[[], None]) -> None:
        """Let `work_off` write a batch, as soon as there is room; raises the error of one that
        was begun before."""
        if self._threads is None:
            work_off()
            return
        while len(self._batches) >= self._limit or (self._batches and self._batches[0].work.done()):
            self._batches.pop(0).work.result()
        self._batches.append(_Batch(self._threads.submit(copy_context().run, work_off),
                                    _canonical_ids(gathered), _match_keys(gathered)))

    def land(self) -> bool:
        """Wait until all are written; False where there are none. Raises their first error."""
        landing, self._batches = self._batches, []
        for batch in landing:
            batch.work.result()
        return bool(landing)

    def touches(self, gathered: Gathered) -> bool:
        """Whether a batch has to do with a record being written: what was loaded of it then is
        not what will be."""
        ids, keys = _canonical_ids(gathered), _match_keys(gathered)
        return any(not ids.isdisjoint(batch.canonical_ids) or not keys.isdisjoint(batch.match_keys)
                   for batch in self._batches)


def _canonical_ids(gathered: Gathered) -> frozenset[str]:
    return frozenset(group.canonical_id for group in gathered.groups)


def _match_keys(gathered: Gathered) -> frozenset[str]:
    return frozenset(change.match_key for change in gathered.taken if change.match_key)
