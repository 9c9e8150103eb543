"""Parents and children, documents and their lines."""

from __future__ import annotations

from connector.domain.policies import CRM, ERP, Role
from connector.testing.torture.company import ACCEPTED, OBJECTS
from connector.testing.torture.scenarios.registry import (
    Run,
    customer_on_both,
    on_both_sides,
    order_on_both,
    scenario,
)
from connector.testing.torture.stage import Stage


@on_both_sides
def parent_and_children(stage: Stage, role: Role) -> Run:
    customer = stage.customer(role)
    stage.contact(role, customer)
    stage.document(role, "order", customer)
    return stage.sync


@scenario
def child_waits_for_a_parked_parent(stage: Stage) -> Run:
    customer = stage.customer(CRM)
    stage.spoil(CRM, "accounts", customer)
    stage.contact(CRM, customer)
    stage.agree()
    stage.mend()
    return stage.sync


@scenario
def lines_added_changed_and_removed(stage: Stage) -> Run:
    order = order_on_both(stage)
    _, second = stage.lines(CRM, "order", order[CRM])
    stage.edit(CRM, "order", order[CRM], positions=[
        {**second, "text": stage.token()}, stage.line("deals", 30)])
    return stage.sync


@scenario
def lines_on_both_sides(stage: Stage) -> Run:
    order = order_on_both(stage)
    first, second = stage.lines(CRM, "order", order[CRM])
    stage.edit(CRM, "order", order[CRM], positions=[{**first, "text": stage.token()}, second])
    first, second = stage.lines(ERP, "order", order[ERP])
    stage.edit(ERP, "order", order[ERP], items=[first, {**second, "label": stage.token()}])
    return stage.sync


@scenario
def line_removed_before_one_that_was_edited(stage: Stage) -> Run:
    order, told = order_on_both(stage), stage.token()
    _, second = stage.lines(CRM, "order", order[CRM])
    stage.edit(CRM, "order", order[CRM], positions=[second, stage.line("deals", 30)])
    first, second = stage.lines(ERP, "order", order[ERP])
    stage.edit(ERP, "order", order[ERP], items=[first, {**second, "label": told}])
    stage.at_rest["I1: an edit of a line went to another one"] = lambda: {
        line["no"]: line["text"] == told
        for line in stage.lines(CRM, "order", order[CRM])} == {20: True, 30: False}
    return stage.sync


@scenario
def what_was_told_comes_back_rounded(stage: Stage) -> Run:
    stage.document(CRM, "order", customer_on_both(stage)[CRM], price=1996)
    return stage.sync


@scenario
def totals_that_differ(stage: Stage) -> Run:
    stage.edit(ERP, "order", order_on_both(stage)[ERP], surcharge="5.00")
    return stage.sync


@scenario
def totals_that_differ_with_an_edit(stage: Stage) -> Run:
    order = order_on_both(stage)
    stage.edit(ERP, "order", order[ERP], surcharge="5.00")
    stage.edit(CRM, "order", order[CRM], note=stage.token())
    return stage.sync


@scenario
def totals_that_still_differ(stage: Stage) -> Run:
    order = order_on_both(stage)
    stage.edit(ERP, "order", order[ERP], surcharge="5.00")
    stage.agree()
    first, _ = stage.lines(ERP, "order", order[ERP])
    stage.edit(ERP, "order", order[ERP], items=[first])
    return stage.sync


@on_both_sides
def quote_accepted(stage: Stage, role: Role) -> Run:
    quote = stage.document(CRM, "quote", customer_on_both(stage)[CRM])
    stage.agree()
    stage.edit(role, "quote", stage.both(CRM, "quote", quote)[role],
               **ACCEPTED[OBJECTS[role]["quote"]])
    return stage.sync


@scenario
def quote_entered_as_accepted(stage: Stage) -> Run:
    customer = stage.customer(CRM)
    quote = stage.document(CRM, "quote", customer)
    stage.edit(CRM, "quote", quote, **ACCEPTED["proposals"])
    return stage.sync
