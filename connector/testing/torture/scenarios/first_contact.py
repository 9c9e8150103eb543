"""First contact, and what makes it hard."""

from __future__ import annotations

from contextlib import suppress

from connector.domain.policies import CRM, ERP, Role
from connector.errors import StoreUnusable, SystemUnreachable
from connector.testing.torture.scenarios.registry import (
    Run,
    customer_on_both,
    on_both_sides,
    scenario,
)
from connector.testing.torture.stage import Stage


@scenario
def first_contact(stage: Stage) -> Run:
    for number in range(3):
        stage.customer(CRM, f"DE{number}")
        stage.customer(ERP, f"DE{number}")
    return stage.sync


@on_both_sides
def found_by_a_linked_number(stage: Stage, role: Role) -> Run:
    linked = customer_on_both(stage)
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


@scenario
def blanked_after_first_contact_lost_its_answers(stage: Stage) -> Run:
    stage.boundaries.once["lost_answer"] = 2
    return _blanked_after_first_contact(stage)


@scenario
def blanked_after_first_contact_was_not_kept(stage: Stage) -> Run:
    _is_not_kept(stage)
    return _blanked_after_first_contact(stage)


@scenario
def waited_for_before_first_contact_was_not_kept(stage: Stage) -> Run:
    mine = stage.customer(CRM, "DE7")
    stage.contact(CRM, mine)
    stage.spoil(CRM, "accounts", mine)
    stage.agree()
    stage.mend()
    stage.customer(ERP, "DE7")
    _is_not_kept(stage)
    with suppress(StoreUnusable):
        stage.sync()
    return stage.sync


def _is_not_kept(stage: Stage) -> None:
    """The store fails once both of two that meet are written."""
    once = stage.boundaries.once
    once["edited_under_hands"] = 1
    stage.meddling.append(lambda: once.update(store_failed=1))


@scenario
def blanked_after_first_contact_was_made_in_part(stage: Stage) -> Run:
    once = stage.boundaries.once
    once["away_on_write"] = once["edited_under_hands"] = 1  # one side, and the other one's write
    stage.meddling.append(lambda: once.update(away_on_write=1))  # when it is tried again
    return _blanked_after_first_contact(stage)


def _blanked_after_first_contact(stage: Stage) -> Run:
    """Of two that met, one had no mail, was given the other's, and that is blanked then."""
    mine = stage.customer(CRM, "DE7")
    stage.edit(ERP, "customer", stage.customer(ERP, "DE7"), e_mail=None)
    with suppress(SystemUnreachable, StoreUnusable):
        stage.sync()
    stage.edit(CRM, "customer", mine, mail=None)
    return stage.sync


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
