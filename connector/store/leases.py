"""Whether somebody holds a lease."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from sqlalchemy import Row


def held(row: Row[Any], now: float) -> bool:
    """Whether a lease is held: its time, in seconds since the epoch, is not up, and its holder is
    not known to be dead."""
    return bool(row.holder) and row.until > now and not _dead(row.holder)


def _dead(holder: str) -> bool:
    """Whether a holder was a process of this host that lives no more."""
    host, _, pid = holder.rpartition(":")
    # On Windows, os.kill would not ask but interrupt.
    if host != socket.gethostname() or not pid.isdecimal() or sys.platform == "win32":
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False
