"""Runs that are no plain sync."""

from __future__ import annotations

from contextlib import suppress

from connector.domain.policies import CRM, ERP, Role
from connector.domain.records import Change
from connector.errors import SafetyStopped
from connector.testing.torture.scenarios.registry import (
    Run,
    both_edited,
    customer_on_both,
    on_both_sides,
    order_on_both,
    scenario,
)
from connector.testing.torture.stage import Stage


@scenario
def planned(stage: Stage) -> Run:
    linked = both_edited(stage)
    stage.contact(ERP, linked[ERP])
    return lambda: stage.engine().plan()


@scenario
def applied(stage: Stage) -> Run:
    linked = customer_on_both(stage)
    stage.edit(CRM, "customer", linked[CRM])
    stage.customer(ERP)
    gate = stage.gate()
    return lambda: stage.engine().apply(gate)


@scenario
def applied_after_a_move(stage: Stage) -> Run:
    linked = customer_on_both(stage)
    stage.edit(CRM, "customer", linked[CRM])
    gate = stage.gate()
    stage.edit(CRM, "customer", linked[CRM])
    return lambda: stage.engine().apply(gate)


@on_both_sides
def reconciled(stage: Stage, role: Role) -> Run:
    linked = order_on_both(stage)
    stage.edit(role, "order", linked[role])
    with stage.store.begin() as uow:  # as if it had never been told of
        uow.save_cursor(stage.pair.name, "order", role, str(stage.systems[role].changes + 9))
    return lambda: stage.engine().reconcile(safety_stop=False)


@scenario
def hint_taken_up(stage: Stage) -> Run:
    linked = customer_on_both(stage)
    stage.edit(CRM, "customer", linked[CRM])
    with stage.store.begin() as uow:
        uow.receive(stage.pair.name, [Change(0, "customer", CRM, linked[CRM], "", hint=True)])
    return stage.sync


@scenario
def stopped_for_safety(stage: Stage) -> Run:
    ids = [stage.customer(CRM) for _ in range(3)]
    stage.agree()
    for external_id in ids[:2]:
        stage.remove(CRM, "customer", external_id)
    before, edits = stage.systems[ERP].changes, stage.edits.number

    def stopped() -> None:
        with suppress(SafetyStopped):
            stage.engine().sync()
            if stage.edits.number == edits:  # else it is an edit against a deletion by now
                stage.violations.append("I1: the safety stop let it pass")
        if stage.edits.number == edits and stage.systems[ERP].changes != before:
            stage.violations.append("I1: the safety stop came after a write")

    return stopped


@scenario
def nothing_to_do(stage: Stage) -> Run:
    order_on_both(stage)
    return stage.sync
