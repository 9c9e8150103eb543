"""Several records of one thing: known, understood where others refer to them, never doubled."""

from __future__ import annotations

from typing import Any

import pytest

from connector.bootstrap import open_connector
from connector.domain.actions import OutcomeKind
from connector.engine.answers import decision_for
from connector.errors import RunFailed
from tests.integration.conftest import ImpatientClock, Pair

VAT = "DE136695976"


@pytest.fixture
def several(pair: Pair) -> Pair:
    """A pair in which several customers of the ERP may be one account."""
    text = pair.config.read_text(encoding="utf-8")
    pair.config.write_text(text.replace("match: [vat_number]\n",
                                        "match: [vat_number]\n        several_in: erp\n"),
                           encoding="utf-8")
    pair.connector.close()
    pair.connector = open_connector(pair.config, ImpatientClock())
    pair.engine = pair.connector.engine("main")
    return pair


def account(pair: Pair, name: str, vat: str | None = VAT) -> str:
    return str(pair.crm("POST", "accounts", {"name": name, "vatNumber": vat})["id"])


def customer(pair: Pair, name: str, vat: str | None = VAT) -> int:
    return int(pair.erp("POST", "customers", {"display_name": name, "tax": {"vat_no": vat}})["id"])


def item(pair: Pair) -> int:
    pair.erp("POST", "warehouses", {"code": "MAIN", "name": "Main"})
    return int(pair.erp("POST", "items", {"item_code": "BOLT", "label": "Bolt"})["id"])


def order(pair: Pair, customer: int, item: int) -> int:
    return int(pair.erp("POST", "sales_orders", {
        "customer_id": customer, "currency_code": "EUR", "warehouse": "MAIN",
        "lines": [{"line_no": 1, "item_id": item, "qty": "2", "price": "5.00"}]})["id"])


def links(pair: Pair, external_id: str | int, system: str) -> dict[str, tuple[bool, bool]]:
    """All records that are the same thing: whether an alias, whether living."""
    with pair.connector.store.begin() as uow:
        ids = uow.canonical_ids("main", "customer", system, [str(external_id)])
        found = uow.links_by_canonical("main", "customer", list(ids.values()))
    return {x.external_id: (x.alias, x.seen is not None) for those in found.values() for x in those}


def names(pair: Pair) -> tuple[list[str], list[str]]:
    return (sorted(a["name"] for a in pair.in_crm("accounts")),
            sorted(c["display_name"] for c in pair.in_erp("customers")))


def order_of(pair: Pair, erp_id: int) -> dict[str, Any]:
    """The CRM's counterpart of an ERP order."""
    number = pair.erp("GET", f"sales_orders/{erp_id}")["order_no"]
    (found,) = [o for o in pair.in_crm("orders") if o["erpOrderNumber"] == number]
    return found


def two_pairs(pair: Pair) -> tuple[str, str, int, int]:
    """Two accounts with a customer each."""
    first, second = account(pair, "Kunde", VAT), account(pair, "Kunde neu", None)
    pair.sync()
    by_name = {c["display_name"]: c["id"] for c in pair.in_erp("customers")}
    return first, second, by_name["Kunde"], by_name["Kunde neu"]


def test_one_account_with_two_customers(several: Pair) -> None:
    pair = several
    one, other = customer(pair, "Kunde Nord"), customer(pair, "Kunde Süd")
    mine = account(pair, "Kunde")
    bolt = item(pair)
    placed = [order(pair, one, bolt), order(pair, other, bolt)]
    run = pair.sync()
    assert links(pair, mine, "crm") == {mine: (False, True), str(one): (False, True),
                                        str(other): (True, True)}
    assert run.tallies["customer", "erp"].outcomes[OutcomeKind.SKIPPED] == 1
    assert len(pair.in_crm("accounts")) == 1
    assert len(pair.in_erp("customers")) == 2
    assert [order_of(pair, o)["accountId"] for o in placed] == [mine, mine]
    pair.quiet()
    pair.edit_erp("customers", other, tel="+49 30 1234567")
    assert not any(pair.sync().writes.values())


def test_where_the_pair_does_not_say_so_a_person_is_asked_and_may_tie_them(pair: Pair) -> None:
    one, other = customer(pair, "Kunde Nord"), customer(pair, "Kunde Süd")
    mine = account(pair, "Kunde")
    pair.sync()
    questions = [c for c in pair.conflicts() if c.kind == "ambiguous_match"]
    assert len(questions) == 3
    assert names(pair) == (["Kunde"], ["Kunde Nord", "Kunde Süd"])
    of_account = next(c for c in questions if c.crm == mine)
    pair.engine.resolve(of_account, decision_for(of_account, link=str(one)))
    of_other = next(c for c in pair.conflicts() if c.kind == "ambiguous_match"
                    and c.erp == str(other))
    pair.engine.resolve(of_other, decision_for(of_other, link=mine))
    assert links(pair, mine, "crm") == {mine: (False, True), str(one): (False, True),
                                        str(other): (True, True)}
    assert not [c for c in pair.conflicts() if c.kind == "ambiguous_match"]
    pair.quiet()
    assert len(pair.in_crm("accounts")) == 1


