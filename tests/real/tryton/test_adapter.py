"""The Tryton adapter on a real Tryton: its promises, and a sale from quote to payment."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import partial
from threading import Thread
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from connector.adapters.tryton import Tryton
from connector.domain.records import (
    Batch,
    Intent,
    Operation,
    RemoteRecord,
    WriteResult,
    WriteStatus,
)
from connector.native.serving import free_port
from connector.testing.adapter_suite import AdapterSuite
from connector.testing.adapter_world import AdapterWorld, change, create, one
from tests.between import between
from tests.real.tryton.clerk import Clerk
from tests.real.tryton.conftest import adapter
from tests.real.tryton.server import TrytonServer

_numbers = itertools.count(1)


# ---- the promises


class TestCustomers(AdapterSuite):
    @pytest.fixture
    def world(self, promised_tryton: TrytonServer) -> AdapterWorld:
        clerk = Clerk(promised_tryton)
        clerk.delete_all("party.party", [["id", ">", 2]])  # its own, and its employee's
        return AdapterWorld(
            adapter(promised_tryton), "customers",
            lambda n: {"name": f"Customer {n}", "contact_mechanisms": {"phone": f"+49 30 {n}"}},
            "name",
            lambda ext, changes: clerk.do("party.party", "write", [int(ext)], dict(changes)),
            lambda ext: clerk.do("party.party", "delete", [int(ext)]),
            invalid={"name": "Nobody", "tax_identifier": "DE1"},
            wrong_credentials=adapter(promised_tryton, password=SecretStr("wrong")),
            unreachable=adapter(promised_tryton, url=f"http://127.0.0.1:{free_port()}"))

    def test_text_survives(self, world: AdapterWorld) -> None:
        """A party's name is one line: Tryton refuses others."""
        (made,) = create(world, 1)
        for n, text in enumerate(("Żółć 日本 \U0001f600 'x' \"y\" <z>", "x" * 200, "NO", "007")):
            result = change(world, made, {"name": text}, f"change {n}")
            assert result.record is not None
            made = result.record
            assert one(world, made.external_id).payload["name"] == text
        refused = change(world, made, {"name": "a\nb"})
        assert refused.status is WriteStatus.REJECTED
        assert "invalid chars" in refused.error


class TestProducts(AdapterSuite):
    @pytest.fixture
    def world(self, promised_tryton: TrytonServer) -> AdapterWorld:
        clerk = Clerk(promised_tryton)
        clerk.delete_all("product.template", [])
        return AdapterWorld(
            adapter(promised_tryton), "products",
            lambda n: {"code": f"P-{n}", "name": f"Product {n}", "unit": "u",
                       "description": f"Text {n}",
                       "tax_percent": Decimal(19), "list_price": Decimal("9.99")},
            "description",
            lambda ext, changes: clerk.do("product.product", "write", [int(ext)], dict(changes)),
            lambda ext: clerk.do("product.product", "delete", [int(ext)]),
            "list_price", [Decimal("0.1"), Decimal("1234567.6543")], "description",
            {"code": "P-2", "name": "No such unit", "unit": "firkin"},
            wrong_credentials=adapter(promised_tryton, password=SecretStr("wrong")),
            unreachable=adapter(promised_tryton, url=f"http://127.0.0.1:{free_port()}"))


def of_a_customer(server: TrytonServer, object: str, model: str,
                  payload: Callable[[int, RemoteRecord], dict[str, Any]]) -> AdapterWorld:
    """A world of documents of one customer; one has to be cancelled before it is deleted."""
    clerk, to = Clerk(server), adapter(server)
    buyer = created(to, "customers", {"name": "Buyer", "address": {"city": "Ulm"}})

    def delete(ext: str) -> None:
        for action in ("cancel", "delete"):
            clerk.do(model, action, [int(ext)])

    return AdapterWorld(
        to, object, lambda n: payload(n, buyer), "comment",
        lambda ext, changes: clerk.do(model, "write", [int(ext)], dict(changes)), delete,
        long_text_field="comment", invalid={"party": 9_999_999, "currency": "NONE"},
        wrong_credentials=adapter(server, password=SecretStr("wrong")),
        unreachable=adapter(server, url=f"http://127.0.0.1:{free_port()}"))


