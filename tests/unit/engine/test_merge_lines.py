"""A line that one side has and the other one doesn't; what a merge carried out in part left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from connector.domain.actions import FieldChange, FieldConflict
from connector.domain.policies import CRM, ERP, FieldPolicy, Role, other
from connector.engine.merge import Merged, agreed, carried_on, merge
from connector.engine.pair import Rules
from connector.errors import RecordFailed
from tests.documents import TEN, TWENTY, line, order

RulesFor = Callable[..., Rules]
SEVEN = line(20, 7)
KNOWN = order(TEN, TWENTY)

each_holder = pytest.mark.parametrize("holder", [CRM, ERP])


def against(rules: Rules, holder: Role, base: Any, held: Any, lacking: Any,
            decisions: Any = None) -> Merged:
    """The merge where `holder` has `held` and the other side `lacking`."""
    sides = {holder: held, other(holder): lacking}
    return merge(rules, base, sides[CRM], sides[ERP], decisions)


def values(holder: Role, held: Any, lacking: Any = None) -> tuple[Any, Any]:
    """CRM first."""
    return (held, lacking) if holder == CRM else (lacking, held)


@each_holder
class TestOneSideHasIt:
    def test_a_line_added_goes_to_the_other_side(self, rules_for: RulesFor, holder: Role) -> None:
        merged = against(rules_for("order"), holder, order(TEN), KNOWN, order(TEN))
        assert merged.writes == {other(holder): {"lines": [TEN, TWENTY]}}
        assert merged.changes == {other(holder): [
            FieldChange("lines[20]", None, TWENTY, f"line added in the {holder}")]}
        assert merged.base["lines"] == [TEN, TWENTY]

    def test_a_line_removed_goes_on_the_other_side(self, rules_for: RulesFor,
                                                   holder: Role) -> None:
        merged = against(rules_for("order"), holder, KNOWN, KNOWN, order(TEN))
        assert merged.writes == {holder: {"lines": [TEN]}}
        assert merged.changes == {holder: [
            FieldChange("lines[20]", TWENTY, None, f"line removed in the {other(holder)}")]}
        assert merged.base["lines"] == [TEN]

    def test_while_a_person_is_asked_each_side_keeps_what_it_has(self, rules_for: RulesFor,
                                                                 holder: Role) -> None:
        """The lines before and after it are merged; a list that is written has it as it stands."""
        merged = against(rules_for("order"), holder, order(TEN, TWENTY, line(30, 3)),
                         order(TEN, SEVEN, line(30, 9)), order(line(10, 4), line(30, 3)))
        assert merged.open_conflicts == [FieldConflict(
            "lines[20]", TWENTY, *values(holder, SEVEN), kind="update_against_delete")]
        assert merged.writes == {holder: {"lines": [line(10, 4), SEVEN, line(30, 9)]},
                                 other(holder): {"lines": [line(10, 4), line(30, 9)]}}
        assert merged.base["lines"] == [line(10, 4), TWENTY, line(30, 9)]

    @pytest.mark.parametrize("base", [KNOWN, order(TEN)])
    def test_what_an_undo_left_waits_for_a_person(self, rules_for: RulesFor, holder: Role,
                                                  base: Any) -> None:
        merged = against(rules_for("order"), holder, base, order(TEN, SEVEN), order(TEN),
                         {"lines[20]": {"hold": True}})
        assert merged.open_conflicts == [FieldConflict(
            "lines[20]", TWENTY if base is KNOWN else None, *values(holder, SEVEN),
            kind="undone")]
        assert merged.writes == {}
        assert merged.base == base

    def test_the_rule_of_the_lines_settles_it(self, rules_for: RulesFor, holder: Role) -> None:
        rules = rules_for("order", fields={"lines": FieldPolicy(
            conflict="prefer_crm" if holder == CRM else "prefer_erp")})
        merged = against(rules, holder, KNOWN, order(TEN, SEVEN), order(TEN))
        assert merged.conflicts == [FieldConflict(
            "lines[20]", TWENTY, *values(holder, SEVEN), f"prefer {holder}",
            "update_against_delete")]
        assert merged.writes == {other(holder): {"lines": [TEN, SEVEN]}}

    def test_to_lack_the_line_is_to_be_blank(self, rules_for: RulesFor, holder: Role) -> None:
        rules = rules_for("order", default=FieldPolicy(
            conflict="prefer_erp_unless_blank" if holder == CRM else "prefer_crm_unless_blank"))
        merged = against(rules, holder, KNOWN, order(TEN, SEVEN), order(TEN))
        assert merged.open_conflicts == []
        assert merged.writes == {other(holder): {"lines": [TEN, SEVEN]}}

    def test_the_policy_fail_names_both_sides(self, rules_for: RulesFor, holder: Role) -> None:
        rules = rules_for("order", default=FieldPolicy(conflict="fail"))
        with pytest.raises(RecordFailed) as failed:
            against(rules, holder, KNOWN, order(TEN, SEVEN), order(TEN))
        assert str(failed.value).startswith(
            f"lines[20] was removed in the {other(holder)} and changed in the {holder}, and its "
            "policy is `fail`.")

    def test_where_no_side_takes_lines_nothing_is_decided(self, rules_for: RulesFor,
                                                          holder: Role) -> None:
        rules = replace(rules_for("order"), lines_writable=frozenset())
        merged = against(rules, holder, KNOWN, KNOWN, order(TEN))
        assert (merged.writes, merged.conflicts) == ({}, [])
        assert merged.base["lines"] == [TEN, TWENTY]


def test_on_first_contact_a_blank_in_a_line_is_filled(rules_for: RulesFor) -> None:
    merged = merge(rules_for("order"), None, order(TEN), order(line(10, 1, description="M8")))
    assert merged.changes == {CRM: [
        FieldChange("lines[10].description", None, "M8", "only the erp has it")]}


class TestHeldAlike:
    """The last agreed record, where a merge was carried out in part, or nobody knows whether."""

    def test_what_both_hold_alike_is_agreed_on(self, rules_for: RulesFor) -> None:
        base = {"name": "Acme", "city": "Berlin", "email": "a@x.de", "phone": "1"}
        crm = {"name": "Acme", "city": "Bonn", "email": "b@x.de", "website": "x.de"}
        erp = {"name": "Acme", "city": "Bonn", "email": "c@x.de", "phone": "2"}
        assert agreed(rules_for("customer"), base, crm, erp) == {**base, "city": "Bonn"}

    def test_what_no_rule_is_about_is_left(self, rules_for: RulesFor) -> None:
        same = {"name": "Acme", "shoe_size": 44}
        assert agreed(rules_for("customer"), {}, same, same) == {"name": "Acme"}

    def test_line_by_line(self, rules_for: RulesFor) -> None:
        base = order(TEN, TWENTY, line(30, 3), line(40, 4))
        crm = order(line(50, 5, unit_price=Decimal(6)), line(10, 9, unit_price=Decimal(3)),
                    line(20, 7), line(60, 6))
        erp = order(line(50, 5), line(10, 8, unit_price=Decimal(3)), line(40, 4))
        new = line(50, 5)
        del new["unit_price"]
        assert agreed(rules_for("order"), base, crm, erp)["lines"] == [
            line(10, 1, unit_price=Decimal(3)), TWENTY, line(40, 4), new]

    def test_a_field_that_one_side_leaves_out_keeps_its_base(self, rules_for: RulesFor) -> None:
        crm, erp = line(10, 5), line(10, 5)
        del crm["description"], erp["unit_price"]
        known = line(10, 1, description="M8", unit_price=Decimal(9))
        assert agreed(rules_for("order"), order(known), order(crm), order(erp))["lines"] == [
            line(10, 5, description="M8", unit_price=Decimal(9))]

    def test_a_blank_field_is_not_like_one_left_out(self, rules_for: RulesFor) -> None:
        known, blank, silent = order(line(10, 1, description="M8")), line(10, 1), line(10, 1)
        del silent["description"]
        for one, another in ((blank, silent), (silent, blank)):
            assert agreed(rules_for("order"), known, order(one), order(another)) == known

    @pytest.mark.parametrize("silent", [CRM, ERP])
    def test_where_a_side_gives_no_lines_they_stay(self, rules_for: RulesFor,
                                                   silent: Role) -> None:
        sides = {silent: {"status": "draft"}, other(silent): order(TEN)}
        assert agreed(rules_for("order"), KNOWN, sides[CRM], sides[ERP]) == KNOWN


class TestCarriedOn:
    """Two updates of an unknown fate, each told against the base from before both."""

    def test_each_adds_what_is_its_own(self, rules_for: RulesFor) -> None:
        rules, base = rules_for("order"), order(TEN, TWENTY)
        one = {**order(TEN, SEVEN), "customer_reference": "A"}
        another = {**order(TWENTY, line(30, 1)), "currency": "USD"}
        both = carried_on(rules, carried_on(rules, base, base, one), base, another)
        assert both == {**base, "customer_reference": "A", "currency": "USD",
                        "lines": [SEVEN, line(30, 1)]}

    def test_what_one_added_the_other_does_not_take_back(self, rules_for: RulesFor) -> None:
        rules, base = rules_for("order"), order(TEN)
        more = order(TEN, TWENTY)
        assert carried_on(rules, more, base, base) == more
        assert carried_on(rules, more, base, order()) == order(TWENTY)

    def test_a_record_without_lines_has_fields_alone(self, rules_for: RulesFor) -> None:
        assert carried_on(rules_for("customer"), {"name": "B"}, {"name": "A"},
                          {"name": "A", "city": None}) == {"name": "B", "city": None}
