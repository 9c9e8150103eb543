"""Deletions."""

from __future__ import annotations

from connector.domain.actions import AMBIGUOUS
from connector.domain.policies import CRM, ERP, Role, other
from connector.testing.torture.company import OBJECTS
from connector.testing.torture.scenarios.registry import (
    Run,
    customer_on_both,
    on_both_sides,
    scenario,
)
from connector.testing.torture.stage import Stage


@on_both_sides
def deleted_and_deactivated(stage: Stage, role: Role) -> Run:
    stage.remove(role, "customer", customer_on_both(stage)[role])
    return stage.sync


@on_both_sides
def deleted_on_either_side(stage: Stage, role: Role) -> Run:
    customer = customer_on_both(stage)
    contact = stage.contact(CRM, customer[CRM])
    stage.agree()
    stage.remove(role, "contact", stage.both(CRM, "contact", contact)[role])
    return stage.sync


@on_both_sides
def deleted_where_another_one_waits_for_its_place(stage: Stage, role: Role) -> Run:
    first = stage.customer(role, "DE7")
    stage.agree()
    stage.customer(role, "DE7")
    stage.agree()
    stage.remove(role, "customer", first)
    stage.at_rest["I5: the place is free, and a person is asked still"] = lambda: \
        AMBIGUOUS not in {conflict.kind for conflict in stage.conflicts()}
    return stage.sync


@on_both_sides
def deleted_and_entered_anew_at_once(stage: Stage, role: Role) -> Run:
    first = stage.customer(role, "DE7")
    stage.contact(role, first)
    stage.agree()
    stage.remove(role, "customer", first)
    stage.contact(role, stage.customer(role, "DE7"))
    stage.at_rest["I5: the place is free, and a person is asked still"] = lambda: \
        AMBIGUOUS not in {conflict.kind for conflict in stage.conflicts()}
    return stage.sync


@on_both_sides
def entered_anew_and_deleted_at_once(stage: Stage, role: Role) -> Run:
    first = stage.customer(role, "DE7")
    stage.agree()
    stage.contact(role, stage.customer(role, "DE7"))
    stage.remove(role, "customer", first)
    stage.edit(other(role), "customer", stage.living(other(role), OBJECTS[other(role)][
        "customer"])[0])
    return stage.sync


@scenario
def deleted_on_both_sides(stage: Stage) -> Run:
    linked = customer_on_both(stage)
    stage.remove(CRM, "customer", linked[CRM])
    stage.remove(ERP, "customer", linked[ERP])
    return stage.sync


def _deleted_and_edited(stage: Stage) -> None:
    linked = customer_on_both(stage)
    stage.remove(CRM, "customer", linked[CRM])
    stage.edit(ERP, "customer", linked[ERP], name1=stage.token())


@scenario
def deleted_against_edited(stage: Stage) -> Run:
    _deleted_and_edited(stage)
    return stage.sync


@scenario
def deleted_against_edited_decided(stage: Stage) -> Run:
    _deleted_and_edited(stage)
    stage.agree()
    return stage.answer({"take": CRM})


@on_both_sides
def deleted_where_it_was_out_of_use_and_an_alias_is_left(stage: Stage, role: Role) -> Run:
    first, second = customer_on_both(stage), customer_on_both(stage)
    stage.merge(role, second[role], first[role])
    stage.agree()
    stage.remove(role, "customer", first[role])
    stage.agree()
    stage.remove(other(role), "customer", first[other(role)])
    return stage.sync
