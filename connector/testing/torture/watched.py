"""A store that a simulation sees through: the process may die before and after every commit, and
what is dead neither reads nor writes any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, Protocol, cast

from connector.domain.budget import Limits, Turn
from connector.domain.ledger import Request
from connector.errors import StoreUnusable
from connector.ports import Store, UnitOfWork

READING = frozenset({
    "hold_lease", "cursors", "pending", "inbox_by_external", "inbox_versions", "inbox_by_match_key",
    "unkeyed", "stake", "inbox_counts", "links_by_external", "links_by_canonical", "versions",
    "living", "canonical_ids", "external_ids", "snapshots", "claims", "unsettled_batches", "runs",
    "history", "merges", "redirects", "redirected_to", "conflicts", "conflict", "dead_versions",
    "dead_attempts", "dead_by_match_key", "due_dead_letters", "dead_letters", "dead_letter",
    "requests", "is_free", "within", "inbox_after", "partition_state", "partition_states", "counts",
    "untold", "told", "parked", "unsettled", "unsettled_payloads"})
"""What a unit of work is asked without changing anything."""


class Watch(Protocol):
    """Told of every boundary, and whether the store fails there."""

    def crash(self, point: str) -> None:
        """The process may die here."""
        ...

    def happens(self, name: str) -> bool:
        """Whether a fault strikes here."""
        ...


class _Watched:
    """A unit of work that tells whether something was written in it."""

    def __init__(self, uow: UnitOfWork) -> None:
        self._uow, self.wrote = uow, False

    def __getattr__(self, name: str) -> Callable[..., Any]:
        self.wrote = self.wrote or name not in READING
        return cast(Callable[..., Any], getattr(self._uow, name))


class WatchedStore:
    """A store whose commits are boundaries. A transaction that only reads is none."""

    def __init__(self, store: Store, watch: Watch) -> None:
        self._store, self._watch = store, watch

    @contextmanager
    def begin(self, *, durable: bool = False) -> Iterator[UnitOfWork]:
        """See the port."""
        with self._store.begin(durable=durable) as uow:
            watched = _Watched(uow)
            yield cast(UnitOfWork, watched)
            if watched.wrote:
                self._watch.crash("commit")
                if self._watch.happens("store_failed"):
                    raise StoreUnusable("The store failed: database or disk is full.",
                                        hint="Nothing was half written.")
        if watched.wrote:
            self._watch.crash("committed")

    def tended(self) -> AbstractContextManager[None]:
        """See the port."""
        return self._store.tended()

    def acquire_lease(self, pair: str, holder: str, ttl: float) -> int:
        """See the port."""
        token = self._store.acquire_lease(pair, holder, ttl)
        self._watch.crash("lease taken")
        return token

    def renew_lease(self, pair: str, token: int, ttl: float) -> None:
        """See the port."""
        self._store.renew_lease(pair, token, ttl)
        self._watch.crash("lease renewed")

    def release_lease(self, pair: str, token: int) -> None:
        """See the port."""
        self._watch.crash("lease kept")
        self._store.release_lease(pair, token)

    def release_unless_asked(self, pair: str, token: int) -> bool:
        """See the port."""
        self._watch.crash("lease kept")
        return self._store.release_unless_asked(pair, token)

    def leave_request(self, pair: str, request: Request) -> str | None:
        """See the port."""
        return self._store.leave_request(pair, request)

    def take_turn(self, system: str, limits: Limits, *, interactive: bool) -> Turn:
        """See the port."""
        return self._store.take_turn(system, limits, interactive=interactive)

    def hold_off(self, system: str, until: datetime) -> None:
        """See the port."""
        self._store.hold_off(system, until)

    def close(self) -> None:
        """See the port."""
        self._store.close()
