"""Three-way merge: header fields, lines by their key, figures that both sides compute."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from connector.domain.actions import FieldChange, FieldConflict
from connector.domain.amounts import Rounding
from connector.domain.policies import CRM, ERP, FieldPolicy, NewerWins
from connector.engine.merge import agreed, for_creation, merge
from connector.engine.pair import Rules
from connector.errors import RecordFailed
from tests.documents import TEN, TWENTY, line, order

RulesFor = Callable[..., Rules]
ACME = {"name": "Acme", "email": "a@x.de", "city": "Berlin"}


BOUGHT = order(*(line(n, 1, unit_price=Decimal("0.335")) for n in (10, 20)), currency="EUR")
HELD = {"name": "Acme", "currency": "EUR", "credit_limit": Decimal("100.00"), "city": "Bonn"}
IN_YEN = {**HELD, "currency": "JPY"}


class TestHeader:
    def test_different_fields_are_both_kept(self, rules_for: RulesFor) -> None:
        merged = merge(rules_for("customer"), ACME, {**ACME, "city": "Bonn"},
                       {**ACME, "email": None})
        assert merged.writes == {ERP: {"city": "Bonn"}, CRM: {"email": None}}
        assert merged.base == {"name": "Acme", "email": None, "city": "Bonn"}
        assert merged.changes == {
            ERP: [FieldChange("city", "Berlin", "Bonn", "changed in the crm")],
            CRM: [FieldChange("email", "a@x.de", None, "changed in the erp")]}
        assert merged.conflicts == []

    def test_a_conflict_holds_up_its_own_field_only(self, rules_for: RulesFor) -> None:
        merged = merge(rules_for("customer"), ACME, {**ACME, "city": "Bonn", "name": "Acme AG"},
                       {**ACME, "city": "Ulm"})
        assert merged.writes == {ERP: {"name": "Acme AG"}}
        assert merged.base == {**ACME, "name": "Acme AG"}
        assert merged.open_conflicts == [FieldConflict("city", "Berlin", "Bonn", "Ulm")]

    def test_the_same_change_becomes_the_base_without_a_write(self, rules_for: RulesFor) -> None:
        both = {**ACME, "city": "Bonn"}
        merged = merge(rules_for("customer"), ACME, both, both)
        assert (merged.base, merged.writes, merged.conflicts) == (both, {}, [])

    def test_a_settled_conflict_is_no_open_one(self, rules_for: RulesFor) -> None:
        rules = rules_for("customer", default=FieldPolicy(conflict="prefer_erp"))
        merged = merge(rules, ACME, {**ACME, "city": "Bonn"}, {**ACME, "city": "Ulm"})
        assert merged.writes == {CRM: {"city": "Ulm"}}
        assert merged.open_conflicts == []
        assert merged.conflicts == [FieldConflict("city", "Berlin", "Bonn", "Ulm", "prefer erp")]

    def test_a_decision_may_be_a_third_value(self, rules_for: RulesFor) -> None:
        merged = merge(rules_for("customer"), ACME, {**ACME, "city": "Bonn"},
                       {**ACME, "city": "Ulm"}, {"city": {"value": "Köln"}})
        assert merged.writes == {CRM: {"city": "Köln"}, ERP: {"city": "Köln"}}
        assert merged.base["city"] == "Köln"
        assert merged.conflicts == []

    def test_what_a_side_does_not_say_keeps_its_base(self, rules_for: RulesFor) -> None:
        merged = merge(rules_for("customer"), ACME, {"name": "Acme"}, {**ACME, "city": "Ulm"})
        assert merged.writes == {}
        assert merged.base == ACME
        merged = merge(rules_for("customer"), ACME, {**ACME, "city": "Ulm"}, {"name": "Acme"})
        assert merged.writes == {}
        assert merged.base == ACME

    def test_a_blank_against_nothing_said_is_no_agreement(self, rules_for: RulesFor) -> None:
        merged = merge(rules_for("customer"), ACME, {**ACME, "city": None}, {"name": "Acme"})
        assert merged.writes == {}
        assert merged.base == ACME

    def test_a_figure_one_side_only_may_write_goes_one_way(self, rules_for: RulesFor) -> None:
        """The ERP's customer number isn't writable there, so the CRM's edit is put back."""
        merged = merge(rules_for("customer"), {"number": "C1"}, {"number": "X"}, {"number": "C1"})
        assert merged.writes == {CRM: {"number": "C1"}}

    def test_the_arguments_stay_as_they_are(self, rules_for: RulesFor) -> None:
        base, crm, erp = order(TEN), order(line(10, 5)), order(TEN, TWENTY)
        merge(rules_for("order"), base, crm, erp)
        assert (base, crm, erp) == (order(TEN), order(line(10, 5)), order(TEN, TWENTY))