class TestQuotations(AdapterSuite):
    @pytest.fixture
    def world(self, promised_tryton: TrytonServer) -> AdapterWorld:
        _emptied(promised_tryton)
        return of_a_customer(
            promised_tryton, "quotations", "sale.sale", lambda n, buyer: {
                "party": buyer.external_id, "comment": f"Quotation {n}", "progress": "quotation"})


class TestOrdersFromQuotations(AdapterSuite):
    @pytest.mark.skip(reason="an order is its quotation: there is nothing to confirm without")
    def test_what_was_deleted_may_be_created_again(self, world: AdapterWorld) -> None:
        """Not to be promised here."""

    @pytest.fixture
    def world(self, promised_tryton: TrytonServer) -> AdapterWorld:
        _emptied(promised_tryton)
        made: dict[int, str] = {}

        def order_of(n: int, buyer: RemoteRecord) -> dict[str, Any]:
            if n not in made:
                made[n] = created(adapter(promised_tryton), "quotations", {
                    "party": buyer.external_id, "comment": f"Quotation {n}"}).external_id
            return {"party": buyer.external_id, "quotation": made[n], "comment": f"Order {n}"}

        return of_a_customer(promised_tryton, "sales", "sale.sale", order_of)


class TestOpportunities(AdapterSuite):
    @pytest.fixture
    def world(self, promised_tryton: TrytonServer) -> AdapterWorld:
        _emptied(promised_tryton)
        return replace(of_a_customer(
            promised_tryton, "opportunities", "sale.opportunity", lambda n, buyer: {
                "party": buyer.external_id, "description": f"Deal {n}", "comment": f"Text {n}",
                "progress": "opportunity"}),
            decimal_field="amount", decimal_values=[Decimal("0.10"), Decimal("1234567.64")])


def _emptied(server: TrytonServer) -> None:
    clerk = Clerk(server)
    for model in ("sale.sale", "sale.opportunity"):
        open_ones = clerk.do(model, "search", [["state", "!=", "cancelled"]], 0, None, None)
        clerk.do(model, "cancel", open_ones)
        clerk.delete_all(model, [])


# ---- single things


def write(to: Tryton, object: str, operation: Operation, *payloads: Mapping[str, Any],
          record: RemoteRecord | None = None, reference: str = "") -> list[WriteResult]:
    n = next(_numbers)
    return to.write(Batch(f"batch {n}", object, operation, tuple(
        Intent(f"{n}.{i}", "thing", "1", "erp", operation, payload, {},
               reference or f"crm:{n}.{i}", record.external_id if record else None,
               record.version if record else None) for i, payload in enumerate(payloads))))


def created(to: Tryton, object: str, payload: Mapping[str, Any]) -> RemoteRecord:
    (result,) = write(to, object, Operation.CREATE, payload)
    assert result.status is WriteStatus.CREATED, result.error
    assert result.record is not None
    return result.record


def updated(to: Tryton, object: str, record: RemoteRecord,
            changes: Mapping[str, Any]) -> WriteResult:
    (result,) = write(to, object, Operation.UPDATE, changes, record=record)
    return result


def read(to: Tryton, object: str, cursor: str | None = None) -> tuple[dict[str, RemoteRecord], str]:
    pages = list(to.pull(object, cursor))
    return {r.external_id: r for page in pages for r in page.records}, pages[-1].cursor


def stocked(to: Tryton, clerk: Clerk, code: str, quantity: float,
            price: str = "100") -> RemoteRecord:
    """A product, so much of which lies in the first warehouse."""
    product = created(to, "products", {
        "code": code, "name": f"Product {code}", "unit": "u", "tax_percent": Decimal(19),
        "list_price": Decimal(price)})
    (storage,) = clerk.read("stock.location", [["code", "=", "STO"]], "code")
    (inventory,) = clerk.do("stock.inventory", "create", [{
        "location": storage["id"], "lines": [["create", [
            {"product": int(product.external_id), "quantity": quantity}]]]}])
    clerk.do("stock.inventory", "confirm", [inventory])
    return product


def order(customer: RemoteRecord, product: RemoteRecord, **more: Any) -> dict[str, Any]:
    line = {"line_no": 1, "product": product.external_id, "quantity": Decimal(5),
            "base_price": Decimal("100"), "discount_percent": Decimal("12.5"),
            "tax_percent": Decimal(19), "description": "five of them"}
    return {"party": customer.external_id, "currency": "EUR", "warehouse": "WH",
            "reference": "PO 77", "sale_date": None, "lines": [
                line, {**line, "line_no": 2, "quantity": Decimal(1), "discount_percent": None,
                       "tax_percent": Decimal(7), "description": None}], **more}


