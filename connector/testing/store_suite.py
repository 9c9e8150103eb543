"""The promises of a store. Inherit `StoreSuite` and give it a `store` fixture of an empty store
whose clock is a `VirtualClock`, given by the fixture `clock`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest

from connector.domain.actions import FieldConflict, Outcome, OutcomeKind
from connector.domain.ledger import Run, RunState
from connector.domain.records import Batch, Change, Intent, Link, Operation, Snapshot, Stake
from connector.ports import Store
from connector.testing.clock import VirtualClock
from connector.testing.hint_suite import HintSuite
from connector.testing.lease_suite import LeaseSuite
from connector.testing.ledger_suite import LedgerSuite
from connector.testing.meter_suite import MeterSuite
from connector.testing.partition_suite import PartitionSuite
from connector.testing.told_suite import ToldSuite

P, E = "main", "customer"


def change(external_id: str, version: str = "1", **more: object) -> Change:
    """A change of a customer in the CRM."""
    return Change(0, E, "crm", external_id, version, {"name": external_id}, **more)  # type: ignore[arg-type]


def link(external_id: str, canonical_id: str, system: str = "crm", version: str = "1") -> Link:
    """A link of a customer."""
    return Link(E, canonical_id, system, external_id, version, {"name": external_id})


def in_thread(work: Callable[[], object]) -> threading.Thread:
    """A thread that has begun with `work`."""
    thread = threading.Thread(target=work)
    thread.start()
    return thread


class StoreSuite(LedgerSuite, LeaseSuite, HintSuite, MeterSuite, PartitionSuite, ToldSuite):
    """One test for each promise."""

    def test_an_error_rolls_everything_back(self, store: Store) -> None:
        with pytest.raises(ZeroDivisionError), store.begin() as uow:
            uow.save_cursor(P, E, "crm", "7")
            uow.receive(P, [change("a")])
            raise ZeroDivisionError
        with store.begin() as uow:
            assert uow.cursors(P, "crm").get(E) is None
            assert uow.pending(P, E, 0, 10) == []

    def test_an_error_leaves_nothing_of_any_kind(self, store: Store, clock: VirtualClock) -> None:
        conflict, intent = FieldConflict("p", 0, 1, 2), Intent("k", E, "1", "erp",
                                                               Operation.CREATE, {}, {}, "crm:a")
        with pytest.raises(ZeroDivisionError), store.begin() as uow:
            uow.save_links(P, [link("a", "1")])
            uow.save_snapshots(P, [Snapshot(E, "1", {})])
            uow.claim(P, E, {"k": "1"})
            uow.record_batch(P, "r", Batch("b", "customers", Operation.CREATE, (intent,)))
            uow.save_run(Run("r", P, "cli", RunState.RUNNING, clock.now()))
            uow.add_outcomes(P, "r", clock.now(), [Outcome(OutcomeKind.CREATED, E, "crm", "a",
                                                           "1")])
            uow.open_conflicts(P, E, "r", clock.now(), [("1", "", conflict)])
            uow.bury(P, "r", clock.now(), [(change("a"), "write", "E", "no")])
            raise ZeroDivisionError
        with store.begin() as uow:
            assert (uow.links_by_external(P, E, "crm", ["a"]), uow.snapshots(P, E, ["1"]),
                    uow.claims(P, E, ["k"])) == ({}, {}, {})
            assert (uow.unsettled_batches(P), uow.runs(P, 9), uow.history(P, E, "1"),
                    uow.conflicts(P), uow.dead_letters(P)) == ([], [], [], [], [])

    def test_threads_take_turns_and_lose_nothing(self, store: Store) -> None:
        together = threading.Barrier(3)

        def receive(name: str) -> None:
            together.wait()
            for version in range(5):
                with store.begin() as uow:
                    uow.receive(P, [change(f"{name}{version}")])

        threads = [in_thread(partial(receive, name)) for name in "abc"]
        for thread in threads:
            thread.join()
        with store.begin() as uow:
            assert sorted(c.external_id for c in uow.pending(P, E, 0, 99)) \
                == sorted(f"{name}{version}" for name in "abc" for version in range(5))

    def test_two_may_receive_the_same_change_at_once(self, store: Store) -> None:
        failed: list[Exception] = []

        def second() -> None:
            try:
                with store.begin() as uow:
                    uow.receive(P, [change("a", "2")])
            except Exception as error:
                failed.append(error)

        with store.begin() as uow:
            uow.receive(P, [change("a", "1")])
            thread = in_thread(second)
        thread.join()
        assert failed == []
        with store.begin() as uow:
            assert len(uow.pending(P, E, 0, 9)) == 1

    def test_a_cursor_is_kept_replaced_and_dropped(self, store: Store) -> None:
        for cursor in ("1", "2"):
            with store.begin() as uow:
                uow.save_cursor(P, E, "crm", cursor)
        with store.begin() as uow:
            assert uow.cursors(P, "crm").get(E) == "2"
            assert uow.cursors(P, "erp").get(E) is None
            assert uow.cursors("other", "crm").get(E) is None
            uow.save_cursor(P, E, "crm", None)
            assert uow.cursors(P, "crm").get(E) is None

    def test_when_a_record_was_changed_is_kept_to_the_microsecond(
            self, store: Store, clock: VirtualClock) -> None:
        at = clock.now() + timedelta(microseconds=123_456)
        tied = replace(link("b", "1"), changed_at=at)
        with store.begin() as uow:
            uow.receive(P, [change("a", changed_at=at), change("c")])
            uow.save_links(P, [tied, link("d", "1")])
        with store.begin() as uow:
            assert [c.changed_at for c in uow.pending(P, E, 0, 9)] == [at, None]
            assert uow.inbox_by_external(P, E, "crm", ["a"])["a"].changed_at == at
            assert uow.links_by_external(P, E, "crm", ["b"])["b"] == tied
            assert [k.changed_at for k in uow.links_by_canonical(P, E, ["1"])["1"]] == [at, None]

    def test_changes_come_in_the_order_they_were_received(self, store: Store) -> None:
        with store.begin() as uow:
            uow.receive(P, [change("c"), change("a"), change("b")])
            first = uow.pending(P, E, 0, 2)
            assert [c.external_id for c in first] == ["c", "a"]
            assert [c.external_id for c in uow.pending(P, E, first[-1].id, 9)] == ["b"]
            assert uow.pending(P, "contact", 0, 9) == []

    def test_a_newer_change_replaces_the_older_one(self, store: Store) -> None:
        with store.begin() as uow:
            uow.receive(P, [change("a"), change("b")])
            old = uow.pending(P, E, 0, 9)
            uow.receive(P, [change("a", "2")])
            found = uow.pending(P, E, 0, 9)
            assert [(c.external_id, c.version) for c in found] == [("b", "1"), ("a", "2")]
            assert found[-1].id > old[-1].id
            assert uow.inbox_versions(P, E, "crm", ["a", "b", "c"]) == {"a": "2", "b": "1"}

    def test_of_the_same_change_twice_in_one_page_the_later_one_counts(self,
                                                                       store: Store) -> None:
        with store.begin() as uow:
            uow.receive(P, [change("a", "1"), change("b"), change("a", "2")])
            assert {c.external_id: c.version for c in uow.pending(P, E, 0, 9)} \
                == {"a": "2", "b": "1"}

    def test_a_newer_change_makes_a_waiting_one_pending(self, store: Store) -> None:
        with store.begin() as uow:
            uow.receive(P, [change("a")])
            uow.wait(P, {uow.pending(P, E, 0, 9)[0].id: "customer:crm:x"})
            uow.receive(P, [change("a", "2")])
            assert [c.version for c in uow.pending(P, E, 0, 9)] == ["2"]
            assert uow.release(P, ["customer:crm:x"]) == 0

    def test_a_hint_means_reading_again_until_a_record_comes(self, store: Store) -> None:
        hint = Change(0, E, "crm", "a", "", hint=True)
        with store.begin() as uow:
            for received, hinted in ((change("a"), False), (hint, True), (change("a"), False)):
                uow.receive(P, [received])
                assert [c.hint for c in uow.pending(P, E, 0, 9)] == [hinted]
                assert ("a" in uow.inbox_versions(P, E, "crm", ["a"])) is not hinted

    def test_what_was_settled_stays_where_a_newer_change_came(self, store: Store,
                                                              clock: VirtualClock) -> None:
        with store.begin() as uow:
            uow.receive(P, [change("a"), change("b")])
            a, b = uow.pending(P, E, 0, 9)
            uow.receive(P, [change("a", "2"), change("b", "2")])
            uow.settle([a.id])
            uow.bury(P, "r", clock.now(), [(b, "write", "E", "no")])
            assert [(c.external_id, c.version) for c in uow.pending(P, E, 0, 9)] \
                == [("a", "2"), ("b", "2")]

    def test_entities_systems_and_pairs_are_kept_apart(self, store: Store) -> None:
        with store.begin() as uow:
            uow.receive(P, [Change(0, "order", "crm", "7", "o"), Change(0, E, "crm", "7", "c"),
                            Change(0, E, "erp", "7", "e")])
            uow.receive("other", [Change(0, E, "crm", "7", "x")])
            assert [c.version for c in uow.pending(P, E, 0, 9)] == ["c", "e"]
            assert uow.inbox_counts(P) == {("order", "crm", "pending"): 1,
                                           (E, "crm", "pending"): 1, (E, "erp", "pending"): 1}
            uow.save_links(P, [Link("order", "1", "crm", "7", "o", {}),
                               Link(E, "2", "crm", "7", "c", {})])
            assert uow.versions(P, "order", "crm", ["7"]) == {"7": "o"}
            assert uow.versions(P, E, "crm", ["7"]) == {"7": "c"}
            uow.save_snapshots(P, [Snapshot("order", "1", {"o": 1}), Snapshot(E, "1", {"c": 1})])
            assert uow.snapshots(P, "order", ["1"])["1"].record == {"o": 1}
            assert uow.snapshots("other", E, ["1"]) == {}

    def test_numbers_and_text_of_any_kind_come_back(self, store: Store) -> None:
        payload = {"big": 2**70, "cut": "half an emoji \ud83d", "zero": "a\0b", "price": "1.10",
                   "text": "x" * 5_000}
        with store.begin() as uow:
            uow.receive(P, [Change(0, E, "crm", "a", "v" * 400,
                                   {**payload, "price": Decimal("1.10")})])
            (found,) = uow.pending(P, E, 0, 9)
        assert found.payload == payload
        assert found.version == "v" * 400

    def test_a_match_key_may_be_long_or_odd(self, store: Store) -> None:
        odd = ["".join(chr(i % 50_000 + 161) for i in range(4_000)), "a\0b", "\ud83d"]
        with store.begin() as uow:
            uow.receive(P, [change(str(i), match_key=key) for i, key in enumerate(odd)])
            uow.claim(P, E, dict.fromkeys(odd, "1"))
            for i, key in enumerate(odd):
                found = uow.inbox_by_match_key(P, E, "crm", [key], {})
                assert [c.external_id for c in found[key]] == [str(i)]
                assert uow.claims(P, E, [key]) == {key: "1"}

    def test_a_change_comes_back_as_it_went_in(self, store: Store) -> None:
        sent = Change(0, E, "crm", "ü/1", "v", {"n": None, "l": [1, {"b": True}], "t": "日本"},
                      True, "erp:7", "key", True, "derived")
        with store.begin() as uow:
            uow.receive(P, [sent])
            (found,) = uow.pending(P, E, 0, 9)
        assert (found.payload, found.deleted, found.reference, found.match_key, found.hint,
                found.derived_from) == (sent.payload, True, "erp:7", "key", True, "derived")

    def test_a_waiting_change_is_released_by_what_it_waits_for(self, store: Store) -> None:
        with store.begin() as uow:
            uow.receive(P, [change("a"), change("b")])
            a, b = uow.pending(P, E, 0, 9)
            uow.wait(P, {a.id: "customer:crm:x", b.id: "customer:crm:y"})
            assert uow.pending(P, E, 0, 9) == []
            assert uow.inbox_counts(P) == {(E, "crm", "waiting"): 2}
            assert uow.release("other", ["customer:crm:y"]) == 0
            assert uow.release(P, ["customer:crm:y", "customer:crm:z"]) == 1
            assert uow.pending(P, E, 0, 9) == [b]

    def test_changes_are_found_by_match_key_and_by_id(self, store: Store) -> None:
        with store.begin() as uow:
            uow.receive(P, [change("a", match_key="k"), change("b", match_key="k"), change("c")])
            a, b, c = uow.pending(P, E, 0, 9)
            uow.wait(P, {a.id: "x"})
            found = uow.inbox_by_match_key(P, E, "crm", ["k", "l"], {b.id: b})
            assert [x.external_id for x in found["k"]] == ["a", "b"]
            assert found["k"][1] is b
            assert uow.inbox_by_match_key(P, E, "erp", ["k"], {}) == {}
            assert set(uow.inbox_by_external(P, E, "crm", ["a", "c", "z"])) == {"a", "c"}
            uow.settle([a.id, c.id])
            assert [x.external_id for x in uow.pending(P, E, 0, 9)] == ["b"]

    def test_links_are_found_both_ways(self, store: Store) -> None:
        with store.begin() as uow:
            uow.save_links(P, [link("a", "1"), link("7", "1", "erp"), link("b", "2")])
            uow.save_links(P, [link("a", "1", version="2")])
            assert uow.links_by_external(P, E, "crm", ["a", "z"])["a"].version == "2"
            assert {k.system for k in uow.links_by_canonical(P, E, ["1"])["1"]} == {"crm", "erp"}
            assert uow.versions(P, E, "crm", ["a", "b"]) == {"a": "2", "b": "1"}
            assert uow.canonical_ids(P, E, "crm", ["b", "z"]) == {"b": "2"}
            assert uow.external_ids(P, E, "erp", ["1", "2"]) == {"1": "7"}
            uow.remove_links(P, E, "crm", ["a"])
            assert uow.links_by_external(P, E, "crm", ["a"]) == {}

    def test_the_oldest_link_of_a_system_comes_first(self, store: Store) -> None:
        with store.begin() as uow:
            uow.save_links(P, [link("m", "1"), link("7", "1", "erp")])
            uow.save_links(P, [link("a", "1"), link("z", "1")])
            uow.save_links(P, [link("m", "1", version="2")])
            found = uow.links_by_canonical(P, E, ["1"])["1"]
            assert [k.external_id for k in found if k.system == "crm"] == ["m", "a", "z"]
            assert uow.external_ids(P, E, "crm", ["1"]) == {"1": "m"}

    def test_a_deleted_record_keeps_its_link(self, store: Store) -> None:
        gone = Link(E, "1", "crm", "a", "2", None)
        with store.begin() as uow:
            uow.save_links(P, [link("a", "1")])
            uow.save_links(P, [gone])
            assert uow.links_by_external(P, E, "crm", ["a"]) == {"a": gone}

    def test_the_living_are_those_linked_or_received_and_not_deleted(self, store: Store) -> None:
        with store.begin() as uow:
            uow.save_links(P, [link("a", "1"), Link(E, "2", "crm", "b", "2", None),
                               Link(E, "1", "erp", "x", "2", {})])
            uow.receive(P, [Change(0, E, "crm", "c", "1"), Change(0, E, "crm", "d", "1",
                                                                  deleted=True),
                            Change(0, E, "crm", "quote:q", "1", derived_from="q")])
            assert uow.living(P, E, "crm") == {"a", "c"}

    def test_what_is_at_stake_are_linked_records_that_moved(self, store: Store) -> None:
        with store.begin() as uow:
            uow.save_links(P, [link(ext, ext) for ext in "abcd"]
                           + [Link(E, "e", "crm", "e", "2", None), link("x", "x", system="erp")])
            uow.receive(P, [Change(0, E, "crm", "a", "2", deleted=True),
                            Change(0, E, "crm", "b", "2"), Change(0, E, "crm", "c", "2"),
                            Change(0, E, "crm", "new", "1"), Change(0, E, "erp", "x", "2")])
            waiting = uow.inbox_by_external(P, E, "crm", ["c"])["c"].id
            uow.wait(P, {waiting: "customer:crm:z"})
            assert uow.stake(P, E, "crm") == Stake(4, 1, 1)
            assert uow.stake(P, "contact", "crm") == Stake(0, 0, 0)

    def test_changes_get_their_match_keys_later(self, store: Store) -> None:
        with store.begin() as uow:
            uow.save_links(P, [link("linked", "1")])
            uow.receive(P, [
                Change(0, E, "crm", "a", "1"), Change(0, E, "crm", "b", "1", match_key="B"),
                Change(0, E, "crm", "linked", "2"), Change(0, E, "crm", "gone", "1", deleted=True),
                Change(0, E, "crm", "hint", "1", hint=True), Change(0, E, "erp", "x", "1"),
                Change(0, E, "crm", "c", "1")])
            first, second = uow.unkeyed(P, E, "crm", 0, 9)
            assert (first.external_id, second.external_id) == ("a", "c")
            assert uow.unkeyed(P, E, "crm", 0, 1) == [first]
            assert uow.unkeyed(P, E, "crm", first.id, 9) == [second]
            uow.set_match_keys(P, {second.id: "C"})
            assert uow.unkeyed(P, E, "crm", 0, 9) == [first]
            found = uow.inbox_by_match_key(P, E, "crm", ["B", "C"], {})
            assert {key: [c.external_id for c in same] for key, same in found.items()} \
                == {"B": ["b"], "C": ["c"]}

    def test_nothing_asked_is_nothing_found(self, store: Store, clock: VirtualClock) -> None:
        with store.begin() as uow:
            uow.receive(P, [])
            uow.save_links(P, [])
            uow.add_outcomes(P, "r", clock.now(), [])
            uow.open_conflicts(P, E, "r", clock.now(), [])
            uow.bury(P, "r", clock.now(), [])
            uow.wait(P, {})
            uow.claim(P, E, {})
            uow.set_match_keys(P, {})
            assert uow.release(P, []) == 0
            assert uow.conflicts(P, canonical_ids=[]) == []
            assert uow.inbox_by_match_key(P, E, "crm", [], {}) == {}

    def test_more_than_a_thousand_ids_are_looked_up_at_once(self, store: Store) -> None:
        ids = [f"a{i}" for i in range(1_234)]
        with store.begin() as uow:
            uow.save_links(P, [link(i, f"c{i}") for i in ids])
            assert len(uow.versions(P, E, "crm", ids)) == 1_234

    def test_a_snapshot_is_replaced(self, store: Store) -> None:
        with store.begin() as uow:
            uow.save_snapshots(P, [Snapshot(E, "1", {"a": 1})])
            uow.save_snapshots(P, [Snapshot(E, "1", {"a": 2})])
            assert uow.snapshots(P, E, ["1", "2"])["1"].record == {"a": 2}

    def test_a_claim_stays_with_its_first_holder(self, store: Store) -> None:
        with store.begin() as uow:
            uow.claim(P, E, {"k": "1"})
        with store.begin() as uow:
            uow.claim(P, E, {"k": "2", "l": "2"})
            assert uow.claims(P, E, ["k", "l", "m"]) == {"k": "1", "l": "2"}
            assert uow.claims(P, "contact", ["k"]) == {}

    def test_a_batch_comes_back_exactly(self, store: Store) -> None:
        payload = {"price": Decimal("1.10"), "n": 3, "none": None, "in": {"l": [True, "ä"]},
                   "whole": Decimal("3"), "power": Decimal("1E+5"), "minus": Decimal("-0.00"),
                   "text": "1.10", "big": 2**70, "odd": {"$decimal": "1"}}
        intent = Intent("k", E, "1", "erp", Operation.CREATE, payload, {"name": "x"}, "crm:a")
        batch = Batch("batch", "customers", Operation.CREATE, (intent,))
        with store.begin() as uow:
            uow.record_batch(P, "run", batch)
            uow.record_batch(P, "run", batch)
        with store.begin() as uow:
            assert uow.unsettled_batches(P) == [batch]
            # A Decimal equals an integer and 1.1 equals 1.10: what is sent would differ.
            assert repr(uow.unsettled_batches(P)) == repr([batch])
            assert uow.unsettled_batches("other") == []
            uow.settle_batches(P, ["batch"])
            assert uow.unsettled_batches(P) == []

    def test_batches_come_back_in_the_order_they_were_begun(self, store: Store) -> None:
        def batch(key: str, operation: Operation) -> Batch:
            return Batch(key, "customers", operation, tuple(
                Intent(f"{key}{i}", E, str(i), "erp", operation, {"n": i}, {}, f"crm:{i}",
                       f"x{i}", "v1") for i in range(3)))

        begun = [batch("z", Operation.UPDATE), batch("a", Operation.DELETE),
                 batch("m", Operation.UPDATE)]
        with store.begin() as uow:
            for each in begun:
                uow.record_batch(P, "run", each)
            uow.settle_batches("other", ["z"])
            assert uow.unsettled_batches(P) == begun
            uow.settle_batches(P, ["a", "unknown"])
            assert uow.unsettled_batches(P) == [begun[0], begun[2]]

    def test_an_alias_stands_behind_the_record_that_is_kept_in_agreement(
            self, store: Store) -> None:
        with store.begin() as uow:
            uow.save_links(P, [replace(link("b", "1"), seen={}, alias=True), link("a", "1"),
                               replace(link("z", "2"), seen=None, alias=True)])
            assert [x.external_id for x in uow.links_by_canonical(P, E, ["1"])["1"]] == ["a", "b"]
            assert uow.external_ids(P, E, "crm", ["1", "2"]) == {"1": "a", "2": "z"}
            assert uow.canonical_ids(P, E, "crm", ["a", "b"]) == {"a": "1", "b": "1"}
            assert uow.links_by_external(P, E, "crm", ["b"])["b"].alias
            assert uow.living(P, E, "crm") == {"a", "b"}

    def test_a_canonical_id_that_became_another_is_redirected_claims_too(
            self, store: Store) -> None:
        with store.begin() as uow:
            uow.claim(P, E, {"k": "1", "other": "9"})
            uow.redirect(P, E, "1", "2")
            uow.redirect(P, E, "2", "3")
            assert uow.redirects(P) == {"1": "3", "2": "3"}
            assert uow.redirects("other") == {}
            assert uow.redirected_to(P, ["3", "9"]) == {"1", "2"}
            assert uow.redirected_to(P, ["1"]) == uow.redirected_to("other", ["3"]) == set()
            assert uow.claims(P, E, ["k", "other"]) == {"k": "3", "other": "9"}
            uow.redirect(P, E, "3", "1")  # the other way round: no circle
            assert uow.redirects(P) == {"2": "1", "3": "1"}
            uow.redirect(P, E, "2", None)
            assert uow.redirects(P) == {"3": "1"}

    def test_pending_merges_are_told(self, store: Store) -> None:
        with store.begin() as uow:
            uow.receive(P, [change("b", deleted=True, merged_into="a"), change("a"),
                            change("c", deleted=True)])
            assert [(c.external_id, c.merged_into) for c in uow.merges(P, E)] == [("b", "a")]
            assert uow.merges(P, "contact") == []

    def test_what_names_a_restored_record_is_found(self, store: Store) -> None:
        one, two = "1" * 32, "2" * 32
        with store.begin() as uow:
            uow.save_links(P, [
                replace(link("old", one), seen=None, alias=True), link("new", one),
                replace(link("gone", two), seen=None), replace(link("twin", two), alias=True)])
            assert uow.replaced(P, E, "crm", ["old", "new", "gone", "twin", "none"]) == {"old"}
            assert uow.replaced(P, E, "erp", ["old"]) == set()
            uow.save_links(P, [
                Link("contact", "c", "crm", "c", "1", {"customer": one, "name": "Żółć"}),
                Link("contact", "d", "crm", "d", "1", {"customer": two}),
                Link("contact", "e", "erp", "e", "1", {"customer": one}),
                Link("contact", "f", "crm", "f", "1", {"customer": one, "long": 1 << 70}),
                Link("contact", "g", "crm", "g", "1", None)])
            assert uow.referring(P, "contact", "crm", [one]) == ["c", "f"]
            assert uow.referring(P, "contact", "crm", [one, two]) == ["c", "d", "f"]
            assert uow.referring(P, "contact", "crm", ["3" * 32]) == []

    def test_a_snapshot_is_forgotten(self, store: Store) -> None:
        with store.begin() as uow:
            uow.save_snapshots(P, [Snapshot(E, "1", {}), Snapshot(E, "2", {})])
            uow.remove_snapshots(P, E, ["1"])
            assert uow.snapshots(P, E, ["1", "2"]).keys() == {"2"}
