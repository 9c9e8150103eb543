"""The scenarios of the crash test: what is done in two systems that agree, and the run that then
dies at one boundary after another."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from connector.domain.policies import CRM, ERP, Role, other
from connector.domain.records import Change
from connector.errors import LeaseLost, SafetyStopped, SystemUnreachable
from connector.testing.torture.company import ACCEPTED, OBJECTS
from connector.testing.torture.stage import Stage

Run = Callable[[], object]
"""The run that dies, and is run again afterwards."""
Scenario = Callable[[Stage], Run]
"""Sets the stage, and gives the run."""

SCENARIOS: dict[str, Scenario] = {}


def scenario(function: Scenario) -> Scenario:
    """Register a scenario under its name."""
    SCENARIOS[function.__name__] = function
    return function


def on_both_sides(function: Callable[[Stage, Role], Run]) -> None:
    """Register a scenario once for each side on which it may begin."""
    def begins(role: Role) -> Scenario:
        return lambda stage: function(stage, role)

    for role in (CRM, ERP):
        SCENARIOS[f"{function.__name__}_in_the_{role}"] = begins(role)


def _linked(stage: Stage, role: Role = CRM) -> dict[Role, str]:
    """A customer that stands on both sides."""
    external_id = stage.customer(role)
    stage.agree()
    return stage.both(role, "customer", external_id)


def _ordered(stage: Stage, role: Role = CRM, *, price: int = 1990) -> dict[Role, str]:
    """An order that stands on both sides."""
    customer = _linked(stage)
    external_id = stage.document(role, "order", customer[role], price=price)
    stage.agree()
    return stage.both(role, "order", external_id)


# ---- one record

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
    stage.edit(role, "customer", _linked(stage)[role])
    return stage.sync


@scenario
def different_fields_on_both_sides(stage: Stage) -> Run:
    linked = _linked(stage)
    stage.edit(CRM, "customer", linked[CRM], title=stage.token())
    stage.edit(ERP, "customer", linked[ERP], place=stage.token())
    return stage.sync


@scenario
def blanked(stage: Stage) -> Run:
    stage.edit(ERP, "customer", _linked(stage)[ERP], place=None)
    return stage.sync


@scenario
def put_back_by_its_owner(stage: Stage) -> Run:
    stage.edit(ERP, "customer", _linked(stage)[ERP], tel=stage.token())
    return stage.sync


# ---- conflicts

def _both_edited(stage: Stage) -> dict[Role, str]:
    linked = _linked(stage)
    stage.edit(CRM, "customer", linked[CRM], title=stage.token())
    stage.edit(ERP, "customer", linked[ERP], name1=stage.token())
    return linked


@scenario
def one_field_on_both_sides(stage: Stage) -> Run:
    _both_edited(stage)
    return stage.sync


@scenario
def one_field_on_both_sides_settled_by_rule(stage: Stage) -> Run:
    linked = _linked(stage)
    stage.edit(CRM, "customer", linked[CRM], town=stage.token())
    stage.edit(ERP, "customer", linked[ERP], place=stage.token())
    return stage.sync


@on_both_sides
def conflict_decided(stage: Stage, role: Role) -> Run:
    _both_edited(stage)
    stage.agree()
    return stage.answer({"take": role})


@scenario
def conflict_decided_by_a_third_value(stage: Stage) -> Run:
    _both_edited(stage)
    stage.agree()
    return stage.answer({"value": "neither of them"})


# ---- deletions

@on_both_sides
def deleted_and_deactivated(stage: Stage, role: Role) -> Run:
    stage.remove(role, "customer", _linked(stage)[role])
    return stage.sync


@on_both_sides
def deleted_on_either_side(stage: Stage, role: Role) -> Run:
    customer = _linked(stage)
    contact = stage.contact(CRM, customer[CRM])
    stage.agree()
    stage.remove(role, "contact", stage.both(CRM, "contact", contact)[role])
    return stage.sync


@scenario
def deleted_on_both_sides(stage: Stage) -> Run:
    linked = _linked(stage)
    stage.remove(CRM, "customer", linked[CRM])
    stage.remove(ERP, "customer", linked[ERP])
    return stage.sync


def _deleted_and_edited(stage: Stage) -> None:
    linked = _linked(stage)
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


# ---- parents and children, documents

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
    order = _ordered(stage)
    _, second = stage.lines(CRM, "order", order[CRM])
    stage.edit(CRM, "order", order[CRM], positions=[
        {**second, "text": stage.token()}, stage.line("deals", 30)])
    return stage.sync


@scenario
def lines_on_both_sides(stage: Stage) -> Run:
    order = _ordered(stage)
    first, second = stage.lines(CRM, "order", order[CRM])
    stage.edit(CRM, "order", order[CRM], positions=[{**first, "text": stage.token()}, second])
    first, second = stage.lines(ERP, "order", order[ERP])
    stage.edit(ERP, "order", order[ERP], items=[first, {**second, "label": stage.token()}])
    return stage.sync


@scenario
def line_removed_before_one_that_was_edited(stage: Stage) -> Run:
    order, told = _ordered(stage), stage.token()
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
    stage.document(CRM, "order", _linked(stage)[CRM], price=1996)
    return stage.sync


@scenario
def totals_that_differ(stage: Stage) -> Run:
    stage.edit(ERP, "order", _ordered(stage)[ERP], surcharge="5.00")
    return stage.sync


@scenario
def totals_that_differ_with_an_edit(stage: Stage) -> Run:
    order = _ordered(stage)
    stage.edit(ERP, "order", order[ERP], surcharge="5.00")
    stage.edit(CRM, "order", order[CRM], note=stage.token())
    return stage.sync


@scenario
def totals_that_still_differ(stage: Stage) -> Run:
    order = _ordered(stage)
    stage.edit(ERP, "order", order[ERP], surcharge="5.00")
    stage.agree()
    first, _ = stage.lines(ERP, "order", order[ERP])
    stage.edit(ERP, "order", order[ERP], items=[first])
    return stage.sync


@on_both_sides
def quote_accepted(stage: Stage, role: Role) -> Run:
    quote = stage.document(CRM, "quote", _linked(stage)[CRM])
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


# ---- first contact

@scenario
def first_contact(stage: Stage) -> Run:
    for number in range(3):
        stage.customer(CRM, f"DE{number}")
        stage.customer(ERP, f"DE{number}")
    return stage.sync


@on_both_sides
def found_by_a_linked_number(stage: Stage, role: Role) -> Run:
    linked = _linked(stage)
    stage.remove(role, "customer", linked[role])
    stage.agree()
    stage.customer(role, "DE0")
    return stage.sync


def _two_of_one_number(stage: Stage) -> str:
    stage.customer(CRM, "DE7")
    theirs = stage.customer(ERP, "DE7")
    stage.customer(ERP, "DE7")
    return theirs


@scenario
def ambiguous(stage: Stage) -> Run:
    _two_of_one_number(stage)
    return stage.sync


@scenario
def ambiguous_decided_by_a_link(stage: Stage) -> Run:
    theirs = _two_of_one_number(stage)
    stage.agree()
    return stage.answer({"link": theirs})


@scenario
def ambiguous_decided_by_a_new_record(stage: Stage) -> Run:
    _two_of_one_number(stage)
    stage.agree()
    return stage.answer({"create": True})


def _counterpart_parked(stage: Stage) -> str:
    """A customer of the ERP that can't be read, and for which its counterpart waits."""
    theirs = stage.customer(ERP, "DE7")
    stage.spoil(ERP, "debtors", theirs)
    stage.agree()
    stage.customer(CRM, "DE7")
    stage.agree()
    return theirs


