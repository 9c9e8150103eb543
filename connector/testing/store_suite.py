"""The promises of a store. Inherit `StoreSuite` and give it a `store` fixture of an empty store
whose clock is a `VirtualClock`, given by the fixture `clock`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from decimal import Decimal

import pytest

from connector.domain.actions import FieldChange, FieldConflict, Outcome, OutcomeKind, Tally
from connector.domain.ledger import ConflictState, Run, RunState
from connector.domain.records import Batch, Change, Intent, Link, Operation, Snapshot
from connector.errors import LeaseHeld, LeaseLost
from connector.ports import Store
from connector.testing.clock import VirtualClock

P, E = "main", "customer"


def change(external_id: str, version: str = "1", **more: object) -> Change:
    """A change of a customer in the CRM."""
    return Change(0, E, "crm", external_id, version, {"name": external_id}, **more)  # type: ignore[arg-type]


def link(external_id: str, canonical_id: str, system: str = "crm", version: str = "1") -> Link:
    """A link of a customer."""
    return Link(E, canonical_id, system, external_id, version, {"name": external_id})


class StoreSuite:
    """One test for each promise."""

    def test_an_error_rolls_everything_back(self, store: Store) -> None:
        with pytest.raises(ZeroDivisionError), store.begin() as uow:
            uow.save_cursor(P, E, "crm", "7")
            uow.receive(P, [change("a")])
            raise ZeroDivisionError
        with store.begin() as uow:
            assert uow.cursor(P, E, "crm") is None
            assert uow.pending(P, E, 0, 10) == []

    def test_a_cursor_is_kept_replaced_and_dropped(self, store: Store) -> None:
        for cursor in ("1", "2"):
            with store.begin() as uow:
                uow.save_cursor(P, E, "crm", cursor)
        with store.begin() as uow:
            assert uow.cursor(P, E, "crm") == "2"
            assert uow.cursor(P, E, "erp") is None
            assert uow.cursor("other", E, "crm") is None
            uow.save_cursor(P, E, "crm", None)
            assert uow.cursor(P, E, "crm") is None

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
            assert uow.release(P, ["customer:crm:y", "customer:crm:z"]) == 1
            assert [c.external_id for c in uow.pending(P, E, 0, 9)] == ["b"]

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

    def test_a_batch_comes_back_exactly(self, store: Store) -> None:
        payload = {"price": Decimal("1.10"), "n": 3, "none": None, "in": {"l": [True, "ä"]}}
        intent = Intent("k", E, "1", "erp", Operation.CREATE, payload, {"name": "x"}, "crm:a")
        batch = Batch("batch", "customers", Operation.CREATE, (intent,))
        with store.begin() as uow:
            uow.record_batch(P, "run", batch)
            uow.record_batch(P, "run", batch)
        with store.begin() as uow:
            assert uow.unsettled_batches(P) == [batch]
            assert uow.unsettled_batches("other") == []
            uow.settle_batches(P, ["batch"])
            assert uow.unsettled_batches(P) == []

    def test_runs_are_kept_with_their_account(self, store: Store, clock: VirtualClock) -> None:
        tally = Tally(2)
        tally.outcomes[OutcomeKind.CREATED] = 2
        run = Run("r1", P, "cli", RunState.RUNNING, clock.now(), tallies={(E, "crm"): tally},
                  writes={(E, "erp", "create"): 2})
        with store.begin() as uow:
            uow.save_run(run)
            assert uow.runs(P, 5) == [run]
            uow.abandon_runs(P, clock.now())
            assert uow.runs(P, 5)[0].state is RunState.ABANDONED

    def test_history_tells_what_was_written_and_why(self, store: Store,
                                                    clock: VirtualClock) -> None:
        changes = (FieldChange("phone", None, "1", "new"),
                   FieldChange("credit_limit", Decimal("1.5"), None, "owner: erp"))
        outcome = Outcome(OutcomeKind.UPDATED, E, "crm", "a", "1", "erp", changes, "why")
        with store.begin() as uow:
            uow.add_outcomes(P, "r1", clock.now(), [outcome])
            (entry,) = uow.history(P, E, "1")
        assert (entry.run_id, entry.kind, entry.target, entry.reason, entry.at) \
            == ("r1", OutcomeKind.UPDATED, "erp", "why", clock.now())
        assert [(c.path, c.before, c.after) for c in entry.changes] \
            == [("phone", None, "1"), ("credit_limit", "1.5", None)]

    def test_a_conflict_is_kept_once_and_follows_its_values(self, store: Store,
                                                           clock: VirtualClock) -> None:
        with store.begin() as uow:
            for erp in ("e", "e", "f"):
                uow.open_conflicts(P, E, "r", clock.now(),
                                   [("1", "Acme", FieldConflict("phone", "b", "c", erp))])
            (found,) = uow.conflicts(P)
            assert (found.base, found.crm, found.erp, found.title) == ("b", "c", "f", "Acme")
            uow.decide_conflict(found.id, {"take": "crm"})
            assert uow.conflicts(P) == []
            (decided,) = uow.conflicts(P, canonical_ids=["1"], states=(ConflictState.DECIDED,))
            assert decided.decision == {"take": "crm"}
            uow.settle_conflicts(P, E, {found.id: "a person"})
            kept = uow.conflict(found.id)
            assert kept is not None
            assert (kept.state, kept.settled_by) == (ConflictState.SETTLED, "a person")

    def test_a_decision_is_dropped_where_the_values_moved(self, store: Store,
                                                          clock: VirtualClock) -> None:
        with store.begin() as uow:
            uow.open_conflicts(P, E, "r", clock.now(), [("1", "", FieldConflict("p", 0, 1, 2))])
            uow.decide_conflict(uow.conflicts(P)[0].id, {"take": "crm"})
            uow.open_conflicts(P, E, "r", clock.now(), [("1", "", FieldConflict("p", 0, 1, 3))])
            (found,) = uow.conflicts(P)
            assert (found.erp, found.decision) == (3, None)

    def test_what_a_rule_settled_is_kept_as_settled(self, store: Store,
                                                    clock: VirtualClock) -> None:
        with store.begin() as uow:
            uow.open_conflicts(P, E, "r", clock.now(),
                               [("1", "", FieldConflict("p", 0, 1, 2, "owner: erp"))])
            assert uow.conflicts(P) == []
            (found,) = uow.conflicts(P, states=(ConflictState.SETTLED,))
            assert found.settled_by == "owner: erp"

    def test_a_dead_letter_counts_its_tries_and_leaves_the_inbox(
            self, store: Store, clock: VirtualClock) -> None:
        for tries in (1, 2):
            with store.begin() as uow:
                uow.receive(P, [change("a")])
                (found,) = uow.pending(P, E, 0, 9)
                uow.bury(P, "r", clock.now(), [(found, "write", "RecordFailed", "no")])
                assert uow.pending(P, E, 0, 9) == []
                (letter,) = uow.dead_letters(P)
                assert (letter.attempts, letter.payload, letter.message) \
                    == (tries, {"name": "a"}, "no")
                assert uow.dead_versions(P, E, "crm", ["a", "b"]) == {"a": "1"}
        with store.begin() as uow:
            uow.resolve_dead_letters(P, ["customer/crm/b"])
            assert len(uow.dead_letters(P, entity=E)) == 1
            uow.resolve_dead_letters(P, [letter.trace_key])
            assert uow.dead_letters(P) == []

    def test_a_dead_letter_can_be_discarded(self, store: Store, clock: VirtualClock) -> None:
        with store.begin() as uow:
            uow.bury(P, "r", clock.now(), [(change("a"), "write", "E", "no")])
            (letter,) = uow.dead_letters(P)
            assert uow.dead_letter(letter.id) == letter
            uow.remove_dead_letter(letter.id)
            assert uow.dead_letter(letter.id) is None

    # leases

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

    def test_the_lease_of_a_dead_process_of_this_host_is_taken_over(self, store: Store) -> None:
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        store.acquire_lease(P, f"{socket.gethostname()}:{gone.pid}", 600)
        store.acquire_lease(P, f"{socket.gethostname()}:{os.getpid()}", 600)
        with pytest.raises(LeaseHeld):
            store.acquire_lease(P, "elsewhere:1", 600)

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
