"""What leaves the CRM by itself: webhooks."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook
from test_crm_access import CrmClient, Serve, serve_crm, wrong

from connector.native.serving import free_port

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Inbox:
    """An address that takes deliveries; the first ones are answered with `statuses`."""

    def __init__(self, port: int = 0) -> None:
        came: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()
        statuses: list[int] = []

        class Taker(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(statuses.pop(0) if statuses else 204)
                self.send_header("Content-Length", "0")
                self.end_headers()
                came.put((dict(self.headers), body))

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.came, self.statuses = came, statuses
        self.server = HTTPServer(("127.0.0.1", port), Taker)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def next(self) -> tuple[dict[str, str], Any]:
        headers, body = self.came.get(timeout=30)
        return headers, json.loads(body)

    def ids(self, number: int) -> list[str]:
        return [self.next()[1]["data"]["id"] for _ in range(number)]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    opened = Inbox()
    yield opened
    opened.close()


def register(crm: CrmClient, url: str, *events: str) -> Any:
    made = crm.call("POST", "/api/webhooks", {"url": url, "events": list(events),
                                              "secret": SECRET})
    assert crm.seen.status_code == 201, made
    return made


def test_a_change_is_delivered_and_signed(crm: CrmClient, inbox: Inbox) -> None:
    register(crm, inbox.url, "accounts.updated", "accounts.deleted")
    made = crm.create("accounts", name="Aurora")
    crm.patch("accounts", made, name="Aurora")
    changed = crm.patch("accounts", made, phone="1")
    headers, body = inbox.came.get(timeout=30)
    told = json.loads(body)
    assert told == {"type": "accounts.updated", "timestamp": changed["updatedAt"], "data": {
        "object": "accounts", "id": made["id"], "etag": changed["etag"]}}
    lower = {name.lower(): value for name, value in headers.items()}
    assert Webhook(SECRET).verify(body, lower) == told
    assert "." not in lower["webhook-id"]
    crm.remove("accounts", made)
    headers, told = inbox.next()
    assert (told["type"], told["data"]["id"]) == ("accounts.deleted", made["id"])
    assert headers["webhook-id"] != lower["webhook-id"]
    assert inbox.came.empty()


def test_all_records_that_a_call_moves_are_told(crm: CrmClient, inbox: Inbox) -> None:
    account = crm.create("accounts", name="Aurora")
    product = crm.create("products", sku="L", name="Lamp")["id"]
    crm.create("stockLevels", productId=product, warehouse="BER")
    opportunity = crm.create("opportunities", accountId=account["id"], name="Yearly")
    register(crm, inbox.url, "*")
    crm.create("quotes", accountId=account["id"], currency="EUR", warehouse="BER",
               status="Accepted", opportunityId=opportunity["id"],
               lines=[{"productId": product, "quantity": 1}])
    assert {inbox.next()[1]["type"] for _ in range(3)} \
        == {"quotes.created", "stockLevels.updated", "opportunities.updated"}
    crm.create("users", name="Ada")
    assert inbox.next()[1]["type"] == "users.created"


def test_webhooks_are_listed_and_removed(crm: CrmClient, inbox: Inbox) -> None:
    made = register(crm, inbox.url, "accounts.updated")
    assert made == {"id": made["id"], "url": inbox.url, "events": ["accounts.updated"],
                    "secret": SECRET}
    other = crm.call("POST", "/api/webhooks", {"url": inbox.url})
    assert other["events"] == ["*"]
    assert Webhook(other["secret"])
    assert crm.get("webhooks") == [made, other]
    for hook in (made, other):
        crm.call("DELETE", f"/api/webhooks/{hook['id']}")
        assert crm.seen.status_code == 204
    assert crm.get("webhooks") == []
    crm.call("DELETE", f"/api/webhooks/{made['id']}")
    assert wrong(crm)[0] == 404
    crm.create("accounts", name="Aurora")
    assert inbox.came.empty()


@pytest.mark.parametrize(("body", "fields"), [
    ({}, {"url"}), ([], {"url"}), ({"url": "nowhere"}, {"url"}),
    ({"url": "http://x", "events": ["accounts"]}, {"events"}),
    ({"url": "http://x", "events": "*"}, {"events"}),
    ({"url": "http://x", "secret": "s3"}, {"secret"}),
    ({"url": "http://x", "secret": "whsec_ä"}, {"secret"}),
    ({"url": "http://x", "secret": "whsec_"}, {"secret"})])
def test_a_webhook_that_leads_nowhere_is_refused(crm: CrmClient, body: Any,
                                                 fields: set[str]) -> None:
    crm.call("POST", "/api/webhooks", body)
    assert wrong(crm) == (422, fields)


def test_a_refused_delivery_is_tried_again_and_holds_up_no_other(crm: CrmClient,
                                                                 inbox: Inbox) -> None:
    register(crm, inbox.url, "accounts.created")
    inbox.statuses.append(500)
    first = crm.create("accounts", name="One")
    headers, told = inbox.next()
    assert told["data"]["id"] == first["id"]
    other = crm.create("accounts", name="Two")
    assert inbox.ids(1) == [other["id"]]
    again, told = inbox.next()
    assert (told["data"]["id"], again["webhook-id"]) == (first["id"], headers["webhook-id"])


def test_what_could_not_be_delivered_is_after_the_next_start(serve: Serve,
                                                             tmp_path: Path) -> None:
    port = free_port()
    crm = serve_crm(serve, tmp_path)
    register(crm, f"http://127.0.0.1:{port}/", "*")
    made = crm.create("accounts", name="Aurora")
    inbox = Inbox(port)
    try:
        serve_crm(serve, tmp_path)
        assert inbox.ids(1) == [made["id"]]
    finally:
        inbox.close()


@pytest.mark.parametrize("kind", ["webhook_lose", "webhook_double", "webhook_reorder"])
def test_faults_meet_webhooks(crm: CrmClient, inbox: Inbox, kind: str) -> None:
    register(crm, inbox.url, "*")
    crm.fault(kind, times=1)
    results = crm.batch("accounts", {"method": "create", "body": {"name": "One"}},
                        {"method": "create", "body": {"name": "Two"}})
    one, two = (result["body"]["id"] for result in results)
    expected = {"webhook_lose": [two], "webhook_double": [one, one, two],
                "webhook_reorder": [two, one]}[kind]
    assert inbox.ids(len(expected)) == expected
    three = crm.create("accounts", name="Three")["id"]
    assert inbox.ids(1) == [three]
