"""Records that are one thing, or are not: merges, ties made and parted by hand. And runs that are
taken back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from connector.domain.policies import CRM, ERP, Role, other
from connector.domain.records import Change
from connector.errors import RunFailed, SystemUnreachable
from connector.testing.torture.company import OBJECTS, VAT
from connector.testing.torture.scenarios.registry import (
    Run,
    both_edited,
    customer_on_both,
    on_both_sides,
    order_on_both,
    scenario,
)
from connector.testing.torture.stage import Stage


@on_both_sides
def merged(stage: Stage, role: Role) -> Run:
    first, second = customer_on_both(stage, role), customer_on_both(stage, role)
    stage.contact(role, first[role])
    stage.agree()
    stage.merge(role, first[role], second[role])
    return stage.sync


@on_both_sides
def merged_into_one_that_nobody_knew(stage: Stage, role: Role) -> Run:
    linked = customer_on_both(stage, role)
    stage.merge(role, linked[role], stage.customer(role))
    return stage.sync


@on_both_sides
def merged_into_one_that_was_to_be_matched(stage: Stage, role: Role) -> Run:
    linked = customer_on_both(stage, other(role))
    stage.merge(role, linked[role], stage.customer(role, "DE7"))
    stage.customer(other(role), "DE7")
    there = len(stage.living(role, OBJECTS[role]["customer"]))
    stage.at_rest["I2: one that was known was made once more"] = \
        lambda: len(stage.living(role, OBJECTS[role]["customer"])) == there
    return stage.sync


@on_both_sides
def merged_into_one_that_was_to_be_matched_and_merged(stage: Stage, role: Role) -> Run:
    first, last = customer_on_both(stage, role), customer_on_both(stage, role)
    stage.merge(role, first[role], stage.customer(role, "DE7"))
    stage.merge(other(role), first[other(role)], last[other(role)])
    stage.customer(other(role), "DE7")
    stage.at_rest["I2: one with a known number was taken for new"] = lambda: \
        stage.conflict() is not None
    return stage.sync


@on_both_sides
def merged_by_a_hint_into_one_that_was_to_be_matched(stage: Stage, role: Role) -> Run:
    linked = customer_on_both(stage, other(role))
    stage.merge(role, linked[role], stage.customer(role, "DE7"))
    theirs = stage.customer(other(role), "DE7")
    with stage.store.begin() as uow:  # and nobody has told of the one it was merged into
        uow.receive(stage.pair.name, [
            Change(0, "customer", system, external_id, "", hint=True)
            for system, external_id in ((role, linked[role]), (other(role), theirs))])
    there = len(stage.living(role, OBJECTS[role]["customer"]))
    stage.at_rest["I2: one that was known was made once more"] = \
        lambda: len(stage.living(role, OBJECTS[role]["customer"])) == there
    return lambda: stage.engine().drain()


@on_both_sides
def merged_into_one_that_is_gone(stage: Stage, role: Role) -> Run:
    gone, linked = customer_on_both(stage, role), customer_on_both(stage, role)
    stage.engine().join("customer", (role, gone[role]), (role, linked[role]))
    stage.remove(role, "customer", gone[role])
    stage.agree()
    stage.merge(role, linked[role], gone[role])
    return stage.sync


@on_both_sides
def merged_into_a_new_one_once_the_other_was_deleted(stage: Stage, role: Role) -> Run:
    linked = customer_on_both(stage)
    stage.remove(other(role), "customer", linked[other(role)])
    stage.agree()
    stage.merge(role, linked[role], stage.customer(role))
    stage.at_rest["I1: what was deleted is in use under another ID, and nobody is asked"] = \
        lambda: stage.conflict() is not None
    return stage.sync


@on_both_sides
def merged_where_a_match_waits_for_it(stage: Stage, role: Role) -> Run:
    there = OBJECTS[role]["customer"]
    stage.customer(other(role), "DE7")
    mine = stage.customer(role, "DE7")
    stage.spoil(role, there, mine)
    stage.agree()
    into = stage.customer(role)
    stage.merge(role, mine, into)
    stage.remove(role, "customer", into)
    return stage.sync


@on_both_sides
def merged_and_asked_about_before_that_was_known(stage: Stage, role: Role) -> Run:
    first, second = both_edited(stage), customer_on_both(stage)
    stage.merge(role, first[role], second[role])
    stage.engine().plan()  # the merge waits in the inbox, and is read anew for the answer
    return stage.answer({"take": role})


@on_both_sides
def tied_by_hand(stage: Stage, role: Role) -> Run:
    first, second = customer_on_both(stage), customer_on_both(stage, ERP)
    return lambda: stage.engine().join("customer", (role, first[role]), (role, second[role]))


@on_both_sides
def tied_and_parted_by_hand(stage: Stage, role: Role) -> Run:
    first, second = customer_on_both(stage), customer_on_both(stage, ERP)
    stage.engine().join("customer", (role, first[role]), (role, second[role]))
    stage.agree()
    stage.at_rest["I2: what was made for one was not parted with it"] = lambda: \
        stage.both(CRM, "customer", first[CRM]) == first \
        and stage.both(CRM, "customer", second[CRM]) == second

    return _parted(stage, role, first[role])


@on_both_sides
def tied_to_one_that_something_waits_for(stage: Stage, role: Role) -> Run:
    alone = {side: stage.customer(side, "DE7") for side in (CRM, ERP)}
    linked = customer_on_both(stage)
    stage.spoil(role, OBJECTS[role]["customer"], alone[role])
    stage.parted = True
    stage.distinct |= set(alone.items())
    stage.engine().split("customer", (other(role), alone[other(role)]))
    stage.contact(role, alone[role])  # which waits, for nothing can be made of its customer
    stage.agree()
    stage.mend()
    return lambda: stage.engine().join("customer", (role, linked[role]), (role, alone[role]))


@on_both_sides
def back_beside_one_that_is_asked_about(stage: Stage, role: Role) -> Run:
    first, second = customer_on_both(stage, role), customer_on_both(stage, role)
    stage.engine().join("customer", (role, second[role]), (role, first[role]))
    stage.remove(role, "customer", first[role])
    stage.agree()
    stage.edit(role, "customer", second[role])
    stage.edit(other(role), "customer", first[other(role)])
    stage.agree()
    stage.undelete(role, OBJECTS[role]["customer"], first[role])
    stage.at_rest["I1: a question was settled, and nobody has answered it"] = lambda: \
        stage.conflict() is not None
    return stage.sync


@on_both_sides
def back_beside_a_new_one_with_its_number(stage: Stage, role: Role) -> Run:
    both = customer_on_both(stage, role)
    object = OBJECTS[role]["customer"]
    stage.remove(role, "customer", both[role])
    stage.agree()
    stage.customer(role, stage.systems[role].objects[object][both[role]].payload[VAT[role]])
    stage.undelete(role, object, both[role])
    stage.at_rest["I2: of two with one number, none is asked about"] = lambda: \
        stage.conflict() is not None
    return stage.sync


@on_both_sides
def replaced_where_a_contact_names_it(stage: Stage, role: Role) -> Run:
    first, second = customer_on_both(stage, role), customer_on_both(stage, role)
    contact = stage.contact(role, first[role])
    stage.agree()
    stage.engine().join("customer", (role, second[role]), (role, first[role]))
    stage.remove(role, "customer", first[role])
    stage.at_rest["I1: who named a deleted customer does not name the one in its place"] = \
        lambda: stage.parent(role, "contact", contact) == second[role]
    return stage.sync


def _parted(stage: Stage, role: Role, external_id: str) -> Run:
    def part() -> None:
        with suppress(RunFailed):  # parted before the process died
            stage.engine().split("customer", (role, external_id))

    return part


@on_both_sides
def parted_from_what_was_merged(stage: Stage, role: Role) -> Run:
    first, second = customer_on_both(stage), customer_on_both(stage)
    stage.merge(role, first[role], second[role])
    stage.agree()
    stage.parted = True
    return _parted(stage, other(role), second[other(role)])


@on_both_sides
def parted_with_a_contact(stage: Stage, role: Role) -> Run:
    matched = {CRM: stage.customer(CRM, "DE7"), ERP: stage.customer(ERP, "DE7")}
    stage.contact(role, matched[role])
    stage.agree()
    stage.distinct |= set(matched.items())
    return _parted(stage, CRM, matched[CRM])


@on_both_sides
def parted_and_deleted_with_a_contact(stage: Stage, role: Role) -> Run:
    return _parted_and_deleted(stage, role, lambda customer: stage.contact(role, customer))


@on_both_sides
def parted_and_deleted_with_a_quote(stage: Stage, role: Role) -> Run:
    return _parted_and_deleted(stage, role,
                               lambda customer: stage.document(role, "quote", customer))


def _parted_and_deleted(stage: Stage, role: Role, refer: Callable[[str], object]) -> Run:
    """Something names one of two that are parted, which is deleted before it has a counterpart."""
    matched = {CRM: stage.customer(CRM, "DE7"), ERP: stage.customer(ERP, "DE7")}
    refer(matched[role])
    stage.agree()
    stage.distinct |= set(matched.items())
    stage.boundaries.once["away_on_write"] = 2
    with suppress(SystemUnreachable):
        stage.engine().split("customer", (CRM, matched[CRM]))
    stage.remove(role, "customer", matched[role])
    stage.at_rest["I1: what names a customer that is gone is nobody's, and no one is asked"] = \
        lambda: "customer" in {conflict.path for conflict in stage.conflicts()}
    return stage.sync


@scenario
def matched_and_parted_by_hand(stage: Stage) -> Run:
    mine, theirs = stage.customer(CRM, "DE7"), stage.customer(ERP, "DE7")
    stage.agree()
    stage.distinct |= {(CRM, mine), (ERP, theirs)}
    stage.at_rest["I2: both are one thing still"] = lambda: \
        stage.both(CRM, "customer", mine)[ERP] != theirs

    return _parted(stage, CRM, mine)


def _synced_to_be_taken_back(stage: Stage) -> Run:
    run = stage.engine().sync(safety_stop=False)
    return lambda: stage.engine().undo(run.id)


@on_both_sides
def taken_back(stage: Stage, role: Role) -> Run:
    linked = customer_on_both(stage)
    stage.edit(role, "customer", linked[role])
    stage.customer(role)
    return _synced_to_be_taken_back(stage)


@on_both_sides
def taken_back_once_the_other_was_deleted(stage: Stage, role: Role) -> Run:
    linked = customer_on_both(stage)
    stage.edit(role, "customer", linked[role])
    take_back = _synced_to_be_taken_back(stage)
    stage.remove(role, "customer", linked[role])
    return take_back


@on_both_sides
def deactivation_taken_back(stage: Stage, role: Role) -> Run:
    linked = customer_on_both(stage)
    stage.remove(role, "customer", linked[role])
    return _synced_to_be_taken_back(stage)


@scenario
def found_again_edited_and_taken_back(stage: Stage) -> Run:
    customer = stage.customer(CRM)
    run, made = _found_again(stage, "customer", lambda made: stage.edit(ERP, "customer", made))
    stage.at_rest["I3: what somebody had edited was taken back"] = lambda: \
        made in stage.living(ERP, "debtors") and customer in stage.living(CRM, "accounts")
    return run


@scenario
def found_again_added_to_and_taken_back(stage: Stage) -> Run:
    order = stage.document(CRM, "order", customer_on_both(stage)[CRM])
    run, made = _found_again(stage, "order", lambda made: stage.edit(ERP, "order", made, items=[
        *stage.lines(ERP, "order", made), stage.line("orders", 90)]))
    stage.at_rest["I3: what somebody had added to was taken back"] = lambda: \
        made in stage.living(ERP, "orders") and order in stage.living(CRM, "deals")
    return run


def _found_again(stage: Stage, entity: str, edit: Callable[[str], object]) -> tuple[Run, str]:
    stage.boundaries.once["lost_answer"] = 1
    with suppress(SystemUnreachable):
        stage.sync()
    (made,) = stage.living(ERP, OBJECTS[ERP][entity])
    edit(made)
    return _synced_to_be_taken_back(stage), made


@scenario
def order_taken_back(stage: Stage) -> Run:
    order = order_on_both(stage)
    stage.edit(ERP, "order", order[ERP], items=stage.lines(ERP, "order", order[ERP])[:1])
    return _synced_to_be_taken_back(stage)