def test_customers_merged_in_the_erp(pair: Pair) -> None:
    first, second, one, other = two_pairs(pair)
    placed = order(pair, other, item(pair))
    pair.sync()
    assert order_of(pair, placed)["accountId"] == second
    pair.erp("POST", f"customers/{other}/merge", {"into": one})
    pair.sync()
    assert links(pair, first, "crm") == {
        first: (False, True), str(one): (False, True), second: (True, True),
        str(other): (True, False)}
    assert order_of(pair, placed)["accountId"] == second  # it was there, and is the same customer
    pair.quiet()
    quote = pair.crm("POST", "quotes", {
        "accountId": second, "currency": "EUR", "status": "Accepted", "lines": [
            {"lineNo": 1, "productId": pair.in_crm("products")[0]["id"], "quantity": 1,
             "unitPriceMicros": 5_000_000}]})
    pair.sync()
    made = [o for o in pair.in_erp("sales_orders") if o["id"] != placed]
    assert [o["customer_id"] for o in made] == [one]
    assert pair.crm("GET", f"quotes/{quote['id']}")["accountId"] == second
    pair.crm("PATCH", f"accounts/{second}", {"phone": "+49 30 7654321"})
    pair.quiet()
    assert names(pair) == (["Kunde", "Kunde neu"], ["Kunde", "Kunde neu"])
    assert pair.conflicts() == []


def test_accounts_merged_in_the_crm(pair: Pair) -> None:
    first, second, one, other = two_pairs(pair)
    placed = order(pair, other, item(pair))
    pair.sync()
    pair.crm("POST", f"accounts/{second}/merge", {"into": first})
    assert order_of(pair, placed)["accountId"] == first
    run = pair.sync()
    assert links(pair, one, "erp") == {
        first: (False, True), str(one): (False, True), second: (True, False),
        str(other): (True, True)}
    assert ("order", "erp", "update") not in run.writes
    assert pair.erp("GET", f"sales_orders/{placed}")["customer_id"] == other
    assert pair.erp("GET", f"customers/{other}")["archived"] is False
    pair.quiet()
    # its twin is merged as well
    pair.erp("POST", f"customers/{other}/merge", {"into": one})
    pair.quiet()
    assert links(pair, one, "erp")[str(other)] == (True, False)
    assert order_of(pair, placed)["accountId"] == first


def test_a_record_merged_into_one_that_nobody_knew_lives_on_in_it(pair: Pair) -> None:
    mine = account(pair, "Kunde")
    pair.sync()
    (there,) = pair.in_erp("customers")
    new = customer(pair, "Kunde GmbH", None)
    pair.erp("POST", f"customers/{there['id']}/merge", {"into": new})
    pair.sync()
    assert links(pair, mine, "crm") == {mine: (False, True), str(new): (False, True),
                                        str(there["id"]): (True, False)}
    assert names(pair)[0] == ["Kunde GmbH"]  # what its survivor says was changed in the ERP
    pair.quiet()


def test_where_the_one_kept_in_agreement_is_deleted_an_alias_takes_its_place(
        several: Pair) -> None:
    pair = several
    one, other = customer(pair, "Kunde"), customer(pair, "Kunde Süd")
    mine = account(pair, "Kunde")
    pair.sync()
    pair.erp("POST", f"customers/{one}/merge", {"into": other})
    pair.sync()
    pair.quiet()
    assert links(pair, mine, "crm") == {mine: (False, True), str(one): (True, False),
                                        str(other): (False, True)}
    assert names(pair)[0] == ["Kunde Süd"]
    pair.crm("PATCH", f"accounts/{mine}", {"name": "Kunde AG"})
    pair.sync()
    assert pair.erp("GET", f"customers/{other}")["display_name"] == "Kunde AG"
    assert pair.erp("GET", f"customers/{one}")["display_name"] == "Kunde"


def test_parted_again(pair: Pair) -> None:
    first, second, one, other = two_pairs(pair)
    pair.erp("POST", f"customers/{other}/merge", {"into": one})
    pair.sync()
    pair.engine.split("customer", ("crm", second))
    pair.quiet()
    made = [c["id"] for c in pair.in_erp("customers") if c["id"] not in (one, other)]
    assert links(pair, second, "crm") == {second: (False, True), str(made[0]): (False, True)}
    assert links(pair, first, "crm") == {first: (False, True), str(one): (False, True),
                                         str(other): (True, False)}
    assert len(made) == 1


@pytest.mark.parametrize("parted", ["crm", "erp"])
def test_two_that_were_wrongly_tied(pair: Pair, parted: str) -> None:
    mine, theirs = account(pair, "Kunde"), customer(pair, "Kundin")
    pair.sync()
    assert links(pair, mine, "crm").keys() == {mine, str(theirs)}
    pair.engine.split("customer", (parted, mine if parted == "crm" else str(theirs)))
    pair.quiet()
    assert len(links(pair, mine, "crm")) == len(links(pair, theirs, "erp")) == 2
    assert links(pair, mine, "crm").keys().isdisjoint(links(pair, theirs, "erp"))
    assert len(pair.in_crm("accounts")) == len(pair.in_erp("customers")) == 2


