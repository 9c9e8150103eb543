"""Opens a store: connects, and brings the schema up to date."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import QueuePool
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random

from connector.errors import StoreUnusable
from connector.ports import Clock
from connector.store.tending import TENDED
from connector.store.unit_of_work import DURABLE, SqlStore, cause

_MIGRATIONS = Path(__file__).parent / "migrations"
LOG_PAGES = 8000
"""Pages of 4 kB after which a transaction makes a checkpoint, where nobody else does."""
PATIENCE = 10
"""Seconds that whoever finds a SQLite file locked waits for it."""
_UPGRADING = 7_242_030
"""The PostgreSQL advisory lock under which one process at a time looks at the schema."""


def open_store(url: str, clock: Clock) -> SqlStore:
    """The store at a SQLAlchemy URL, created or upgraded as needed. Raises `StoreUnusable`."""
    engine = _engine(url)
    try:
        _upgrade(engine)
    except (SQLAlchemyError, sqlite3.Error) as error:
        engine.dispose()
        raise StoreUnusable(
            f"The store {engine.url.render_as_string()} can't be opened: {cause(error)}.",
            hint="See `store` in the config: the folder has to exist, the server to run.",
        ) from error
    return SqlStore(engine, clock)


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(parsed.set(drivername="sqlite"))
        if parsed.get_backend_name() == "postgresql":
            return create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True,
                                 isolation_level="READ COMMITTED")
    except ModuleNotFoundError as error:
        raise StoreUnusable(f"The database driver {error.name} is not installed.",
                            hint="Install the extra: crm-erp-connector[postgres].") from None
    except (ArgumentError, NoSuchModuleError):
        raise StoreUnusable("`store` is no SQLAlchemy URL.",
                            hint="Such as sqlite:///connector.db.") from None
    raise StoreUnusable(f"A store in {parsed.get_backend_name()} is not supported.",
                        hint="Use SQLite or PostgreSQL.")


def _sqlite(url: URL) -> Engine:
    database = url.database
    options: dict[str, Any] = {"connect_args": {"check_same_thread": False}}
    if database in (None, "", ":memory:"):
        # Memory is one connection; a second thread waits for it as it would for a file's lock.
        options.update(poolclass=QueuePool, pool_size=1, max_overflow=0)
    elif not Path(database or "").parent.is_dir():
        raise StoreUnusable(f"The folder {Path(database or '').parent} does not exist.",
                            hint="Make it, or mend `store` in the config.")
    engine = create_engine(url, **options)

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        connection.execute(f"PRAGMA busy_timeout={1000 * PATIENCE}")
        _log_ahead(connection)
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA cache_size=-65536")  # kB
        connection.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        durable = bool(connection.get_execution_options().get(DURABLE))
        if connection.info.setdefault(DURABLE, False) is not durable:
            connection.info[DURABLE] = durable
            connection.exec_driver_sql(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        tended = bool(connection.get_execution_options().get(TENDED))
        if connection.info.setdefault(TENDED, False) is not tended:
            connection.info[TENDED] = tended
            connection.exec_driver_sql(f"PRAGMA wal_autocheckpoint={0 if tended else LOG_PAGES}")
        # At once, so that no transaction starts reading and then fails to become a writer.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


@retry(retry=retry_if_exception_type(sqlite3.OperationalError), stop=stop_after_delay(PATIENCE),
       wait=wait_random(0.01, 0.1), reraise=True)
def _log_ahead(connection: sqlite3.Connection) -> None:
    """Let a database have a write-ahead log. Of several that switch a new one at the same time
    SQLite lets all but one fail at once, without waiting as it does for any other lock."""
    connection.execute("PRAGMA journal_mode=WAL")


def _upgrade(engine: Engine) -> None:
    known = revisions()
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"select pg_advisory_xact_lock({_UPGRADING})"))
        current = _revision(connection)
        if current == known[-1]:
            return
        if current is not None and current not in known:
            raise StoreUnusable(
                f"The store's schema {current} comes from a newer release than this one.",
                hint="Use that release again.")
        migrate(connection)


def revisions() -> list[str]:
    """The schema's revisions, the oldest first: the numbers that the migrations' files begin
    with."""
    return sorted(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("*_*.py"))


def _revision(connection: Connection) -> str | None:
    """The schema's revision, as alembic keeps it; None where there is no schema yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("select version_num from alembic_version"))
    return revision


def migrate(connection: Connection, revision: str = "head") -> None:
    """Bring the schema to a revision, within the transaction that is open."""
    # Imported here: it takes a third of a second, and the schema is up to date almost always.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