def test_a_customer_keeps_address_mechanisms_and_tax_number(erp: Tryton, clerk: Clerk) -> None:
    made = created(erp, "customers", {
        "name": "Müller KG", "active": True, "tax_identifier": "DE136695976",
        "customer_payment_term": "Net 30 days",
        "address": {"street": "Hauptstr. 1", "street2": "Hof", "city": "Köln",
                    "postal_code": "50667", "country": "DE"},
        "contact_mechanisms": {"phone": "+49 221 1", "email": "a@mueller.example"}})
    assert made.payload["tax_identifier"] == "DE136695976"
    assert made.payload["address"] == {
        "street": "Hauptstr. 1", "street2": "Hof", "city": "Köln", "postal_code": "50667",
        "subdivision": None, "country": "DE"}
    result = updated(erp, "customers", made, {
        "address": {"street2": None, "city": "Bonn"}, "tax_identifier": "US 12-3456789",
        "contact_mechanisms": {"phone": None, "email": "b@mueller.example",
                               "website": "https://mueller.example"}})
    assert result.record is not None, result.error
    now = result.record.payload
    assert now["address"]["street"] == "Hauptstr. 1"
    assert (now["address"]["street2"], now["address"]["city"]) == (None, "Bonn")
    assert now["tax_identifier"] == "US 12-3456789"
    assert now["contact_mechanisms"] == {
        "phone": None, "mobile": None, "fax": None, "email": "b@mueller.example",
        "website": "https://mueller.example"}
    assert now["customer_payment_term"] == "Net 30 days"
    party = int(made.external_id)
    assert len(clerk.read("party.address", [["party", "=", party]], "city")) == 1
    assert updated(erp, "customers", made, {"name": "x"}).status is WriteStatus.STALE


def test_edits_of_what_belongs_to_a_customer_come_up(erp: Tryton, clerk: Clerk) -> None:
    made = created(erp, "customers", {"name": "Kids", "address": {"city": "Ulm"},
                                      "contact_mechanisms": {"phone": "+49 731 1"}})
    _, cursor = read(erp, "customers")
    (address,) = clerk.read("party.address", [["party", "=", int(made.external_id)]], "city")
    clerk.do("party.address", "write", [address["id"]], {"city": "Neu-Ulm"})
    changed, cursor = read(erp, "customers", cursor)
    assert changed[made.external_id].payload["address"]["city"] == "Neu-Ulm"
    assert changed[made.external_id].version != made.version
    assert updated(erp, "customers", made, {"name": "x"}).status is WriteStatus.STALE
    clerk.do("party.contact_mechanism", "create", [
        {"party": int(made.external_id), "type": "email", "value": "kid@ulm.example"}])
    changed, _ = read(erp, "customers", cursor)
    assert changed[made.external_id].payload["contact_mechanisms"]["email"] == "kid@ulm.example"


def test_a_deleted_customer_is_told_once(erp: Tryton, clerk: Clerk) -> None:
    made = created(erp, "customers", {"name": "Short-lived"})
    _, cursor = read(erp, "customers")
    clerk.do("party.party", "delete", [int(made.external_id)])
    gone, cursor = read(erp, "customers", cursor)
    assert gone[made.external_id].deleted
    again, _ = read(erp, "customers", cursor)
    assert made.external_id not in again


def test_a_contact_belongs_to_its_customer(erp: Tryton) -> None:
    customer = created(erp, "customers", {"name": "Employer"})
    other = created(erp, "customers", {"name": "Next employer"})
    erp.prepare("contacts", {})
    made = created(erp, "contacts", {
        "customer": customer.external_id, "first_name": "Ludwig Maria",
        "last_name": "van der Berg", "contact_mechanisms": {"email": "l@berg.example"}})
    assert (made.payload["first_name"], made.payload["last_name"]) \
        == ("Ludwig Maria", "van der Berg")
    assert made.payload["customer"] == int(customer.external_id)
    assert made.external_id not in read(erp, "customers")[0]
    result = updated(erp, "contacts", made, {"customer": int(other.external_id),
                                             "first_name": "Lu"})
    assert result.record is not None, result.error
    assert result.record.payload["customer"] == int(other.external_id)
    assert result.record.payload["name"].startswith("Lu van")
    assert made.external_id in read(erp, "contacts")[0]


