"""Parked records are tried again by themselves, with growing waits, or edited and tried once."""

from __future__ import annotations

from typing import Any

import pytest

from connector.domain.actions import OutcomeKind
from connector.domain.ledger import DeadLetter
from connector.domain.retries import FIRST_WAIT, MAX_ATTEMPTS
from connector.errors import RunFailed
from tests.integration.conftest import Pair


def letters(pair: Pair) -> list[DeadLetter]:
    """All parked records."""
    with pair.connector.store.begin() as uow:
        return uow.dead_letters("main")


def refused_order(pair: Pair) -> dict[str, Any]:
    """An order over the credit limit that the CRM says is confirmed; as the ERP shows it."""
    account = pair.crm("POST", "accounts", {"name": "Acme GmbH", "vatNumber": "DE136695976"})
    item = pair.erp("POST", "items", {"item_code": "BOLT", "label": "Bolt", "base_price": "9.99"})
    pair.erp("POST", "warehouses", {"code": "MAIN", "name": "Main"})
    pair.erp("POST", "stock_levels", {"item_id": item["id"], "warehouse": "MAIN",
                                      "on_hand": "100"})
    pair.sync()
    pair.edit_erp("customers", 1, finance={"credit_limit": "50.00"})
    pair.crm("POST", "quotes", {
        "accountId": account["id"], "currency": "EUR", "status": "Accepted", "warehouse": "MAIN",
        "lines": [{"productId": pair.in_crm("products")[0]["id"], "quantity": 10,
                   "unitPriceMicros": 9_990_000}]})
    pair.sync()
    (order,) = pair.in_crm("orders")
    pair.crm("PATCH", f"orders/{order['id']}", {"status": "Confirmed"})
    pair.sync()
    (refused,) = pair.in_erp("sales_orders")
    assert refused["state"] == "entered"
    return refused  # type: ignore[no-any-return]


def wait(pair: Pair) -> None:
    """Let the time pass until the only parked record is due."""
    (letter,) = letters(pair)
    assert letter.next_try_at is not None
    clock = pair.connector.clock
    clock.sleep((letter.next_try_at - clock.now()).total_seconds())


def test_a_refused_write_is_tried_again_and_succeeds_by_itself(pair: Pair) -> None:
    refused_order(pair)
    (letter,) = letters(pair)
    assert (letter.entity, letter.stage, letter.attempts) == ("order", "write", 1)
    assert letter.next_try_at == letter.at + FIRST_WAIT
    rev = pair.in_erp("sales_orders")[0]["rev"]
    pair.sync()
    assert letters(pair) == [letter]  # not due yet

    wait(pair)
    assert pair.failed(pair.sync()) == 1
    (again,) = letters(pair)
    assert (again.attempts, again.next_try_at) == (2, again.at + 2 * FIRST_WAIT)
    assert pair.in_erp("sales_orders")[0]["rev"] == rev

    pair.edit_erp("customers", 1, finance={"credit_limit": "5000.00", "on_hold": False})
    pair.sync()
    assert pair.in_erp("sales_orders")[0]["state"] == "entered"
    wait(pair)
    assert pair.failed(pair.sync()) == 0
    assert letters(pair) == []
    assert pair.in_erp("sales_orders")[0]["state"] == "confirmed"
    pair.quiet()


def test_after_the_last_try_only_a_person_tries(pair: Pair) -> None:
    refused_order(pair)
    for tries in range(2, MAX_ATTEMPTS + 1):
        wait(pair)
        pair.sync()
        assert letters(pair)[0].attempts == tries
    assert letters(pair)[0].next_try_at is None
    pair.connector.clock.sleep(7 * 24 * 3600)
    assert pair.failed(pair.sync()) == 0
    pair.edit_erp("customers", 1, finance={"credit_limit": "5000.00", "on_hold": False})
    assert pair.failed(pair.engine.replay(letters(pair))) == 0
    assert pair.in_erp("sales_orders")[0]["state"] == "confirmed"


