"""Conflicts, and what persons decide."""

from __future__ import annotations

from contextlib import suppress

from connector.domain.policies import CRM, ERP, Role
from connector.errors import SystemUnreachable
from connector.testing.torture.scenarios.registry import (
    Run,
    both_edited,
    customer_on_both,
    on_both_sides,
    scenario,
)
from connector.testing.torture.stage import Stage


@scenario
def one_field_on_both_sides(stage: Stage) -> Run:
    both_edited(stage)
    return stage.sync


@scenario
def one_field_on_both_sides_settled_by_rule(stage: Stage) -> Run:
    linked = customer_on_both(stage)
    stage.edit(CRM, "customer", linked[CRM], town=stage.token())
    stage.edit(ERP, "customer", linked[ERP], place=stage.token())
    return stage.sync


@on_both_sides
def conflict_decided(stage: Stage, role: Role) -> Run:
    both_edited(stage)
    stage.agree()
    return stage.answer({"take": role})


@on_both_sides
def conflict_decided_before_it_was_tied(stage: Stage, role: Role) -> Run:
    for side in (CRM, ERP):
        stage.customer(side, "DE7")
    stage.boundaries.once["away_on_write"] = 1
    with suppress(SystemUnreachable):
        stage.sync()
    return stage.answer({"take": role})


@scenario
def conflict_decided_by_a_third_value(stage: Stage) -> Run:
    both_edited(stage)
    stage.agree()
    return stage.answer({"value": "neither of them"})
