"""A salesperson sees in the CRM how a record stands with the ERP, since when, and why; it is never
taken for an edit, and written only where it has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event

from connector.bootstrap import open_connector
from connector.domain.ledger import ConflictState, Run
from connector.engine.run import Engine
from connector.errors import ConfigInvalid
from tests.between import between
from tests.integration.conftest import Pair, dying

ASKED = "    sync_state: [crm]\n"
ACME = {"name": "Acme GmbH", "vatNumber": "DE136695976", "email": "office@acme.example"}


def shown(pair: Pair, object: str = "accounts", id: str = "") -> tuple[Any, Any]:
    """State and reason of the only record of an object, or of the one named."""
    row = pair.crm("GET", f"{object}/{id}") if id else pair.in_crm(object)[0]
    return row["syncState"], row["syncError"]


def told(run: Run) -> int:
    """How many records a run told how they stand, in writes of their own."""
    return sum(run.told.values())


def quiet(pair: Pair) -> None:
    """A sync writes and tells nothing, and every record of the CRM stays as it is."""
    before = [pair.in_crm(object) for object in ("accounts", "quotes", "orders")]
    run = pair.sync()
    assert not any(run.writes.values())
    assert told(run) == 0
    assert [pair.in_crm(object) for object in ("accounts", "quotes", "orders")] == before


@pytest.fixture
def acme(pair: Pair) -> dict[str, Any]:
    """A customer in both systems."""
    made = pair.crm("POST", "accounts", ACME)
    pair.sync()
    return pair.crm("GET", f"accounts/{made['id']}")  # type: ignore[no-any-return]


def test_what_is_carried_over_says_so_with_the_same_write(pair: Pair,
                                                          acme: dict[str, Any]) -> None:
    assert shown(pair) == ("in_sync", None)
    assert acme["syncedAt"] is not None
    assert acme["etag"] == '"2"'  # made by the user, and written once, with the ERP's number
    quiet(pair)
    pair.edit_erp("customers", 1, address={"town": "Bremen"})
    run = pair.sync()
    now = pair.in_crm("accounts")[0]
    assert (run.writes, told(run)) == ({("customer", "crm", "update"): 1}, 0)
    assert now["etag"] == '"3"'
    assert now["syncedAt"] > acme["syncedAt"]
    quiet(pair)


def test_an_edit_in_the_crm_moves_the_time_once(pair: Pair, acme: dict[str, Any]) -> None:
    pair.crm("PATCH", f"accounts/{acme['id']}", {"phone": "+49 30 2"})
    run = pair.sync()
    assert (run.writes, told(run)) == ({("customer", "erp", "update"): 1}, 1)
    assert pair.in_crm("accounts")[0]["syncedAt"] > acme["syncedAt"]
    quiet(pair)
    rev = pair.in_erp("customers")[0]["rev"]
    pair.crm("PATCH", f"accounts/{acme['id']}", {"language": "de"})  # no field of ours
    assert told(pair.sync()) == 0
    assert pair.in_erp("customers")[0]["rev"] == rev


def test_a_conflict_is_shown_until_it_is_settled(pair: Pair, acme: dict[str, Any]) -> None:
    pair.crm("PATCH", f"accounts/{acme['id']}", {"email": "sales@acme.example"})
    pair.edit_erp("customers", 1, mail="billing@acme.example")
    run = pair.sync()
    assert (dict(run.writes), told(run)) == ({}, 1)
    assert shown(pair) == ("conflict", "email: both sides changed it")
    quiet(pair)
    pair.engine.resolve(pair.conflicts()[0], {"take": "erp"})
    assert pair.in_crm("accounts")[0]["email"] == "billing@acme.example"
    assert shown(pair) == ("in_sync", None)
    quiet(pair)


def test_a_failed_record_says_why_until_it_is_mended(pair: Pair, acme: dict[str, Any]) -> None:
    pair.crm("PATCH", f"accounts/{acme['id']}", {"email": "nobody"})
    pair.sync()
    assert shown(pair) == ("failed", "email 'nobody' is no e-mail address: An email address must "
                           "have an @-sign. (path `email`).")
    quiet(pair)
    with pair.connector.store.begin() as uow:
        (letter,) = uow.dead_letters("main")
    pair.engine.replay([letter])
    assert shown(pair)[0] == "failed"
    pair.crm("PATCH", f"accounts/{acme['id']}", {"email": "new@acme.example"})
    pair.engine.replay([letter])
    assert shown(pair) == ("in_sync", None)
    assert pair.in_erp("customers")[0]["mail"] == "new@acme.example"
    quiet(pair)


def test_a_record_that_was_never_linked_is_told_too(pair: Pair) -> None:
    broken = pair.crm("POST", "accounts", {"name": "Broken", "email": "nobody"})
    pair.sync()
    assert shown(pair)[0] == "failed"
    quiet(pair)
    pair.crm("PATCH", f"accounts/{broken['id']}", {"email": "a@broken.example"})
    pair.sync()
    assert shown(pair) == ("in_sync", None)
    assert len(pair.in_erp("customers")) == 1
    quiet(pair)


def test_a_quote_waits_and_says_what_for(pair: Pair, acme: dict[str, Any]) -> None:
    pair.erp("POST", "warehouses", {"code": "MAIN", "name": "Main"})
    odd = pair.crm("POST", "products", {"sku": "ODD", "name": "Odd", "currency": "QQQ"})
    pair.crm("POST", "quotes", {
        "accountId": acme["id"], "currency": "EUR", "status": "Sent", "warehouse": "MAIN",
        "lines": [{"productId": odd["id"], "quantity": 1, "unitPriceMicros": 1_000_000}]})
    pair.sync()
    assert shown(pair, "quotes") == ("waiting", f"waits for product {odd['id']}")
    quiet(pair)
    pair.crm("PATCH", f"products/{odd['id']}", {"currency": "EUR"})
    pair.sync()
    assert shown(pair, "quotes") == ("in_sync", None)
    assert len(pair.in_erp("quotations")) == 1
    quiet(pair)


def test_an_alias_says_nothing_any_more(pair: Pair, acme: dict[str, Any]) -> None:
    other = pair.crm("POST", "accounts", {"name": "Acme Berlin"})
    pair.sync()
    pair.crm("PATCH", f"accounts/{other['id']}", {"email": "nobody"})
    pair.sync()
    assert shown(pair, "accounts", other["id"])[0] == "failed"
    pair.engine.join("customer", ("crm", other["id"]), ("crm", acme["id"]))
    assert shown(pair, "accounts", other["id"]) == (None, None)
    assert pair.crm("GET", f"accounts/{other['id']}")["syncedAt"] is None
    assert shown(pair, "accounts", acme["id"]) == ("in_sync", None)
    quiet(pair)
    pair.engine.split("customer", ("crm", other["id"]))
    pair.crm("PATCH", f"accounts/{other['id']}", {"email": "a@berlin.example"})
    pair.sync()
    assert shown(pair, "accounts", other["id"]) == ("in_sync", None)
    quiet(pair)


def test_what_a_user_enters_there_is_no_edit(pair: Pair, acme: dict[str, Any]) -> None:
    rev = pair.in_erp("customers")[0]["rev"]
    pair.crm("PATCH", f"accounts/{acme['id']}", {"syncState": "fine", "syncError": "none"})
    run = pair.sync()
    assert not any(run.writes.values())
    assert pair.in_erp("customers")[0]["rev"] == rev
    quiet(pair)


def test_what_was_told_before_a_crash_is_told_once_more_at_most(
        pair: Pair, acme: dict[str, Any]) -> None:
    pair.crm("PATCH", f"accounts/{acme['id']}", {"phone": "+49 30 2"})
    engine = Engine(pair.engine.pair, pair.connector.store, pair.connector.clock,
                    crash=dying("after write", 2))
    with pytest.raises(KeyboardInterrupt):
        engine.sync()
    assert told(pair.sync()) <= 1
    assert shown(pair) == ("in_sync", None)
    quiet(pair)


def test_a_plan_tells_nobody(pair: Pair) -> None:
    pair.crm("POST", "accounts", {"name": "Broken", "email": "nobody"})
    pair.engine.plan()
    assert shown(pair) == (None, None)


def test_records_linked_before_there_was_a_place_are_told_once(pair: Pair,
                                                               acme: dict[str, Any]) -> None:
    with pair.connector.store.begin() as uow:
        uow.forget_told("main", "customer", "crm", [acme["id"]])
    pair.crm("PATCH", f"accounts/{acme['id']}", {"syncState": None, "syncedAt": None})
    assert told(pair.sync()) == 1
    assert shown(pair) == ("in_sync", None)
    quiet(pair)


def test_all_that_is_linked_is_told_once_a_pair_asks_for_it(pair: Pair) -> None:
    pair.reconfigure(ASKED, "")
    for number in range(3):
        pair.crm("POST", "accounts", {"name": f"Company {number}"})
    pair.sync()
    assert {account["syncState"] for account in pair.in_crm("accounts")} == {None}
    with pair.connector.store.begin() as uow:
        assert uow.told("main", "customer", "crm", [a["id"] for a in pair.in_crm("accounts")]) == {}
        assert uow.untold("main", "customer", "crm") == {}
    pair.reconfigure("    entities:\n", ASKED + "    entities:\n")
    pair.edit_erp("customers", 1, address={"town": "Bremen"})  # told by the write that carries it
    run = pair.sync()
    assert (run.writes, told(run)) == ({("customer", "crm", "update"): 1}, 2)
    assert {account["syncState"] for account in pair.in_crm("accounts")} == {"in_sync"}
    quiet(pair)


def test_what_was_linked_while_nobody_was_told_is_found_by_a_reconcile(
        pair: Pair, acme: dict[str, Any]) -> None:
    pair.reconfigure(ASKED, "")
    other = pair.crm("POST", "accounts", {"name": "Other"})
    pair.sync()
    pair.reconfigure("    entities:\n", ASKED + "    entities:\n")
    assert told(pair.sync()) == 0
    run, drift = pair.engine.reconcile()
    assert (told(run), drift.total) == (1, 0)
    assert shown(pair, "accounts", other["id"]) == ("in_sync", None)
    assert pair.crm("GET", f"accounts/{acme['id']}") == acme
    quiet(pair)


@pytest.fixture
def calls(pair: Pair) -> Iterator[Counter[tuple[str, str]]]:
    """The connector's calls to the CRM, by method and path."""
    seen = Counter[tuple[str, str]]()

    def count(method: str, path: str, _body: bytes) -> None:
        seen[method, path.partition("?")[0]] += 1

    with between(pair.crm_url, count) as line:
        pair.reconfigure(pair.crm_url, line)
        yield seen


