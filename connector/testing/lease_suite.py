"""The promises of a store about a pair's lease."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import pytest

from connector.errors import LeaseHeld, LeaseLost
from connector.ports import Store
from connector.testing.clock import VirtualClock

P = "main"


class LeaseSuite:
    """One test for each promise; a part of `StoreSuite`."""

    def test_a_lease_is_held_by_one(self, store: Store) -> None:
        token = store.acquire_lease(P, "elsewhere:1", 60)
        with pytest.raises(LeaseHeld, match="elsewhere:1"):
            store.acquire_lease(P, "elsewhere:2", 60)
        store.acquire_lease("other", "elsewhere:2", 60)
        store.release_lease(P, token)
        assert store.acquire_lease(P, "elsewhere:2", 60) > token

    def test_a_lease_whose_time_is_up_is_taken_over(self, store: Store,
                                                    clock: VirtualClock) -> None:
        old = store.acquire_lease(P, "elsewhere:1", 60)
        clock.sleep(59)
        store.renew_lease(P, old, 60)
        clock.sleep(59)
        with pytest.raises(LeaseHeld):
            store.acquire_lease(P, "elsewhere:2", 60)
        clock.sleep(2)
        new = store.acquire_lease(P, "elsewhere:2", 60)
        assert new > old
        with pytest.raises(LeaseLost):
            store.renew_lease(P, old, 60)
        store.release_lease(P, old)  # not ours any more: nothing happens
        store.renew_lease(P, new, 60)

    def test_who_has_lost_the_lease_keeps_nothing(self, store: Store, clock: VirtualClock) -> None:
        old = store.acquire_lease(P, "elsewhere:1", 60)
        clock.sleep(61)
        with store.begin() as uow:  # late, but nobody has taken over
            uow.hold_lease(P, old)
            uow.save_cursor(P, "customer", "crm", "1")
        new = store.acquire_lease(P, "elsewhere:2", 60)
        with pytest.raises(LeaseLost), store.begin() as uow:
            uow.hold_lease(P, old)
            uow.save_cursor(P, "customer", "crm", "2")
        with store.begin() as uow:
            uow.hold_lease(P, new)
            assert uow.cursor(P, "customer", "crm") == "1"
        store.release_lease(P, new)
        with pytest.raises(LeaseLost), store.begin() as uow:
            uow.hold_lease(P, new)

    def test_nobody_takes_over_while_a_transaction_holds_the_lease(
            self, store: Store, clock: VirtualClock) -> None:
        order, old = list[str](), store.acquire_lease(P, "elsewhere:1", 60)
        clock.sleep(61)

        def take_over() -> None:
            store.acquire_lease(P, "elsewhere:2", 60)
            order.append("taken over")

        other = threading.Thread(target=take_over)
        with store.begin() as uow:
            uow.hold_lease(P, old)
            other.start()
            other.join(0.2)
            uow.save_cursor(P, "customer", "crm", "1")
            order.append("kept")
        other.join()
        assert order == ["kept", "taken over"]

    def test_the_lease_of_a_dead_process_of_this_host_is_taken_over(self, store: Store) -> None:
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        dead = store.acquire_lease(P, f"{socket.gethostname()}:{gone.pid}", 600)
        alive = store.acquire_lease(P, f"{socket.gethostname()}:{os.getpid()}", 600)
        assert alive > dead
        with pytest.raises(LeaseHeld):
            store.acquire_lease(P, "elsewhere:1", 600)
        with pytest.raises(LeaseLost):
            store.renew_lease(P, dead, 600)

    def test_whether_a_process_of_another_host_lives_is_not_known(self, store: Store) -> None:
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        store.acquire_lease(P, f"elsewhere:{gone.pid}", 600)
        with pytest.raises(LeaseHeld):
            store.acquire_lease(P, "elsewhere:1", 600)

    def test_a_lease_given_back_is_not_renewed(self, store: Store) -> None:
        token = store.acquire_lease(P, "elsewhere:1", 60)
        store.release_lease(P, token)
        with pytest.raises(LeaseLost):
            store.renew_lease(P, token, 60)

    def test_of_two_threads_one_gets_the_lease(self, store: Store) -> None:
        got, together = list[object](), threading.Barrier(2)

        def take(name: str) -> None:
            together.wait()
            try:
                got.append(store.acquire_lease(P, name, 60))
            except LeaseHeld as held:
                got.append(held)

        threads = [threading.Thread(target=take, args=(f"elsewhere:{i}",)) for i in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(type(g).__name__ for g in got) == ["LeaseHeld", "int"]
