"""Conflicts, and what persons decide."""

from __future__ import annotations

from contextlib import suppress

from connector.domain.policies import CRM, ERP, Role, other
from connector.errors import ReauthRequired
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
    mine, theirs = stage.customer(CRM, "DE7"), stage.customer(ERP, "DE7")
    payload = stage.systems[CRM].objects["accounts"][mine].payload
    stage.edit(ERP, "customer", theirs, place=payload["town"], e_mail=payload["mail"])
    stage.meddling.append(lambda: stage.boundaries.once.update(token_expired=1))  # at the write
    stage.boundaries.once["edited_under_hands"] = 1
    with suppress(ReauthRequired):
        stage.sync()
    stage.decide({"take": role})
    stage.spoil(CRM, "accounts", mine)  # so that whoever looks again can't tie them either
    stage.sync()
    stage.mend()
    return stage.sync


@scenario
def conflict_decided_by_a_third_value(stage: Stage) -> Run:
    both_edited(stage)
    stage.agree()
    return stage.answer({"value": "neither of them"})


@on_both_sides
def deletion_decided_and_edited_since(stage: Stage, role: Role) -> Run:
    contact = stage.contact(CRM, customer_on_both(stage)[CRM])
    stage.agree()
    linked = stage.both(CRM, "contact", contact)
    stage.remove(role, "contact", linked[role])
    stage.edit(other(role), "contact", linked[other(role)])
    stage.agree()
    stage.decide({"take": role})
    stage.edit(other(role), "contact", linked[other(role)])
    stage.at_rest["I3: what nobody saw who decided was taken away"] = lambda: \
        stage.conflict() is not None
    return stage.sync
