"""Systems that fail, and users who are faster."""

from __future__ import annotations

from contextlib import suppress

from connector.domain.policies import CRM, ERP, Role, other
from connector.errors import LeaseLost, RunFailed, SystemUnreachable
from connector.testing.torture.company import OBJECTS
from connector.testing.torture.scenarios.registry import (
    SCENARIOS,
    Run,
    customer_on_both,
    on_both_sides,
    order_on_both,
    scenario,
)
from connector.testing.torture.stage import Stage
from connector.testing.torture.world import in_use


@scenario
def line_removed_where_it_came_from_after_a_lost_answer(stage: Stage) -> Run:
    return _removed_after_lost_answers(stage, order_on_both(stage), 1)


@scenario
def line_removed_where_it_came_from_after_two_lost_answers(stage: Stage) -> Run:
    order = order_on_both(stage)
    stage.edit(CRM, "order", order[CRM])
    return _removed_after_lost_answers(stage, order, 2)


def _removed_after_lost_answers(stage: Stage, order: dict[Role, str], answers: int) -> Run:
    lines = stage.lines(ERP, "order", order[ERP])
    stage.edit(ERP, "order", order[ERP], items=[*lines, stage.line("orders", 30)])
    stage.boundaries.once["lost_answer"] = answers
    with suppress(SystemUnreachable):
        stage.sync()
    stage.edit(ERP, "order", order[ERP], items=lines)
    return stage.sync


@on_both_sides
def stale(stage: Stage, role: Role) -> Run:
    linked = customer_on_both(stage)
    stage.edit(other(role), "customer", linked[other(role)])
    stage.meddling.append(lambda: stage.edit(role, "customer", linked[role], **{
        "place" if role == ERP else "town": stage.token()}))
    stage.boundaries.once["edited_under_hands"] = 1
    return stage.sync


@scenario
def read_in_between_pages(stage: Stage) -> Run:
    ids = [stage.customer(CRM) for _ in range(3)]
    stage.meddling.append(lambda: stage.edit(CRM, "customer", ids[0]))
    stage.boundaries.once["edited_between_pages"] = 1
    return stage.sync


@scenario
def committed_late_while_a_pull_goes_on(stage: Stage) -> Run:
    first, second, third = (stage.customer(CRM) for _ in range(3))
    stage.agree()
    stage.look_back(CRM, 2)
    stage.change(CRM, "accounts", first, {"title": stage.token()}, lasts=2)
    stage.edit(CRM, "customer", second)
    stage.meddling += [lambda: stage.edit(CRM, "customer", second),
                       lambda: stage.edit(CRM, "customer", third)]
    stage.boundaries.once["edited_between_pages"] = 1
    return stage.sync


def _fault(name: str, *, create: bool) -> None:
    """Register a scenario in which a write meets a fault once."""
    def meets(stage: Stage) -> Run:
        if create:
            for _ in range(3):
                stage.customer(CRM)
        else:
            ids = [stage.customer(CRM) for _ in range(3)]
            stage.agree()
            for external_id in ids:
                stage.edit(CRM, "customer", external_id)
        stage.boundaries.once[name] = 1
        return stage.sync

    SCENARIOS[f"{name}_{'creating' if create else 'updating'}"] = meets


for _name in ("lost_answer", "half_written", "refused", "away_on_write"):
    for _create in (True, False):
        _fault(_name, create=_create)


@on_both_sides
def overtaken(stage: Stage, role: Role) -> Run:
    linked, there = customer_on_both(stage), other(role)
    stage.edit(role, "customer", linked[role])
    stage.boundaries.once["overtaken"] = 1
    stage.meddling.append(lambda: stage.edit(there, "customer", linked[there]))

    after = [lambda: stage.edit(role, "customer", linked[role])]

    def goes_on() -> None:
        with suppress(LeaseLost):
            stage.sync()
        while after:  # once, however often it is played again
            after.pop()()
        stage.sync()

    return goes_on


@scenario
def away_on_read(stage: Stage) -> Run:
    stage.customer(CRM)
    stage.boundaries.once["away_on_read"] = 1
    return stage.sync


@scenario
def store_failed(stage: Stage) -> Run:
    stage.customer(CRM)
    stage.boundaries.once["store_failed"] = 1
    return stage.sync


@scenario
def cursor_expired(stage: Stage) -> Run:
    stage.edit(CRM, "customer", customer_on_both(stage)[CRM])
    stage.boundaries.once["cursor_expired"] = 2
    return stage.sync


@on_both_sides
def replayed(stage: Stage, role: Role) -> Run:
    linked = customer_on_both(stage)
    stage.spoil(role, OBJECTS[role]["customer"], linked[role])
    stage.agree()
    stage.mend()
    return stage.replay


@on_both_sides
def replayed_edited(stage: Stage, role: Role) -> Run:
    linked = customer_on_both(stage)
    stage.edit(role, "customer", linked[role])
    stage.spoil(role, OBJECTS[role]["customer"], linked[role])
    stage.agree()

    def edit() -> object:
        with stage.store.begin() as uow:
            letters = uow.dead_letters(stage.pair.name)
        for letter in letters:
            with suppress(RunFailed):  # it has changed since
                stage.engine().replay_edited(letter, {**letter.payload, **in_use(role)}, "edited")
        stage.mend()
        return stage.sync()

    return edit
