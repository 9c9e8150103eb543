"""What is decided for a record, as data: create, update, link, delete, or ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from connector.domain.actions import Action, ActionKind, FieldChange, FieldConflict
from connector.domain.ledger import Conflict, ConflictState
from connector.domain.policies import CRM, ERP, FieldPolicy, Role
from connector.domain.records import Operation
from connector.engine.group import Group, Seen, Work, Write
from connector.engine.pair import Rules
from connector.engine.plan import decide, fingerprint
from connector.engine.works import MAX_DEPTH
from connector.errors import RecordFailed

RulesFor = Callable[..., Rules]
ACME = {"name": "Acme", "email": "a@x.de", "city": "Berlin", "active": True}


def group(crm: Any = ..., erp: Any = ..., *, base: Any = ACME, entity: str = "customer",
          linked: tuple[Role, ...] = (CRM, ERP), **more: Any) -> Group:
    """A group of the given sides; `None` is a side that was deleted just now."""
    sides = {}
    for role, external_id, record in ((CRM, "A", crm), (ERP, "1", erp)):
        if record is not ...:
            sides[role] = Seen(external_id, f"{role}-v1",
                               None if record is None else dict(record))
    gone: set[Role] = {role for role, seen in sides.items() if seen.record is None}
    return Group(entity, "c1", None if base is None else dict(base), sides,
                 linked=set(linked), deleted_now=more.pop("deleted_now", gone), **more)


def kinds(work: Work) -> list[tuple[ActionKind, Role | None]]:
    return [(action.kind, action.target) for action in work.actions]


def decision(path: str, crm: Any = None, erp: Any = None, **decided: str) -> Conflict:
    return Conflict(1, "customer", "c1", path, "both_changed", None, crm, erp,
                    ConflictState.DECIDED, decision=decided)


class TestAlone:
    def test_a_new_record_is_created_on_the_other_side(self, rules_for: RulesFor) -> None:
        work = decide(rules_for("customer"), group({**ACME, "email": None}, base=None, linked=()))
        assert kinds(work) == [(ActionKind.CREATE, ERP)]
        given = {"name": "Acme", "city": "Berlin", "active": True}
        assert work.writes == {ERP: Write(Operation.CREATE, given)}
        assert work.base == given
        assert work.actions[0].changes == tuple(
            FieldChange(name, None, value, "new") for name, value in given.items())
        assert (work.actions[0].title, work.actions[0].versions) == ("Acme", {"crm": "crm-v1"})

    def test_what_goes_the_other_way_is_not_given(self, rules_for: RulesFor) -> None:
        rules = rules_for("customer", fields={
            "city": FieldPolicy(owner=ERP), "email": FieldPolicy(direction="to_crm"),
            "active": FieldPolicy(direction="create_only")})
        work = decide(rules, group({**ACME, "number": "C1", "balance": Decimal(3)}, base=None))
        assert work.writes[ERP].record == {"name": "Acme", "city": "Berlin", "active": True}

    def test_until_the_owner_has_a_value_the_other_sides_stands(self, rules_for: RulesFor) -> None:
        rules = rules_for("customer", fields={"city": FieldPolicy(owner=ERP)})
        work = decide(rules, group(ACME, {**ACME, "city": None}, base=None))
        assert work.writes[ERP].record == {"city": "Berlin"}
        assert work.actions[0].conflicts == ()
        later = decide(rules, group(ACME, {**ACME, "city": None}))
        assert later.writes[CRM].record == {"city": None}

    def test_lines_are_given_whole(self, rules_for: RulesFor) -> None:
        line = {"line_no": 10, "product": "p", "description": None, "quantity": Decimal(2),
                "quantity_shipped": Decimal(0)}
        work = decide(rules_for("order"), group(
            {"customer": "k", "currency": "EUR", "net": Decimal(1), "lines": [line]},
            base=None, entity="order"))
        assert work.writes[ERP].record == {
            "customer": "k", "currency": "EUR",
            "lines": [{"line_no": 10, "product": "p", "quantity": Decimal(2)}]}
        assert [c.path for c in work.actions[0].changes] == ["customer", "currency", "lines[10]"]

    def test_where_it_may_not_be_born_it_is_left(self, rules_for: RulesFor) -> None:
        work = decide(rules_for("customer", born_in="erp"), group(ACME, base=None, linked=()))
        assert kinds(work) == [(ActionKind.SKIP, None)]
        assert work.writes == {}
        assert work.actions[0].reason == "new customer records are made in the erp only"

    def test_a_derived_document_may_be_made_anywhere(self, rules_for: RulesFor) -> None:
        made = group({"customer": "k", "lines": []}, base=None, entity="order", linked=())
        made.sides[CRM].virtual = True
        assert kinds(decide(rules_for("order", born_in="erp"), made)) \
            == [(ActionKind.CREATE, ERP)]

    @pytest.mark.parametrize(("quote", "kind"), [(None, ActionKind.SKIP),
                                                 ("q", ActionKind.CREATE)])
    def test_what_a_shared_document_became_may_come_up_anywhere(
            self, rules_for: RulesFor, quote: str | None, kind: ActionKind) -> None:
        """Its other side was lost by a crash, or a person confirmed the quotation by hand."""
        rules = replace(rules_for("order", born_in="erp"), made_from=frozenset({"quote"}))
        order = group({"customer": "k", "quote": quote, "lines": []}, base=None, entity="order",
                      linked=())
        assert decide(rules, order).actions[0].kind is kind

    def test_deleted_before_it_had_a_counterpart(self, rules_for: RulesFor) -> None:
        work = decide(rules_for("customer"), group(None, base=None, linked=(CRM,)))
        assert kinds(work) == [(ActionKind.SKIP, None)]
        assert work.writes == {}


class TestBothSides:
    def test_nothing_to_do(self, rules_for: RulesFor) -> None:
        work = decide(rules_for("customer"), group(ACME, ACME))
        assert kinds(work) == [(ActionKind.NONE, None)]
        assert work.writes == {}
        assert work.base == ACME

    def test_the_same_thing_found(self, rules_for: RulesFor) -> None:
        work = decide(rules_for("customer"), group(ACME, ACME, base=None, linked=(CRM,)))
        assert kinds(work) == [(ActionKind.LINK_UP, None)]
        assert work.base == ACME

    def test_each_side_is_told_what_it_lacks(self, rules_for: RulesFor) -> None:
        work = decide(rules_for("customer"), group({**ACME, "city": "Bonn"},
                                                   {**ACME, "email": "b@x.de"}))
        assert work.writes == {ERP: Write(Operation.UPDATE, {"city": "Bonn"}),
                               CRM: Write(Operation.UPDATE, {"email": "b@x.de"})}
        assert work.base == {**ACME, "city": "Bonn", "email": "b@x.de"}
        told = {action.target: action for action in work.actions}
        assert told[ERP].changes == (FieldChange("city", "Berlin", "Bonn", "changed in the crm"),)
        assert told[ERP].external_ids == {"crm": "A", "erp": "1"}
        assert told[ERP].versions == {"crm": "crm-v1", "erp": "erp-v1"}

    def test_a_conflict_writes_nothing_and_keeps_the_base(self, rules_for: RulesFor) -> None:
        work = decide(rules_for("customer"), group({**ACME, "city": "Bonn"},
                                                   {**ACME, "city": "Ulm"}))
        assert kinds(work) == [(ActionKind.CONFLICT, None)]
        assert work.actions[0].conflicts == (FieldConflict("city", "Berlin", "Bonn", "Ulm"),)
        assert work.writes == {}
        assert work.base == ACME

    def test_a_decision_is_carried_out(self, rules_for: RulesFor) -> None:
        asked = group({**ACME, "city": "Bonn"}, {**ACME, "city": "Ulm"},
                      conflicts=[decision("city", "Bonn", "Ulm", value="Köln")])
        work = decide(rules_for("customer"), asked)
        assert {role: write.record for role, write in work.writes.items()} \
            == {CRM: {"city": "Köln"}, ERP: {"city": "Köln"}}

    @pytest.mark.parametrize("decided", [{"value": "Köln"}, {"take": "crm"}, {"take": "erp"}])
    def test_a_decision_holds_for_the_values_it_was_made_on(
            self, rules_for: RulesFor, decided: dict[str, str]) -> None:
        asked = group({**ACME, "city": "Bonn"}, {**ACME, "city": "Jena"},
                      conflicts=[decision("city", "Bonn", "Ulm", **decided)])
        work = decide(rules_for("customer"), asked)
        assert work.writes == {}
        assert work.actions[0].conflicts == (FieldConflict("city", "Berlin", "Bonn", "Jena"),)

    def test_a_decision_that_was_half_carried_out_is_completed(self, rules_for: RulesFor) -> None:
        asked = group({**ACME, "city": "Köln"}, {**ACME, "city": "Ulm"},
                      conflicts=[decision("city", "Bonn", "Ulm", value="Köln")])
        work = decide(rules_for("customer"), asked)
        assert {role: write.record for role, write in work.writes.items()} \
            == {ERP: {"city": "Köln"}}

    def test_the_policy_fail_fails_the_record(self, rules_for: RulesFor) -> None:
        with pytest.raises(RecordFailed, match="city was changed on both sides"):
            decide(rules_for("customer", default=FieldPolicy(conflict="fail")),
                   group({**ACME, "city": "Bonn"}, {**ACME, "city": "Ulm"}))

    def test_writes_that_call_for_writes_end_at_a_person(self, rules_for: RulesFor) -> None:
        again = group({**ACME, "city": "Bonn"}, ACME, depth=MAX_DEPTH - 1)
        assert kinds(decide(rules_for("customer"), again)) == [(ActionKind.UPDATE, ERP)]
        again.depth = MAX_DEPTH
        work = decide(rules_for("customer"), again)
        assert kinds(work) == [(ActionKind.CONFLICT, None)]
        assert work.writes == {}
        assert work.actions[0].conflicts == (
            FieldConflict("city", "Berlin", "Bonn", "Berlin", kind="never_agrees"),)


class TestDeletion:
    @pytest.mark.parametrize(("gone", "survivor"), [(CRM, ERP), (ERP, CRM)])
    def test_it_deactivates_the_other_side(self, rules_for: RulesFor, gone: Role,
                                           survivor: Role) -> None:
        work = decide(rules_for("customer"), group(*(
            None if role == gone else ACME for role in (CRM, ERP))))
        assert work.writes == {survivor: Write(Operation.UPDATE, {"active": False})}
        assert work.actions[0].changes == (
            FieldChange("active", True, False, "on_delete: deactivate"),)
        assert work.base == {**ACME, "active": False}

    def test_what_is_inactive_already_is_left(self, rules_for: RulesFor) -> None:
        idle = {**ACME, "active": False}
        work = decide(rules_for("customer"), group(None, idle, base=idle))
        assert kinds(work) == [(ActionKind.NONE, None)]
        assert work.writes == {}

    def test_propagate_deletes(self, rules_for: RulesFor) -> None:
        work = decide(rules_for("customer", on_delete="propagate"), group(None, ACME))
        assert kinds(work) == [(ActionKind.DELETE, ERP)]
        assert work.writes == {ERP: Write(Operation.DELETE, {})}

    def test_unlink_keeps_the_other_side_as_it_is(self, rules_for: RulesFor) -> None:
        work = decide(rules_for("customer", on_delete="unlink"),
                      group({**ACME, "city": "Bonn"}, None))
        assert kinds(work) == [(ActionKind.SKIP, None)]
        assert work.actions[0].reason == "deleted in the erp; kept in the crm"
        assert work.writes == {}

    def test_without_an_active_field_the_other_side_is_kept(self, rules_for: RulesFor) -> None:
        order = {"customer": "k", "status": "draft", "currency": "EUR", "lines": []}
        work = decide(rules_for("order"), group(None, order, base=order, entity="order"))
        assert kinds(work) == [(ActionKind.SKIP, None)]
        assert work.actions[0].reason == "deleted in the crm; kept in the erp"

    @pytest.mark.parametrize("policy", ["deactivate", "propagate", "manual"])
    def test_against_an_edit_it_waits_for_a_person(self, rules_for: RulesFor,
                                                   policy: str) -> None:
        work = decide(rules_for("customer", on_delete=policy),
                      group(None, {**ACME, "city": "Ulm"}))
        assert kinds(work) == [(ActionKind.CONFLICT, None)]
        assert work.actions[0].conflicts == (
            FieldConflict("", ACME, "deleted", {**ACME, "city": "Ulm"},
                          kind="update_against_delete"),)
        assert work.writes == {}

    def test_an_edit_of_what_the_side_has_no_say_in_is_none(self, rules_for: RulesFor) -> None:
        rules = rules_for("customer", fields={"city": FieldPolicy(owner=CRM)})
        work = decide(rules, group(None, {**ACME, "city": "Ulm"}))
        assert kinds(work) == [(ActionKind.UPDATE, ERP)]

    def test_manual_asks(self, rules_for: RulesFor) -> None:
        work = decide(rules_for("customer", on_delete="manual"), group(ACME, None))
        assert work.actions[0].conflicts == (
            FieldConflict("", ACME, ACME, "deleted", kind="deleted"),)
        assert work.writes == {}

    def test_a_person_may_carry_it_out(self, rules_for: RulesFor) -> None:
        edited = {**ACME, "city": "Ulm"}
        work = decide(rules_for("customer"), group(
            None, edited, conflicts=[decision("", "deleted", edited, take="crm")]))
        assert work.writes == {ERP: Write(Operation.UPDATE, {"active": False})}

    def test_a_person_may_keep_the_survivor(self, rules_for: RulesFor) -> None:
        edited = {**ACME, "city": "Ulm"}
        work = decide(rules_for("customer"), group(
            None, edited, conflicts=[decision("", "deleted", edited, take="erp")]))
        assert kinds(work) == [(ActionKind.SKIP, None)]
        assert work.writes == {}

    def test_what_a_person_says_holds_for_what_was_seen(self, rules_for: RulesFor) -> None:
        seen, edited = {**ACME, "city": "Ulm"}, {**ACME, "city": "Jena"}
        said = decision("", "deleted", seen, take="crm")
        as_seen = decide(rules_for("customer"), group(None, seen, conflicts=[said]))
        assert as_seen.writes == {ERP: Write(Operation.UPDATE, {"active": False})}
        since = decide(rules_for("customer"), group(None, edited, conflicts=[said]))
        assert (kinds(since), since.writes) == ([(ActionKind.CONFLICT, None)], {})
        assert since.actions[0].conflicts == (
            FieldConflict("", ACME, "deleted", edited, kind="both_changed"),)
        half_done = decide(rules_for("customer"), group(
            None, {**seen, "active": False}, conflicts=[said]))
        assert kinds(half_done) == [(ActionKind.NONE, None)]

    def test_what_a_person_says_of_another_side_s_deletion_is_asked_anew(
            self, rules_for: RulesFor) -> None:
        said = decision("", ACME, "deleted", take="crm")  # to have it made again in the ERP
        work = decide(rules_for("customer", on_delete="propagate"),
                      group(None, ACME, conflicts=[said]))
        assert (kinds(work), work.writes) == ([(ActionKind.CONFLICT, None)], {})

    def test_what_a_person_says_of_a_record_is_nothing_once_it_is_back(self) -> None:
        said = decision("", "deleted", ACME, take="crm")
        assert group(ACME, ACME, conflicts=[said]).decisions == {}

    @pytest.mark.parametrize(("take", "quantity", "stands"), [
        ("crm", 2, True), ("crm", 3, False), ("erp", 3, True)])
    def test_what_a_person_says_of_a_line_holds_for_what_was_seen(
            self, take: str, quantity: int, stands: bool) -> None:
        def order(*lines: dict[str, Any]) -> dict[str, Any]:
            return {"status": "draft", "lines": list(lines)}

        first = {"line_no": 10, "product": "p", "quantity": Decimal(1)}
        said = replace(decision("lines[20]", None, {
            "line_no": 20, "product": "p", "quantity": "2"}, take=take), entity="order")
        asked = group(order(first), order(first, {**first, "line_no": 20,
                                                  "quantity": Decimal(quantity)}),
                      entity="order", conflicts=[said])
        assert asked.decisions == ({"lines[20]": {"take": take}} if stands else {})

    def test_restore_makes_it_anew(self, rules_for: RulesFor) -> None:
        rules = rules_for("customer", on_delete="restore", born_in="crm")
        work = decide(rules, group(ACME, None))
        assert kinds(work) == [(ActionKind.CREATE, ERP)]
        assert work.writes == {ERP: Write(Operation.CREATE, ACME)}
        assert work.actions[0].reason == "deleted in the erp; restored"
        assert work.actions[0].conflicts == ()
        assert work.base == ACME

    def test_restore_overrules_a_deletion_and_keeps_it(self, rules_for: RulesFor) -> None:
        moved = {**ACME, "city": "Ulm"}
        work = decide(rules_for("customer", on_delete="restore"), group(None, moved))
        assert work.writes == {CRM: Write(Operation.CREATE, moved)}
        assert work.actions[0].conflicts == (FieldConflict(
            "", ACME, "deleted", moved, "on_delete: restore", "update_against_delete"),)

    def test_a_deletion_that_was_known_is_no_news(self, rules_for: RulesFor) -> None:
        for policy in ("deactivate", "propagate", "restore", "unlink", "manual"):
            work = decide(rules_for("customer", on_delete=policy),
                          group(None, ACME, deleted_now=set()))
            assert (kinds(work), work.writes) == ([(ActionKind.SKIP, None)], {})

    def test_unlinked_it_is_not_made_anew_when_it_comes_back(self, rules_for: RulesFor) -> None:
        back = group(ACME, None, deleted_now=set(), came_back={CRM})
        work = decide(rules_for("customer", on_delete="unlink"), back)
        assert (kinds(work), work.writes) == ([(ActionKind.SKIP, None)], {})
        work = decide(rules_for("customer"), back)
        assert work.writes == {ERP: Write(Operation.CREATE, ACME)}

    def test_what_was_deactivated_is_active_again_whoever_owns_that(self,
                                                                    rules_for: RulesFor) -> None:
        rules = rules_for("customer", fields={"active": FieldPolicy(owner=ERP)})
        idle = {**ACME, "active": False}
        back = group(ACME, {**idle, "city": "Ulm"}, base=idle, came_back={CRM})
        work = decide(rules, back)
        assert {role: write.record for role, write in work.writes.items()} == {
            ERP: {"active": True}, CRM: {"city": "Ulm"}}
        assert work.base == {**ACME, "city": "Ulm"}
        changed = next(a for a in work.actions if a.target == ERP).changes
        assert changed == (FieldChange("active", False, True, "it came back in the crm"),)

    def test_what_came_back_inactive_stays_so(self, rules_for: RulesFor) -> None:
        idle = {**ACME, "active": False}
        work = decide(rules_for("customer"), group(idle, idle, base=idle, came_back={CRM}))
        assert (kinds(work), work.writes) == ([(ActionKind.NONE, None)], {})
        assert work.actions[0].reason == "it came back in the crm"

    def test_a_field_that_names_a_replaced_record_is_written_once_more(
            self, rules_for: RulesFor) -> None:
        contact = {"customer": "k", "last_name": "Eve"}
        again = group(contact, contact, base=contact, entity="contact",
                      stale={CRM: frozenset({"customer"})})
        work = decide(rules_for("contact"), again)
        assert work.writes == {CRM: Write(Operation.UPDATE, {"customer": "k"})}
        assert work.actions[0].changes == (
            FieldChange("customer", "k", "k", "another record took its place"),)

    def test_an_edit_long_after_it_changes_nothing(self, rules_for: RulesFor) -> None:
        work = decide(rules_for("customer"), group(None, {**ACME, "city": "Ulm"},
                                                   deleted_now=set()))
        assert kinds(work) == [(ActionKind.SKIP, None)]
        assert work.writes == {}

    def test_on_both_sides_the_links_stay(self, rules_for: RulesFor) -> None:
        work = decide(rules_for("customer"), group(None, None))
        assert kinds(work) == [(ActionKind.SKIP, None)]
        assert work.writes == {}


class TestFingerprint:
    update = Action(ActionKind.UPDATE, "customer", "c1", "Acme", ERP, {"crm": "A"},
                    {"crm": "v1", "erp": "v1"}, (FieldChange("city", "Berlin", "Bonn", "why"),))

    @pytest.mark.parametrize("change", [
        {"kind": ActionKind.CREATE}, {"target": CRM}, {"canonical_id": "c2"},
        {"entity": "contact"}, {"versions": {"crm": "v1", "erp": "v2"}},
        {"changes": (FieldChange("city", "Berlin", "Ulm", "why"),)},
        {"changes": (FieldChange("street", "Berlin", "Bonn", "why"),)}, {"changes": ()}])
    def test_what_is_decided_moves_it(self, change: dict[str, Any]) -> None:
        assert fingerprint(replace(self.update, **change)) != fingerprint(self.update)

    @pytest.mark.parametrize("change", [
        {"title": "Acme AG"}, {"reason": "other words"}, {"versions": {"erp": "v1", "crm": "v1"}}])
    def test_how_it_is_told_does_not(self, change: dict[str, Any]) -> None:
        assert fingerprint(replace(self.update, **change)) == fingerprint(self.update)