def test_a_sale_from_draft_to_payment(erp: Tryton, clerk: Clerk) -> None:
    customer = created(erp, "customers", {"name": "Buyer", "address": {"city": "Mainz"},
                                          "customer_payment_term": "Net 30 days"})
    product = stocked(erp, clerk, "S-1", 10)
    sale = created(erp, "sales", order(customer, product))
    assert [line["line_no"] for line in sale.payload["lines"]] == [1, 2]
    first, second = sale.payload["lines"]
    assert (first["base_price"], first["discount_percent"], first["unit_price"]) \
        == (Decimal("100"), Decimal("12.5"), Decimal("87.5000"))
    assert (first["tax_percent"], second["tax_percent"]) == (Decimal(19), Decimal(7))
    assert sale.payload["untaxed_amount"] == Decimal("537.50")
    assert sale.payload["tax_amount"] == Decimal("90.12")  # 83.125, to even
    assert sale.payload["progress"] == "draft"

    result = updated(erp, "sales", sale, {"lines": [
        {"line_no": 1, "product": int(product.external_id), "quantity": Decimal(4)},
        {"line_no": 3, "product": int(product.external_id), "quantity": Decimal(1)}]})
    assert result.record is not None, result.error
    assert {line["line_no"]: line["quantity"] for line in result.record.payload["lines"]} \
        == {1: 4, 3: 1}
    assert result.record.payload["lines"][0]["id"] == first["id"]
    assert result.record.payload["lines"][1]["tax_percent"] == Decimal(19)

    _, products = read(erp, "products")
    _, levels = read(erp, "stock_levels")
    result = updated(erp, "sales", result.record, {"progress": "processing"})
    assert (result.status, result.refusal) == (WriteStatus.UPDATED, "")
    assert result.record is not None
    sale = result.record
    assert (sale.payload["state"], sale.payload["progress"]) == ("processing", "processing")
    assert sale.payload["number"]
    late = updated(erp, "sales", sale, {"warehouse": "WH2"})
    assert late.status is WriteStatus.REJECTED
    assert "processing" in late.error
    moved, products = read(erp, "products", products)
    assert moved[product.external_id].payload["quantity"] == 10
    assert moved[product.external_id].payload["forecast_quantity"] == 5
    moved, levels = read(erp, "stock_levels", levels)
    assert {r.payload["warehouse"]: r.payload["forecast_quantity"] for r in moved.values()
            if r.payload["code"] == "S-1"} == {"WH": 5, "WH2": 0}

    _, sales = read(erp, "sales")
    _, invoices = read(erp, "invoices")
    _, shipments = read(erp, "shipments")
    _, customers = read(erp, "customers")
    (row,) = clerk.read("sale.sale", [["id", "=", int(sale.external_id)]], "shipments", "invoices")
    for step in ("assign_try", "pick", "pack", "do"):
        clerk.do("stock.shipment.out", step, row["shipments"])
    changed, sales = read(erp, "sales", sales)
    assert changed[sale.external_id].payload["progress"] == "sent"
    assert [line["quantity_shipped"] for line in changed[sale.external_id].payload["lines"]] \
        == [4, 1]
    (shipment,) = read(erp, "shipments", shipments)[0].values()
    assert shipment.payload["sale"] == int(sale.external_id)
    assert shipment.payload["effective_date"]
    assert [(line["line_no"], line["quantity"]) for line in shipment.payload["lines"]] \
        == [(1, 4), (3, 1)]

    clerk.do("account.invoice", "post", row["invoices"])
    new, invoices = read(erp, "invoices", invoices)
    (invoice,) = new.values()
    assert invoice.payload["state"] == "posted"
    assert invoice.payload["sale"] == int(sale.external_id)
    assert [line["line_no"] for line in invoice.payload["lines"]] == [1, 3]
    assert invoice.payload["total_amount"] == invoice.payload["amount_to_pay"] \
        == Decimal("535.50")
    assert invoice.payload["due_date"] > invoice.payload["invoice_date"]
    changed, sales = read(erp, "sales", sales)
    assert changed[sale.external_id].payload["progress"] == "awaiting payment"
    changed, customers = read(erp, "customers", customers)
    assert changed[customer.external_id].payload["receivable"] == Decimal("535.50")

    clerk.pay(int(invoice.external_id), "500.00")
    changed, invoices = read(erp, "invoices", invoices)
    part = changed[invoice.external_id].payload
    assert (part["payment_state"], part["amount_to_pay"]) == ("partially paid", Decimal("35.50"))
    clerk.pay(int(invoice.external_id))
    changed, invoices = read(erp, "invoices", invoices)
    assert changed[invoice.external_id].payload["payment_state"] == "paid"
    assert changed[invoice.external_id].payload["amount_to_pay"] == 0
    changed, sales = read(erp, "sales", sales)
    assert changed[sale.external_id].payload["progress"] == "paid"
    changed, customers = read(erp, "customers", customers)
    assert changed[customer.external_id].payload["receivable"] == 0


