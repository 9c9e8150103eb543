"""The promises of a store about webhooks: hints, and the deliveries that bring them."""

from __future__ import annotations

import threading
from datetime import timedelta

from connector.domain.records import Change
from connector.ports import Store
from connector.testing.clock import VirtualClock

P, E = "main", "customer"


def record(external_id: str, entity: str = E, system: str = "crm") -> tuple[str, str, str]:
    """A record as `hint` takes it."""
    return entity, system, external_id


class HintSuite:
    """One test for each promise; a part of `StoreSuite`."""

    def test_many_hints_of_one_record_are_one(self, store: Store) -> None:
        for _ in range(3):
            with store.begin() as uow:
                uow.hint(P, [record("a"), record("b"), record("a")])
        with store.begin() as uow:
            assert sorted(uow.hinted(P, "crm", 0, 9).values()) == [(E, "a"), (E, "b")]
            assert uow.inbox_counts(P) == {(E, "crm", "hinted"): 2}

    def test_the_oldest_hints_come_first(self, store: Store) -> None:
        for external_id in ("c", "a", "b", "c"):
            with store.begin() as uow:
                uow.hint(P, [record(external_id)])
        with store.begin() as uow:
            hinted = uow.hinted(P, "crm", 0, 2)
            assert list(hinted.values()) == [(E, "a"), (E, "b")]
            assert list(hinted) == sorted(hinted)
            assert list(uow.hinted(P, "crm", 0, 9).values()) == [(E, "a"), (E, "b"), (E, "c")]
            assert list(uow.hinted(P, "crm", max(hinted), 9).values()) == [(E, "c")]

    def test_hints_are_kept_apart(self, store: Store) -> None:
        with store.begin() as uow:
            uow.hint(P, [record("1"), record("2", "order"), record("3", system="erp")])
            uow.hint("other", [record("4")])
            assert set(uow.hinted(P, "crm", 0, 9).values()) == {(E, "1"), ("order", "2")}
            assert list(uow.hinted(P, "erp", 0, 9).values()) == [(E, "3")]
            assert list(uow.hinted("other", "crm", 0, 9).values()) == [(E, "4")]

    def test_a_hint_that_came_meanwhile_is_not_settled(self, store: Store) -> None:
        with store.begin() as uow:
            uow.hint(P, [record("a"), record("b")])
            seen = uow.hinted(P, "crm", 0, 9)
        with store.begin() as uow:
            uow.hint(P, [record("a")])
        with store.begin() as uow:
            uow.settle_hints(seen)
            uow.settle_hints([])
            assert list(uow.hinted(P, "crm", 0, 9).values()) == [(E, "a")]

    def test_a_hint_leaves_the_inbox_alone(self, store: Store) -> None:
        with store.begin() as uow:
            uow.receive(P, [Change(0, E, "crm", "a", "5", {"name": "fresh"}, match_key="k")])
            uow.wait(P, {uow.pending(P, E, 0, 9)[0].id: "customer:crm:x"})
            uow.hint(P, [record("a")])
            assert uow.pending(P, E, 0, 9) == []
            kept = uow.inbox_by_external(P, E, "crm", ["a"])["a"]
            assert (kept.version, kept.payload, kept.match_key) == ("5", {"name": "fresh"}, "k")

    def test_a_delivery_is_new_once(self, store: Store, clock: VirtualClock) -> None:
        with store.begin(durable=True) as uow:
            assert uow.note_deliveries(clock.now(), {("crm", "1"), ("crm", "2")}) \
                == {("crm", "1"), ("crm", "2")}
        with store.begin() as uow:
            assert uow.note_deliveries(clock.now(), {("crm", "2"), ("crm", "3"), ("erp", "2")}) \
                == {("crm", "3"), ("erp", "2")}
            assert uow.note_deliveries(clock.now(), ()) == set()

    def test_old_deliveries_are_forgotten_a_few_at_a_time(self, store: Store,
                                                          clock: VirtualClock) -> None:
        with store.begin() as uow:
            uow.note_deliveries(clock.now(), {("crm", str(n)) for n in range(5)})
            clock.sleep(60)
            uow.note_deliveries(clock.now(), {("crm", "new")})
            assert uow.forget_deliveries(clock.now() - timedelta(seconds=90), 9) == 0
            assert uow.forget_deliveries(clock.now(), 3) == 3
            assert uow.forget_deliveries(clock.now(), 3) == 2
            assert uow.note_deliveries(clock.now(), {("crm", "new"), ("crm", "1")}) \
                == {("crm", "1")}

    def test_a_store_that_is_tended_keeps_what_it_is_given(self, store: Store) -> None:
        with store.tended():
            for n in range(40):
                with store.begin(durable=n % 2 == 0) as uow:
                    uow.hint(P, [record(f"{n:03}")])
        with store.begin() as uow:
            assert len(uow.hinted(P, "crm", 0, 99)) == 40

    def test_receivers_and_drains_never_wait_for_each_other_in_a_circle(self,
                                                                        store: Store) -> None:
        records = [record(f"{n:03}") for n in range(60)]
        failed: list[Exception] = []

        def receive(order: int) -> None:
            try:
                for _ in range(30):
                    with store.begin() as uow:
                        uow.hint(P, records[::order])
            except Exception as error:
                failed.append(error)

        def settle() -> None:
            try:
                for _ in range(60):
                    with store.begin() as uow:
                        seen = uow.hinted(P, "crm", 0, 99)
                    with store.begin() as uow:
                        uow.settle_hints(sorted(seen, reverse=True))
            except Exception as error:
                failed.append(error)

        threads = [threading.Thread(target=receive, args=(order,)) for order in (1, -1)]
        threads += [threading.Thread(target=settle) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
