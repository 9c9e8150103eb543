"""Drains a pair in a thread of its own: one round after another, the next one at once where
somebody calls."""

from __future__ import annotations

import threading

from connector.engine.run import Engine
from connector.web.rounds import Drained, Rounds


class Drain:
    """Drains one pair whenever it is woken, and from time to time."""

    def __init__(self, engine: Engine) -> None:
        self._rounds = Rounds(engine)
        self._woken, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"drain {engine.pair.name}",
                                        daemon=True)

    @property
    def done(self) -> Drained:
        """What it has done so far."""
        return self._rounds.done

    def start(self) -> None:
        """Begin, with what is left from before."""
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
            self._woken.clear()
            pause = self._rounds.round()
            if not self._stop.wait(pause.least):
                self._woken.wait(pause.most - pause.least)