def test_a_pair_that_does_not_ask_looks_for_no_place(
        pair: Pair, acme: dict[str, Any], calls: Counter[tuple[str, str]]) -> None:
    pair.reconfigure(ASKED, "")
    pair.edit_erp("customers", 1, address={"town": "Bremen"})
    pair.crm("PATCH", f"accounts/{acme['id']}", {"phone": "+49 30 2"})
    broken = pair.crm("POST", "accounts", {"name": "Broken", "email": "nobody"})
    assert told(pair.sync()) == 0
    assert calls["POST", "/api/accounts/batch"] == 1  # no word of the broken one
    assert ("GET", "/openapi.json") not in calls
    assert shown(pair, "accounts", broken["id"]) == (None, None)
    now = pair.crm("GET", f"accounts/{acme['id']}")
    assert (now["city"], now["syncedAt"]) == ("Bremen", acme["syncedAt"])


def test_what_a_system_refuses_to_be_told_is_tried_again_by_the_next_run(
        pair: Pair, acme: dict[str, Any]) -> None:
    pair.crm("PATCH", f"accounts/{acme['id']}", {"email": "nobody"})
    pair.session.post(f"{pair.crm_url}/_faults", timeout=9, json=[
        {"kind": "fail_before", "status": 400, "times": 9,
         "match": {"method": "POST", "path": "/api/accounts/batch"}}]).raise_for_status()
    for left in (8, 7):
        assert told(pair.sync()) == 0
        (fault,) = pair.session.get(f"{pair.crm_url}/_faults", timeout=9).json()
        assert fault["times"] == left
    assert shown(pair)[0] == "in_sync"
    pair.session.delete(f"{pair.crm_url}/_faults", timeout=9).raise_for_status()
    assert told(pair.sync()) == 1
    assert shown(pair)[0] == "failed"
    quiet(pair)


