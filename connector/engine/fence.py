"""A run's store: every transaction holds the pair's lease, so that a run which has stalled, and
whose lease another one has taken over meanwhile, keeps nothing any more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from connector.ports import Store, UnitOfWork


class FencedStore:
    """A store as the holder of a lease sees it; `token` is the one the lease came with."""

    def __init__(self, store: Store, pair: str, token: int) -> None:
        self._store, self._pair, self._token = store, pair, token

    @contextmanager
    def begin(self, *, durable: bool = False) -> Iterator[UnitOfWork]:
        """See the port; raises `LeaseLost` where another run has taken over."""
        with self._store.begin(durable=durable) as uow:
            uow.hold_lease(self._pair, self._token)
            yield uow

    def renew_lease(self, ttl: float) -> None:
        """Hold the lease for `ttl` seconds more; raises `LeaseLost` where another run has taken
        over."""
        self._store.renew_lease(self._pair, self._token, ttl)
