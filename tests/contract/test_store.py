"""The store's promises on SQLite, in a file and in memory, and on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from connector.errors import StoreContended, StoreUnusable
from connector.ports import Store
from connector.store.open import open_store
from connector.store.tables import metadata
from connector.testing.clock import VirtualClock
from connector.testing.store_suite import StoreSuite


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


class TestSqliteFile(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path, clock: VirtualClock) -> Iterator[Store]:
        opened = open_store(f"sqlite:///{tmp_path}/store.db", clock)
        yield opened
        opened.close()


class TestSqliteMemory(StoreSuite):
    @pytest.fixture
    def store(self, clock: VirtualClock) -> Iterator[Store]:
        opened = open_store("sqlite://", clock)
        yield opened
        opened.close()


class TestPostgres(StoreSuite):
    @pytest.fixture
    def store(self, postgres: str, clock: VirtualClock) -> Iterator[Store]:
        opened = open_store(postgres, clock)
        yield opened
        with opened.engine.begin() as connection:
            metadata.drop_all(connection)
            connection.execute(text("drop table alembic_version"))
        opened.close()


def test_a_deadlock_is_told_as_something_to_try_again(postgres: str, clock: VirtualClock) -> None:
    store = open_store(postgres, clock)
    with store.begin() as uow:
        uow.hint("main", [("customer", "crm", "a"), ("customer", "crm", "b")])
    both, told = threading.Barrier(2), list[str]()

    def cross(first: str, second: str) -> None:
        try:
            with store.begin() as uow:
                uow.hint("main", [("customer", "crm", first)])
                both.wait(30)
                uow.hint("main", [("customer", "crm", second)])
            told.append("kept")
        except StoreContended as error:
            told.append(str(error))

    threads = [threading.Thread(target=cross, args=order) for order in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told)[1] == "kept"
    assert "deadlock detected" in sorted(told)[0]
    with store.engine.begin() as connection:
        metadata.drop_all(connection)
        connection.execute(text("drop table alembic_version"))
    store.close()


def test_a_lock_that_is_not_given_up_is_told_as_something_to_try_again(
        tmp_path: Path, clock: VirtualClock) -> None:
    store = open_store(f"sqlite:///{tmp_path}/store.db", clock)
    with store.begin():
        pass
    with store.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=1")
    other = create_engine(f"sqlite:///{tmp_path}/store.db")
    with other.connect() as holder:
        holder.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(StoreContended, match="locked"), store.begin():
            pass
    other.dispose()
    store.close()


def test_a_store_is_opened_again_as_it_was(tmp_path: Path, clock: VirtualClock) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    with open_store(url, clock).begin() as uow:
        uow.save_cursor("main", "customer", "crm", "7")
    with open_store(url, clock).begin() as uow:
        assert uow.cursors("main", "crm").get("customer") == "7"


def test_a_store_of_a_newer_release_is_refused(tmp_path: Path, clock: VirtualClock) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    open_store(url, clock).close()
    with create_engine(url).begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    with pytest.raises(StoreUnusable, match="newer release"):
        open_store(url, clock)


@pytest.mark.parametrize(("url", "said"), [
    ("sqlite:////no/such/folder/store.db", "/no/such/folder does not exist"),
    ("nonsense", "no SQLAlchemy URL"),
    ("mysql://host/db", "not supported"),
    ("postgresql://127.0.0.1:1/nothing", "can't be opened"),
])
def test_what_can_not_be_opened_is_said_plainly(url: str, said: str,
                                                clock: VirtualClock) -> None:
    with pytest.raises(StoreUnusable, match=said):
        open_store(url, clock)


def test_a_file_that_is_no_database_is_said_plainly(tmp_path: Path, clock: VirtualClock) -> None:
    (tmp_path / "store.db").write_bytes(b"no database at all, but long enough to be looked at")
    with pytest.raises(StoreUnusable, match="can't be opened"):
        open_store(f"sqlite:///{tmp_path}/store.db", clock)