def test_of_what_stands_as_it_was_told_nothing_is_read(
        pair: Pair, acme: dict[str, Any], calls: Counter[tuple[str, str]]) -> None:
    def asked() -> tuple[Counter[tuple[str, str]], int]:
        """What the CRM is asked in a sync of which nothing comes, and how often the store."""
        seen: list[str] = []
        engine = pair.connector.store.engine

        def note(*said: Any) -> None:
            seen.append(said[2])

        event.listen(engine, "before_cursor_execute", note)
        calls.clear()
        pair.sync()
        event.remove(engine, "before_cursor_execute", note)
        return Counter(calls), len(seen)

    pair.quiet()
    before = asked()
    pair.crm("PATCH", f"accounts/{acme['id']}", {"email": "nobody"})
    pair.sync()
    assert shown(pair)[0] == "failed"
    pair.quiet()
    assert asked() == before


def test_when_a_user_changed_what_was_told_meanwhile_is_not_guessed(
        pair: Pair, acme: dict[str, Any]) -> None:
    manual = "        match: [vat_number]\n        conflict: manual\n"
    pair.reconfigure(manual, manual.replace("manual", "{newer_wins: {tie: crm, within: 0}}"))
    pair.crm("PATCH", f"accounts/{acme['id']}", {"email": "nobody"})
    pair.sync()
    assert shown(pair)[0] == "failed"  # told after the user's edit: that is when it changed last
    pair.edit_erp("customers", 1, mail="erp@acme.example")
    with pair.connector.store.begin() as uow:
        (letter,) = uow.dead_letters("main")
    pair.engine.replay_edited(letter, {**letter.payload, "email": "crm@acme.example"}, "mended")
    (asked,) = pair.conflicts(ConflictState.OPEN)
    assert (asked.path, asked.crm, asked.erp) == ("email", "crm@acme.example", "erp@acme.example")


@pytest.mark.parametrize(("given", "said"), [
    ("[crm, erp]", "sync_state: the records of erp have no room for how they stand."),
    ("[nobody]", "input should be 'crm' or 'erp'")])
def test_a_side_that_can_t_be_told_is_refused(pair: Pair, given: str, said: str) -> None:
    text = pair.config.read_text(encoding="utf-8")
    pair.config.write_text(text.replace(ASKED, f"    sync_state: {given}\n"))
    with pytest.raises(ConfigInvalid) as refused:
        open_connector(pair.config).pair("main")
    assert said in str(refused.value)


def test_a_side_whose_mappings_say_nowhere_is_refused(pair: Pair) -> None:
    from_here = pair.config.read_text(encoding="utf-8")
    before, _, after = from_here.partition("      customer:\n")
    pair.config.write_text(before, encoding="utf-8")  # products alone
    assert after
    with pytest.raises(ConfigInvalid) as refused:
        open_connector(pair.config).pair("main")
    assert "sync_state: no mapping of crm gives it a place." in str(refused.value)
