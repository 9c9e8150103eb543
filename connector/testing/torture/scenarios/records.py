"""What happens to one record."""

from __future__ import annotations

from connector.domain.policies import CRM, ERP, Role
from connector.testing.torture.scenarios.registry import (
    Run,
    customer_on_both,
    on_both_sides,
    scenario,
)
from connector.testing.torture.stage import Stage


@on_both_sides
def created(stage: Stage, role: Role) -> Run:
    stage.customer(role)
    return stage.sync


@on_both_sides
def many_created(stage: Stage, role: Role) -> Run:
    for _ in range(5):
        stage.customer(role)
    return stage.sync


@scenario
def created_on_both_sides(stage: Stage) -> Run:
    stage.customer(CRM)
    stage.customer(ERP)
    return stage.sync


@on_both_sides
def updated(stage: Stage, role: Role) -> Run:
    stage.edit(role, "customer", customer_on_both(stage)[role])
    return stage.sync


@scenario
def different_fields_on_both_sides(stage: Stage) -> Run:
    linked = customer_on_both(stage)
    stage.edit(CRM, "customer", linked[CRM], title=stage.token())
    stage.edit(ERP, "customer", linked[ERP], place=stage.token())
    return stage.sync


@scenario
def blanked(stage: Stage) -> Run:
    stage.edit(ERP, "customer", customer_on_both(stage)[ERP], place=None)
    return stage.sync


@scenario
def put_back_by_its_owner(stage: Stage) -> Run:
    stage.edit(ERP, "customer", customer_on_both(stage)[ERP], tel=stage.token())
    return stage.sync
