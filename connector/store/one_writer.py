"""Whose turn it is to write, among the threads that share a store which has one writer.

Left to itself, whoever comes last gets in as readily as whoever has waited longest: somebody who
waits for an answer might wait for a good part of a run. Here those in a hurry go first, but not
twice in a row past somebody else, and all others in the order in which they came.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock


class _Waiting:
    def __init__(self, hurry: bool) -> None:
        self.hurry, self.called = hurry, Event()


class OneWriter:
    """A lock that is handed on. Who has it may not ask for it once more."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._queue: list[_Waiting] = []
        self._taken = self._hurried = False

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._queue)

    @contextmanager
    def writing(self, *, hurry: bool = False) -> Iterator[None]:
        """Wait for one's turn, and have it for as long as the block lasts."""
        me = _Waiting(hurry)
        try:
            with self._lock:
                if self._taken:
                    self._queue.append(me)
                else:
                    self._call(me)
            me.called.wait()
            yield
        finally:
            self._end(me)

    def _call(self, waiting: _Waiting) -> None:
        waiting.called.set()
        self._taken, self._hurried = True, waiting.hurry

    def _end(self, me: _Waiting) -> None:
        with self._lock:
            if not me.called.is_set():  # interrupted before its turn had come
                if me in self._queue:
                    self._queue.remove(me)
                return
            self._taken = False
            if self._queue:
                following = self._following()
                self._queue.remove(following)
                self._call(following)

    def _following(self) -> _Waiting:
        return next((w for w in self._queue if w.hurry is not self._hurried), self._queue[0])