class TestLines:
    def test_fields_of_one_line_and_lines_of_one_list_are_both_kept(
            self, rules_for: RulesFor) -> None:
        merged = merge(rules_for("order"), order(TEN, TWENTY),
                       order(line(10, 5), TWENTY, line(30, 3)),
                       order(line(10, 1, unit_price=Decimal(9)), line(20, 7)))
        whole = [line(10, 5, unit_price=Decimal(9)), line(20, 7), line(30, 3)]
        assert merged.writes == {CRM: {"lines": whole}, ERP: {"lines": whole}}
        assert merged.base["lines"] == whole
        assert {change.path for change in merged.changes[ERP]} == {"lines[10].quantity",
                                                                   "lines[30]"}
        assert {change.path for change in merged.changes[CRM]} == {"lines[10].unit_price",
                                                                   "lines[20].quantity"}
        assert merged.conflicts == []

    def test_the_order_of_the_lists_does_not_matter(self, rules_for: RulesFor) -> None:
        merged = merge(rules_for("order"), order(TEN, TWENTY), order(TWENTY, TEN),
                       order(TEN, TWENTY))
        assert merged.writes == {}
        assert merged.base["lines"] == [TEN, TWENTY]

    def test_a_removed_line_goes(self, rules_for: RulesFor) -> None:
        merged = merge(rules_for("order"), order(TEN, TWENTY), order(TEN), order(TEN, TWENTY))
        assert merged.writes == {ERP: {"lines": [TEN]}}
        assert merged.base["lines"] == [TEN]
        assert merged.changes[ERP] == [
            FieldChange("lines[20]", TWENTY, None, "line removed in the crm")]

    def test_a_line_removed_on_both_sides_is_forgotten(self, rules_for: RulesFor) -> None:
        merged = merge(rules_for("order"), order(TEN, TWENTY), order(TEN), order(TEN))
        assert (merged.base["lines"], merged.writes) == ([TEN], {})

    def test_the_last_line_may_go(self, rules_for: RulesFor) -> None:
        merged = merge(rules_for("order"), order(TEN), order(), order(TEN))
        assert merged.writes == {ERP: {"lines": []}}
        assert merged.base["lines"] == []

    def test_a_conflict_in_a_line_has_its_path(self, rules_for: RulesFor) -> None:
        merged = merge(rules_for("order"), order(TEN, TWENTY), order(line(10, 5), TWENTY),
                       order(line(10, 6), line(20, 7)))
        assert merged.open_conflicts == [
            FieldConflict("lines[10].quantity", Decimal(1), Decimal(5), Decimal(6))]
        assert merged.writes == {CRM: {"lines": [line(10, 5), line(20, 7)]}}
        assert merged.base["lines"] == [TEN, line(20, 7)]

    def test_a_decision_on_a_line_is_carried_out(self, rules_for: RulesFor) -> None:
        merged = merge(rules_for("order"), order(TEN), order(line(10, 5)), order(line(10, 6)),
                       {"lines[10].quantity": {"take": "erp"}})
        assert merged.writes == {CRM: {"lines": [line(10, 6)]}}
        assert merged.conflicts == []

    def test_removed_against_changed_waits_for_a_person(self, rules_for: RulesFor) -> None:
        merged = merge(rules_for("order"), order(TEN, TWENTY), order(TEN),
                       order(TEN, line(20, 7)))
        assert merged.open_conflicts == [FieldConflict(
            "lines[20]", TWENTY, None, line(20, 7), kind="update_against_delete")]
        assert merged.writes == {}
        assert merged.base["lines"] == [TEN, TWENTY]

    @pytest.mark.parametrize(("take", "kept"), [("crm", [TEN]), ("erp", [TEN, line(20, 7)])])
    def test_a_person_says_whether_the_line_stays(self, rules_for: RulesFor, take: str,
                                                  kept: list[Any]) -> None:
        merged = merge(rules_for("order"), order(TEN, TWENTY), order(TEN),
                       order(TEN, line(20, 7)), {"lines[20]": {"take": take}})
        target = ERP if take == "crm" else CRM
        assert merged.writes == {target: {"lines": kept}}
        assert merged.base["lines"] == kept
        assert merged.conflicts == []

    def test_removed_against_changed_meets_the_resolution(self, rules_for: RulesFor) -> None:
        rules = rules_for("order", default=FieldPolicy(conflict="prefer_erp"))
        merged = merge(rules, order(TEN, TWENTY), order(TEN), order(TEN, line(20, 7)))
        assert merged.writes == {CRM: {"lines": [TEN, line(20, 7)]}}
        assert [c.settled_by for c in merged.conflicts] == ["prefer erp"]

    def test_removed_against_changed_may_be_won_by_the_newer(self, rules_for: RulesFor) -> None:
        rules = rules_for("order", default=FieldPolicy(conflict=NewerWins(None, timedelta(0))))
        sides = order(TEN, TWENTY), order(TEN), order(TEN, line(20, 7))
        early, late = (datetime(2026, 11, 24, hour, tzinfo=UTC) for hour in (9, 10))
        kept = merge(rules, *sides, moments={CRM: early, ERP: late})
        assert kept.writes == {CRM: {"lines": [TEN, line(20, 7)]}}
        removed = merge(rules, *sides, moments={CRM: late, ERP: early})
        assert removed.writes == {ERP: {"lines": [TEN]}}
        for merged in (kept, removed):
            (conflict,) = merged.conflicts
            assert (conflict.kind, conflict.erp) == ("update_against_delete", line(20, 7))
            assert conflict.settled_by.startswith("newer wins: changed at 2026-11-24 ")

    def test_removed_against_changed_fails_where_the_policy_says_so(self,
                                                                    rules_for: RulesFor) -> None:
        rules = rules_for("order", default=FieldPolicy(conflict="fail"))
        with pytest.raises(RecordFailed, match=r"lines\[20\] was removed in the crm and changed in "
                           "the erp") as failed:
            merge(rules, order(TEN, TWENTY), order(TEN), order(TEN, line(20, 7)))
        assert (failed.value.stage, failed.value.field) == ("merge", "lines[20]")

    def test_where_a_side_gives_no_lines_they_are_left(self, rules_for: RulesFor) -> None:
        merged = merge(rules_for("order"), order(TEN), {"status": "draft"}, order(TEN, TWENTY))
        assert merged.writes == {}
        assert merged.base["lines"] == [TEN]

    def test_on_first_contact_lines_of_both_sides_come_together(self,
                                                                rules_for: RulesFor) -> None:
        merged = merge(rules_for("order"), None, order(TEN), order(TEN, TWENTY))
        assert merged.writes == {CRM: {"lines": [TEN, TWENTY]}}
        assert merged.conflicts == []

    def test_lines_that_one_side_never_takes_follow_it(self, rules_for: RulesFor) -> None:
        """The ERP's invoices can't be written: a line added in the CRM is taken out again."""
        merged = merge(rules_for("invoice"), order(TEN), order(line(10, 9), TWENTY), order(TEN))
        assert merged.writes == {CRM: {"lines": [TEN]}}
        assert merged.base["lines"] == [TEN]

    def test_what_only_the_erp_knows_of_a_line_goes_to_the_crm(self, rules_for: RulesFor) -> None:
        shipped, open_ = (line(10, 4, quantity_shipped=Decimal(n)) for n in (4, 0))
        merged = merge(rules_for("order"), order(open_), order(open_), order(shipped))
        assert merged.writes == {CRM: {"lines": [shipped]}}
        merged = merge(rules_for("order"), order(open_), order(shipped), order(open_))
        assert merged.writes == {CRM: {"lines": [open_]}}