def over_limit(tryton: TrytonServer, erp: Tryton) -> tuple[RemoteRecord, RemoteRecord]:
    boss = Clerk(tryton, tryton.boss)
    customer = created(erp, "customers", {"name": "Poor", "address": {"city": "Trier"}})
    boss.do("party.party", "write", [int(customer.external_id)],
            {"credit_limit_amount": {"__class__": "Decimal", "decimal": "10"}})
    return customer, stocked(erp, boss, f"L-{next(_numbers)}", 10)


def test_an_order_over_the_credit_limit_is_made_and_not_confirmed(
        tryton: TrytonServer, erp: Tryton) -> None:
    customer, product = over_limit(tryton, erp)
    (result,) = write(erp, "sales", Operation.CREATE,
                      order(customer, product, progress="processing"))
    assert result.status is WriteStatus.CREATED
    assert "credit limit" in result.refusal
    assert result.record is not None
    assert result.record.payload["state"] == "quotation"
    assert result.record.payload["progress"] == "draft"
    figures = erp.get("customers", [customer.external_id])[customer.external_id].payload
    assert not figures["credit_used_up"]


def test_a_quotation_is_changed_and_quoted_again(tryton: TrytonServer, erp: Tryton) -> None:
    customer, product = over_limit(tryton, erp)
    (result,) = write(erp, "sales", Operation.CREATE,
                      order(customer, product, progress="processing"))
    assert result.record is not None
    changed = updated(erp, "sales", result.record, {"warehouse": "WH2"})
    assert changed.record is not None, changed.error
    assert (changed.record.payload["warehouse"], changed.record.payload["state"]) \
        == ("WH2", "quotation")


@pytest.mark.parametrize("allowed", [(), ("credit_limit_*",)])
def test_a_warning_is_skipped_only_where_that_is_allowed(
        allowed: tuple[str, ...], tryton: TrytonServer, erp: Tryton) -> None:
    customer, product = over_limit(tryton, erp)
    boss = adapter(tryton, user=tryton.boss, skip_warnings=allowed)
    (result,) = write(boss, "sales", Operation.CREATE,
                      order(customer, product, progress="processing"))
    assert result.record is not None, result.error
    if allowed:
        assert (result.refusal, result.record.payload["state"]) == ("", "processing")
        figures = boss.get("customers", [customer.external_id])[customer.external_id].payload
        assert figures["credit_used_up"]
        assert figures["credit_limit_amount"] == 10
    else:
        assert "skip_warnings: [credit_limit_amount]" in result.refusal


def test_one_bad_record_among_many_harms_no_other(erp: Tryton) -> None:
    results = write(erp, "customers", Operation.CREATE, *(
        {"name": f"Many {n}", "tax_identifier": "DE1" if n == 7 else None} for n in range(20)))
    assert [r.status for r in results] == [
        WriteStatus.REJECTED if n == 7 else WriteStatus.CREATED for n in range(20)]
    assert [r.record and r.record.payload["name"] for r in results] \
        == [None if n == 7 else f"Many {n}" for n in range(20)]


