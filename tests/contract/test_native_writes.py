"""Writing to the native systems over real HTTP: order states, and answers that get lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from pydantic import SecretStr

from connector.adapters.native_crm import NativeCrm, NativeCrmSettings
from connector.adapters.native_erp import NativeErp, NativeErpSettings
from connector.domain.records import (
    Batch,
    Intent,
    Operation,
    RemoteRecord,
    WriteResult,
    WriteStatus,
)
from connector.errors import RequestRefused
from connector.native import crm, erp
from connector.native.serving import running
from connector.ports import Adapter
from connector.testing.clock import VirtualClock

LOST = ("fail_before", "fail_after", "drop_after", "half_body")


class System:
    """An adapter, the system that it speaks to, and what goes wrong there."""

    def __init__(self, adapter: Adapter, url: str) -> None:
        self.adapter, self.url, self._batches = adapter, url, 0

    def write(self, object: str, *intents: Intent) -> list[WriteResult]:
        """Write a batch of its own."""
        self._batches += 1
        return self.adapter.write(Batch(f"batch {self._batches}", object, intents[0].operation,
                                        intents))

    def made(self, object: str, *payloads: Mapping[str, Any]) -> list[RemoteRecord]:
        """Records, made."""
        return [held(result) for result in self.write(object, *(
            create(payload, f"{object}:{self._batches}:{n}")
            for n, payload in enumerate(payloads)))]

    def fault(self, kind: str, path: str, **more: Any) -> None:
        """Let the next POST to `path` go wrong."""
        rule = {"kind": kind, "match": {"method": "POST", "path": path}, **more}
        requests.post(f"{self.url}/_faults", json=[rule], timeout=9).raise_for_status()

    def count(self, object: str) -> int:
        """How many records there are."""
        return sum(len(page.records) for page in self.adapter.pull(object, None))


def create(payload: Mapping[str, Any], reference: str) -> Intent:
    """An intent that makes a record."""
    return Intent(reference, "thing", reference, "x", Operation.CREATE, payload, {}, reference)


def change(record: RemoteRecord, payload: Mapping[str, Any]) -> Intent:
    """An intent that changes a record."""
    return Intent("change", "thing", "1", "x", Operation.UPDATE, payload, {}, "",
                  record.external_id, record.version)


def held(result: WriteResult) -> RemoteRecord:
    """The record of a write that was made."""
    assert result.record is not None, result.error
    return result.record


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[System]:
    """An ERP with a customer (credit limit 200.00) and an item."""
    app = erp.create_app(f"sqlite:///{tmp_path}/erp.db", api_key="erp-key", faults=True)
    with running(app) as url:
        adapter = NativeErp(NativeErpSettings(
            name="erp", url=url, api_key=SecretStr("erp-key"), max_attempts=3), VirtualClock())
        system = System(adapter, url)
        system.made("items", {"item_code": "L", "label": "Lamp", "base_price": "10.00"})
        system.made("customers", {"display_name": "A", "finance": {"credit_limit": "200.00"}})
        yield system
        adapter.close()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[System]:
    """A CRM."""
    app = crm.create_app(f"sqlite:///{tmp_path}/crm.db", token="crm-token", faults=True)
    with running(app) as url:
        adapter = NativeCrm(NativeCrmSettings(
            name="crm", url=url, token=SecretStr("crm-token"), max_attempts=3), VirtualClock())
        yield System(adapter, url)
        adapter.close()


def order(qty: str = "1", **more: Any) -> dict[str, Any]:
    """An order of so many lamps."""
    return {"customer_id": 1, "currency_code": "EUR", "lines": [
        {"item_id": 1, "qty": qty, "price": "10.00", "tax_pct": "19"}], **more}


# ---- order states


def test_the_states_of_a_batch_of_orders_are_reached_by_actions(shop: System) -> None:
    results = shop.write("sales_orders", *(create(order(**state), f"order:{n}")
                         for n, state in enumerate([{"state": "confirmed"}, {"state": "void"},
                                                    {"state": "entered"}, {}])))
    assert [r.status for r in results] == [WriteStatus.CREATED] * 4
    assert [r.refusal for r in results] == [""] * 4
    records = [held(r) for r in results]
    assert [r.payload["state"] for r in records] == ["confirmed", "void", "entered", "entered"]
    assert [r.reference for r in records] == [f"order:{n}" for n in range(4)]
    assert shop.adapter.get("sales_orders", [r.external_id for r in records]) \
        == {r.external_id: r for r in records}


def test_an_order_past_the_credit_limit_is_there_but_not_confirmed(shop: System) -> None:
    good, bad = shop.write("sales_orders", create(order("2", state="confirmed"), "order:1"),
                           create(order("20", state="confirmed"), "order:2"))
    assert (good.status, good.refusal) == (WriteStatus.CREATED, "")
    assert bad.status is WriteStatus.CREATED
    assert "credit limit 200.00 exceeded by 61.80" in bad.refusal
    assert held(bad).payload["state"] == "entered"
    assert held(bad) == shop.adapter.find("sales_orders", ["order:2"])["order:2"]


def test_a_change_moves_an_order_on(shop: System) -> None:
    (made,) = shop.made("sales_orders", order())
    (confirmed,) = shop.write("sales_orders", change(made, {"state": "confirmed",
                                                            "your_ref": "PO 7"}))
    assert (confirmed.status, confirmed.refusal) == (WriteStatus.UPDATED, "")
    assert [held(confirmed).payload[k] for k in ("state", "your_ref")] == ["confirmed", "PO 7"]
    (void,) = shop.write("sales_orders", change(held(confirmed), {"state": "void"}))
    assert held(void).payload["state"] == "void"
    (stale,) = shop.write("sales_orders", change(made, {"state": "confirmed"}))
    assert stale.status is WriteStatus.STALE


@pytest.mark.parametrize("state", ["delivered", "invoiced", "settled", "entered"])
def test_other_states_are_the_erps_own(shop: System, state: str) -> None:
    (made,) = shop.made("sales_orders", order(state="confirmed"))
    (result,) = shop.write("sales_orders", change(made, {"state": state}))
    assert result.status is WriteStatus.UPDATED
    assert result.refusal == f"The ERP reaches the state {state!r} by its own documents."
    assert held(result).payload["state"] == "confirmed"


# ---- answers that get lost: nothing is made twice


@pytest.mark.parametrize("kind", LOST)
def test_a_create_whose_answer_is_lost_is_made_once(shop: System, office: System,
                                                    kind: str) -> None:
    for system, object, path, payloads in (
            (shop, "items", "/v1/items/bulk", [{"item_code": c, "label": c} for c in "AB"]),
            (office, "accounts", "/api/accounts/batch", [{"name": c} for c in "AB"])):
        before = system.count(object)
        system.fault(kind, path, times=2, status=500)
        results = system.write(object, *(create(p, f"x:{n}") for n, p in enumerate(payloads)))
        assert [r.status for r in results] == [WriteStatus.CREATED] * 2
        assert [held(r).reference for r in results] == ["x:0", "x:1"]
        assert system.count(object) == before + 2


@pytest.mark.parametrize("kind", LOST)
def test_a_change_at_the_erp_whose_answer_is_lost_is_unknown(shop: System, kind: str) -> None:
    (made,) = shop.made("items", {"item_code": "A", "label": "old"})
    shop.fault(kind, "/v1/items/bulk", status=500)
    (result,) = shop.write("items", change(made, {"label": "new"}))
    assert result.status is WriteStatus.UNKNOWN
    now = shop.adapter.get("items", [made.external_id])[made.external_id]
    assert now.payload["label"] == ("old" if kind == "fail_before" else "new")


@pytest.mark.parametrize("kind", LOST)
def test_a_change_at_the_crm_whose_answer_is_lost_is_made_once(office: System,
                                                               kind: str) -> None:
    (made,) = office.made("accounts", {"name": "old"})
    office.fault(kind, "/api/accounts/batch", status=500)
    (result,) = office.write("accounts", change(made, {"name": "new"}))
    assert result.status is WriteStatus.UPDATED
    assert office.adapter.get("accounts", [made.external_id])[made.external_id] == held(result)


@pytest.mark.parametrize("kind", LOST)
def test_an_order_whose_confirmation_is_not_answered_is_confirmed_once(shop: System,
                                                                       kind: str) -> None:
    shop.fault(kind, "/v1/sales_orders/actions/confirm", status=500)
    (result,) = shop.write("sales_orders", create(order(state="confirmed"), "order:1"))
    assert (result.status, result.refusal) == (WriteStatus.CREATED, "")
    assert held(result).payload["state"] == "confirmed"
    customer = shop.adapter.get("customers", ["1"])["1"]
    assert customer.payload["finance"]["open_orders"] == "11.90"


def test_a_system_that_asks_for_patience_gets_it(shop: System, office: System) -> None:
    shop.fault("rate_limit", "/v1/items/bulk", times=2)
    office.fault("rate_limit", "/api/accounts/batch", times=2)
    assert shop.made("items", {"item_code": "A", "label": "A"})
    assert office.made("accounts", {"name": "A"})
    shop.fault("rate_limit", "/v1/items/bulk", times=3)
    (result,) = shop.write("items", create({"item_code": "B", "label": "B"}, "x:b"))
    assert result.status is WriteStatus.RETRY
    assert shop.adapter.find("items", ["x:b"]) == {}


def test_a_key_that_was_used_for_another_batch_ends_the_run(office: System) -> None:
    first = Batch("key", "accounts", Operation.CREATE, (create({"name": "A"}, "x:a"),))
    office.adapter.write(first)
    with pytest.raises(RequestRefused, match="422 this idempotency key"):
        office.adapter.write(replace(first, intents=(create({"name": "B"}, "x:b"),)))
