"""The promises of a store about what it keeps for people: runs, history, conflicts, letters."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from connector.domain.actions import UNDONE, FieldChange, FieldConflict, Outcome, OutcomeKind, Tally
from connector.domain.ledger import ConflictState, Run, RunState
from connector.domain.records import Change, Link
from connector.domain.retries import FIRST_WAIT
from connector.ports import Store
from connector.testing.clock import VirtualClock

P, E = "main", "customer"


def change(external_id: str) -> Change:
    """A change of a customer in the CRM."""
    return Change(0, E, "crm", external_id, "1", {"name": external_id})


class LedgerSuite:
    """One test for each promise; a part of `StoreSuite`."""

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

    def test_the_latest_runs_come_first(self, store: Store, clock: VirtualClock) -> None:
        with store.begin() as uow:
            for name in "cab":
                uow.save_run(Run(name, P, "cli", RunState.COMPLETED, clock.now(), clock.now()))
                clock.sleep(0.5)
            uow.abandon_runs(P, clock.now())
            assert [(run.id, run.state) for run in uow.runs(P, 2)] \
                == [("b", RunState.COMPLETED), ("a", RunState.COMPLETED)]
            assert uow.runs("other", 2) == []

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

    def test_what_a_run_wrote_is_found(self, store: Store, clock: VirtualClock) -> None:
        names = [f"{i:04}" for i in range(600)]
        changes = (FieldChange("phone", "1", "2", "why"),)
        with store.begin() as uow:
            uow.save_run(Run("r1", P, "cli", RunState.COMPLETED, clock.now()))
            for run in ("r1", "r2"):
                uow.add_outcomes(P, run, clock.now(), [
                    Outcome(OutcomeKind.UPDATED, E, "crm", name, name, "erp", changes)
                    for name in names] + [Outcome(OutcomeKind.SKIPPED, E, "crm", "z", "z")])
            uow.add_outcomes(P, "r3", clock.now(), [
                Outcome(OutcomeKind.UPDATED, E, "crm", "x", "x", "erp", changes)])
            first = uow.written_in(P, "r1", E, "", 500)
            assert first + uow.written_in(P, "r1", E, first[-1], 500) == names
            assert uow.written_in(P, "r1", "contact", "", 9) == []
            found = uow.writes(P, E, [*names, "z"])
            assert set(found) == set(names)
            assert [(e.run_id, e.changes) for e in found["0599"]] \
                == [("r1", changes), ("r2", changes)]
            kept = uow.run(P, "r1")
            assert kept is not None
            assert kept.id == "r1"
            assert uow.run("other", "r1") is uow.run(P, "r9") is None

    def test_an_undone_difference_keeps_its_kind(self, store: Store,
                                                 clock: VirtualClock) -> None:
        with store.begin() as uow:
            for kind in ("both_changed", UNDONE):
                uow.open_conflicts(P, E, "r", clock.now(),
                                   [("1", "", FieldConflict("p", 0, 1, 2, kind=kind))])
            (found,) = uow.conflicts(P)
            assert found.kind == UNDONE

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

    def test_a_rule_settles_what_was_open(self, store: Store, clock: VirtualClock) -> None:
        with store.begin() as uow:
            for rule in ("", "owner: erp"):
                uow.open_conflicts(P, E, "r", clock.now(),
                                   [("1", "", FieldConflict("p", 0, 1, 2, rule))])
            assert uow.conflicts(P) == []
            (found,) = uow.conflicts(P, states=tuple(ConflictState))
            assert found.settled_by == "owner: erp"
            uow.settle_conflicts(P, E, {found.id: "someone else"})
            uow.decide_conflict(found.id, {"take": "crm"})
            assert uow.conflict(found.id) == found

    def test_a_decision_stays_until_it_is_carried_out(self, store: Store,
                                                      clock: VirtualClock) -> None:
        with store.begin() as uow:
            uow.open_conflicts(P, E, "r", clock.now(), [("1", "", FieldConflict("p", 0, 1, 2))])
            uow.decide_conflict(uow.conflicts(P)[0].id, {"value": "3"})
            uow.open_conflicts(P, E, "r", clock.now(),
                               [("1", "", FieldConflict("p", 0, 1, 2, "decided by a person"))])
            (found,) = uow.conflicts(P, states=(ConflictState.DECIDED,))
            assert found.decision == {"value": "3"}

    def test_a_thousand_conflicts_come_oldest_first(self, store: Store,
                                                    clock: VirtualClock) -> None:
        names = [str(i) for i in range(1_111)]
        with store.begin() as uow:
            uow.open_conflicts(P, E, "r", clock.now(),
                               [(name, name, FieldConflict("p", 0, 1, 2)) for name in names])
            for asked in (None, names[::-1]):
                assert [c.title for c in uow.conflicts(P, canonical_ids=asked)] == names
            found = uow.conflicts(P)
            uow.settle_conflicts(P, E, {c.id: f"by {c.title}" for c in found[1:]})
            assert uow.conflicts(P) == found[:1]
            settled = uow.conflicts(P, states=(ConflictState.SETTLED,))
            assert [c.settled_by for c in settled] == [f"by {name}" for name in names[1:]]
            assert uow.conflicts(P, entity="contact") == uow.conflicts("other") == []
            assert uow.conflict(0) is None

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

    def test_a_dead_letter_tells_when_it_is_tried_again(self, store: Store,
                                                        clock: VirtualClock) -> None:
        names, start = [f"{i:04}" for i in range(600)], clock.now()
        with store.begin() as uow:
            uow.bury(P, "r", start, [(change(name), "write", "E", "no") for name in names])
            uow.bury(P, "r", start, [(change("x"), "decode", "E", "no")])
            uow.bury("other", "r", start, [(change("y"), "write", "E", "no")])
            due = start + FIRST_WAIT
            assert uow.due_dead_letters(P, [E], due - timedelta(microseconds=1), 0, 9) == []
            assert uow.due_dead_letters(P, ["contact"], due, 0, 9) == []
            first = uow.due_dead_letters(P, [E], due, 0, 500)
            rest = uow.due_dead_letters(P, [E], due, first[-1].id, 500)
            assert [d.external_id for d in (*first, *rest)] == names
            assert {d.next_try_at for d in first} == {due}
            assert first[0].version == "1"
            assert uow.dead_attempts(P, ["customer/crm/x", "customer/crm/y"]) \
                == {"customer/crm/x": 1}
            uow.bury(P, "r", due, [(change("0000"), "write", "E", "no")])
            (again,) = uow.due_dead_letters(P, [E], due + 2 * FIRST_WAIT, 0, 1)
            assert (again.attempts, again.next_try_at) == (2, due + 2 * FIRST_WAIT)

    def test_a_dead_letter_can_be_discarded(self, store: Store, clock: VirtualClock) -> None:
        with store.begin() as uow:
            uow.bury(P, "r", clock.now(), [(change("a"), "write", "E", "no")])
            (letter,) = uow.dead_letters(P)
            assert uow.dead_letter(letter.id) == letter
            uow.remove_dead_letter(letter.id)
            assert uow.dead_letter(letter.id) is None

    def test_what_waits_for_a_discarded_letter_is_released(self, store: Store,
                                                           clock: VirtualClock) -> None:
        with store.begin() as uow:
            uow.bury(P, "r", clock.now(), [(change("a"), "decode", "E", "no")])
            uow.receive(P, [change("b")])
            (waiting,) = uow.pending(P, E, 0, 9)
            uow.wait(P, {waiting.id: "customer:crm:a"})
            (letter,) = uow.dead_letters(P)
            uow.remove_dead_letter(letter.id + 1)
            assert uow.pending(P, E, 0, 9) == []
            uow.remove_dead_letter(letter.id)
            assert [c.id for c in uow.pending(P, E, 0, 9)] == [waiting.id]

    def test_dead_letters_without_a_link_are_found_by_match_key(self, store: Store,
                                                                clock: VirtualClock) -> None:
        with store.begin() as uow:
            uow.bury(P, "r", clock.now(), [
                (replace(change(name), match_key=name.upper()), "decode", "E", "no")
                for name in ("a", "b", "c")])
            uow.save_links(P, [Link(E, "1", "crm", "b", "1", {})])
            assert uow.dead_by_match_key(P, E, "crm", ["A", "B", "D"]) == {"A": "a"}
            assert uow.dead_by_match_key(P, E, "erp", ["A"]) == {}

    def test_dead_letters_come_oldest_first(self, store: Store, clock: VirtualClock) -> None:
        with store.begin() as uow:
            for name in ("b", "a", "b"):
                uow.bury(P, "r", clock.now(), [(change(name), "write", "E", "no")])
            assert [(d.external_id, d.attempts) for d in uow.dead_letters(P)] \
                == [("b", 2), ("a", 1)]
            assert uow.dead_letters(P, entity="contact") == []
            assert uow.dead_letters("other") == []
