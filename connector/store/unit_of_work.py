"""The store over SQLAlchemy: its transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from connector.domain.budget import Limits, Turn, take
from connector.domain.ledger import Request
from connector.errors import StoreContended, StoreUnusable
from connector.ports import Clock
from connector.store.alerts import AlertRows
from connector.store.connections import ConnectionRows
from connector.store.hints import HintRows
from connector.store.leases import LeaseRows
from connector.store.ledger import LedgerRows
from connector.store.links import LinkRows
from connector.store.one_writer import OneWriter
from connector.store.outbox import OutboxRows
from connector.store.partitions import PartitionRows
from connector.store.tending import TENDED, checkpoints
from connector.store.told import ToldRows

DURABLE = "durable"
"""An engine's option: what its transactions keep outlives a power cut, on SQLite too."""
_GIVEN_UP = ("40001", "40P01")  # PostgreSQL: serialization failure, deadlock


class SqlUnitOfWork(PartitionRows, HintRows, LinkRows, OutboxRows, LedgerRows, LeaseRows,
                    ConnectionRows, AlertRows, ToldRows):
    """All reading and writing within one transaction."""


class SqlStore:
    """A store in a database that `open_store` has brought up to date."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.engine, self.clock = engine, clock
        self._durable = engine.execution_options(**{DURABLE: True})
        self._writer = OneWriter() if engine.dialect.name == "sqlite" else None

    @contextmanager
    def begin(self, *, durable: bool = False) -> Iterator[SqlUnitOfWork]:
        """One transaction. Raises `StoreContended` where another one stood in its way, and
        `StoreUnusable` where the database fails."""
        with self._connection(durable=durable) as connection:
            yield SqlUnitOfWork(connection, self.clock.now())

    @contextmanager
    def tended(self) -> Iterator[None]:
        """While the block lasts, a thread does what else a transaction would have to stop for."""
        database = self.engine.url.database
        if self.engine.dialect.name != "sqlite" or database in (None, "", ":memory:"):
            yield
            return
        engines = (self.engine, self._durable)
        with checkpoints(str(database)):
            for engine in engines:
                engine.update_execution_options(**{TENDED: True})
            try:
                yield
            finally:
                for engine in engines:
                    engine.update_execution_options(**{TENDED: False})

    @contextmanager
    def _connection(self, *, durable: bool = False) -> Iterator[Connection]:
        turn = self._writer.writing(hurry=durable) if self._writer else nullcontext()
        engine = self._durable if durable else self.engine
        try:
            with turn, engine.begin() as connection:
                yield connection
        except (DBAPIError, NoConnectionFree, sqlite3.Error) as error:
            if contended(error):
                raise StoreContended(f"Another transaction stood in the way: {cause(error)}.",
                                     hint="Nothing was half written. Run again.") from error
            raise StoreUnusable(
                f"The store failed: {cause(error)}.",
                hint="Nothing was half written. See that its disk has room and that no other "
                     "program holds it, then run again.") from error

    def acquire_lease(self, pair: str, holder: str, ttl: float) -> int:
        """Take the pair's lease; see the port."""
        now = self.clock.now().timestamp()
        with self.begin() as uow:
            return uow.take_lease(pair, holder, now, now + ttl)

    def renew_lease(self, pair: str, token: int, ttl: float) -> None:
        """Hold it longer; see the port."""
        with self.begin() as uow:
            uow.extend_lease(pair, token, self.clock.now().timestamp() + ttl)

    def release_lease(self, pair: str, token: int) -> None:
        """Give it back; see the port."""
        with self.begin() as uow:
            uow.free_lease(pair, token)

    def release_unless_asked(self, pair: str, token: int) -> bool:
        """Give it back where nothing was asked for; see the port."""
        with self.begin() as uow:
            return uow.free_unless_asked(pair, token)

    def leave_request(self, pair: str, request: Request) -> str | None:
        """Leave a request with who holds it; see the port."""
        with self.begin() as uow:
            return uow.leave_request(pair, request, self.clock.now().timestamp())

    def take_turn(self, system: str, limits: Limits, *, interactive: bool) -> Turn:
        """When the next call may go; see the port."""
        now = self.clock.now().timestamp()
        with self.begin() as uow:
            account, turn = take(uow.account(system), limits, now, interactive=interactive)
            if turn.given:
                uow.save_account(system, account)
        return turn

    def hold_off(self, system: str, until: datetime) -> None:
        """No call before `until`; see the port."""
        with self.begin() as uow:
            uow.save_account(system, uow.account(system).hold_off(until.timestamp()))

    def close(self) -> None:
        """Give connections back."""
        self.engine.dispose()


def cause(error: Exception) -> str:
    """What a database said, in one line, without the statement and its values."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def contended(error: Exception) -> bool:
    """Whether a database gave a transaction up in favour of another one."""
    orig = getattr(error, "orig", None) or error
    if isinstance(orig, sqlite3.Error):
        return getattr(orig, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
    return getattr(orig, "sqlstate", None) in _GIVEN_UP
