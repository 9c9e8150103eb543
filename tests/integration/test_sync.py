"""Small stories over both native systems, with exact values, and with what must not happen."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from connector.domain.actions import ActionKind, OutcomeKind
from connector.domain.ledger import ConflictState
from connector.engine.plan_file import read_gate
from connector.errors import SystemUnreachable
from tests.integration.conftest import Pair, dying
from tests.integration.trade import goods
from tests.slow import slow_but


@pytest.fixture
def acme(pair: Pair) -> dict[str, Any]:
    """A customer that stands on both sides: its account as the CRM shows it."""
    account = pair.crm("POST", "accounts", {
        "name": "Acme GmbH", "vatNumber": "DE136695976", "phone": "+49301234567",
        "segment": "smb", "street": "Street 1", "city": "Berlin", "country": "DE",
        "email": "info@acme.example"})
    pair.sync()
    return pair.crm("GET", f"accounts/{account['id']}")  # type: ignore[no-any-return]


def quote(pair: Pair, account: str, product: str, quantity: int = 10,
          status: str = "Sent") -> dict[str, Any]:
    """A quote in the CRM."""
    return pair.crm("POST", "quotes", {  # type: ignore[no-any-return]
        "accountId": account, "currency": "EUR", "status": status, "warehouse": "MAIN",
        "lines": [{"productId": product, "quantity": quantity, "unitPriceMicros": 9_990_000,
                   "taxPercent": 19}]})


def test_a_new_customer_gets_what_the_erp_assigns(pair: Pair, acme: dict[str, Any]) -> None:
    (customer,) = pair.in_erp("customers")
    assert (customer["display_name"], customer["tax"]["vat_no"], customer["grp"]) \
        == ("Acme GmbH", "DE136695976", "S")
    assert customer["external_ref"] == f"crm:{acme['id']}"
    assert (acme["erpNumber"], acme["creditLimitMicros"], acme["paymentTerms"]) \
        == (customer["customer_no"], 5_000_000_000, "NET_30")
    assert not any(pair.sync().writes.values())


def test_edits_of_different_fields_are_both_kept(pair: Pair, acme: dict[str, Any]) -> None:
    pair.crm("PATCH", f"accounts/{acme['id']}", {"website": "https://acme.example"})
    pair.edit_erp("customers", 1, address={"line2": "Gate 4"})
    pair.sync()
    account, (customer,) = pair.crm("GET", f"accounts/{acme['id']}"), pair.in_erp("customers")
    assert (account["website"], account["street2"]) == ("https://acme.example", "Gate 4")
    assert (customer["web"], customer["address"]["line2"]) == ("https://acme.example", "Gate 4")
    assert pair.conflicts(*ConflictState) == []


def test_edits_of_one_field_wait_for_a_person(pair: Pair, acme: dict[str, Any]) -> None:
    pair.crm("PATCH", f"accounts/{acme['id']}", {"email": "sales@acme.example", "city": "Bonn"})
    pair.edit_erp("customers", 1, mail="books@acme.example")
    run = pair.sync()
    assert run.tallies["customer", "crm"].outcomes[OutcomeKind.CONFLICT] == 1
    (conflict,) = pair.conflicts()
    assert (conflict.path, conflict.base, conflict.crm, conflict.erp) == (
        "email", "info@acme.example", "sales@acme.example", "books@acme.example")
    account, (customer,) = pair.crm("GET", f"accounts/{acme['id']}"), pair.in_erp("customers")
    assert (account["email"], customer["mail"]) == ("sales@acme.example", "books@acme.example")
    assert customer["address"]["town"] == "Bonn"  # the other field is not held up
    pair.sync()
    assert len(pair.conflicts()) == 1  # and it is asked once

    pair.engine.resolve(conflict, {"take": "erp"})
    account, (customer,) = pair.crm("GET", f"accounts/{acme['id']}"), pair.in_erp("customers")
    assert (account["email"], customer["mail"]) == ("books@acme.example",) * 2
    assert pair.conflicts() == []
    pair.quiet()


def test_a_conflict_is_settled_with_a_third_value(pair: Pair, acme: dict[str, Any]) -> None:
    pair.crm("PATCH", f"accounts/{acme['id']}", {"email": "sales@acme.example"})
    pair.edit_erp("customers", 1, mail="books@acme.example")
    pair.sync()
    pair.engine.resolve(pair.conflicts()[0], {"value": "all@acme.example"})
    account, (customer,) = pair.crm("GET", f"accounts/{acme['id']}"), pair.in_erp("customers")
    assert (account["email"], customer["mail"]) == ("all@acme.example",) * 2


def test_a_conflict_ends_where_both_sides_come_to_agree(pair: Pair, acme: dict[str, Any]) -> None:
    pair.crm("PATCH", f"accounts/{acme['id']}", {"email": "sales@acme.example"})
    pair.edit_erp("customers", 1, mail="books@acme.example")
    pair.sync()
    pair.edit_erp("customers", 1, mail="sales@acme.example")
    pair.sync()
    assert pair.conflicts() == []
    assert [c.settled_by for c in pair.conflicts(ConflictState.SETTLED)] == ["both sides agree"]


def test_a_field_with_an_owner_is_put_back_and_recorded(pair: Pair, acme: dict[str, Any]) -> None:
    pair.crm("PATCH", f"accounts/{acme['id']}", {"creditLimitMicros": 99_000_000_000})
    pair.sync()
    account, (customer,) = pair.crm("GET", f"accounts/{acme['id']}"), pair.in_erp("customers")
    assert account["creditLimitMicros"] == 5_000_000_000
    assert customer["finance"]["credit_limit"] == "5000.00"
    assert pair.conflicts() == []
    (kept,) = pair.conflicts(ConflictState.SETTLED)
    assert (kept.path, kept.kind, kept.settled_by) == ("credit_limit", "put_back", "owner: erp")
    assert (kept.base, kept.crm, kept.erp) == ("5000.00", "99000.00", "5000.00")


def test_the_owners_change_is_carried_over(pair: Pair, acme: dict[str, Any]) -> None:
    pair.edit_erp("customers", 1, finance={"credit_limit": "750.00"}, tel="+49309999999")
    pair.sync()
    account, (customer,) = pair.crm("GET", f"accounts/{acme['id']}"), pair.in_erp("customers")
    assert account["creditLimitMicros"] == 750_000_000
    assert (account["phone"], customer["tel"]) == ("+49301234567",) * 2  # the CRM's own


def test_quote_to_cash(pair: Pair, acme: dict[str, Any]) -> None:
    product, _ = goods(pair)
    made = quote(pair, acme["id"], product)
    pair.sync()
    (quotation,) = pair.in_erp("quotations")
    assert (quotation["state"], quotation["gross"]) == ("open", "118.88")
    shown = pair.crm("GET", f"quotes/{made['id']}")
    assert shown["remark"] == "line 10: price 9.99 is below list 12.50"
    assert pair.in_erp("sales_orders") == []

    pair.crm("PATCH", f"quotes/{made['id']}", {"status": "Accepted"})
    for _ in range(5):
        pair.sync()
    (order,) = pair.in_erp("sales_orders")
    assert (order["state"], order["quotation_id"], order["gross"]) \
        == ("confirmed", quotation["id"], "118.88")
    (seen,) = pair.in_crm("orders")
    assert (seen["status"], seen["quoteId"], seen["erpOrderNumber"], seen["totalMicros"]) \
        == ("Confirmed", made["id"], order["order_no"], 118_880_000)
    assert pair.crm("GET", f"quotes/{made['id']}")["status"] == "Ordered"
    (level,) = pair.in_crm("stockLevels")
    assert (level["onHand"], level["reserved"], level["available"]) == (100, 10, 90)

    assert pair.act("ship", order["id"], lines=[{"line_no": 10, "qty": "4"}])["ok"]
    pair.sync()
    (seen,) = pair.in_crm("orders")
    assert (seen["status"], seen["lines"][0]["quantityShipped"]) == ("PartiallyShipped", 4)
    assert pair.in_crm("shipments")[0]["lines"][0]["quantity"] == 4
    assert pair.act("ship", order["id"])["ok"]
    pair.sync()
    assert pair.in_crm("orders")[0]["status"] == "Shipped"
    assert pair.act("invoice", order["id"])["ok"]
    pair.sync()
    (invoice,) = pair.in_crm("invoices")
    assert (invoice["status"], invoice["totalMicros"], invoice["balanceMicros"],
            invoice["orderId"]) == ("Open", 118_880_000, 118_880_000, seen["id"])
    assert pair.crm("GET", f"accounts/{acme['id']}")["balanceMicros"] == 118_880_000
    for amount, status in (("100.00", "PartiallyPaid"), ("18.88", "Paid")):
        pair.erp("POST", "payments", {"invoice_id": 1, "amount": amount, "reference": amount})
        pair.sync()
        assert pair.in_crm("invoices")[0]["status"] == status
    assert pair.in_crm("orders")[0]["status"] == "Paid"
    assert pair.crm("GET", f"accounts/{acme['id']}")["balanceMicros"] == 0
    assert pair.conflicts(*ConflictState) == []
    pair.quiet()


def test_an_order_over_the_limit_stays_a_draft_and_says_why(pair: Pair,
                                                            acme: dict[str, Any]) -> None:
    product, _ = goods(pair)
    pair.edit_erp("customers", 1, finance={"credit_limit": "50.00"})
    quote(pair, acme["id"], product, status="Accepted")
    run = pair.sync()
    (order,) = pair.in_erp("sales_orders")
    (seen,) = pair.in_crm("orders")
    assert (order["state"], seen["status"]) == ("entered", "Draft")
    assert seen["remark"] == order["block"] == "credit limit 50.00 exceeded by 68.88"
    assert pair.crm("GET", f"accounts/{acme['id']}")["creditHold"] is True
    assert pair.failed(run) == 0
    assert pair.in_crm("stockLevels")[0]["reserved"] == 0

    pair.edit_erp("customers", 1, finance={"credit_limit": "5000.00", "on_hold": False})
    pair.crm("PATCH", f"orders/{seen['id']}", {"status": "Confirmed"})
    pair.sync()
    assert pair.in_erp("sales_orders")[0]["state"] == "confirmed"
    assert pair.in_crm("orders")[0]["remark"] is None


def test_an_order_over_the_limit_harms_no_other(pair: Pair, acme: dict[str, Any]) -> None:
    product, _ = goods(pair)
    pair.edit_erp("customers", 1, finance={"credit_limit": "50.00"})
    sound = pair.crm("POST", "accounts", {"name": "Solvent", "vatNumber": "DE9"})
    quote(pair, acme["id"], product, status="Accepted")
    quote(pair, sound["id"], product, quantity=3, status="Accepted")
    run = pair.sync()
    names = {c["id"]: c["display_name"] for c in pair.in_erp("customers")}
    assert {names[o["customer_id"]]: o["state"] for o in pair.in_erp("sales_orders")} \
        == {"Acme GmbH": "entered", "Solvent": "confirmed"}
    assert pair.failed(run) == 0
    assert {a["name"]: a["creditHold"] for a in pair.in_crm("accounts")} \
        == {"Acme GmbH": True, "Solvent": False}
    assert pair.in_crm("stockLevels")[0]["reserved"] == 3
    pair.quiet()
    assert len(pair.in_erp("sales_orders")) == 2


def test_an_order_may_be_born_in_the_crm_and_be_cancelled(pair: Pair,
                                                          acme: dict[str, Any]) -> None:
    product, _ = goods(pair)
    made = pair.crm("POST", "orders", {
        "accountId": acme["id"], "currency": "EUR", "status": "Confirmed", "warehouse": "MAIN",
        "lines": [{"productId": product, "quantity": 3, "unitPriceMicros": 10_000_000}]})
    pair.sync()
    (order,) = pair.in_erp("sales_orders")
    assert (order["state"], order["gross"]) == ("confirmed", "30.00")
    assert pair.crm("GET", f"orders/{made['id']}")["erpOrderNumber"] == order["order_no"]
    pair.crm("PATCH", f"orders/{made['id']}", {"status": "Cancelled"})
    pair.sync()
    assert pair.in_erp("sales_orders")[0]["state"] == "void"
    assert pair.in_crm("stockLevels")[0]["reserved"] == 0
    pair.quiet()


def test_lines_merge_by_their_key(pair: Pair, acme: dict[str, Any]) -> None:
    product, item = goods(pair)
    lines = [{"lineNo": n, "productId": product, "quantity": n, "unitPriceMicros": 1_000_000}
             for n in (10, 20)]
    made = pair.crm("POST", "orders", {"accountId": acme["id"], "currency": "EUR",
                                       "warehouse": "MAIN", "lines": lines})
    pair.sync()
    (order,) = pair.in_erp("sales_orders")
    theirs = [{k: line[k] for k in ("line_no", "item_id", "qty", "price")}
              for line in order["lines"]]
    theirs[1]["qty"] = "21"
    theirs.append({"line_no": 30, "item_id": item, "qty": "5", "price": "2.00"})
    pair.edit_erp("sales_orders", 1, lines=theirs)
    lines[0]["quantity"] = 11
    pair.crm("PATCH", f"orders/{made['id']}", {"lines": lines})
    pair.sync()
    (order,) = pair.in_erp("sales_orders")
    shown = pair.crm("GET", f"orders/{made['id']}")
    assert [(ln["line_no"], ln["qty"]) for ln in order["lines"]] \
        == [(10, "11"), (20, "21"), (30, "5")]
    assert [(ln["lineNo"], ln["quantity"]) for ln in shown["lines"]] \
        == [(10, 11), (20, 21), (30, 5)]
    assert shown["totalMicros"] == 42_000_000
    assert order["gross"] == "42.00"
    assert pair.conflicts(*ConflictState) == []


def test_quoted_and_counted_quantities_go_to_the_erp(pair: Pair, acme: dict[str, Any]) -> None:
    product, _ = goods(pair)
    quote(pair, acme["id"], product, quantity=7)
    (level,) = pair.in_crm("stockLevels")
    pair.crm("PATCH", f"stockLevels/{level['id']}", {"countedQuantity": 96,
                                                    "countedOn": "2026-11-20"})
    pair.sync()
    (theirs,) = pair.in_erp("stock_levels")
    assert (theirs["earmarked"], theirs["count"]["qty"], theirs["on_hand"]) == ("7", "96", "96")
    (level,) = pair.in_crm("stockLevels")
    assert (level["onHand"], level["available"], level["quoted"]) == (96, 96, 7)


def test_a_dispute_goes_to_the_erp_and_what_is_the_erps_is_put_back(
        pair: Pair, acme: dict[str, Any]) -> None:
    product, _ = goods(pair)
    quote(pair, acme["id"], product, status="Accepted")
    pair.sync()
    pair.act("ship", 1)
    pair.act("invoice", 1)
    pair.sync()
    (invoice,) = pair.in_crm("invoices")
    pair.crm("PATCH", f"invoices/{invoice['id']}", {
        "disputed": True, "promisedPaymentDate": "2026-12-24", "balanceMicros": 10_000})
    pair.sync()
    (theirs,) = pair.in_erp("invoices")
    assert (theirs["dispute"], theirs["promised_on"], theirs["open_amount"]) \
        == (True, "24.12.2026", "118.88")
    assert pair.in_crm("invoices")[0]["balanceMicros"] == 118_880_000


def test_an_unknown_value_fails_one_record_and_harms_no_other(pair: Pair) -> None:
    pair.crm("POST", "accounts", {"name": "Sound", "vatNumber": "DE1"})
    odd = pair.crm("POST", "accounts", {"name": "Odd", "vatNumber": "DE2", "country": "QQ"})
    run = pair.sync()
    assert pair.failed(run) == 1
    assert [c["display_name"] for c in pair.in_erp("customers")] == ["Sound"]
    with pair.connector.store.begin() as uow:
        (letter,) = uow.dead_letters("main")
    assert letter.trace_key == f"customer/crm/{odd['id']}"
    assert letter.stage == "decode"
    assert "country" in letter.message
    assert "'QQ'" in letter.message

    pair.crm("PATCH", f"accounts/{odd['id']}", {"country": "DE"})
    pair.sync()
    assert len(pair.in_erp("customers")) == 2
    with pair.connector.store.begin() as uow:
        assert uow.dead_letters("main") == []  # resolved by itself


def test_a_child_waits_for_its_parent(pair: Pair) -> None:
    odd = pair.crm("POST", "accounts", {"name": "Odd", "vatNumber": "DE2", "country": "QQ"})
    pair.crm("POST", "contacts", {"accountId": odd["id"], "lastName": "Doe",
                                  "email": "doe@odd.example"})
    run = pair.sync()
    assert run.tallies["contact", "crm"].outcomes[OutcomeKind.WAITING] == 1
    assert pair.in_erp("contact_persons") == []
    pair.crm("PATCH", f"accounts/{odd['id']}", {"country": "DE"})
    pair.sync()
    (person,) = pair.in_erp("contact_persons")
    assert (person["family_name"], person["customer_id"]) == ("Doe", 1)


def test_a_contact_of_a_customer_that_is_not_selected_waits(pair: Pair) -> None:
    pair.erp("POST", "customers", {"display_name": "Jane Doe", "kind": "person"})
    pair.erp("POST", "contact_persons", {"customer_id": 1, "family_name": "Doe",
                                         "mail": "jane@doe.example"})
    run = pair.sync()
    assert run.tallies["customer", "erp"].outcomes[OutcomeKind.SKIPPED] == 1
    assert run.tallies["contact", "erp"].outcomes[OutcomeKind.WAITING] == 1
    assert pair.in_crm("accounts") == pair.in_crm("contacts") == []
    pair.edit_erp("customers", 1, kind="company")
    pair.sync()
    (account,), (contact,) = pair.in_crm("accounts"), pair.in_crm("contacts")
    assert (account["name"], contact["lastName"], contact["accountId"]) \
        == ("Jane Doe", "Doe", account["id"])
    pair.quiet()


def test_a_quote_with_a_product_that_is_not_linked_waits(pair: Pair, acme: dict[str, Any]) -> None:
    pair.erp("POST", "warehouses", {"code": "MAIN", "name": "Main"})
    odd = pair.crm("POST", "products", {"sku": "ODD", "name": "Odd", "currency": "QQQ"})
    quote(pair, acme["id"], odd["id"])
    run = pair.sync()
    assert run.tallies["quote", "crm"].outcomes[OutcomeKind.WAITING] == 1
    assert pair.in_erp("quotations") == []
    with pair.connector.store.begin() as uow:
        assert uow.inbox_counts("main") == {("quote", "crm", "waiting"): 1}
        assert [d.trace_key for d in uow.dead_letters("main")] == [f"product/crm/{odd['id']}"]
    pair.crm("PATCH", f"products/{odd['id']}", {"currency": "EUR"})
    pair.sync()
    assert len(pair.in_erp("quotations")) == 1


def test_a_contact_may_be_born_in_the_erp(pair: Pair, acme: dict[str, Any]) -> None:
    pair.erp("POST", "contact_persons", {"customer_id": 1, "given_name": "Zoë", "main": True,
                                         "family_name": "Çelik", "mail": "zoe@acme.example"})
    pair.sync()
    (contact,) = pair.in_crm("contacts")
    assert (contact["firstName"], contact["lastName"], contact["accountId"],
            contact["isPrimary"]) == ("Zoë", "Çelik", acme["id"], True)
    pair.crm("PATCH", f"contacts/{contact['id']}", {"jobTitle": "Buyer"})
    pair.sync()
    assert pair.in_erp("contact_persons")[0]["function"] == "Buyer"
    pair.quiet()


def test_an_ambiguous_match_is_held_for_a_person(pair: Pair) -> None:
    pair.erp("POST", "customers", {"display_name": "Twin", "tax": {"vat_no": "DE5"}})
    first, second = (pair.crm("POST", "accounts", {"name": name, "vatNumber": "DE5"})
                     for name in ("Twin", "Twin branch"))
    pair.sync()
    assert len(pair.in_erp("customers")) == 1
    assert len(pair.in_crm("accounts")) == 2
    asked = {c.crm: c for c in pair.conflicts() if c.kind == "ambiguous_match"}
    pair.engine.resolve(asked[first["id"]], {"link": "1"})
    assert pair.crm("GET", f"accounts/{first['id']}")["erpNumber"] == "C10001"
    pair.engine.resolve(next(c for c in pair.conflicts() if c.crm == second["id"]),
                        {"create": True})
    assert [c["display_name"] for c in pair.in_erp("customers")] == ["Twin", "Twin branch"]
    pair.quiet()
    assert pair.conflicts() == []


def test_a_plan_writes_nothing_and_is_applied_exactly(pair: Pair, acme: dict[str, Any]) -> None:
    pair.crm("PATCH", f"accounts/{acme['id']}", {"city": "Bonn"})
    other = pair.crm("POST", "accounts", {"name": "Later", "vatNumber": "DE7"})
    plan = pair.engine.plan()
    assert {(a.kind, a.target) for a in plan.actions} == {
        (ActionKind.UPDATE, "erp"), (ActionKind.CREATE, "erp")}
    assert pair.in_erp("customers")[0]["address"]["town"] == "Berlin"
    file = pair.folder / "plan.json"
    file.write_bytes(plan.to_json())

    pair.crm("PATCH", f"accounts/{other['id']}", {"name": "Changed since"})
    run = pair.engine.apply(read_gate(file, "main"))
    (customer,) = pair.in_erp("customers")
    assert customer["address"]["town"] == "Bonn"
    assert run.tallies["customer", "crm"].outcomes[OutcomeKind.SKIPPED] == 1
    pair.sync()
    assert [c["display_name"] for c in pair.in_erp("customers")] == ["Acme GmbH", "Changed since"]


def test_a_deletion_deactivates_the_other_side(pair: Pair, acme: dict[str, Any]) -> None:
    pair.crm("DELETE", f"accounts/{acme['id']}")
    pair.sync()
    assert pair.in_erp("customers")[0]["archived"] is True
    assert pair.in_crm("accounts") == []
    pair.quiet()


def test_what_is_undeleted_is_in_use_on_both_sides(pair: Pair, acme: dict[str, Any]) -> None:
    pair.crm("DELETE", f"accounts/{acme['id']}")
    pair.sync()
    assert pair.in_erp("customers")[0]["archived"] is True
    pair.crm("POST", f"accounts/{acme['id']}/restore")
    pair.sync()
    assert [a["id"] for a in pair.in_crm("accounts")] == [acme["id"]]
    assert [c["archived"] for c in pair.in_erp("customers")] == [False]
    pair.edit_erp("customers", 1, archived=True)
    pair.sync()
    assert pair.in_crm("accounts")[0]["active"] is False
    pair.edit_erp("customers", 1, archived=False)
    pair.sync()
    assert pair.in_crm("accounts")[0]["active"] is True
    assert pair.conflicts(*ConflictState) == []
    pair.quiet()


def test_a_customer_that_was_made_here_is_restored_within_a_day(pair: Pair) -> None:
    """The CRM remembers the key of the first creation: the second one is another call."""
    pair.reconfigure("on_delete: deactivate", "on_delete: restore")
    pair.erp("POST", "customers", {"display_name": "Acme"})
    pair.erp("POST", "contact_persons", {"customer_id": 1, "family_name": "Eve"})
    pair.sync()
    (first,) = pair.in_crm("accounts")
    pair.crm("DELETE", f"accounts/{first['id']}")
    pair.sync()
    (anew,) = pair.in_crm("accounts")
    assert anew["id"] != first["id"]
    assert [c["accountId"] for c in pair.in_crm("contacts")] == [anew["id"]]
    assert len(pair.in_erp("customers")) == 1
    pair.quiet()
    pair.edit_erp("customers", 1, display_name="Acme AG")
    pair.sync()
    assert [a["name"] for a in pair.in_crm("accounts")] == ["Acme AG"]
    pair.edit_erp("customers", 1, archived=True)
    pair.sync()
    assert [c["archived"] for c in pair.in_erp("customers")] == [False]
    pair.quiet()


def test_a_deletion_against_an_edit_waits_for_a_person(pair: Pair, acme: dict[str, Any]) -> None:
    pair.crm("DELETE", f"accounts/{acme['id']}")
    pair.edit_erp("customers", 1, address={"town": "Bonn"})
    pair.sync()
    assert pair.in_erp("customers")[0]["archived"] is False
    (conflict,) = pair.conflicts()
    assert conflict.kind == "update_against_delete"
    pair.engine.resolve(conflict, {"take": "crm"})
    assert pair.in_erp("customers")[0]["archived"] is True


def test_the_question_of_a_deletion_outlives_another_edit(pair: Pair, acme: dict[str, Any]) -> None:
    pair.crm("DELETE", f"accounts/{acme['id']}")
    pair.edit_erp("customers", 1, address={"town": "Bonn"})
    pair.sync()
    (asked,) = pair.conflicts()
    pair.edit_erp("customers", 1, address={"town": "Ulm"})
    pair.sync()
    assert pair.conflicts(ConflictState.SETTLED) == []
    assert [c.id for c in pair.conflicts()] == [asked.id]
    pair.engine.resolve(asked, {"take": "crm"})
    assert pair.in_erp("customers")[0]["archived"] is True
    pair.quiet()


def test_an_edit_under_our_hands_is_merged_not_lost(pair: Pair, acme: dict[str, Any]) -> None:
    pair.crm("PATCH", f"accounts/{acme['id']}", {"city": "Bonn"})
    edited: list[str] = []

    def meddle(point: str) -> None:
        if point == "before write" and not edited:
            edited.append(point)
            pair.edit_erp("customers", 1, address={"line2": "Gate 4"})

    pair.connector.engine("main", crash=meddle).sync()
    (customer,) = pair.in_erp("customers")
    assert (customer["address"]["town"], customer["address"]["line2"]) == ("Bonn", "Gate 4")
    assert pair.crm("GET", f"accounts/{acme['id']}")["street2"] == "Gate 4"
    pair.quiet()


def test_an_edit_behind_recorded_intents_is_merged_and_asked(pair: Pair,
                                                             acme: dict[str, Any]) -> None:
    pair.crm("PATCH", f"accounts/{acme['id']}", {"city": "Bonn", "email": "sales@acme.example"})
    left = [1]

    def meddle(point: str) -> None:
        if point == "intents recorded" and left:
            left.pop()
            pair.edit_erp("customers", 1, address={"line2": "Gate 4"},
                          mail="books@acme.example")

    pair.connector.engine("main", crash=meddle).sync()
    account, (customer,) = pair.crm("GET", f"accounts/{acme['id']}"), pair.in_erp("customers")
    assert (customer["address"]["town"], customer["address"]["line2"]) == ("Bonn", "Gate 4")
    assert account["street2"] == "Gate 4"
    assert (account["email"], customer["mail"]) == ("sales@acme.example", "books@acme.example")
    (asked,) = pair.conflicts()
    assert (asked.path, asked.base, asked.crm, asked.erp) == (
        "email", "info@acme.example", "sales@acme.example", "books@acme.example")
    pair.quiet()


FAULTS = [("fail_after", {"status": 500}), ("fail_after", {"status": 503}), ("drop_after", {}),
          ("half_body", {}), ("fail_before", {"status": 500}), ("rate_limit", {})]


@pytest.mark.parametrize(("kind", "more"), FAULTS)
@pytest.mark.parametrize("side", slow_but(["erp"], ["crm", "erp"]))
def test_a_lost_answer_doubles_nothing(pair: Pair, kind: str, more: dict[str, Any],
                                       side: str) -> None:
    pair.crm("POST", "accounts", {"name": "A", "vatNumber": "DE1"})
    pair.erp("POST", "customers", {"display_name": "B", "tax": {"vat_no": "DE2"}})
    url, path = (pair.crm_url, "/api/accounts/batch") if side == "crm" \
        else (pair.erp_url, "/v1/customers/bulk")
    requests.post(f"{url}/_faults", timeout=10, json=[
        {"kind": kind, "match": {"method": "POST", "path": path}, "times": 3, **more}])
    for _ in range(3):
        try:
            pair.engine.sync()
        except SystemUnreachable:
            continue
    pair.quiet()
    assert sorted(a["name"] for a in pair.in_crm("accounts")) == ["A", "B"]
    assert sorted(c["display_name"] for c in pair.in_erp("customers")) == ["A", "B"]


POINTS = ["page read", "intents recorded", "before write", "after write", "results not kept",
          "results kept"]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("nth", slow_but([2], [1, 2, 4]))
def test_dying_at_any_point_loses_and_doubles_nothing(pair: Pair, acme: dict[str, Any],
                                                      point: str, nth: int) -> None:
    product, _ = goods(pair)
    pair.crm("PATCH", f"accounts/{acme['id']}", {"city": "Bonn"})
    made = quote(pair, acme["id"], product, status="Accepted")
    die = dying(point, nth)
    with pytest.raises(KeyboardInterrupt):
        while True:
            pair.connector.engine("main", crash=die).sync()
    pair.sync()
    assert pair.in_erp("customers")[0]["address"]["town"] == "Bonn"
    assert [o["external_ref"] for o in pair.in_erp("sales_orders")] \
        == [f"crm:quote:{made['id']}"]
    assert len(pair.in_erp("quotations")) == len(pair.in_crm("orders")) == 1
    pair.quiet()


def test_a_system_that_is_away_loses_nothing(pair: Pair, acme: dict[str, Any]) -> None:
    pair.crm("PATCH", f"accounts/{acme['id']}", {"city": "Bonn"})
    requests.post(f"{pair.erp_url}/_faults", timeout=10, json=[
        {"kind": "fail_before", "match": {"path": "/v1"}, "times": 1_000, "status": 503}])
    with pytest.raises(SystemUnreachable, match="erp: "):
        pair.engine.sync()
    requests.delete(f"{pair.erp_url}/_faults", timeout=10)
    pair.sync()
    assert pair.in_erp("customers")[0]["address"]["town"] == "Bonn"


def test_history_and_explain_tell_who_set_what(pair: Pair, acme: dict[str, Any]) -> None:
    pair.crm("PATCH", f"accounts/{acme['id']}", {"city": "Bonn"})
    run = pair.sync()
    with pair.connector.store.begin() as uow:
        ids = uow.canonical_ids("main", "customer", "crm", [acme["id"]])
        entries = uow.history("main", "customer", ids[acme["id"]])
    last = entries[-1]
    assert (last.run_id, last.target) == (run.id, "erp")
    (changed,) = last.changes
    assert (changed.path, changed.before, changed.after, changed.rule) \
        == ("city", "Berlin", "Bonn", "changed in the crm")