def test_a_customer_is_archived_or_deleted(erp: Tryton, clerk: Clerk) -> None:
    made = created(erp, "customers", {"name": "Going"})
    result = updated(erp, "customers", made, {"active": False})
    assert result.record is not None, result.error
    assert result.record.payload["active"] is False
    assert not read(erp, "customers")[0][made.external_id].payload["active"]
    (stale,) = write(erp, "customers", Operation.DELETE, {}, record=made)
    (gone,) = write(erp, "customers", Operation.DELETE, {}, record=result.record)
    (again,) = write(erp, "customers", Operation.DELETE, {}, record=result.record)
    assert (stale.status, gone.status, again.status) == (
        WriteStatus.STALE, WriteStatus.DELETED, WriteStatus.GONE)
    buyer = created(erp, "customers", {"name": "Bound", "address": {"city": "Worms"}})
    created(erp, "sales", order(buyer, stocked(erp, clerk, "B-1", 1)))
    (refused,) = write(erp, "customers", Operation.DELETE, {}, record=buyer)
    assert refused.status is WriteStatus.REJECTED
    assert refused.error


def test_a_copy_is_not_taken_for_what_it_is_a_copy_of(erp: Tryton, clerk: Clerk) -> None:
    made = created(erp, "customers", {"name": "Original"})
    (copy,) = clerk.do("party.party", "copy", [int(made.external_id)], {})
    records = erp.get("customers", [made.external_id, str(copy)])
    assert records[made.external_id].reference == made.reference
    assert records[str(copy)].reference is None


def test_an_ended_session_is_renewed(erp: Tryton) -> None:
    assert erp.check()
    erp._rpc.ask("common.db.logout")
    made = created(erp, "customers", {"name": "After the end"})
    assert read(erp, "customers")[0][made.external_id].payload["name"] == "After the end"


# ---- transactions side by side


def held_up(dsn: str, external_id: str, changes: Mapping[str, Any]) -> Callable[[], None]:
    """Begin an edit as Tryton makes it, in a transaction that stays open; returns its end."""
    connection = psycopg.connect(dsn)
    connection.execute("update party_party set name = %s, write_date = current_timestamp "
                       "where id = %s", (changes["name"], int(external_id)))

    def end() -> None:
        connection.commit()
        connection.close()

    return end


def test_an_edit_that_commits_late_is_not_missed(tryton_on_postgresql: TrytonServer) -> None:
    clerk = Clerk(tryton_on_postgresql)
    AdapterSuite().test_a_change_that_comes_up_late_is_not_missed(AdapterWorld(
        adapter(tryton_on_postgresql), "customers", lambda n: {"name": f"Customer {n}"}, "name",
        lambda ext, changes: clerk.do("party.party", "write", [int(ext)], dict(changes)),
        lambda ext: clerk.do("party.party", "delete", [int(ext)]),
        late=partial(held_up, tryton_on_postgresql.dsn)))


def test_a_batch_that_commits_late_is_not_missed(tryton_on_postgresql: TrytonServer) -> None:
    to, clerk = adapter(tryton_on_postgresql, page=100), Clerk(tryton_on_postgresql)
    made: list[int] = []
    begun = created(to, "customers", {"name": "Before"})
    long = Thread(target=lambda: made.extend(clerk.do("party.party", "create", [
        {"name": f"Slow {n}"} for n in range(400)])))
    long.start()
    while long.is_alive():  # short creates go by, until the batch is through
        quick = created(to, "customers", {"name": "Quick"})
        read_before, cursor = read(to, "customers")
    long.join()
    assert begun.external_id in read_before
    assert quick.external_id in read_before
    since, cursor = read(to, "customers", cursor)
    assert {str(id) for id in made} <= set(read_before) | set(since)
    assert {str(id) for id in made} & set(since)


def test_a_stale_write_is_refused_by_tryton_itself(tryton_on_postgresql: TrytonServer) -> None:
    """An edit between the adapter's own read and its write is not overwritten."""
    clerk = Clerk(tryton_on_postgresql)
    made = created(adapter(tryton_on_postgresql), "customers", {"name": "Contested"})

    def edit(_method: str, _path: str, body: bytes) -> None:
        if b"party.party.write" in body:
            clerk.do("party.party", "write", [int(made.external_id)], {"name": "Theirs"})

    with between(tryton_on_postgresql.url, edit) as url:
        to = adapter(tryton_on_postgresql, url=url)
        assert updated(to, "customers", made, {"name": "Ours"}).status is WriteStatus.STALE
    now = adapter(tryton_on_postgresql).get("customers", [made.external_id])
    assert now[made.external_id].payload["name"] == "Theirs"
