"""Checkpoints of a SQLite store by a thread of its own.

Else the transaction that fills the log moves all of it into the database, and whoever waits for an
answer waits for that too: some tenths of a second on a busy disk.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

TENDED = "tended"
"""An engine's option: its transactions leave checkpoints to the thread."""
EVERY = 1.0
"""Seconds between two checkpoints."""
LONGEST_LOG = 16_000
"""Pages after which the log is begun anew."""


@contextmanager
def checkpoints(database: str) -> Iterator[None]:
    """While the block lasts, a thread makes the checkpoints of the database at a path."""
    stop = threading.Event()
    thread = threading.Thread(target=_work, args=(database, stop), name="checkpoints", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _work(database: str, stop: threading.Event) -> None:
    with closing(sqlite3.connect(database, isolation_level=None, timeout=1.0)) as connection:
        while not stop.wait(EVERY):
            with suppress(sqlite3.OperationalError):  # busy: the next one will do
                checkpoint(connection)


def checkpoint(connection: sqlite3.Connection, longest_log: int = LONGEST_LOG) -> None:
    """Move the log into the database beside whoever writes; one of more than `longest_log` pages is
    then begun anew, which keeps writers out for the little that has come meanwhile."""
    _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    if pages > longest_log:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")  # what came during the first, quickly
        connection.execute("PRAGMA wal_checkpoint(RESTART)")
