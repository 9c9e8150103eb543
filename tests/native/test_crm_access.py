"""Who gets in, what a call may look like, and the client that the other CRM tests use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from connector.native.crm import create_app

TOKEN = "crm-demo-token"
Serve = Callable[[Any], Any]


class CrmClient:
    """Speaks to a served CRM; `seen` is the last answer."""

    def __init__(self, base: str, http: requests.Session) -> None:
        self.base, self.http = base, http
        self.http.headers["Authorization"] = f"Bearer {TOKEN}"
        self.seen = requests.Response()

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        self.seen = self.http.request(method, self.base + path, json=body, timeout=30, **options)
        return self.seen.json() if self.seen.content else None

    def get(self, path: str, **query: Any) -> Any:
        return self.call("GET", f"/api/{path}", params=query)

    def create(self, object: str, **fields: Any) -> Any:
        made = self.call("POST", f"/api/{object}", fields)
        assert self.seen.status_code == 201, made
        return made

    def patch(self, object: str, record: Any, etag: str | None = None, **changes: Any) -> Any:
        return self.call("PATCH", f"/api/{object}/{record['id']}", changes,
                         headers={"If-Match": etag} if etag else {})

    def remove(self, object: str, record: Any, etag: str | None = None) -> None:
        self.call("DELETE", f"/api/{object}/{record['id']}",
                  headers={"If-Match": etag} if etag else {})

    def batch(self, object: str, *operations: Any, key: str | None = None) -> list[Any]:
        answer = self.call("POST", f"/api/{object}/batch", {"operations": list(operations)},
                           headers={"Idempotency-Key": key} if key else {})
        assert self.seen.status_code == 207, answer
        return list(answer["results"])

    def again(self, object: str, record: Any) -> Any:
        return self.get(f"{object}/{record['id']}")

    def names(self, **query: Any) -> list[str]:
        return [account["name"] for account in self.get("accounts", **query)["data"]]

    def fault(self, kind: str, path: str = "", method: str = "", **more: Any) -> None:
        self.call("POST", "/_faults", [
            {"kind": kind, "match": {"path": path, "method": method}, **more}])
        assert self.seen.status_code == 200


def serve_crm(serve: Serve, folder: Path, **options: Any) -> CrmClient:
    """A CRM over HTTP, its fault switch on."""
    served = serve(create_app(f"sqlite:///{folder}/crm.db", faults=True, **options))
    return CrmClient(served.base, served.http)


def create(**body: Any) -> dict[str, Any]:
    """An operation of a batch."""
    return {"method": "create", "body": body}


def wrong(client: CrmClient) -> tuple[int, set[str]]:
    """The status of the last answer, a problem, and the fields that it names."""
    assert client.seen.headers["Content-Type"] == "application/problem+json"
    problem = client.seen.json()
    assert set(problem) == {"type", "title", "status", "detail", "errors"}
    assert problem["status"] == client.seen.status_code
    assert problem["title"] != "Error"
    return problem["status"], {error["field"] for error in problem["errors"]}


@pytest.mark.parametrize("given", ["Bearer another", "crm-demo-token", "Bearer ż".encode(), ""])
def test_a_call_without_the_token_is_refused(crm: CrmClient, given: str) -> None:
    crm.http.headers["Authorization"] = given
    for method, path in (("GET", "accounts"), ("POST", "accounts"), ("POST", "accounts/batch"),
                         ("PATCH", "accounts/x"), ("DELETE", "accounts/x"), ("GET", "webhooks")):
        crm.call(method, f"/api/{path}", {"name": "x"})
        assert wrong(crm) == (401, set())
        assert crm.seen.headers["WWW-Authenticate"] == "Bearer"
    crm.http.headers["Authorization"] = f"Bearer {TOKEN}"
    assert crm.names() == []


def test_more_calls_a_second_than_the_limit_are_put_off(serve: Serve, tmp_path: Path) -> None:
    crm = serve_crm(serve, tmp_path, rate_limit=1)
    while crm.get("accounts") is None or crm.seen.status_code != 429:
        assert crm.seen.status_code == 200
    assert wrong(crm) == (429, set())
    assert crm.seen.headers["Retry-After"] == "1"


def test_unknown_objects_records_and_paths_are_not_found(crm: CrmClient) -> None:
    for path in ("/api/customers", "/api/quoteSums", "/api/accounts/acc_1", "/api/accounts/%00",
                 "/api/webhooks/x/y", "/api"):
        crm.call("GET", path)
        assert wrong(crm)[0] == 404, path
    crm.call("PUT", "/api/accounts", {})
    assert wrong(crm)[0] == 405
    crm.remove("accounts", {"id": "acc_1"})
    assert wrong(crm)[0] == 404


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"name": 1e}'])
def test_a_body_that_is_no_json_is_refused(crm: CrmClient, body: bytes) -> None:
    for method, path in (("POST", ""), ("POST", "/batch"), ("PATCH", "/acc_1")):
        crm.call(method, f"/api/accounts{path}", data=body)
        assert wrong(crm)[0] == 400


@pytest.mark.parametrize("body", [5, None, [], "x", {}, {"operations": None}])
def test_a_batch_that_is_none_is_refused(crm: CrmClient, body: Any) -> None:
    crm.call("POST", "/api/accounts/batch", data=requests.compat.json.dumps(body))
    assert wrong(crm) == (422, {"operations"})


def test_what_is_too_large_is_refused(crm: CrmClient) -> None:
    crm.call("POST", "/api/accounts/batch", {"operations": [create(name="x")] * 101})
    assert wrong(crm)[0] == 413
    crm.call("POST", "/api/accounts", {"name": "x", "website": "x" * 9_000_000})
    assert wrong(crm)[0] == 413
    assert crm.names() == []


@pytest.mark.parametrize("query", [
    {"limit": "0"}, {"limit": "501"}, {"limit": "x"}, {"limit": "-1"}, {"cursor": "ż"},
    {"cursor": "abc"}, {"cursor": "YWJj"}, {"updated_since": "yesterday"},
    {"updated_since": "2026-11-24T09:00:00"}, {"updated_since": "0001-01-01T00:00:00+23:00"},
    {"ids": ",".join("x" * 501)}, {"sku": "x"}, {"updated_after": "2026-11-24T09:00:00Z"}])
def test_a_query_that_cannot_be_read_is_refused(crm: CrmClient, query: dict[str, str]) -> None:
    crm.get("accounts", **query)
    assert wrong(crm)[0] == 400


def test_the_openapi_document_lists_the_fields_of_each_object(crm: CrmClient) -> None:
    schemas = crm.call("GET", "/openapi.json")["components"]["schemas"]
    assert set(schemas) == {"accounts", "contacts", "products", "opportunities", "quotes", "orders",
                            "shipments", "invoices", "payments", "stockLevels", "users"}
    assert schemas["accounts"]["required"] == ["name"]
    assert schemas["accounts"]["properties"]["creditLimitMicros"] == {"type": "integer"}
    assert schemas["quotes"]["properties"]["totalMicros"]["readOnly"]
    assert schemas["stockLevels"]["properties"]["quoted"]["readOnly"]
    line = schemas["quotes"]["properties"]["lines"]["items"]["properties"]
    assert set(line) == {"lineNo", "productId", "description", "quantity", "unitPriceMicros",
                         "discountPercent", "taxPercent", "remark", "netMicros"}


def test_what_is_answered_is_what_is_documented(crm: CrmClient) -> None:
    schemas = crm.call("GET", "/openapi.json")["components"]["schemas"]
    account = crm.create("accounts", name="Aurora")
    product = crm.create("products", sku="L", name="Lamp")
    lines = [{"productId": product["id"], "quantity": 1}]
    head = {"accountId": account["id"], "currency": "EUR", "lines": lines}
    order = crm.create("orders", **head)
    invoice = crm.create("invoices", **head)
    records = {
        "accounts": account, "products": product, "orders": order,
        "contacts": crm.create("contacts", accountId=account["id"]),
        "opportunities": crm.create("opportunities", accountId=account["id"], name="Yearly"),
        "quotes": crm.create("quotes", **head), "invoices": invoice,
        "payments": crm.create("payments", accountId=account["id"], invoiceId=invoice["id"],
                               amountMicros=10_000, currency="EUR"),
        "shipments": crm.create("shipments", orderId=order["id"], lines=lines),
        "stockLevels": crm.create("stockLevels", productId=product["id"], warehouse="BER"),
        "users": crm.create("users", name="Ada")}
    assert set(records) == set(schemas)
    for object, record in records.items():
        fields = schemas[object]["properties"]
        assert set(record) == set(fields), object
        for line in record.get("lines", ()):
            assert set(line) == set(fields["lines"]["items"]["properties"]), object
