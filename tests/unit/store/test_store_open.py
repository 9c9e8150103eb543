"""Opening a store: how its connections are set up, and what is said where it can't be opened."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from connector.errors import ConnectorError, StoreUnusable
from connector.store.open import open_store, revisions
from connector.testing.clock import VirtualClock


def test_a_sqlite_store_is_set_up_for_several_processes(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/store.db", VirtualClock())
    with store.begin() as uow:
        said = {name: uow.connection.execute(text(f"PRAGMA {name}")).scalar_one()
                for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")}
    assert said == {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 10_000,
                    "foreign_keys": 1}
    store.close()


def test_every_connection_is_set_up_so(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/store.db", VirtualClock())
    with store.engine.connect() as one, store.engine.connect() as two:
        for connection in (one, two):
            raw = connection.connection.driver_connection
            assert raw is not None
            assert raw.execute("PRAGMA synchronous").fetchone() == (1,)
    store.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite+aiosqlite://"])
def test_memory_is_one_store_for_all_threads(url: str) -> None:
    store = open_store(url, VirtualClock())
    found: list[str | None] = []

    def look() -> None:
        with store.begin() as uow:
            found.append(uow.cursors("main", "crm").get("customer"))

    with store.begin() as uow:
        uow.save_cursor("main", "customer", "crm", "7")
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == ["7"]
    store.close()


def test_a_new_store_may_be_opened_by_several_at_once(tmp_path: Path) -> None:
    together, failed = threading.Barrier(4), list[ConnectorError]()

    def use() -> None:
        together.wait()
        try:
            store = open_store(f"sqlite:///{tmp_path}/store.db", VirtualClock())
            store.acquire_lease(threading.current_thread().name, "elsewhere:1", 60)
            store.close()
        except ConnectorError as error:
            failed.append(error)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_store_without_a_log_may_be_opened_by_several_at_once(tmp_path: Path) -> None:
    """Of those that give a database its log at the same time SQLite lets one fail now and then."""
    made = tmp_path / "made.db"
    open_store(f"sqlite:///{made}", VirtualClock()).close()
    with closing(sqlite3.connect(made)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    failed = list[ConnectorError]()

    def use(path: Path, together: threading.Barrier) -> None:
        together.wait()
        try:
            open_store(f"sqlite:///{path}", VirtualClock()).close()
        except ConnectorError as error:
            failed.append(error)

    for number in range(100):
        shutil.copyfile(made, tmp_path / f"{number}.db")
        together = threading.Barrier(4)
        threads = [threading.Thread(target=use, args=(tmp_path / f"{number}.db", together))
                   for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failed == []


def test_a_folder_with_an_odd_name_will_do(tmp_path: Path) -> None:
    folder = tmp_path / "100 % ours"
    folder.mkdir()
    open_store(f"sqlite:///{folder}/store.db", VirtualClock()).close()
    assert (folder / "store.db").exists()


def test_a_folder_in_the_place_of_the_file_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="unable to open database file"):
        open_store(f"sqlite:///{tmp_path}", VirtualClock())


def test_another_program_s_database_is_said_plainly_and_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    store = open_store(url, VirtualClock())
    with store.engine.begin() as connection:
        connection.execute(text("drop table alembic_version"))
    with pytest.raises(StoreUnusable, match="already exists"):
        open_store(url, VirtualClock())
    with store.begin() as uow:
        assert uow.inbox_counts("main") == {}
    store.close()


def test_a_password_is_never_said() -> None:
    with pytest.raises(StoreUnusable) as caught:
        open_store("postgresql://me:canary@127.0.0.1:1/nothing", VirtualClock())
    assert "canary" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_revisions_are_those_that_alembic_knows() -> None:
    from alembic.script import ScriptDirectory

    import connector.store.migrations as migrations

    (folder,) = migrations.__path__
    known = list(ScriptDirectory(folder).walk_revisions())
    assert revisions() == [script.revision for script in reversed(known)]


def test_a_store_that_is_up_to_date_is_opened_without_the_means_to_change_it(
        tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    code = ("import sys; from connector.store.open import open_store; "
            "from connector.testing.clock import VirtualClock; "
            f"open_store({url!r}, VirtualClock()).close(); print('alembic' in sys.modules)")
    said = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                           check=True).stdout.strip() for _ in range(2)]
    assert said == ["True", "False"]