def test_a_retry_reaches_a_system_that_remembers_keys(pair: Pair) -> None:
    """The CRM answers a repeated key as the first time: a try after a refusal is a new call."""
    item = pair.erp("POST", "items", {"item_code": "BOLT", "label": "Bolt"})
    holder = pair.crm("POST", "products", {"sku": "WASHER", "name": "Odd", "currency": "ZZZ"})
    pair.sync()
    (bolt,) = (p for p in pair.in_crm("products") if p["sku"] == "BOLT")
    pair.edit_erp("items", item["id"], item_code="WASHER")
    assert pair.failed(pair.sync()) == 1
    assert pair.crm("GET", f"products/{bolt['id']}")["sku"] == "BOLT"
    pair.crm("DELETE", f"products/{holder['id']}")
    pair.sync()
    wait(pair)
    pair.sync()
    assert pair.crm("GET", f"products/{bolt['id']}")["sku"] == "WASHER"
    assert letters(pair) == []


def test_what_can_not_be_decoded_waits_for_a_change(pair: Pair) -> None:
    pair.crm("POST", "accounts", {"name": "Acme", "vatNumber": "DE1", "country": "QQ"})
    assert pair.failed(pair.sync()) == 1
    (letter,) = letters(pair)
    assert (letter.stage, letter.next_try_at) == ("decode", None)
    pair.connector.clock.sleep(30 * 24 * 3600)
    assert pair.failed(pair.sync()) == 0
    assert letters(pair) == [letter]


def test_a_parked_record_is_tried_once_as_a_person_edits_it(pair: Pair) -> None:
    account = pair.crm("POST", "accounts", {"name": "Acme", "vatNumber": "DE1", "country": "QQ"})
    assert pair.failed(pair.sync()) == 1
    assert pair.in_erp("customers") == []
    (letter,) = letters(pair)
    run = pair.engine.replay_edited(letter, {**letter.payload, "country": "DE"},
                                    "edited by ada: country")
    assert pair.failed(run) == 0
    assert letters(pair) == []
    (customer,) = pair.in_erp("customers")
    assert customer["address"]["country_code"] == "DE"
    with pair.connector.store.begin() as uow:
        (canonical_id,) = uow.canonical_ids("main", "customer", "crm", [account["id"]]).values()
        history = uow.history("main", "customer", canonical_id)
    assert [(e.kind, e.side, e.reason) for e in history if e.target == "erp"] \
        == [(OutcomeKind.CREATED, "crm", "edited by ada: country")]
    assert pair.crm("GET", f"accounts/{account['id']}")["country"] == "QQ"  # nobody changed it
    pair.quiet()


def test_an_edit_that_does_not_help_is_parked_again_with_its_reason(pair: Pair) -> None:
    pair.crm("POST", "accounts", {"name": "Acme", "vatNumber": "DE1", "country": "QQ"})
    pair.sync()
    (letter,) = letters(pair)
    run = pair.engine.replay_edited(letter, {**letter.payload, "country": "XQ"}, "edited by ada")
    assert pair.failed(run) == 1
    (again,) = letters(pair)
    assert (again.attempts, again.payload["country"]) == (2, "XQ")
    assert pair.in_erp("customers") == []


def test_an_edit_of_what_has_changed_since_is_refused(pair: Pair) -> None:
    account = pair.crm("POST", "accounts", {"name": "Acme", "vatNumber": "DE1", "country": "QQ"})
    pair.sync()
    (letter,) = letters(pair)
    pair.crm("PATCH", f"accounts/{account['id']}", {"phone": "+49301234567"})
    with pytest.raises(RunFailed, match="has changed since it was parked"):
        pair.engine.replay_edited(letter, {**letter.payload, "country": "DE"}, "edited")
    assert pair.in_erp("customers") == []
