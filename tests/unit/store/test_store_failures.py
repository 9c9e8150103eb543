"""A store that fails says so plainly and keeps nothing by halves."""

from __future__ import annotations

import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event, text

from connector.domain.records import Change
from connector.errors import LeaseHeld, StoreUnusable
from connector.store.open import open_store
from connector.store.unit_of_work import SqlStore
from connector.testing.clock import VirtualClock

P, E = "main", "customer"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    opened = open_store(f"sqlite:///{tmp_path}/store.db", VirtualClock())
    yield opened
    opened.close()


@pytest.fixture
def impatient(store: SqlStore) -> SqlStore:
    """A store that does not wait for a lock."""
    store.engine.dispose()

    @event.listens_for(store.engine, "connect")
    def _at_once(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA busy_timeout=0")

    return store


def test_a_locked_store_is_said_plainly_and_works_again_after(impatient: SqlStore,
                                                              tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnusable, match="database is locked"), impatient.begin():
        pytest.fail("it was not locked")
    with pytest.raises(StoreUnusable, match="database is locked"):
        impatient.acquire_lease(P, "elsewhere:1", 60)
    other.execute("ROLLBACK")
    other.close()
    assert impatient.acquire_lease(P, "elsewhere:1", 60) == 1


def test_a_full_disk_is_said_plainly_and_nothing_was_half_written(store: SqlStore) -> None:
    with store.begin() as uow:
        pages = uow.connection.execute(text("PRAGMA page_count")).scalar_one()
        uow.connection.execute(text(f"PRAGMA max_page_count={pages}"))
    many = [Change(0, E, "crm", str(i), "1", {"name": "x" * 1_000}) for i in range(500)]
    with pytest.raises(StoreUnusable, match="full"), store.begin() as uow:
        uow.save_cursor(P, E, "crm", "7")
        uow.receive(P, many)
    with store.begin() as uow:
        assert (uow.cursors(P, "crm").get(E), uow.inbox_counts(P)) == (None, {})


def test_a_broken_store_is_said_plainly(store: SqlStore) -> None:
    with store.begin() as uow:
        uow.connection.execute(text("drop table links"))
    with pytest.raises(StoreUnusable, match="no such table: links") as caught, \
            store.begin() as uow:
        uow.links_by_external(P, E, "crm", ["a"])
    assert "SELECT" not in str(caught.value)
    assert "Nothing was half written" in caught.value.hint


KILLED = """
import os, signal, sys
from connector.domain.records import Change
from connector.store.open import open_store
from connector.testing.clock import VirtualClock

store = open_store(sys.argv[1], VirtualClock())
store.acquire_lease("main", sys.argv[2] + f":{os.getpid()}", 3600)
with store.begin() as uow:
    uow.claim("main", "customer", {"k": "first"})
with store.begin() as uow:
    uow.claim("main", "customer", {"l": "second"})
    uow.save_cursor("main", "customer", "crm", "7")
    uow.receive("main", [Change(0, "customer", "crm", str(i), "1") for i in range(2000)])
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_what_it_committed_and_nothing_else(store: SqlStore,
                                                                    tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, f"sqlite:///{tmp_path}/store.db",
                           socket.gethostname()], check=False)
    assert done.returncode == -signal.SIGKILL
    with store.begin() as uow:
        uow.claim(P, E, {"k": "late", "l": "late"})
        assert uow.claims(P, E, ["k", "l"]) == {"k": "first", "l": "late"}
        assert (uow.cursors(P, "crm").get(E), uow.inbox_counts(P)) == (None, {})
    assert store.acquire_lease(P, "elsewhere:1", 60) == 2


@pytest.mark.parametrize("holder", ["elsewhere:1", "{host}", "{host}:", "{host}:x", "{host}:1"])
def test_a_holder_not_known_to_be_dead_keeps_its_lease(store: SqlStore, holder: str) -> None:
    store.acquire_lease(P, holder.format(host=socket.gethostname()), 60)
    with pytest.raises(LeaseHeld):
        store.acquire_lease(P, "elsewhere:2", 60)


def test_a_process_that_can_not_exist_is_dead(store: SqlStore) -> None:
    store.acquire_lease(P, f"{socket.gethostname()}:{10**30}", 60)
    assert store.acquire_lease(P, "elsewhere:2", 60) == 2
