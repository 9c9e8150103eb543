"""From a customer's acceptance to their payment: a real BottleCRM, and the native ERP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from connector.bootstrap import Connector, open_connector
from connector.domain.ledger import ConflictState, Run, RunState
from connector.native import erp
from connector.native.serving import running
from tests.real.bottlecrm.server import BottleServer

pytestmark = pytest.mark.timeout(900)  # the first start installs BottleCRM

CONFIG = """
store: sqlite:///store.db
systems:
  crm: {adapter: bottlecrm, url: "%s", token: "env:BOTTLE_TOKEN"}
  erp: {adapter: native_erp, url: "%s", api_key: "env:ERP_KEY"}
pairs:
  main:
    crm: crm
    erp: erp
    entities:
      product: {match: [sku], conflict: {prefer: erp}}
      customer:
        match: [vat_number]
        conflict: manual
        fields: {number: to_crm, credit_limit: to_crm, balance: to_crm, on_hold: to_crm}
      contact: {match: [email], conflict: manual}
      quote:
        born_in: crm
        conflict: {prefer: erp}
        fields: {number: to_crm, remark: to_crm}
        becomes: {order: {when: {status: accepted}, in: erp, set: {status: confirmed}}}
      order: {born_in: crm, conflict: {prefer: erp}, fields: {number: to_crm, remark: to_crm}}
      invoice: {born_in: erp, fields: {balance: to_crm, status: to_crm}}
