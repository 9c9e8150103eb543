"""The connections to the systems: the calls made, and whether our credentials are taken."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, select, update

from connector.domain.budget import Account
from connector.domain.ledger import ConnectionState
from connector.store.codec import dump, instant, load, moment, readable
from connector.store.rows import Rows
from connector.store.tables import connections


class ConnectionRows(Rows):
    """The part of a unit of work about connections."""

    def connections(self, now: datetime) -> dict[str, ConnectionState]:
        return {row.system: _state(row, now.timestamp())
                for row in self.connection.execute(select(connections))}

    def deny(self, system: str, message: str, at: datetime) -> None:
        self.upsert(connections, [{"system": system, "account": None, "denied": readable(message),
                                   "denied_at": moment(at)}], ("system",), keep=("account",))

    def admit(self, systems: Collection[str]) -> None:
        self.execute_among(
            update(connections).where(connections.c.denied_at.is_not(None))
            .values(denied_at=None, denied=""), connections.c.system, systems)

    def account(self, system: str) -> Account:
        """What a connection has used; nobody else can change it before this transaction ends."""
        self.insert_new(connections, [{"system": system, "account": None, "denied_at": None,
                                       "denied": ""}], ("system",))
        return _account(self.connection.execute(
            select(connections.c.account).where(connections.c.system == system)
            .with_for_update()).scalar_one())

    def save_account(self, system: str, account: Account) -> None:
        """Keep what it has used."""
        self.connection.execute(
            update(connections).where(connections.c.system == system)
            .values(account=dump([account.free_at, account.not_before,
                                  list(account.hours.items())])))


def _account(packed: bytes | None) -> Account:
    if packed is None:
        return Account()
    free_at, not_before, hours = load(packed)
    return Account(free_at, not_before, dict(hours))


def _state(row: Row[Any], now: float) -> ConnectionState:
    account = _account(row.account)
    held = datetime.fromtimestamp(account.not_before, UTC) if account.not_before > now else None
    return ConnectionState(account.used(now), held, instant(row.denied_at), row.denied)