class TestTotals:
    def test_equal_ones_become_the_base(self, rules_for: RulesFor) -> None:
        both = order(TEN, total=Decimal("2.00"))
        assert merge(rules_for("order"), order(TEN), both, both).base["total"] == Decimal("2.00")

    def test_a_cent_apart_is_told(self, rules_for: RulesFor) -> None:
        merged = merge(rules_for("order"), order(TEN), order(TEN, total=Decimal("2.00")),
                       order(TEN, total=Decimal("2.01")))
        assert merged.open_conflicts == [FieldConflict(
            "total", None, Decimal("2.00"), Decimal("2.01"), kind="total_differs")]
        assert merged.writes == {}

    def test_what_was_agreed_last_is_told_with_a_difference(self, rules_for: RulesFor) -> None:
        two = order(TEN, total=Decimal("2.00"))
        assert merge(rules_for("order"), two, order(TEN, total=Decimal("2.01")), two).conflicts \
            == [FieldConflict("total", Decimal("2.00"), Decimal("2.01"), Decimal("2.00"),
                              kind="total_differs")]

    @pytest.mark.parametrize("silent", [{}, {"total": None}])
    def test_a_side_without_a_figure_differs_from_none(self, rules_for: RulesFor,
                                                       silent: dict[str, Any]) -> None:
        told = order(TEN, total=Decimal("2.00"))
        for sides in ((told, order(TEN, **silent)), (order(TEN, **silent), told)):
            merged = merge(rules_for("order"), order(TEN), *sides)
            assert merged.conflicts == []
            assert "total" not in merged.base

    def test_fields_after_a_figure_are_merged_too(self, rules_for: RulesFor) -> None:
        told = order(TEN, total=Decimal("2.00"), total_base=Decimal("2.00"))
        merged = merge(rules_for("order"), told, told, {**told, "total_base": Decimal("2.30")})
        assert merged.writes == {CRM: {"total_base": Decimal("2.30")}}

    def test_while_a_write_is_due_they_are_not_compared(self, rules_for: RulesFor) -> None:
        merged = merge(rules_for("order"), order(TEN), order(line(10, 5), total=Decimal(10)),
                       order(TEN, total=Decimal(2)))
        assert merged.conflicts == []
        assert merged.writes == {ERP: {"lines": [line(10, 5)]}}

    @pytest.mark.parametrize(("level", "net", "tax"), [("line", "0.68", "0.13"),
                                                       ("document", "0.67", "0.13")])
    def test_the_declared_rounding_has_to_give_them(self, rules_for: RulesFor, level: Any,
                                                    net: str, tax: str) -> None:
        rules = rules_for("order", rounding=Rounding(level))
        right = {"net": Decimal(net), "tax": Decimal(tax), "total": Decimal(net) + Decimal(tax)}
        both = {**BOUGHT, **right}
        merged = merge(rules, BOUGHT, both, both)
        assert merged.conflicts == []
        assert merged.base["net"] == right["net"]
        wrong = {**both, "net": Decimal(net) + 1}
        for name in right:
            odd = {**both, name: right[name] + 1}
            assert merge(rules, BOUGHT, odd, odd).open_conflicts == [FieldConflict(
                name, right[name], odd[name], odd[name], kind="total_not_by_rule")]
        assert merge(rules, BOUGHT, both, wrong).open_conflicts == [FieldConflict(
            "net", right["net"], right["net"], wrong["net"], kind="total_differs")]

    def test_the_tolerance_holds_for_the_declared_rounding_too(self, rules_for: RulesFor) -> None:
        rules = rules_for("order", rounding=Rounding(), total_tolerance=Decimal("0.01"))
        a_cent_less = {**BOUGHT, "net": Decimal("0.67")}
        assert merge(rules, BOUGHT, a_cent_less, a_cent_less).conflicts == []
        two_less = {**BOUGHT, "net": Decimal("0.66")}
        assert [c.kind for c in merge(rules, BOUGHT, two_less, two_less).conflicts] \
            == ["total_not_by_rule"]

    def test_lines_that_come_to_no_figure_park_the_record(self, rules_for: RulesFor) -> None:
        endless = {**order(line(10, 1, unit_price=Decimal("1E+200"), tax_percent=Decimal("1E-99"))),
                   "currency": "EUR"}
        with pytest.raises(RecordFailed, match="can't be worked out") as failed:
            merge(rules_for("order", rounding=Rounding()), endless, endless, endless)
        assert str(failed.value).startswith("what its lines come to can't be worked out: ")
        assert (failed.value.stage, failed.value.field) == ("merge", "total")
        assert failed.value.hint == "Mend the prices, quantities and percentages of the lines."