@scenario
def parked_on_first_contact_and_mended(stage: Stage) -> Run:
    _counterpart_parked(stage)
    stage.mend()
    return stage.sync


@scenario
def parked_on_first_contact_and_deleted(stage: Stage) -> Run:
    stage.remove(ERP, "customer", _counterpart_parked(stage))
    return stage.sync


@scenario
def refused_on_first_contact_and_deleted(stage: Stage) -> Run:
    stage.customer(CRM, "DE7")
    theirs = stage.customer(ERP, "DE7")
    stage.boundaries.once["refused"] = 1
    stage.sync()
    stage.remove(ERP, "customer", theirs)
    stage.at_rest["I1: a customer that was known and deleted came back"] = \
        lambda: not stage.living(ERP, "debtors")
    return stage.sync


@scenario
def answer_lost_on_first_contact_and_spoiled(stage: Stage) -> Run:
    ours = stage.customer(CRM, "DE7")
    stage.customer(ERP, "DE7")
    once = stage.boundaries.once
    once["lost_answer"] = once["edited_under_hands"] = 1
    stage.meddling.append(lambda: once.update(away_on_read=1))  # when it looks again
    with suppress(SystemUnreachable):
        stage.sync()
    stage.spoil(CRM, "accounts", ours)
    stage.sync()
    stage.mend()
    return stage.sync


# ---- a system that fails, a user who is faster

@scenario
def line_removed_where_it_came_from_after_a_lost_answer(stage: Stage) -> Run:
    order = _ordered(stage)
    lines = stage.lines(ERP, "order", order[ERP])
    stage.edit(ERP, "order", order[ERP], items=[*lines, stage.line("orders", 30)])
    stage.boundaries.once["lost_answer"] = 1
    with suppress(SystemUnreachable):
        stage.sync()
    stage.edit(ERP, "order", order[ERP], items=lines)
    return stage.sync


@on_both_sides
def stale(stage: Stage, role: Role) -> Run:
    linked = _linked(stage)
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
    linked, there = _linked(stage), other(role)
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
    stage.edit(CRM, "customer", _linked(stage)[CRM])
    stage.boundaries.once["cursor_expired"] = 2
    return stage.sync


@on_both_sides
def replayed(stage: Stage, role: Role) -> Run:
    linked = _linked(stage)
    stage.spoil(role, OBJECTS[role]["customer"], linked[role])
    stage.agree()
    stage.mend()
    return stage.replay


# ---- other runs

@scenario
def planned(stage: Stage) -> Run:
    linked = _both_edited(stage)
    stage.contact(ERP, linked[ERP])
    return lambda: stage.engine().plan()


@scenario
def applied(stage: Stage) -> Run:
    linked = _linked(stage)
    stage.edit(CRM, "customer", linked[CRM])
    stage.customer(ERP)
    gate = stage.gate()
    return lambda: stage.engine().apply(gate)


@scenario
def applied_after_a_move(stage: Stage) -> Run:
    linked = _linked(stage)
    stage.edit(CRM, "customer", linked[CRM])
    gate = stage.gate()
    stage.edit(CRM, "customer", linked[CRM])
    return lambda: stage.engine().apply(gate)


@on_both_sides
def reconciled(stage: Stage, role: Role) -> Run:
    linked = _ordered(stage)
    stage.edit(role, "order", linked[role])
    with stage.store.begin() as uow:  # as if it had never been told of
        uow.save_cursor(stage.pair.name, "order", role, str(stage.systems[role].changes + 9))
    return lambda: stage.engine().reconcile(safety_stop=False)


@scenario
def hint_taken_up(stage: Stage) -> Run:
    linked = _linked(stage)
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
    _ordered(stage)
    return stage.sync
