"""First contact: the same thing on the other side, or a question for a person."""

from __future__ import annotations

from decimal import Decimal

import pytest

from connector.domain.records import Change
from connector.engine.match import NEW, Ambiguous, Partner, match, match_key


def change(external_id: str, system: str = "crm", key: str = "de1") -> Change:
    return Change(1, "customer", system, external_id, "1", match_key=key)


def found(mine: Change, *, claims: dict[str, str] | None = None, holder: str | None = None,
          ours: tuple[Change, ...] = (), theirs: tuple[Change, ...] = ()) -> Partner | Ambiguous:
    return match(mine, claims or {}, {"canon": holder}.__getitem__,
                 {"de1": list(ours)} if ours else {}, {"de1": list(theirs)} if theirs else {})


@pytest.mark.parametrize(("record", "key"), [
    ({"sku": " Bolt  M8 ", "warehouse": "MAIN"}, "bolt m8|main"),
    ({"sku": "STRASSE", "warehouse": "ß"}, "strasse|ss"),
    ({"sku": Decimal("10"), "warehouse": 7}, "10|7"),
    ({"sku": "BOLT", "warehouse": None}, ""), ({"sku": "BOLT"}, ""), ({}, "")])
def test_the_key_is_normalised_and_empty_where_a_part_is_blank(
        record: dict[str, object], key: str) -> None:
    assert match_key(["sku", "warehouse"], record) == key


def test_no_match_fields_no_key() -> None:
    assert match_key([], {"sku": "BOLT"}) == ""


def test_one_record_on_the_other_side_is_the_partner() -> None:
    theirs = change("1", "erp")
    mine = change("A")
    assert found(mine, ours=(mine,), theirs=(theirs,)) == Partner(change=theirs)


def test_nothing_on_the_other_side_is_new() -> None:
    assert found(change("A")) is NEW
    assert found(change("A"), ours=(change("A"), change("B"))) is NEW


def test_blank_keys_are_never_the_same() -> None:
    assert match(change("A", key=""), {"": "x"}, lambda _: None, {},
                 {"": [change("1", "erp", key="")]}) is NEW


def test_a_claimed_key_is_the_record_that_claimed_it() -> None:
    assert found(change("A"), claims={"de1": "canon"}) == Partner(canonical_id="canon")


def test_a_claim_whose_place_is_taken_is_a_question() -> None:
    question = found(change("B"), claims={"de1": "canon"}, holder="A")
    assert isinstance(question, Ambiguous)
    assert question.candidates == ("A",)
    assert "A, which is linked already" in question.reason


def test_a_claim_goes_before_what_waits() -> None:
    assert found(change("A"), claims={"de1": "canon"}, theirs=(change("1", "erp"),)) \
        == Partner(canonical_id="canon")


def test_two_records_on_the_other_side_are_a_question() -> None:
    question = found(change("A"), theirs=(change("1", "erp"), change("2", "erp")))
    assert question == Ambiguous("more than one record on the other side has its match key",
                                 ("1", "2"))


def test_two_records_on_the_own_side_are_a_question() -> None:
    question = found(change("A"), ours=(change("A"), change("B")), theirs=(change("1", "erp"),))
    assert question == Ambiguous("more than one record on its own side has its match key", ("1",))