"""


@dataclass(slots=True)
class Pair:
    """Both systems, called as their users do, and the connector between them."""

    server: BottleServer
    erp_url: str
    connector: Connector
    session: requests.Session = field(default_factory=requests.Session)

    def crm(self, method: str, path: str, body: Any = None) -> Any:
        return self._call(method, f"{self.server.url}/api/{path}/", body,
                          {"Authorization": f"Bearer {self.server.token}"})

    def erp(self, method: str, path: str, body: Any = None) -> Any:
        return self._call(method, f"{self.erp_url}/v1/{path}", body, {"X-Api-Key": "right"})

    def _call(self, method: str, url: str, body: Any, headers: dict[str, str]) -> Any:
        answer = self.session.request(method, url, json=body, headers=headers, timeout=60)
        assert answer.ok, answer.text
        return answer.json()

    def act(self, action: str, order: int) -> None:
        """Carry out an action on an order in the ERP."""
        (done,) = self.erp("POST", f"sales_orders/actions/{action}",
                           {"rows": [{"id": order}]})["rows"]
        assert done["ok"], done

    def sync(self) -> Run:
        """A sync that accounts for every record; nothing is left for the next one to write."""
        runs = [self.connector.engine("main").sync() for _ in range(2)]
        for run in runs:
            assert run.state is RunState.COMPLETED, run.message
            assert all(tally.accounted for tally in run.tallies.values())
        with self.connector.store.begin() as uow:
            assert uow.dead_letters("main") == []
            assert uow.conflicts("main") == []
        assert not any(runs[1].writes.values())
        return runs[0]


@pytest.fixture
def pair(bottlecrm: BottleServer, tmp_path: Path,
         monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    bottlecrm.empty()
    monkeypatch.setenv("BOTTLE_TOKEN", bottlecrm.token)
    monkeypatch.setenv("ERP_KEY", "right")
    with running(erp.create_app(f"sqlite:///{tmp_path}/erp.db", api_key="right")) as url:
        config = tmp_path / "config.yaml"
        config.write_text(CONFIG % (bottlecrm.url, url), encoding="utf-8")
        connector = open_connector(config)
        for mapping in connector.mappings("crm").values():
            connector.adapter("crm").prepare(mapping.object, mapping.field_types)
        yield Pair(bottlecrm, url, connector)
        connector.close()


def test_an_estimate_becomes_an_order_an_invoice_and_a_payment(pair: Pair) -> None:
    pair.erp("POST", "warehouses", {"code": "MAIN", "name": "Main"})
    item = pair.erp("POST", "items", {"item_code": "BOLT", "label": "Bolt", "tax_pct": "20",
                                      "base_price": "12.50"})
    pair.erp("POST", "stock_levels", {"item_id": item["id"], "warehouse": "MAIN",
                                      "on_hand": "100"})
    account = pair.crm("POST", "accounts", {
        "name": "Acme", "currency": "EUR", "country": "FR", "city": "Lyon",
        "custom_fields": {"vat_number": "FR40303265045", "payment_terms": "NET30"}})["id"]
    contact = pair.crm("POST", "contacts", {"first_name": "Ada", "last_name": "Love",
                                            "email": "ada@acme.example", "account": account})["id"]
    pair.sync()
    (customer,) = pair.erp("GET", "customers")["rows"]
    assert (customer["display_name"], customer["tax"]["vat_no"]) == ("Acme", "FR40303265045")
    figures = pair.crm("GET", f"accounts/{account}")["account_obj"]["custom_fields"]
    assert (figures["customer_number"], figures["on_hold"]) == (customer["customer_no"], False)
    (product,) = pair.crm("GET", "invoices/products")["results"]
    assert (product["sku"], product["price"]) == ("BOLT", "12.50")

    estimate = pair.crm("POST", "invoices/estimates", {
        "title": "Bolts", "account_id": account, "contact_id": contact, "currency": "EUR",
        "tax_rate": "20", "line_items": [
            {"product": product["id"], "name": "Bolt", "quantity": "4", "unit_price": "9.99"}],
    })["estimate"]
    pair.crm("POST", f"invoices/estimates/{estimate['id']}/send")
    pair.sync()
    (quotation,) = pair.erp("GET", "quotations")["rows"]
    assert (quotation["state"], quotation["gross"]) == ("open", "47.95")
    assert pair.erp("GET", "sales_orders")["rows"] == []  # not before it is accepted

    pair.crm("POST", f"public/estimate/{estimate['public_token']}/accept",
             {"name": "Ada Love", "email": "ada@acme.example"})
    pair.sync()
    (order,) = pair.erp("GET", "sales_orders")["rows"]
    assert (order["state"], order["net"], order["gross"]) == ("confirmed", "39.96", "47.95")
    assert order["quotation_id"] == quotation["id"]
    said = pair.crm("GET", f"invoices/estimates/{estimate['id']}")["estimate"]["custom_fields"]
    assert (said["order_number"], said["connector_order"]) == (
        order["order_no"], f"erp:{order['id']}")
    assert said["quotation_number"] == quotation["quotation_no"]

    pair.act("ship", order["id"])
    pair.act("invoice", order["id"])
    pair.sync()
    said = pair.crm("GET", f"invoices/estimates/{estimate['id']}")["estimate"]["custom_fields"]
    assert (said["order_number"], said["progress"]) == (order["order_no"], "Invoiced")
    (row,) = pair.crm("GET", "invoices")["results"]
    invoice = pair.crm("GET", f"invoices/{row['id']}")["invoice"]
    assert (invoice["total_amount"], invoice["amount_due"], invoice["status"]) \
        == ("47.95", "47.95", "Sent")
    assert invoice["custom_fields"]["estimate_id"] == estimate["id"]

    (theirs,) = pair.erp("GET", "invoices")["rows"]
    pair.erp("POST", "payments", {"invoice_id": theirs["id"], "amount": "47.95",
                                  "paid_on": theirs["issued_on"]})
    pair.sync()
    invoice = pair.crm("GET", f"invoices/{row['id']}")["invoice"]
    assert (invoice["amount_due"], invoice["status"]) == ("0.00", "Paid")
    assert [payment["amount"] for payment in invoice["payments"]] == ["47.95"]
    said = pair.crm("GET", f"invoices/estimates/{estimate['id']}")["estimate"]["custom_fields"]
    assert said["progress"] == "Paid"
    assert len(pair.erp("GET", "sales_orders")["rows"]) == 1
    assert len(pair.crm("GET", "invoices")["results"]) == 1


def test_what_is_deleted_in_the_crm_is_found_out(pair: Pair) -> None:
    made = [pair.crm("POST", "accounts", {
        "name": f"Acme {n}", "currency": "EUR"})["id"] for n in range(12)]
    pair.sync()
    pair.crm("DELETE", f"accounts/{made[0]}")
    pair.sync()
    archived = {row["display_name"]: row["archived"] for row in pair.erp(
        "GET", "customers?limit=1000&archived=include")["rows"]}
    assert archived == {f"Acme {n}": n == 0 for n in range(12)}


def test_an_account_tells_how_it_stands(pair: Pair, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("    erp: erp\n", "    erp: erp\n    sync_state: [crm]\n"),
                      encoding="utf-8")
    account = pair.crm("POST", "accounts", {"name": "Acme", "currency": "EUR",
                                            "city": "Lyon"})["id"]

    def shown() -> tuple[Any, Any]:
        told = pair.crm("GET", f"accounts/{account}")["account_obj"]["custom_fields"]
        return told.get("sync_state"), told.get("sync_error") or None

    with closing(open_connector(config)) as connector:
        def sync() -> tuple[int, int]:
            """What a sync writes, and what it tells in writes of their own."""
            run = connector.engine("main").sync()
            assert run.state is RunState.COMPLETED, run.message
            return sum(run.writes.values()), sum(run.told.values())

        sync()
        assert (shown(), sync()) == (("in_sync", None), (0, 0))
        (customer,) = pair.erp("GET", "customers")["rows"]

        pair.crm("PATCH", f"accounts/{account}", {"city": "Paris"})
        pair.erp("PATCH", f"customers/{customer['id']}", {
            "rev": customer["rev"], "address": {"town": "Nice"}})
        assert sync() == (0, 1)
        assert (shown()[0], sync()) == ("conflict", (0, 0))
        assert "city" in shown()[1]
        with connector.store.begin() as uow:
            (conflict,) = uow.conflicts("main", states=(ConflictState.OPEN,))
        connector.engine("main").resolve(conflict, {"take": "crm"})
        sync()
        assert (shown(), sync()) == (("in_sync", None), (0, 0))
        (customer,) = pair.erp("GET", "customers")["rows"]
        assert customer["address"]["town"] == "Paris"

        for terms, state in (("NET45", "failed"), ("NET30", "in_sync")):  # the ERP has no NET45
            pair.crm("PATCH", f"accounts/{account}", {"custom_fields": {"payment_terms": terms}})
            sync()
            assert (shown()[0], sync()) == (state, (0, 0))
            assert ("NET45" in (shown()[1] or "")) == (state == "failed")
