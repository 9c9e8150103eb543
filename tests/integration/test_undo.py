"""What a run wrote is put back, and neither comes back by itself nor is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connector.domain.actions import Action, ActionKind
from connector.domain.ledger import Conflict, ConflictState, Run
from connector.engine.answers import decision_for
from connector.errors import RunFailed
from tests.integration.conftest import Pair
from tests.integration.test_cli import cli
from tests.slow import slow_but


@pytest.fixture
def account(pair: Pair) -> dict[str, Any]:
    """A customer that stands on both sides: its account as the CRM shows it."""
    made = pair.crm("POST", "accounts", {
        "name": "Acme GmbH", "vatNumber": "DE136695976", "email": "old@acme.example",
        "city": "Berlin"})
    pair.sync()
    pair.quiet()
    return pair.crm("GET", f"accounts/{made['id']}")  # type: ignore[no-any-return]


def customer(pair: Pair) -> dict[str, Any]:
    """The only customer, as the ERP shows it."""
    (found,) = pair.in_erp("customers")
    return found


def edited(pair: Pair, account: dict[str, Any], **changes: Any) -> Run:
    """An edit in the CRM, and the run that carried it over."""
    pair.crm("PATCH", f"accounts/{account['id']}", changes)
    return pair.sync()


def undone(pair: Pair, run: Run) -> list[Action]:
    """Undo a run; what was left. Syncs after it write nothing."""
    done, left = pair.engine.undo(run.id)
    assert done.trigger == "undo"
    for _ in range(2):
        assert not any(pair.sync().writes.values())
    return left


def held(pair: Pair) -> list[Conflict]:
    """The differences that undos have made."""
    found = pair.conflicts()
    assert all(c.kind == "undone" for c in found)
    return found


def test_an_update_is_put_back_and_the_difference_held(pair: Pair,
                                                       account: dict[str, Any]) -> None:
    run = edited(pair, account, email="new@acme.example", city="Bonn")
    (planned,) = pair.engine.plan_undo(run.id).actions
    assert (planned.kind, planned.target) == (ActionKind.UPDATE, "erp")
    assert [(c.path, c.before, c.after) for c in planned.changes] == [
        ("email", "new@acme.example", "old@acme.example"), ("city", "Bonn", "Berlin")]
    assert customer(pair)["mail"] == "new@acme.example"  # a plan writes nothing

    assert undone(pair, run) == []
    assert (customer(pair)["mail"], customer(pair)["address"]["town"]) \
        == ("old@acme.example", "Berlin")
    kept = pair.crm("GET", f"accounts/{account['id']}")
    assert (kept["email"], kept["city"]) == ("new@acme.example", "Bonn")
    assert [(c.path, c.base, c.crm, c.erp) for c in held(pair)] == [
        ("city", "Bonn", "Bonn", "Berlin"),
        ("email", "new@acme.example", "new@acme.example", "old@acme.example")]
    assert pair.engine.reconcile()[1].total == 0
    assert undone(pair, run) == []  # once more changes nothing


def test_what_is_held_outlives_an_edit_of_another_field(pair: Pair,
                                                        account: dict[str, Any]) -> None:
    run = edited(pair, account, email="new@acme.example")
    undone(pair, run)
    edited(pair, account, city="Bonn")
    pair.edit_erp("customers", customer(pair)["id"], address={"line2": "Gate 4"})
    pair.sync()
    assert (customer(pair)["mail"], customer(pair)["address"]["town"]) \
        == ("old@acme.example", "Bonn")
    kept = pair.crm("GET", f"accounts/{account['id']}")
    assert (kept["email"], kept["street2"]) == ("new@acme.example", "Gate 4")
    assert [c.path for c in held(pair)] == ["email"]
    pair.quiet()


@pytest.mark.parametrize(("side", "value"), [("crm", "new@acme.example"),
                                             ("erp", "old@acme.example")])
def test_a_person_says_which_value_stands(pair: Pair, account: dict[str, Any], side: str,
                                          value: str) -> None:
    run = edited(pair, account, email="new@acme.example")
    undone(pair, run)
    pair.engine.resolve(held(pair)[0], {"take": side})
    assert (customer(pair)["mail"], pair.crm("GET", f"accounts/{account['id']}")["email"]) \
        == (value, value)
    assert held(pair) == []
    pair.quiet()


def test_what_has_changed_since_is_left_and_named(pair: Pair, account: dict[str, Any]) -> None:
    run = edited(pair, account, email="new@acme.example", city="Bonn")
    pair.edit_erp("customers", customer(pair)["id"], mail="theirs@acme.example")
    _, (left,) = pair.engine.undo(run.id)
    assert left.reason == "email of the erp has changed since, to theirs@acme.example"
    pair.sync()  # carries the edit over, and nothing of what was undone
    assert (customer(pair)["mail"], customer(pair)["address"]["town"]) \
        == ("theirs@acme.example", "Berlin")
    assert pair.crm("GET", f"accounts/{account['id']}")["email"] == "theirs@acme.example"
    assert [c.path for c in held(pair)] == ["city"]


def test_what_a_later_run_has_written_is_left(pair: Pair, account: dict[str, Any]) -> None:
    first = edited(pair, account, email="one@acme.example")
    second = edited(pair, account, email="two@acme.example")
    edited(pair, account, email="one@acme.example")
    (left,) = undone(pair, first)
    assert left.reason == f"run {second.id} has written email of the erp since"
    assert customer(pair)["mail"] == "one@acme.example"
    assert held(pair) == []


def test_an_edit_not_yet_read_goes_its_way_after_an_undo(pair: Pair,
                                                         account: dict[str, Any]) -> None:
    run = edited(pair, account, email="new@acme.example")
    pair.edit_erp("customers", customer(pair)["id"], address={"line2": "Gate 4"})
    pair.crm("PATCH", f"accounts/{account['id']}", {"website": "https://acme.example"})
    _, left = pair.engine.undo(run.id)
    assert left == []
    pair.sync()
    kept = pair.crm("GET", f"accounts/{account['id']}")
    assert (kept["street2"], kept["email"]) == ("Gate 4", "new@acme.example")
    assert (customer(pair)["web"], customer(pair)["mail"]) \
        == ("https://acme.example", "old@acme.example")
    pair.quiet()


def test_an_undo_is_undone(pair: Pair, account: dict[str, Any]) -> None:
    run = edited(pair, account, email="new@acme.example")
    back, _ = pair.engine.undo(run.id)
    pair.sync()
    assert undone(pair, back) == []
    assert customer(pair)["mail"] == "new@acme.example"
    assert held(pair) == []
    edited(pair, account, email="third@acme.example")
    assert customer(pair)["mail"] == "third@acme.example"


def test_a_record_that_was_made_is_archived_where_the_system_archives(pair: Pair) -> None:
    account = pair.crm("POST", "accounts", {"name": "Acme GmbH", "vatNumber": "DE1"})
    run = pair.sync()
    assert undone(pair, run) == []
    assert customer(pair)["archived"] is True
    assert pair.crm("GET", f"accounts/{account['id']}")["active"] is True
    assert "active" in [c.path for c in held(pair)]
    edited(pair, account, city="Bonn")
    assert customer(pair)["archived"] is True


def test_a_record_that_was_made_is_deleted_and_made_again_if_a_person_says_so(
        pair: Pair) -> None:
    item = pair.erp("POST", "items", {"item_code": "BOLT", "label": "Bolt"})
    run = pair.sync()
    assert len(pair.in_crm("products")) == 1
    assert undone(pair, run) == []
    assert pair.in_crm("products") == []
    assert pair.in_erp("items")[0]["archived"] is False
    pair.edit_erp("items", item["id"], label="Bigger bolt")
    assert not any(pair.sync().writes.values())
    (conflict,) = held(pair)
    assert (conflict.path, conflict.crm) == ("", "deleted")

    pair.engine.resolve(conflict, {"take": "erp"})
    assert [p["name"] for p in pair.in_crm("products")] == ["Bigger bolt"]
    assert held(pair) == []
    pair.quiet()


def test_the_undo_of_a_creation_is_undone(pair: Pair) -> None:
    pair.erp("POST", "items", {"item_code": "BOLT", "label": "Bolt"})
    run = pair.sync()
    back, _ = pair.engine.undo(run.id)
    assert undone(pair, back) == []
    assert [p["sku"] for p in pair.in_crm("products")] == ["BOLT"]
    assert held(pair) == []


def test_a_deactivation_is_put_back(pair: Pair, account: dict[str, Any]) -> None:
    pair.crm("DELETE", f"accounts/{account['id']}")
    run = pair.sync()
    assert customer(pair)["archived"] is True
    assert undone(pair, run) == []
    assert customer(pair)["archived"] is False
    ((path, kind, in_crm, in_erp),) = ((c.path, c.kind, c.crm, c.erp["active"])
                                       for c in pair.conflicts())
    assert (path, kind, in_crm, in_erp) == ("", "undone", "deleted", True)
    pair.quiet()
    (held_back,) = pair.conflicts()
    pair.engine.resolve(held_back, decision_for(held_back, take="crm"))
    assert customer(pair)["archived"] is True
    assert pair.conflicts() == []


def test_documents_that_stay_are_named(pair: Pair, account: dict[str, Any]) -> None:
    item = pair.erp("POST", "items", {"item_code": "BOLT", "label": "Bolt", "base_price": "9.99"})
    pair.erp("POST", "warehouses", {"code": "MAIN", "name": "Main"})
    pair.erp("POST", "stock_levels", {"item_id": item["id"], "warehouse": "MAIN",
                                      "on_hand": "100"})
    pair.sync()
    pair.crm("POST", "quotes", {
        "accountId": account["id"], "currency": "EUR", "status": "Accepted", "warehouse": "MAIN",
        "lines": [{"productId": pair.in_crm("products")[0]["id"], "quantity": 10,
                   "unitPriceMicros": 9_990_000}]})
    run = pair.sync()
    (order,) = pair.in_erp("sales_orders")
    assert order["state"] == "confirmed"
    _, left = pair.engine.undo(run.id)
    assert {(a.entity, a.reason) for a in left if "never deletes" in a.reason} == {
        ("order", "the erp never deletes such a record"),
        ("quote", "the erp never deletes such a record")}
    (now,) = pair.in_erp("sales_orders")
    assert (now["state"], now["rev"]) == ("confirmed", order["rev"])
    pair.quiet()


def test_an_unknown_run_is_told(pair: Pair) -> None:
    with pytest.raises(RunFailed, match="There is no run"):
        pair.engine.undo("nonesuch")


class Killed(BaseException):
    """As if the process had been killed."""


@pytest.mark.parametrize("point", slow_but(["results not kept"], [
    "intents recorded", "before write", "after write", "results not kept", "results kept"]))
def test_an_undo_that_was_cut_off_is_finished_by_repeating_it(
        pair: Pair, account: dict[str, Any], point: str) -> None:
    run = edited(pair, account, email="new@acme.example")

    def crash(at: str) -> None:
        if at == point:
            raise Killed

    with pytest.raises(Killed):
        pair.connector.engine("main", crash).undo(run.id)
    assert undone(pair, run) == []
    assert customer(pair)["mail"] == "old@acme.example"
    assert pair.crm("GET", f"accounts/{account['id']}")["email"] == "new@acme.example"
    assert [(c.path, c.crm, c.erp) for c in held(pair)] == [
        ("email", "new@acme.example", "old@acme.example")]


def test_the_command_shows_first_and_applies_when_told(pair: Pair,
                                                       account: dict[str, Any]) -> None:
    run = edited(pair, account, email="new@acme.example")
    shown = cli(pair, "undo", run.id)
    assert shown.returncode == 0, shown.stderr
    assert "Nothing was written" in shown.stdout
    assert customer(pair)["mail"] == "new@acme.example"
    done = cli(pair, "undo", run.id, "--apply", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["left"], told["run"]["message"]) == ([], f"undoes run {run.id}")
    assert customer(pair)["mail"] == "old@acme.example"
    assert pair.conflicts(*ConflictState)[-1].kind == "undone"