class TestCurrency:
    """An amount is never taken from one side and its currency from the other."""

    def test_a_currency_against_an_amount_asks_a_person(self, rules_for: RulesFor) -> None:
        merged = merge(rules_for("customer"), HELD, IN_YEN,
                       {**HELD, "credit_limit": Decimal("200.50"), "city": "Ulm"})
        assert merged.open_conflicts == [FieldConflict(
            "currency", "EUR", "JPY", "EUR", kind="currency_against_amount")]
        assert merged.writes == {CRM: {"city": "Ulm"}}
        assert merged.base == {**HELD, "city": "Ulm"}

    def test_fields_that_are_no_amounts_are_merged_meanwhile(self, rules_for: RulesFor) -> None:
        held = {**HELD, "payment_terms": "net_30", "active": True}
        merged = merge(rules_for("customer"), held, {**held, "currency": "JPY", "active": False},
                       {**held, "credit_limit": Decimal("200.50"), "payment_terms": "net_14"})
        assert merged.writes == {CRM: {"payment_terms": "net_14"}, ERP: {"active": False}}
        assert [c.path for c in merged.open_conflicts] == ["currency"]

    def test_a_price_of_a_line_is_an_amount(self, rules_for: RulesFor) -> None:
        held = order(TEN, currency="EUR")
        dearer = order(line(10, 1, unit_price=Decimal(3)), currency="EUR")
        merged = merge(rules_for("order"), held, dearer, {**held, "currency": "USD"})
        assert [c.kind for c in merged.open_conflicts] == ["currency_against_amount"]
        assert merged.writes == {}
        assert merged.base == held

    def test_both_from_one_side_go_over(self, rules_for: RulesFor) -> None:
        changed = {**IN_YEN, "credit_limit": Decimal(20000)}
        merged = merge(rules_for("customer"), HELD, changed, HELD)
        assert merged.conflicts == []
        assert merged.writes == {ERP: {"currency": "JPY", "credit_limit": Decimal(20000)}}

    def test_other_edits_go_on(self, rules_for: RulesFor) -> None:
        merged = merge(rules_for("customer"), HELD, IN_YEN, {**HELD, "city": "Ulm"})
        assert merged.conflicts == []
        assert merged.writes == {ERP: {"currency": "JPY"}, CRM: {"city": "Ulm"}}

    @pytest.mark.parametrize("take", [CRM, ERP])
    def test_whose_currency_is_taken_gives_the_amounts_too(self, rules_for: RulesFor,
                                                           take: Any) -> None:
        dearer = {**HELD, "credit_limit": Decimal("200.50")}
        merged = merge(rules_for("customer"), HELD, IN_YEN, dearer,
                       {"currency": {"take": take}})
        assert merged.conflicts == []
        taken, target = (IN_YEN, ERP) if take == CRM else (dearer, CRM)
        assert merged.writes == {target: {n: taken[n] for n in ("currency", "credit_limit")}}
        assert merged.base == taken

    @pytest.mark.parametrize("take", [CRM, ERP])
    def test_and_the_prices(self, rules_for: RulesFor, take: Any) -> None:
        held = order(TEN, currency="EUR")
        dearer = order(line(10, 1, unit_price=Decimal(3)), currency="EUR")
        in_dollars = {**held, "currency": "USD"}
        merged = merge(rules_for("order"), held, dearer, in_dollars, {"currency": {"take": take}})
        assert merged.conflicts == []
        assert merged.base == (dearer if take == CRM else in_dollars)

    def test_an_owners_currency_tears_nothing(self, rules_for: RulesFor) -> None:
        rules = rules_for("customer", fields={"currency": FieldPolicy(owner="erp")})
        merged = merge(rules, HELD, IN_YEN,
                       {**HELD, "credit_limit": Decimal("200.50")})
        assert merged.open_conflicts == []
        assert merged.writes == {CRM: {"currency": "EUR", "credit_limit": Decimal("200.50")}}


