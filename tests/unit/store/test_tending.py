"""Checkpoints beside the transactions of a SQLite store."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from connector.store.open import open_store
from connector.store.tending import checkpoint
from connector.store.unit_of_work import SqlStore
from connector.testing.clock import VirtualClock


def pages_of_log(path: Path) -> int:
    """Pages in the log that were not moved into the database yet."""
    connection = sqlite3.connect(path)
    _, pages, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    connection.close()
    return int(pages - moved)


def fill(store: SqlStore, number: int) -> None:
    with store.begin() as uow:
        uow.note_deliveries(store.clock.now(), {("crm", f"{number}-{n}" * 20) for n in range(200)})


def test_a_long_log_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = open_store(f"sqlite:///{path}", VirtualClock())
    other = sqlite3.connect(path, isolation_level=None)
    sizes = []
    for number in range(12):
        fill(store, number)
        checkpoint(other, longest_log=50)
        sizes.append((tmp_path / "store.db-wal").stat().st_size)
    assert max(sizes[6:]) <= max(sizes[:6])  # it does not grow for ever
    assert pages_of_log(path) == 0
    with store.begin() as uow:
        assert uow.note_deliveries(store.clock.now(), {("crm", "0-0" * 20)}) == set()
    other.close()
    store.close()


def test_transactions_make_checkpoints_again_when_it_is_over(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/store.db", VirtualClock())

    def pages() -> int:
        with store.begin() as uow:
            return int(uow.connection.exec_driver_sql("PRAGMA wal_autocheckpoint").scalar_one())

    assert pages() > 0
    with store.tended():
        assert pages() == 0
    assert pages() > 0
    store.close()
