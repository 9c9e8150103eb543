"""Looks for what people have to be told, on a beat, in a thread of its own."""

from __future__ import annotations

import threading

import structlog

from connector.alerts.watch import Watch
from connector.errors import LeaseHeld

EVERY = 60.0
"""Seconds from one look to the next."""


class Watching:
    """Lets a watch check every minute; a look that fails is made again on the next beat."""

    def __init__(self, watch: Watch, every: float = EVERY) -> None:
        self._watch, self._every = watch, every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="alerts", daemon=True)

    def start(self) -> None:
        """Begin with a look at once."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the look at hand, then end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                self._watch.check()
            except LeaseHeld:
                pass  # another process of the same store is at it
            except Exception as error:  # the thread has to outlive whatever happens in one look
                structlog.get_logger().warning("alerts not checked", error=type(error).__name__)
            self._stop.wait(self._every)
