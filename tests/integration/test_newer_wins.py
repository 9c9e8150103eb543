"""Where both sides changed a field, the record that was changed last may win."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from connector.bootstrap import open_connector
from connector.domain.ledger import ConflictState
from connector.errors import ConfigInvalid
from tests.integration.conftest import Pair

MANUAL = "        match: [vat_number]\n        conflict: manual\n"


@pytest.fixture
def acme(pair: Pair) -> dict[str, Any]:
    """A customer that stands on both sides; the newer change of it wins, however close."""
    pair.reconfigure(MANUAL, MANUAL.replace("manual", "{newer_wins: {tie: manual, within: 0}}"))
    account = pair.crm("POST", "accounts", {"name": "Acme", "email": "old@acme.example"})
    pair.sync()
    return account  # type: ignore[no-any-return]


def edit(pair: Pair, acme: dict[str, Any], *sides: str) -> None:
    """Both sides change the e-mail address, in this order."""
    for side in sides:
        if side == "crm":
            pair.crm("PATCH", f"accounts/{acme['id']}", {"email": "crm@acme.example"})
        else:
            pair.edit_erp("customers", 1, mail="erp@acme.example")


def emails(pair: Pair) -> tuple[str, str]:
    return pair.in_crm("accounts")[0]["email"], pair.in_erp("customers")[0]["mail"]


@pytest.mark.parametrize("sides", [("crm", "erp"), ("erp", "crm")])
def test_the_later_edit_wins_and_both_are_kept(pair: Pair, acme: dict[str, Any],
                                               sides: tuple[str, str]) -> None:
    edit(pair, acme, *sides)
    pair.sync()
    assert emails(pair) == (f"{sides[1]}@acme.example",) * 2
    (kept,) = pair.conflicts(*ConflictState)
    assert (kept.base, kept.crm, kept.erp, kept.state) == (
        "old@acme.example", "crm@acme.example", "erp@acme.example", ConflictState.SETTLED)
    assert kept.settled_by.startswith("newer wins: changed at 20")
    pair.quiet()


def test_what_the_connector_writes_makes_no_record_newer(pair: Pair, acme: dict[str, Any]) -> None:
    pair.reconfigure("within: 0", "within: 3600")
    edit(pair, acme, "crm", "erp")
    pair.sync()  # a tie
    pair.crm("PATCH", f"accounts/{acme['id']}", {"website": "https://acme.example"})
    pair.sync()  # writes the ERP's record, which nobody else has changed since
    assert emails(pair) == ("crm@acme.example", "erp@acme.example")
    pair.reconfigure("within: 3600", "within: 0")
    pair.engine.reconcile()
    assert emails(pair) == ("crm@acme.example",) * 2
    pair.quiet()


def test_edits_within_the_doubt_of_the_clocks_wait_for_a_person(pair: Pair,
                                                                acme: dict[str, Any]) -> None:
    pair.reconfigure("within: 0", "within: 3600")
    edit(pair, acme, "crm", "erp")
    pair.sync()
    assert emails(pair) == ("crm@acme.example", "erp@acme.example")
    assert [c.state for c in pair.conflicts(*ConflictState)] == [ConflictState.OPEN]


def test_a_tie_may_go_to_a_side(pair: Pair, acme: dict[str, Any]) -> None:
    pair.reconfigure("tie: manual, within: 0", "tie: crm, within: 3600")
    edit(pair, acme, "crm", "erp")
    pair.sync()
    assert emails(pair) == ("crm@acme.example",) * 2
    assert [c.settled_by.partition(":")[0] for c in pair.conflicts(ConflictState.SETTLED)] \
        == ["newer wins, a tie taken by the crm"]


UNTOLD = """
systems:
  crm: {adapter: bottlecrm, url: "http://127.0.0.1:1", token: x}
  erp: {adapter: native_erp, url: "http://127.0.0.1:1", api_key: x}
pairs:
  main:
    crm: crm
    erp: erp
    entities:
      product: {conflict: manual}
      customer:
        match: [vat_number]
        CONFLICT
"""


@pytest.mark.parametrize(("given", "key"), [
    ("conflict: {newer_wins: {tie: crm}}", "conflict"),
    ("fields: {website: {conflict: {newer_wins: {tie: crm}}}}", "fields.website.conflict")])
def test_of_a_system_without_trustworthy_times_it_is_refused(tmp_path: Path, given: str,
                                                             key: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(UNTOLD.replace("CONFLICT", given))
    connector = open_connector(path)
    with pytest.raises(ConfigInvalid) as refused:
        connector.pair("main")
    connector.close()
    assert str(refused.value) == (
        f"{path}:13: pairs.main.entities.customer.{key}: newer_wins can't be decided: crm gives no "
        "time of change that can be trusted for every record. Use manual, prefer, "
        "prefer_unless_blank or an owner.")


@pytest.mark.parametrize(("given", "said"), [
    ("{newer_wins: {}}", "newer_wins.tie: "), ("{newer_wins: {tie: both}}", "newer_wins.tie: "),
    ("{newer_wins: {tie: crm, within: -1}}", "newer_wins.within: "),
    ("{newer_wins: {tie: crm, by: field}}", "newer_wins.by: unknown key"),
    ("newer_wins", "word: input should be 'manual', "), ("{prefer: nobody}", "word: ")])
def test_a_wrong_rule_is_refused_with_its_key(pair: Pair, given: str, said: str) -> None:
    text = pair.config.read_text(encoding="utf-8")
    pair.config.write_text(text.replace(MANUAL, MANUAL.replace("manual", given)))
    with pytest.raises(ConfigInvalid) as refused:
        open_connector(pair.config)
    assert f"config.yaml:48: pairs.main.entities.customer.conflict.{said}" in str(refused.value)
