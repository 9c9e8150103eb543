"""How many deliveries a second are let in."""

from __future__ import annotations

import time
from collections.abc import Callable


class Rate:
    """Lets `per_second` in on average, and as many at once after a quiet second."""

    def __init__(self, per_second: float, now: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._now = per_second, now
        self._left, self._at = per_second, now()

    def admit(self) -> bool:
        """Whether one more may come in now."""
        at = self._now()
        self._left = min(self._per_second, self._left + (at - self._at) * self._per_second)
        self._at = at
        if self._left < 1:
            return False
        self._left -= 1
        return True
