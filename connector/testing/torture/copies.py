"""Copies of this process: each goes on from where it was made, tells what came of it, and ends.

What led there is done once, however many copies are made. Only where the system can fork.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, NoReturn


@dataclass(slots=True)
class Copies:
    """Makes copies of this process, in whose course no other thread has a part. `purpose` is what
    a copy was made for, empty in the process that makes them."""

    purpose: str = ""
    _line: Connection | None = None

    def make(self, purpose: str) -> Any:
        """What a copy says came of it, once it has ended; None in the copy itself. Raises what it
        raised, and `EOFError` where it was killed."""
        hears, tells = Pipe(duplex=False)
        pid = os.fork()
        if pid == 0:
            hears.close()
            self.purpose, self._line = purpose, tells
            return None
        tells.close()
        try:
            said = hears.recv()
        finally:
            hears.close()
            os.waitpid(pid, 0)
        if isinstance(said, BaseException):
            raise said
        return said

    def end(self, said: Any) -> NoReturn:
        """In a copy: tell what came of it, and end at once."""
        assert self._line is not None
        try:
            self._line.send(said)
        finally:
            os._exit(0)
