"""A run's store: every transaction holds the pair's lease, so that a run which has stalled, and
whose lease another one has taken over meanwhile, keeps nothing any more. Who works on a partition
holds the lease of that one besides."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from connector.domain.partitions import Partition
from connector.ports import Store, UnitOfWork


def holder() -> str:
    """This process, as the holder of a lease."""
    return f"{socket.gethostname()}:{os.getpid()}"


class FencedStore:
    """A store as the holder of a lease sees it; `token` is the one the lease came with."""

    def __init__(self, store: Store, pair: str, token: int) -> None:
        self.store, self.token = store, token
        self._pair, self._held = pair, True

    @contextmanager
    def begin(self, *, durable: bool = False) -> Iterator[UnitOfWork]:
        """See the port; raises `LeaseLost` where another run has taken over."""
        with self.store.begin(durable=durable) as uow:
            uow.hold_lease(self._pair, self.token)
            yield uow

    def renew_lease(self, ttl: float) -> None:
        """Hold the lease for `ttl` seconds more; raises `LeaseLost` where another run has taken
        over."""
        self.store.renew_lease(self._pair, self.token, ttl)

    def offer(self, uow: UnitOfWork, run_id: str) -> None:
        """Let others leave requests with this run."""
        uow.offer(self._pair, self.token, run_id)

    def release_unless_asked(self) -> bool:
        """Give the lease back, unless requests were left with this run: False then."""
        self._held = not self.store.release_unless_asked(self._pair, self.token)
        return not self._held

    def release(self) -> None:
        """Give the lease back, where it is still held."""
        if self._held:
            self._held = False
            self.store.release_lease(self._pair, self.token)


class PartitionStore(FencedStore):
    """A store as whoever works on a partition sees it; `token` is that of the partition's lease."""

    def __init__(self, store: Store, partition: Partition, token: int) -> None:
        super().__init__(store, partition.pair, partition.token)
        self._partition, self._own = partition, token

    @contextmanager
    def begin(self, *, durable: bool = False) -> Iterator[UnitOfWork]:
        """See the port; raises `LeaseLost` where another run has taken over, or another worker."""
        with super().begin(durable=durable) as uow:
            uow.hold_lease(self._partition.lease, self._own)
            uow.within(self._partition)
            yield uow

    def renew_lease(self, ttl: float) -> None:
        """Hold the partition's lease longer; the run renews its own. Raises as `begin`."""
        with super().begin():
            pass
        self.store.renew_lease(self._partition.lease, self._own, ttl)
