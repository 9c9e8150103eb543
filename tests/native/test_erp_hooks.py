"""What leaves the ERP by itself: webhooks; and what a caller can't be sure of: lost answers."""

from __future__ import annotations

import hashlib
import hmac
import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from test_erp_access import ErpClient, code, served

Delivery = tuple[dict[str, str], bytes]


@pytest.fixture
def erp(tmp_path: Path) -> Iterator[ErpClient]:
    with served(tmp_path) as client:
        yield client


@pytest.fixture
def inbox() -> Iterator[tuple[str, queue.Queue[Delivery]]]:
    """An address that takes deliveries, and those that came."""
    came: queue.Queue[Delivery] = queue.Queue()

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()
            came.put((dict(self.headers), body))

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Taker)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", came
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_change_is_delivered_and_signed(
        erp: ErpClient, inbox: tuple[str, queue.Queue[Delivery]]) -> None:
    url, came = inbox
    hook = erp.call("POST", "/v1/hooks", {"url": url, "topics": ["customers"], "secret": "s3"})
    assert erp.seen.status_code == 201
    erp.create("warehouses", code="BER", name="Berlin")
    made = erp.create("customers", display_name="Aurora")
    headers, body = came.get(timeout=20)
    assert json.loads(body) == {"topic": "customers", "event": "changed", "id": made["id"],
                                "rev": 1}
    at, _, signature = headers["X-Erp-Signature"].partition(",v1=")
    expected = hmac.new(b"s3", at.removeprefix("t=").encode() + b"." + body, hashlib.sha256)
    assert signature == expected.hexdigest()
    assert len(headers["X-Erp-Delivery"]) == 32
    erp.patch("customers", made, tel="1")
    assert json.loads(came.get(timeout=20)[1])["rev"] == 2
    assert erp.get("hooks") == [hook]
    erp.call("DELETE", f"/v1/hooks/{hook['id']}")
    assert erp.get("hooks") == []
    assert came.empty()


def test_all_rows_that_a_call_moves_are_told(
        erp: ErpClient, inbox: tuple[str, queue.Queue[Delivery]]) -> None:
    url, came = inbox
    erp.create("warehouses", code="BER", name="Berlin")
    item = erp.create("items", item_code="L", label="Lamp")
    customer = erp.create("customers", display_name="Aurora")
    order = erp.create("sales_orders", customer_id=customer["id"], currency_code="EUR",
                       lines=[{"item_id": item["id"], "qty": "1", "price": "1.00"}])
    assert erp.call("POST", "/v1/hooks", {"url": url})["secret"]
    erp.act("confirm", order)
    topics = {json.loads(came.get(timeout=20)[1])["topic"] for _ in range(3)}
    assert topics == {"customers", "sales_orders", "stock_levels"}


@pytest.mark.parametrize("hook", [{}, {"url": "nowhere"}, {"url": "http://x", "topics": ["cars"]},
                                  {"url": "http://x", "topics": "customers"}])
def test_a_hook_that_leads_nowhere_is_refused(erp: ErpClient, hook: dict[str, Any]) -> None:
    erp.call("POST", "/v1/hooks", hook)
    assert code(erp) == (422, "E422-FIELD")


def test_a_create_whose_answer_was_lost_is_told_when_it_is_tried_again(erp: ErpClient) -> None:
    erp.call("POST", "/_faults", [{"match": {"method": "POST", "path": "/v1/customers/bulk"},
                                   "kind": "drop_after"}])
    row = {"display_name": "Aurora", "external_ref": "crm:1"}
    with pytest.raises(requests.RequestException):
        erp.bulk("customers", row)
    (again,) = erp.bulk("customers", row)
    assert again["error"]["code"] == "E409-REF"
    assert again["error"]["row"]["display_name"] == "Aurora"
    assert len(erp.get("customers")["rows"]) == 1


def test_a_call_that_failed_before_it_began_left_nothing(erp: ErpClient) -> None:
    erp.call("POST", "/_faults", [{"match": {"path": "/v1/customers"}, "kind": "fail_before",
                                   "status": 502}])
    erp.call("POST", "/v1/customers", {"display_name": "x"})
    assert erp.seen.status_code == 502
    assert erp.get("customers")["rows"] == []
