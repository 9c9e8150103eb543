"""The pair's lease, and the requests that are left with the run that holds it.

A request can only be left while the lease's row says so, and the row is locked for that: whoever
gives the lease back either sees the request or has closed the door before.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, insert, select, update

from connector.domain.ledger import Request
from connector.errors import LeaseHeld, LeaseLost
from connector.store.codec import dump, load
from connector.store.rows import Prepared, Rows
from connector.store.tables import leases, requests

_HELD = Prepared(select(leases.c.token).where(
    leases.c.pair == bindparam("pair"), leases.c.token == bindparam("token"),
    leases.c.holder != "").with_for_update(read=True, key_share=True))


class LeaseRows(Rows):
    """The part of a unit of work about leases and requests."""

    def hold_lease(self, pair: str, token: int) -> None:
        """See the port. Who takes a lease over locks its row as a whole; who renews it does not,
        and need not wait."""
        if self.prepared(_HELD, pair=pair, token=token).one_or_none() is None:
            raise lease_lost(pair)

    def take_lease(self, pair: str, holder: str, now: float, until: float) -> int:
        """Take a lease that is free, or whose holder is dead or late; its new token."""
        row = self.connection.execute(select(leases).where(leases.c.pair == pair)
                                      .with_for_update()).one_or_none()
        if row is None:
            self.insert_new(
                leases, [{"pair": pair, "holder": "", "token": 0, "until": 0.0}], ("pair",))
            row = self.connection.execute(select(leases).where(leases.c.pair == pair)
                                          .with_for_update()).one()
        if held(row, now):
            raise LeaseHeld(
                f"Pair {pair!r} is being worked on by {row.holder} "
                f"(for at most {row.until - now:.0f} s more, unless it goes on).",
                hint="Wait for it to end, or run again later.")
        token = int(row.token) + 1
        self.connection.execute(update(leases).where(leases.c.pair == pair).values(
            holder=holder, token=token, until=until, run_id=""))
        return token

    def is_free(self, pair: str, now: datetime) -> bool:
        row = self._locked(pair)
        return row is None or not held(row, now.timestamp())

    def extend_lease(self, pair: str, token: int, until: float) -> None:
        """Hold it until then."""
        renewed = self.connection.execute(
            update(leases).where(leases.c.pair == pair, leases.c.token == token,
                                 leases.c.holder != "").values(until=until))
        if renewed.rowcount != 1:
            raise lease_lost(pair)

    def free_lease(self, pair: str, token: int) -> None:
        """Give it back; the token stays, so that the next one is greater."""
        self.connection.execute(update(leases).where(
            leases.c.pair == pair, leases.c.token == token).values(
                holder="", until=0.0, run_id=""))

    def offer(self, pair: str, token: int, run_id: str) -> None:
        self.connection.execute(update(leases).where(
            leases.c.pair == pair, leases.c.token == token).values(run_id=run_id))

    def leave_request(self, pair: str, request: Request, now: float) -> str | None:
        """Leave a request with the run that holds the lease; that run's ID."""
        row = self._locked(pair)
        if row is None or not row.run_id or not held(row, now):
            return None
        self.connection.execute(insert(requests).values(
            pair=pair, kind=request.kind, entities=dump(list(request.entities))))
        return str(row.run_id)

    def free_unless_asked(self, pair: str, token: int) -> bool:
        """Give the lease back, unless there are requests."""
        self._locked(pair)
        if self.connection.execute(select(requests.c.id).where(requests.c.pair == pair)
                                   .limit(1)).one_or_none() is not None:
            return False
        self.free_lease(pair, token)
        return True

    def requests(self, pair: str) -> list[Request]:
        rows = self.connection.execute(select(requests).where(requests.c.pair == pair)
                                       .order_by(requests.c.id))
        return [Request(row.kind, tuple(load(row.entities)), row.id) for row in rows]

    def settle_requests(self, request_ids: Collection[int]) -> None:
        self.execute_among(delete(requests), requests.c.id, request_ids)

    def _locked(self, pair: str) -> Row[Any] | None:
        """The lease's row, which nobody else changes meanwhile; transactions that only hold the
        lease go on."""
        return self.connection.execute(
            select(leases.c.pair, leases.c.holder, leases.c.token, leases.c.until,
                   leases.c.run_id)
            .where(leases.c.pair == pair).with_for_update(key_share=True)).one_or_none()


def held(row: Row[Any], now: float) -> bool:
    """Whether a lease is held: its time, in seconds since the epoch, is not up, and its holder is
    not known to be dead."""
    return bool(row.holder) and row.until > now and not _dead(row.holder)


def lease_lost(pair: str) -> LeaseLost:
    """What is said to a run whose lease is not its own any more."""
    return LeaseLost(f"Another run has taken over pair {pair!r}.",
                     hint="This one has stopped; nothing is lost.")


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
