"""One field: whose value stands, by which rule, and what is kept of the loser."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connector.domain.actions import FieldConflict
from connector.domain.entities import ENTITIES
from connector.domain.policies import CRM, ERP, FieldPolicy, NewerWins, Role
from connector.domain.values import MISSING
from connector.engine.pair import Rule
from connector.engine.policy import AGREED, LEFT, Verdict, changed, settle, step_back
from connector.errors import RecordFailed

BOTH: frozenset[Role] = frozenset((CRM, ERP))


def rule(name: str = "email", entity: str = "customer", **policy: Any) -> Rule:
    return Rule(name, ENTITIES[entity].fields[name], FieldPolicy(**policy), BOTH)


def told(given: Rule, base: Any, crm: Any, erp: Any, decision: Any = None) -> Verdict:
    return settle(given, given.name, base, {CRM: crm, ERP: erp}, decision)


def test_a_side_that_did_not_change_has_no_say() -> None:
    assert told(rule(), "a", "b", "a") == Verdict("changed in the crm", CRM)
    assert told(rule(), "a", "a", "b") == Verdict("changed in the erp", ERP)
    assert told(rule(), "a", None, "a") == Verdict("changed in the crm", CRM)


def test_the_same_change_on_both_sides_agrees() -> None:
    assert told(rule(conflict="fail"), "a", "b", "b") == AGREED


@pytest.mark.parametrize(("crm", "erp"), [(MISSING, "b"), ("b", MISSING), (MISSING, MISSING)])
def test_a_side_that_says_nothing_is_not_a_blank_one(crm: Any, erp: Any) -> None:
    assert told(rule(owner="erp"), "a", crm, erp) == LEFT


def test_two_changes_wait_for_a_person_with_all_three_values() -> None:
    assert told(rule(), "a", "b", "c") == Verdict(
        conflict=FieldConflict("email", "a", "b", "c", "", "both_changed"))


@pytest.mark.parametrize(("conflict", "crm", "erp", "winner"), [
    ("prefer_crm", "b", "c", CRM), ("prefer_erp", "b", "c", ERP),
    ("prefer_crm", None, "c", CRM), ("prefer_erp", "b", None, ERP),
    ("prefer_crm_unless_blank", "b", "c", CRM), ("prefer_crm_unless_blank", None, "c", ERP),
    ("prefer_erp_unless_blank", "b", "c", ERP), ("prefer_erp_unless_blank", "b", None, CRM)])
def test_a_resolution_picks_a_side_and_keeps_both_values(
        conflict: Any, crm: Any, erp: Any, winner: Role) -> None:
    why = conflict.replace("_", " ")
    assert told(rule(conflict=conflict), "a", crm, erp) == Verdict(
        why, winner, conflict=FieldConflict("email", "a", crm, erp, why))


NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def newer(tie: Role | None, crm: timedelta | None, erp: timedelta | None,
          within: timedelta = MINUTE, base: Any = "a", **policy: Any) -> Verdict:
    """The verdict where each side was changed so long after noon."""
    moments = {role: None if after is None else NOON + after
               for role, after in ((CRM, crm), (ERP, erp))}
    given = rule(conflict=NewerWins(tie, within), **policy)
    return settle(given, "email", base, {CRM: "b", ERP: "c"}, None, moments)


@pytest.mark.parametrize("tie", [CRM, ERP, None])
@pytest.mark.parametrize("base", ["a", MISSING])
def test_the_newer_record_wins_and_both_values_are_kept(tie: Role | None, base: Any) -> None:
    verdict = newer(tie, MINUTE, 2 * MINUTE, base=base)
    why = ("newer wins: changed at 2026-11-24 12:01:00 UTC in the crm, at 2026-11-24 12:02:00 UTC "
           "in the erp")
    known = None if base is MISSING else base
    assert verdict == Verdict(why, ERP, conflict=FieldConflict("email", known, "b", "c", why))
    assert newer(tie, 2 * MINUTE, MINUTE, base=base).winner == CRM


@pytest.mark.parametrize("apart", [timedelta(0), timedelta(seconds=1), timedelta(seconds=59.9)])
@pytest.mark.parametrize("tie", [CRM, ERP])
def test_changes_that_lie_close_together_are_a_tie(apart: timedelta, tie: Role) -> None:
    for crm, erp in ((apart, timedelta(0)), (timedelta(0), apart)):
        verdict = newer(tie, crm, erp)
        assert verdict.winner == tie
        assert verdict.rule.startswith(f"newer wins, a tie taken by the {tie}: changed at ")
        assert verdict.conflict is not None
        assert verdict.conflict.settled_by == verdict.rule
        asked = newer(None, crm, erp)
        assert (asked.winner, asked.conflict) == (None, FieldConflict("email", "a", "b", "c"))


def test_times_are_told_to_the_second_in_utc() -> None:
    assert newer(None, timedelta(hours=-1, milliseconds=999), timedelta(0)).rule == (
        "newer wins: changed at 2026-11-24 11:00:00 UTC in the crm, "
        "at 2026-11-24 12:00:00 UTC in the erp")


def test_without_any_doubt_of_the_clocks_only_the_same_instant_is_a_tie() -> None:
    none, instant = timedelta(0), timedelta(microseconds=1)
    assert newer(ERP, instant, none, within=none).winner == CRM
    assert newer(ERP, none, none, within=none).winner == ERP


@pytest.mark.parametrize(("crm", "erp"), [(None, MINUTE), (MINUTE, None), (None, None)])
@pytest.mark.parametrize("tie", [CRM, ERP, None])
def test_a_missing_time_is_a_question_for_a_person(crm: timedelta | None, erp: timedelta | None,
                                                   tie: Role | None) -> None:
    assert newer(tie, crm, erp).conflict == FieldConflict("email", "a", "b", "c")
    assert newer(tie, crm, erp).winner is None


def test_a_time_settles_no_step_back() -> None:
    given = rule("status", "order", conflict=NewerWins(CRM, MINUTE))
    verdict = settle(given, "status", "shipped", {CRM: "draft", ERP: "shipped"}, None,
                     {CRM: NOON, ERP: NOON - MINUTE})
    assert verdict.winner is None
    assert verdict.conflict == FieldConflict("status", "shipped", "draft", "shipped",
                                             kind="step_back")


def test_an_owner_and_a_lone_change_need_no_time() -> None:
    assert newer(ERP, 9 * MINUTE, MINUTE, owner=ERP).winner == ERP
    assert newer(ERP, None, None, base="c") == Verdict("changed in the crm", CRM)


def test_a_resolution_has_no_say_where_one_side_alone_changed() -> None:
    assert told(rule(conflict="prefer_erp"), "a", "b", "a") == Verdict("changed in the crm", CRM)


def test_the_policy_fail_names_field_and_values() -> None:
    with pytest.raises(RecordFailed, match="email was changed on both sides, to b in the CRM and "
                       "to c in the ERP") as failed:
        told(rule(conflict="fail"), "a", "b", "c")
    assert (failed.value.stage, failed.value.field) == ("merge", "email")
    assert failed.value.hint == "Make both sides equal, then replay the dead letter."


def test_a_person_overrules_owner_direction_and_resolution() -> None:
    for given in (rule(), rule(owner="erp"), rule(direction="to_crm"), rule(conflict="fail")):
        assert told(given, "a", "b", "c", {"take": "crm"}) == Verdict("decided by a person", CRM)
        assert told(given, "a", "b", "c", {"value": "d"}) == Verdict("decided by a person",
                                                                     value="d")


@pytest.mark.parametrize(("base", "known"), [("a", "a"), (None, None), (MISSING, None)])
def test_what_was_undone_is_held_for_a_person(base: Any, known: Any) -> None:
    for given in (rule(), rule(owner="erp"), rule(direction="to_crm"), rule(conflict="fail")):
        assert told(given, base, "b", "c", {"hold": True}) == Verdict(
            conflict=FieldConflict("email", known, "b", "c", "", "undone"))


def test_a_decision_is_void_once_both_sides_agree() -> None:
    assert told(rule(), "a", "b", "b", {"value": "d"}).agreed


class TestOwner:
    def test_its_change_wins_without_a_conflict(self) -> None:
        assert told(rule(owner="erp"), "a", "a", "b") == Verdict("owner: erp", ERP)

    def test_a_change_of_the_other_side_is_put_back_and_recorded(self) -> None:
        verdict = told(rule(owner="erp"), "a", "b", "a")
        assert verdict.winner == ERP
        assert verdict.conflict == FieldConflict("email", "a", "b", "a", "owner: erp", "put_back")

    def test_both_changes_are_recorded(self) -> None:
        verdict = told(rule(owner="crm"), "a", "b", "c")
        assert verdict.winner == CRM
        assert verdict.conflict == FieldConflict("email", "a", "b", "c", "owner: crm",
                                                 "both_changed")

    def test_filling_a_blank_on_first_contact_is_no_conflict(self) -> None:
        assert told(rule(owner="erp"), MISSING, None, "b") == Verdict("owner: erp", ERP)

    def test_until_it_has_said_something_the_other_sides_value_stands(self) -> None:
        assert told(rule(owner="erp"), MISSING, "b", None) == Verdict("only the crm has it", CRM)
        assert told(rule(owner="crm"), MISSING, None, "b") == Verdict("only the erp has it", ERP)

    def test_a_blank_it_holds_later_is_its_word(self) -> None:
        assert told(rule(owner="erp"), "a", "a", None) == Verdict("owner: erp", ERP)

    def test_another_value_on_first_contact_is_recorded(self) -> None:
        verdict = told(rule(owner="erp"), MISSING, "b", "c")
        assert verdict.winner == ERP
        assert verdict.conflict == FieldConflict("email", None, "b", "c", "owner: erp",
                                                 "both_changed")


class TestDirection:
    def test_it_carries_the_sources_change(self) -> None:
        assert told(rule(direction="to_erp"), "a", "b", "a") == Verdict("to_erp", CRM)
        assert told(rule(direction="to_crm"), "a", "a", "b") == Verdict("to_crm", ERP)

    def test_it_puts_the_other_sides_change_back(self) -> None:
        verdict = told(rule(direction="to_crm"), "a", "b", "a")
        assert verdict.winner == ERP
        assert verdict.rule == "to_crm: the change in the crm is put back"
        assert verdict.conflict == FieldConflict("email", "a", "b", "a", "to_crm", "put_back")

    def test_the_side_that_is_put_back_is_named(self) -> None:
        assert told(rule(direction="to_erp"), "a", "a", "b").rule \
            == "to_erp: the change in the erp is put back"

    def test_the_source_wins_where_both_changed(self) -> None:
        assert told(rule(direction="to_erp", conflict="fail"), "a", "b", "c") == Verdict(
            "to_erp", CRM, conflict=FieldConflict("email", "a", "b", "c", "to_erp"))

    def test_on_first_contact_a_blank_is_no_change(self) -> None:
        assert told(rule(direction="to_erp"), MISSING, "b", None) == Verdict("to_erp", CRM)
        assert told(rule(direction="to_erp"), MISSING, "b", "c").conflict == FieldConflict(
            "email", None, "b", "c", "to_erp")

    def test_create_only_leaves_what_stands(self) -> None:
        assert told(rule(direction="create_only"), "a", "b", "c") == LEFT


class TestBlank:
    def test_it_is_carried_over_as_any_value(self) -> None:
        assert told(rule(), "a", "a", None).winner == ERP

    def test_ignore_never_blanks(self) -> None:
        assert told(rule(on_blank="ignore"), "a", "a", None) == LEFT
        assert told(rule(on_blank="ignore"), "a", "a", "b").winner == ERP
        assert told(rule(on_blank="ignore", owner="erp"), "a", "a", None) == LEFT

    def test_fill_only_writes_where_the_other_side_is_blank(self) -> None:
        assert told(rule(on_blank="fill_only"), "a", "a", "b") == LEFT
        assert told(rule(on_blank="fill_only"), None, None, "b").winner == ERP
        assert told(rule(on_blank="fill_only"), None, "b", None).winner == CRM

    def test_zero_and_false_are_no_blanks(self) -> None:
        assert told(rule("on_hold", on_blank="ignore"), True, True, False).winner == ERP
        assert told(rule("credit_limit", on_blank="ignore"), 1, 1, 0).winner == ERP


class TestFirstContact:
    def test_the_side_that_has_a_value_fills_the_other(self) -> None:
        assert told(rule(), MISSING, None, "b") == Verdict("only the erp has it", ERP)
        assert told(rule(), MISSING, "b", None) == Verdict("only the crm has it", CRM)

    def test_two_values_are_a_conflict_without_a_base(self) -> None:
        assert told(rule(), MISSING, "b", "c").conflict == FieldConflict("email", None, "b", "c")


class TestForwardOnly:
    status = staticmethod(lambda **policy: rule("status", "order", **policy))

    def test_a_step_forward_is_carried_over(self) -> None:
        assert told(self.status(), "draft", "draft", "shipped").winner == ERP

    def test_a_step_back_waits_for_a_person(self) -> None:
        verdict = told(self.status(), "shipped", "draft", "shipped")
        assert verdict.winner is None
        assert verdict.conflict == FieldConflict("status", "shipped", "draft", "shipped", "",
                                                 "step_back")

    @pytest.mark.parametrize(("crm", "erp", "where"), [
        ("draft", "shipped", "crm"), ("shipped", "draft", "erp")])
    def test_a_step_back_that_may_not_be_is_refused_as_one(self, crm: str, erp: str,
                                                           where: str) -> None:
        with pytest.raises(RecordFailed, match=f"status went a step back in the {where}, from "
                                               "shipped to draft, and its policy is `fail`"):
            told(self.status(conflict="fail"), "shipped", crm, erp)

    def test_a_step_back_meets_the_resolution(self) -> None:
        verdict = told(self.status(conflict="prefer_erp"), "shipped", "draft", "shipped")
        assert verdict.winner == ERP
        assert verdict.conflict is not None
        assert verdict.conflict.settled_by == "prefer erp"

    @pytest.mark.parametrize(("now", "then", "back"), [
        ("draft", "confirmed", False), ("confirmed", "draft", True), ("paid", "cancelled", False),
        ("cancelled", "draft", True), ("cancelled", "cancelled", False),
        ("confirmed", "confirmed", False), (None, "draft", False),
        ("draft", None, True)])
    def test_the_order_of_the_choices(self, now: Any, then: Any, back: bool) -> None:
        assert step_back(ENTITIES["order"].fields["status"], now, then) is back


def test_without_a_base_everything_is_a_change() -> None:
    assert changed(MISSING, None)
    assert changed(None, "a")
    assert not changed(None, None)
