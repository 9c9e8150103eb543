"""What a store must offer."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from connector.domain.budget import Limits, Turn
from connector.domain.ledger import Request
from connector.ports.identity import Identity
from connector.ports.inbox import Inbox
from connector.ports.ledger import Ledger
from connector.ports.partitions import Partitions
from connector.ports.telling import Telling


class Meter(Protocol):
    """Counts the calls that are made to each system."""

    def take_turn(self, system: str, limits: Limits, *, interactive: bool) -> Turn:
        """When the next call may go; it is counted, unless the turn is not given."""
        ...

    def hold_off(self, system: str, until: datetime) -> None:
        """The system wants no call before `until`."""
        ...


class Store(Meter, Protocol):
    """Where state lives between runs; it counts calls for all processes that share it."""

    def begin(self, *, durable: bool = False) -> AbstractContextManager[UnitOfWork]:
        """One transaction: commits at the end of the block, rolls back on an error. What it kept
        outlives the process; where it is `durable`, a power cut as well.

        Raises `StoreContended` where another transaction stood in its way."""
        ...

    def tended(self) -> AbstractContextManager[None]:
        """While the block lasts, housekeeping is done beside the transactions and none of them
        stops for it: for a process that serves."""
        ...

    def acquire_lease(self, pair: str, holder: str, ttl: float) -> int:
        """Take the pair's lease (or that of one of its partitions, by its name) for `ttl` seconds
        and return its fencing token.

        `holder` is `host:pid`. A lease whose time is up, or whose holder was a process of this
        host that lives no more, is taken over. Raises `LeaseHeld`.
        """
        ...

    def renew_lease(self, pair: str, token: int, ttl: float) -> None:
        """Hold it for `ttl` seconds more; raises `LeaseLost` where another token was given out."""
        ...

    def release_lease(self, pair: str, token: int) -> None:
        """Give it back, if it is still ours."""
        ...

    def release_unless_asked(self, pair: str, token: int) -> bool:
        """Give it back, unless requests were left with who holds it: False then."""
        ...

    def leave_request(self, pair: str, request: Request) -> str | None:
        """Leave a request with the run that works on the pair, and return that one's ID. None
        where there is none with which it could be left: nothing is kept then."""
        ...

    def close(self) -> None:
        """Give connections back."""
        ...


class UnitOfWork(Inbox, Identity, Ledger, Partitions, Telling, Protocol):
    """All reading and writing within one transaction. Everything is asked for in bulk: no method
    runs one query for each record."""

    def is_free(self, pair: str, now: datetime) -> bool:
        """Whether nobody works on the pair, or may be dead; if so, nobody begins to before this
        transaction ends."""
        ...

    def hold_lease(self, pair: str, token: int) -> None:
        """Hold the pair's lease until this transaction ends: nobody takes it over meanwhile.
        Raises `LeaseLost` where another token was given out, or it was given back."""
        ...