def test_a_new_counterpart_gets_no_blanks(rules_for: RulesFor) -> None:
    rules = rules_for("order")
    record = order(line(10, 1), remark=None, number="SO1", total=Decimal(2), customer="k")
    given = {name: value for name, value in TEN.items() if value is not None}
    assert for_creation(rules, record, CRM) == {
        "status": "draft", "customer": "k", "number": "SO1", "lines": [given]}
    assert for_creation(rules, {"status": "draft"}, ERP) == {"status": "draft"}
    assert for_creation(rules_for("invoice"), order(TEN, promised_on="2026-12-01"), ERP) \
        == {"promised_on": "2026-12-01"}  # the ERP takes no lines of an invoice
    del given["quantity_shipped"]  # the ERP says what was shipped
    assert for_creation(rules, record, ERP) == {
        "status": "draft", "customer": "k", "lines": [given]}


class TestLanded:
    """What an update of an unknown fate made both sides agree on."""

    SENT = order(TEN, TWENTY, status="confirmed")

    def test_a_line_that_was_added_is_agreed_on(self, rules_for: RulesFor) -> None:
        base = order(TEN)
        assert agreed(rules_for("order"), base, self.SENT, self.SENT) == self.SENT

    def test_and_removed_then_on_the_side_it_came_from_it_goes_on_the_other(
            self, rules_for: RulesFor) -> None:
        rules, written = rules_for("order"), order(TEN, TWENTY)
        removed_since = order(TEN)
        base = agreed(rules, order(TEN), order(TEN, TWENTY), written)
        assert merge(rules, base, written, removed_since).writes == {CRM: {"lines": [TEN]}}
        assert merge(rules, order(TEN), written, removed_since).writes == {ERP: {"lines": [
            TEN, TWENTY]}}, "which is what the base of before would make of it"

    def test_what_the_record_does_not_show_was_not_made(self, rules_for: RulesFor) -> None:
        assert agreed(rules_for("order"), order(TEN), self.SENT, order(TEN)) == order(TEN)

    def test_a_line_that_was_removed_is_no_more(self, rules_for: RulesFor) -> None:
        assert agreed(rules_for("order"), order(TEN, TWENTY), order(TEN), order(TEN)) == order(TEN)
        assert agreed(rules_for("order"), order(TEN, TWENTY), order(TEN), order(TEN, TWENTY)) \
            == order(TEN, TWENTY)

    def test_of_a_line_edited_since_only_what_still_shows(self, rules_for: RulesFor) -> None:
        base, edited = order(TEN), line(20, 7)
        assert agreed(rules_for("order"), base, self.SENT, order(TEN, edited))["lines"] == [
            TEN, {name: value for name, value in TWENTY.items() if name != "quantity"}]
