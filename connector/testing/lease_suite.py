"""The promises of a store about a pair's lease."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import pytest

from connector.domain.ledger import Request
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
            assert uow.cursors(P, "crm").get("customer") == "1"
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

    def test_a_request_is_left_with_a_run_that_takes_some(self, store: Store,
                                                          clock: VirtualClock) -> None:
        asked = Request("sync", ("customer", "order"))
        assert store.leave_request(P, asked) is None  # nobody works
        token = store.acquire_lease(P, "elsewhere:1", 60)
        assert store.leave_request(P, asked) is None  # it takes none
        with store.begin() as uow:
            uow.offer(P, token, "r1")
            uow.offer(P, token - 1, "r0")  # not ours any more: nothing happens
            assert uow.requests(P) == []
        assert store.leave_request(P, asked) == "r1"
        with store.begin() as uow:
            assert not uow.is_free(P, clock.now())
        assert store.leave_request("other", asked) is None
        assert not store.release_unless_asked(P, token)
        store.renew_lease(P, token, 60)  # so it is held still
        with store.begin() as uow:
            (kept,) = uow.requests(P)
            assert (kept.kind, kept.entities) == ("sync", ("customer", "order"))
            assert uow.requests("other") == []
            uow.settle_requests([kept.id])
        assert store.release_unless_asked(P, token)
        assert store.leave_request(P, asked) is None
        token = store.acquire_lease(P, "elsewhere:2", 60)
        assert store.leave_request(P, asked) is None  # who held it before took some, not this one
        with store.begin() as uow:
            uow.offer(P, token, "r2")
        clock.sleep(61)
        assert store.leave_request(P, asked) is None  # it may be dead
        with store.begin() as uow:
            assert uow.is_free(P, clock.now())
            assert uow.is_free("other", clock.now())
        store.release_lease(P, token)
        with store.begin() as uow:
            assert uow.requests(P) == []

    def test_a_request_is_seen_or_was_not_left(self, store: Store) -> None:
        for _ in range(20):
            token = store.acquire_lease(P, "elsewhere:1", 60)
            with store.begin() as uow:
                uow.offer(P, token, "r1")
                uow.hold_lease(P, token)
            left, released, together = list[str | None](), list[bool](), threading.Barrier(2)

            def leave(together: threading.Barrier, left: list[str | None]) -> None:
                together.wait()
                left.append(store.leave_request(P, Request("drain", ())))

            other = threading.Thread(target=leave, args=(together, left))
            other.start()
            together.wait()
            released.append(store.release_unless_asked(P, token))
            other.join()
            assert released == [left == [None]]
            with store.begin() as uow:
                uow.settle_requests([request.id for request in uow.requests(P)])
            store.release_lease(P, token)
