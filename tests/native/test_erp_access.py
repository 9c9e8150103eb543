"""Who gets in, what a call may look like, and the client that the other ERP tests use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from connector.native.erp import create_app
from connector.native.serving import running

KEY = "erp-demo-key"


class ErpClient:
    """Speaks to a served ERP; `seen` is the last answer."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.http = requests.Session()
        self.http.headers["X-Api-Key"] = KEY
        self.seen = requests.Response()

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        self.seen = self.http.request(method, self.base + path, json=body, timeout=30, **options)
        return self.seen.json() if self.seen.content else None

    def get(self, path: str, **query: Any) -> Any:
        return self.call("GET", f"/v1/{path}", params=query)

    def create(self, object: str, **row: Any) -> Any:
        made = self.call("POST", f"/v1/{object}", row)
        assert self.seen.status_code == 201, made
        return made

    def patch(self, object: str, row: Any, **changes: Any) -> Any:
        return self.call("PATCH", f"/v1/{object}/{row['id']}", {"rev": row["rev"], **changes})

    def bulk(self, object: str, *rows: Any) -> list[Any]:
        answer = self.call("POST", f"/v1/{object}/bulk", {"rows": list(rows)})
        assert self.seen.status_code == 200, answer
        return list(answer["rows"])

    def act(self, action: str, row: Any, **more: Any) -> Any:
        (done,) = self.bulk_action(action, {"id": row["id"], **more})
        return done

    def bulk_action(self, action: str, *rows: Any) -> list[Any]:
        answer = self.call("POST", f"/v1/sales_orders/actions/{action}", {"rows": list(rows)})
        assert self.seen.status_code == 200, answer
        return list(answer["rows"])

    def last(self, object: str) -> Any:
        return self.get(object)["rows"][-1]

    def again(self, object: str, row: Any) -> Any:
        return self.get(f"{object}/{row['id']}")

    def stock(self, level: Any) -> tuple[str, str, str]:
        now = self.again("stock_levels", level)
        return now["on_hand"], now["reserved"], now["available"]


@contextmanager
def served(folder: Path, *, clock: Callable[[], datetime] | None = None) -> Iterator[ErpClient]:
    """A fresh ERP over HTTP, its fault switch on."""
    app = create_app(f"sqlite:///{folder}/erp.db", clock=clock, faults=True)
    with running(app) as base:
        yield ErpClient(base)


@pytest.fixture
def erp(tmp_path: Path) -> Iterator[ErpClient]:
    with served(tmp_path) as client:
        yield client


def code(client: ErpClient) -> tuple[int, str]:
    """The status and the error code of the last answer."""
    return client.seen.status_code, client.seen.json()["error"]["code"]


def test_a_call_without_the_key_is_refused(erp: ErpClient) -> None:
    erp.http.headers["X-Api-Key"] = "another"
    erp.get("customers")
    assert code(erp) == (403, "E403-KEY")
    del erp.http.headers["X-Api-Key"]
    erp.call("POST", "/v1/customers", {"display_name": "x"})
    assert code(erp) == (403, "E403-KEY")


def test_unknown_objects_and_rows_are_not_found(erp: ErpClient) -> None:
    erp.get("accounts")
    assert code(erp) == (404, "E404-OBJECT")
    erp.get("customers/1")
    assert code(erp) == (404, "E404")
    for number in (7, 10**30):
        erp.call("PATCH", f"/v1/customers/{number}", {"rev": 1})
        assert code(erp) == (404, "E404")
    (row,) = erp.bulk_action("burn", {"id": 1})
    assert row["error"]["code"] == "E404-ACTION"


def test_a_body_that_cannot_be_read_is_refused(erp: ErpClient) -> None:
    erp.call("POST", "/v1/customers", data=b"{")
    assert code(erp) == (422, "E422-FIELD")
    for method, path in (("POST", ""), ("PATCH", "/1")):
        erp.call(method, f"/v1/customers{path}", [1])
        assert code(erp) == (422, "E422-FIELD")
    erp.call("POST", "/v1/customers/bulk", {"rows": 3})
    assert code(erp) == (422, "E422-FIELD")
    erp.call("POST", "/v1/customers/bulk", {"rows": [{}] * 501})
    assert code(erp) == (413, "E413-ROWS")


@pytest.mark.parametrize("query", [
    {"limit": "x"}, {"after_modified": "yesterday"}, {"after_modified": "2026-11-24T09:00:00"},
    {"after_modified": "0001-01-01T00:00:00+23:00"}, {"ids": f"1,{10**30}"},
    {"after_id": "-1", "after_modified": "2026-11-24T09:00:00+01:00"}])
def test_a_query_that_cannot_be_read_is_refused(erp: ErpClient, query: dict[str, str]) -> None:
    erp.get("customers", **query)
    assert erp.seen.status_code == 400
    assert erp.seen.json()["error"]["code"] in ("E400-NUMBER", "E400-TIME")


def test_documents_of_the_erp_itself_are_not_created_from_outside(erp: ErpClient) -> None:
    for object in ("deliveries", "invoices"):
        erp.call("POST", f"/v1/{object}", {})
        assert code(erp) == (405, "E405-OBJECT")


def test_the_openapi_document_lists_the_fields_of_each_object(erp: ErpClient) -> None:
    schemas = erp.call("GET", "/openapi.json")["components"]["schemas"]
    assert {"customers", "contact_persons", "items", "warehouses", "stock_levels", "quotations",
            "sales_orders", "deliveries", "invoices", "payments"} <= set(schemas)
    customer = schemas["customers"]["properties"]
    assert {"id", "rev", "created", "modified", "external_ref"} <= set(customer)
    assert set(customer["tax"]["properties"]) == {"vat_no"}
    assert customer["customer_no"]["readOnly"]
    line = schemas["quotations"]["properties"]["lines"]["items"]["properties"]
    assert {"line_no", "item_id", "qty", "price", "stock_note", "price_note", "amount"} <= set(line)


def test_what_is_answered_is_what_is_documented(erp: ErpClient) -> None:
    schemas = erp.call("GET", "/openapi.json")["components"]["schemas"]
    warehouse = erp.create("warehouses", code="BER", name="Berlin")
    customer = erp.create("customers", display_name="Aurora")
    item = erp.create("items", item_code="A-1", label="Lamp")
    lines = [{"item_id": item["id"], "qty": "1", "price": "10.00"}]
    head = {"customer_id": customer["id"], "currency_code": "EUR", "lines": lines}
    rows = {"warehouses": warehouse, "customers": customer, "items": item,
            "contact_persons": erp.create("contact_persons", customer_id=customer["id"]),
            "stock_levels": erp.create("stock_levels", item_id=item["id"], warehouse="BER"),
            "quotations": erp.create("quotations", **head),
            "sales_orders": erp.create("sales_orders", **head)}
    erp.act("confirm", rows["sales_orders"])
    erp.act("ship", rows["sales_orders"])
    erp.act("invoice", rows["sales_orders"])
    rows |= {name: erp.last(name) for name in ("deliveries", "invoices")}
    rows["payments"] = erp.create("payments", invoice_id=rows["invoices"]["id"], amount="1.00")
    for object, row in rows.items():
        fields = schemas[object]["properties"]
        assert set(row) == set(fields), object
        for line in row.get("lines", ()):
            assert set(line) == set(fields["lines"]["items"]["properties"]), object