def test_tied_by_hand(pair: Pair) -> None:
    first, second, one, other = two_pairs(pair)
    pair.engine.join("customer", ("erp", str(other)), ("crm", first))
    assert links(pair, first, "crm") == {
        first: (False, True), str(one): (False, True), second: (True, True),
        str(other): (True, True)}
    pair.quiet()
    assert names(pair) == (["Kunde", "Kunde neu"], ["Kunde", "Kunde neu"])


def test_tied_by_hand_and_parted_again(pair: Pair) -> None:
    first, second, one, other = two_pairs(pair)
    pair.engine.join("customer", ("erp", str(other)), ("crm", first))
    pair.quiet()
    pair.engine.split("customer", ("crm", second))
    assert links(pair, first, "crm") == {first: (False, True), str(one): (False, True)}
    assert links(pair, second, "crm") == {second: (False, True), str(other): (False, True)}
    pair.quiet()
    assert names(pair) == (["Kunde", "Kunde neu"], ["Kunde", "Kunde neu"])


@pytest.mark.parametrize("parted", ["crm", "erp"])
def test_two_that_were_made_for_each_other_are_not_parted(pair: Pair, parted: str) -> None:
    mine = account(pair, "Kunde")
    pair.sync()
    (theirs,) = (str(c["id"]) for c in pair.in_erp("customers"))
    before = links(pair, mine, "crm")
    with pytest.raises(RunFailed, match="tied to nothing but what was made for it"):
        pair.engine.split("customer", (parted, mine if parted == "crm" else theirs))
    assert links(pair, mine, "crm") == before
    pair.quiet()


def test_what_was_merged_stays_with_what_it_became(pair: Pair) -> None:
    first, second, one, other = two_pairs(pair)
    pair.crm("POST", f"accounts/{first}/merge", {"into": second})
    pair.sync()
    pair.engine.split("customer", ("erp", str(other)))
    assert links(pair, second, "crm") == {second: (False, True), first: (True, False),
                                          str(other): (False, True)}
    pair.quiet()
    (made,) = (a["id"] for a in pair.in_crm("accounts") if a["id"] != second)
    assert links(pair, one, "erp") == {str(one): (False, True), made: (False, True)}


def test_whose_contact_it_is_is_asked_where_a_customer_was_parted(pair: Pair) -> None:
    mine, theirs = account(pair, "Kunde"), customer(pair, "Kunde")
    contact = pair.crm("POST", "contacts", {"accountId": mine, "lastName": "Meier"})
    pair.sync()
    pair.engine.split("customer", ("crm", mine))
    pair.sync()
    (asked,) = (c for c in pair.conflicts() if c.entity == "contact")
    with pair.connector.store.begin() as uow:
        owners = {system: uow.canonical_ids("main", "customer", system, [ext])[ext]
                  for system, ext in (("crm", mine), ("erp", str(theirs)))}
    assert (asked.path, asked.crm, asked.erp) == ("customer", owners["crm"], owners["erp"])
    pair.engine.resolve(asked, decision_for(asked, take="crm"))
    pair.quiet()
    assert pair.crm("GET", f"contacts/{contact['id']}")["accountId"] == mine
    (in_erp,) = pair.in_erp("contact_persons")
    (new,) = (c["id"] for c in pair.in_erp("customers") if c["id"] != theirs)
    assert in_erp["customer_id"] == new


def test_a_record_is_not_parted_from_what_is_deleted(pair: Pair) -> None:
    first, _, one, _ = two_pairs(pair)
    pair.crm("DELETE", f"accounts/{first}")
    for _ in ("not read yet", "known"):
        with pytest.raises(RunFailed, match="tied to nothing else that is there"):
            pair.engine.split("customer", ("erp", str(one)))
        with pytest.raises(RunFailed, match=f"{first} of crm is not there any more"):
            pair.engine.split("customer", ("crm", first))
        pair.sync()
    pair.quiet()


def test_a_record_that_comes_back_settles_no_conflict_of_what_took_its_place(pair: Pair) -> None:
    first, second, one, other = two_pairs(pair)
    pair.engine.join("customer", ("erp", str(other)), ("crm", first))
    pair.crm("DELETE", f"accounts/{first}")
    pair.quiet()
    pair.crm("PATCH", f"accounts/{second}", {"name": "Kunde AG"})
    pair.edit_erp("customers", one, display_name="Kunde KG")
    pair.sync()
    assert [(c.path, c.crm, c.erp) for c in pair.conflicts()] == [("name", "Kunde AG", "Kunde KG")]
    pair.crm("POST", f"accounts/{first}/restore", {})
    pair.quiet()
    assert links(pair, second, "crm") == {first: (True, True), second: (False, True),
                                          str(one): (False, True), str(other): (True, True)}
    assert [(c.path, c.crm, c.erp) for c in pair.conflicts()] == [("name", "Kunde AG", "Kunde KG")]
