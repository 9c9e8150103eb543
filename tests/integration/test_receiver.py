"""The receiver of webhooks, over real HTTP: what it takes, what it refuses, and what it leaves."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.bootstrap import Connector, open_connector
from connector.errors import StoreContended, StoreUnusable
from connector.native.serving import running
from connector.testing.clock import VirtualClock
from connector.web.intake import KEPT
from connector.web.receiver import LARGEST_BODY, Receiver, create_app, open_receiver
from tests.integration.conftest import write_config

SECRET = "a secret of the ERP"


@dataclass(slots=True)
class Receiving:
    """A receiver that is served, and an ERP that sends to it."""

    url: str
    connector: Connector
    receiver: Receiver
    told: list[set[str]]
    number: int = 0
    http: requests.Session = field(default_factory=requests.Session)

    def signed(self, body: bytes, *, at: int | None = None, id: str = "") -> dict[str, str]:
        """The headers of a delivery; a new one each time, if it has no ID."""
        self.number += 1
        stamp = str(at or int(self.connector.clock.now().timestamp()))
        digest = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256)
        return {"X-Erp-Signature": f"t={stamp},v1={digest.hexdigest()}",
                "X-Erp-Delivery": id or f"delivery-{self.number}"}

    def send(self, body: bytes, headers: dict[str, str], system: str = "erp") -> requests.Response:
        """Deliver."""
        return self.http.post(f"{self.url}/webhooks/{system}", data=body, headers=headers,
                              timeout=30)

    def tell(self, topic: str, id: int) -> requests.Response:
        """A true delivery about a record."""
        body = about(topic, id)
        return self.send(body, self.signed(body))

    def with_store(self, store: Any) -> Connector:
        """The same connector over another store."""
        return Connector(self.connector.config, self.connector.file, self.connector.clock,
                         self.connector.adapters, store)

    @property
    def hinted(self) -> dict[tuple[str, str, str], int]:
        """What the store has hints of."""
        with self.connector.store.begin() as uow:
            return uow.inbox_counts("main")


def about(topic: str, id: int) -> bytes:
    """What the ERP says of a record."""
    return json.dumps({"topic": topic, "event": "changed", "id": id, "rev": 1}).encode()


@pytest.fixture
def receiving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiving]:
    yield from serve(tmp_path, monkeypatch)


def serve(folder: Path, monkeypatch: pytest.MonkeyPatch,
          per_second: float = 10_000) -> Iterator[Receiving]:
    for name, value in (("NATIVE_CRM_TOKEN", "t"), ("NATIVE_ERP_KEY", "k"), ("ERP_HOOKS", SECRET)):
        monkeypatch.setenv(name, value)
    path = write_config(folder, "http://127.0.0.1:1", "http://127.0.0.1:2")
    path.write_text(path.read_text(encoding="utf-8").replace(
        "api_key: env:NATIVE_ERP_KEY", "api_key: env:NATIVE_ERP_KEY\n"
        "    webhooks: {secrets: [env:ERP_HOOKS]}"), encoding="utf-8")
    with ExitStack() as stack:
        connector = open_connector(path, VirtualClock())
        stack.callback(connector.close)
        told: list[set[str]] = []
        receiver = open_receiver(connector, told.append, per_second)
        stack.callback(receiver.close)
        url = stack.enter_context(running(create_app(receiver)))
        yield Receiving(url, connector, receiver, told)


def test_a_delivery_leaves_a_hint_for_every_entity_that_maps_its_object(
        receiving: Receiving) -> None:
    answer = receiving.tell("customers", 7)
    assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
    assert receiving.tell("sales_orders", 8).status_code == 202
    assert receiving.hinted == {("customer", "erp", "hinted"): 1, ("order", "erp", "hinted"): 1}
    assert receiving.told == [{"main"}, {"main"}]


def test_what_is_not_shared_is_taken_without_effect(receiving: Receiving) -> None:
    assert receiving.tell("warehouses", 7).status_code == 202
    assert receiving.hinted == {}
    assert receiving.told == []


def test_a_replayed_delivery_has_no_effect(receiving: Receiving) -> None:
    body = about("customers", 7)
    assert receiving.send(body, receiving.signed(body, id="one")).json() == {"status": "accepted"}
    with receiving.connector.store.begin() as uow:
        uow.settle_hints(uow.hinted("main", "erp", 0, 9))
    again = receiving.send(body, receiving.signed(body, id="one"))
    assert (again.status_code, again.json()) == (202, {"status": "known"})
    assert receiving.hinted == {}
    assert len(receiving.told) == 1


def test_a_delivery_is_known_for_thirty_days(receiving: Receiving) -> None:
    body = about("customers", 7)
    clock = receiving.connector.clock
    assert receiving.send(body, receiving.signed(body, id="one")).json()["status"] == "accepted"
    clock.sleep((KEPT - timedelta(hours=1)).total_seconds())
    assert receiving.send(body, receiving.signed(body, id="one")).json()["status"] == "known"
    clock.sleep(7200)
    assert receiving.tell("customers", 8).status_code == 202  # the old ones go after this
    assert receiving.send(body, receiving.signed(body, id="one")).json()["status"] == "accepted"


@pytest.mark.parametrize(("what", "status"), [
    ("forged", 401), ("unsigned", 401), ("stale", 401), ("from the future", 401),
    ("malformed", 401), ("no secret", 401), ("oversized", 413), ("oversized in chunks", 413),
    ("unknown system", 404)])
def test_what_is_wrong_is_refused_and_leaves_nothing(receiving: Receiving, what: str,
                                                     status: int) -> None:
    body = about("customers", 7)
    headers, now = receiving.signed(body), int(receiving.connector.clock.now().timestamp())
    large = b"x" * (LARGEST_BODY + 1)
    sent: dict[str, tuple[Any, dict[str, str], str]] = {
        "forged": (about("customers", 8), headers, "erp"), "unsigned": (body, {}, "erp"),
        "stale": (body, receiving.signed(body, at=now - 301), "erp"),
        "from the future": (body, receiving.signed(body, at=now + 302), "erp"),
        "malformed": (b"[", receiving.signed(b"["), "erp"), "no secret": (body, headers, "crm"),
        "oversized": (large, receiving.signed(large), "erp"),
        "oversized in chunks": (iter([large[:9], large]), receiving.signed(large), "erp"),
        "unknown system": (body, headers, "nobody")}
    answer = receiving.send(*sent[what])
    assert answer.status_code == status, answer.text
    assert receiving.hinted == {}
    assert receiving.told == []
    assert receiving.tell("customers", 7).status_code == 202


def test_the_largest_delivery_goes_through(receiving: Receiving) -> None:
    body = about("customers", 7)[:-1] + b', "note": "' + b"x" * (LARGEST_BODY - 100) + b'"}'
    body += b" " * (LARGEST_BODY - len(body))
    assert receiving.send(body, receiving.signed(body)).status_code == 202


def test_only_deliveries_are_taken(receiving: Receiving) -> None:
    for method, path, status in (("GET", "/webhooks/erp", 405), ("POST", "/webhooks/", 404),
                                 ("POST", "/webhooks/erp/x", 404), ("GET", "/", 404),
                                 ("GET", "/health", 200), ("GET", "/ready", 200)):
        answer = receiving.http.request(method, receiving.url + path, timeout=30)
        assert answer.status_code == status, path


def test_too_many_are_told_to_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for receiving in serve(tmp_path, monkeypatch, per_second=3):
        statuses = [receiving.tell("customers", n).status_code for n in range(40)]
        assert statuses[:3] == [202] * 3
        assert statuses.count(429) >= 1
        late = next(r for n in range(99) if (r := receiving.tell("customers", n)).status_code
                    == 429)
        assert late.headers["Retry-After"] == "1"


def test_a_hundred_changes_of_one_record_are_one_hint(receiving: Receiving) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: receiving.tell("customers", 7), range(100)))
    assert {answer.status_code for answer in answers} == {202}
    assert receiving.hinted == {("customer", "erp", "hinted"): 1}


def test_the_same_delivery_at_the_same_time_is_new_once(receiving: Receiving) -> None:
    body = about("customers", 7)
    headers = receiving.signed(body, id="one")
    with ThreadPoolExecutor(8) as threads:
        told = [a.json()["status"] for a in threads.map(
            lambda _: requests.post(f"{receiving.url}/webhooks/erp", data=body, headers=headers,
                                    timeout=30), range(40))]
    assert sorted(told) == ["accepted"] + ["known"] * 39


def test_deliveries_wait_for_the_store_and_are_committed_together(receiving: Receiving) -> None:
    done = list[int]()
    with ThreadPoolExecutor(20) as threads:
        with receiving.connector.store.begin():
            coming = [threads.submit(lambda n=n: done.append(
                receiving.tell("customers", n).status_code)) for n in range(20)]
            while receiving.receiver.intake.waiting < 20:
                time.sleep(0.01)
            assert done == []  # nothing is answered before it is committed
        for each in coming:
            each.result()
    assert done == [202] * 20
    assert len(receiving.told) <= 2


class Troubled:
    """A store whose transactions fail a few times."""

    def __init__(self, store: Any, error: Exception, times: int) -> None:
        self.store, self.error, self.times = store, error, times

    def begin(self, **how: Any) -> Any:
        if self.times:
            self.times -= 1
            raise self.error
        return self.store.begin(**how)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


@pytest.mark.parametrize(("error", "times", "status"), [
    (StoreContended("deadlock"), 3, 202), (StoreContended("deadlock"), 6, 503),
    (StoreUnusable("disk full"), 1, 503)])
def test_a_store_in_trouble_is_tried_again_or_the_sender_is_asked_to(
        receiving: Receiving, error: Exception, times: int, status: int) -> None:
    receiver = open_receiver(receiving.with_store(Troubled(
        receiving.connector.store, error, times)), receiving.told.append)
    with running(create_app(receiver)) as url:
        receiving.url = url
        answer = receiving.tell("customers", 7)
        assert answer.status_code == status
        assert (receiving.hinted == {}) is (status == 503)
        assert receiving.tell("customers", 7).status_code == 202
    receiver.close()


def test_it_is_not_ready_while_the_store_fails(receiving: Receiving) -> None:
    receiver = open_receiver(receiving.with_store(Troubled(
        receiving.connector.store, StoreUnusable("gone"), 1)), receiving.told.append)
    with running(create_app(receiver)) as url:
        assert requests.get(f"{url}/health", timeout=30).status_code == 200
        assert requests.get(f"{url}/ready", timeout=30).status_code == 503
        assert requests.get(f"{url}/ready", timeout=30).status_code == 200
    receiver.close()


def test_a_sender_that_goes_away_does_no_harm(receiving: Receiving) -> None:
    at = urlsplit(receiving.url)
    with closing(socket.create_connection((at.hostname, at.port))) as line:
        line.sendall(b"POST /webhooks/erp HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
    assert receiving.tell("customers", 7).status_code == 202


def test_what_has_come_is_kept_when_the_receiver_stops(receiving: Receiving) -> None:
    statuses = list[int]()
    threads = [threading.Thread(target=lambda n=n: statuses.append(
        receiving.tell("customers", n).status_code)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    receiving.receiver.close()
    assert statuses == [202] * 10
    assert receiving.hinted == {("customer", "erp", "hinted"): 10}




@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(system=st.sampled_from(["erp", "crm", "nobody", "%2e%2e", "a b"]),
       headers=st.dictionaries(
           st.sampled_from(["X-Erp-Signature", "X-Erp-Delivery", "webhook-id", "webhook-signature",
                            "webhook-timestamp", "Content-Type", "Content-Encoding"]),
           st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"),
                   max_size=60).map(lambda text: text.encode("latin-1"))),
       body=st.binary(max_size=200), sign=st.booleans())
def test_whatever_comes_is_never_our_fault(receiving: Receiving, system: str,
                                           headers: dict[str, bytes], body: bytes,
                                           sign: bool) -> None:
    more: Any = receiving.signed(body) if sign else {}
    answer = receiving.send(body, {**headers, **more}, system)
    assert answer.status_code in (400, 401, 404)
    assert receiving.hinted == {}
