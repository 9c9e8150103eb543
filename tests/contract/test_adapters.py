"""The adapters' promises: in memory, and to both native systems over real HTTP."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook

from connector.adapters.memory import MemoryAdapter, MemorySettings
from connector.adapters.native_crm import NativeCrm, NativeCrmSettings
from connector.adapters.native_erp import NativeErp, NativeErpSettings
from connector.adapters.webhooks import WebhookSettings
from connector.domain.records import Intent, WriteResult, WriteStatus
from connector.errors import AccessDenied, ConnectorError, SystemUnreachable
from connector.native import crm, erp
from connector.native.serving import free_port, running
from connector.testing.adapter_suite import AdapterSuite
from connector.testing.adapter_world import AdapterWorld
from connector.testing.clock import VirtualClock
from connector.testing.hostile import CAUGHT_BY

_worlds = itertools.count()


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECRETS = WebhookSettings(secrets=(SecretStr("whsec_YW4gb2xkIG9uZQ=="), SecretStr(SECRET)))


def t_v1(body: bytes, at: datetime) -> str:
    """A signature as the native ERP makes it, at an instant."""
    stamp = str(int(at.timestamp()))
    digest = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"


def standard(body: bytes, at: datetime) -> dict[str, str]:
    """The headers as Standard Webhooks' own library makes them, or as it would where a body is no
    text, which it doesn't sign."""
    id, stamp = f"msg_{next(_worlds)}", str(int(at.timestamp()))
    signed = f"{id}.{stamp}.".encode() + body
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signature = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    if body.isascii():
        assert signature == Webhook(SECRET).sign(id, at, body.decode())
    return {"webhook-id": id, "webhook-timestamp": stamp, "webhook-signature": signature}


class Picky(MemoryAdapter):
    """A memory system that refuses records without a name."""

    def write_one(self, object: str, intent: Intent) -> WriteResult:
        if "name" in intent.payload and not intent.payload["name"]:
            return WriteResult(WriteStatus.REJECTED, error="name: must not be blank")
        return super().write_one(object, intent)


def memory_world(kind: type[MemoryAdapter]) -> AdapterWorld:
    picky = Picky if kind is MemoryAdapter else type("Picked", (kind, Picky), {})

    def adapter(outage: ConnectorError | None = None) -> MemoryAdapter:
        settings = MemorySettings(name="system", world=f"world {next(_worlds)}", webhooks=SECRETS)
        made: MemoryAdapter = picky(settings, VirtualClock(), page=3, look_back=3)
        made.system.outage = outage
        return made

    honest = adapter()
    system = honest.system
    return AdapterWorld(
        honest, "things",
        lambda n: {"name": f"thing {n}", "amount": Decimal(n), "note": "short"}, "name",
        lambda ext, changes: system.put("things", ext, changes),
        lambda ext: system.delete("things", ext),
        "amount", [Decimal("0.1"), Decimal("12345678901234.567891")], "note", {"name": ""},
        lambda ext, changes: system.late("things", ext, changes),
        adapter(AccessDenied("wrong password")), adapter(SystemUnreachable("away")),
        lambda ext: json.dumps({"delivery": f"d{next(_worlds)}", "object": "things",
                                "id": ext}).encode(),
        lambda body, at: {"X-Signature": t_v1(body, at)})


class TestMemory(AdapterSuite):
    @pytest.fixture
    def world(self) -> AdapterWorld:
        return memory_world(MemoryAdapter)


def held_up(url: str, edit: Callable[[str, Mapping[str, Any]], None], ext: str,
            changes: Mapping[str, Any]) -> Callable[[], None]:
    """Begin an edit whose transaction stays open for a while; returns what waits for its end."""
    requests.post(f"{url}/_faults", timeout=9, json=[
        {"kind": "delay_commit", "match": {"method": "PATCH"}, "seconds": 1}]).raise_for_status()
    thread = threading.Thread(target=edit, args=(ext, changes))
    thread.start()
    while requests.get(f"{url}/_faults", timeout=9).json():
        pass  # until the edit has met the fault
    return thread.join


class TestNativeCrm(AdapterSuite):
    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[AdapterWorld]:
        app = crm.create_app(f"sqlite:///{tmp_path}/crm.db", token="right", faults=True)
        with running(app) as url:
            api = requests.Session()
            api.headers["Authorization"] = "Bearer right"

            def adapter(at: str = url, token: str = "right") -> NativeCrm:
                return NativeCrm(NativeCrmSettings(
                    name="crm", url=at, token=SecretStr(token), max_attempts=2,
                    webhooks=SECRETS), VirtualClock(),
                    page=3)

            def edit(ext: str, changes: Mapping[str, Any]) -> None:
                api.patch(f"{url}/api/products/{ext}", json=changes).raise_for_status()

            yield AdapterWorld(
                adapter(), "products", lambda n: {"sku": f"P-{n}", "name": f"Product {n}"},
                "name", edit,
                lambda ext: api.delete(f"{url}/api/products/{ext}").raise_for_status(),
                "taxPercent", [Decimal("19.6"), Decimal("7"), 16], "description",
                {"sku": "P-2", "name": "", "currency": "?"}, partial(held_up, url, edit),
                adapter(token="wrong"), adapter(f"http://127.0.0.1:{free_port()}"),
                lambda ext: json.dumps({"type": "products.updated", "timestamp": "now", "data": {
                    "object": "products", "id": ext, "etag": "1"}}).encode(), standard)


class TestNativeErp(AdapterSuite):
    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[AdapterWorld]:
        app = erp.create_app(f"sqlite:///{tmp_path}/erp.db", api_key="right", faults=True)
        with running(app) as url:
            api = requests.Session()
            api.headers["X-Api-Key"] = "right"

            def adapter(at: str = url, key: str = "right") -> NativeErp:
                return NativeErp(NativeErpSettings(
                    name="erp", url=at, api_key=SecretStr(key), max_attempts=2,
                    webhooks=SECRETS), VirtualClock(),
                    page=3)

            def edit(ext: str, changes: Mapping[str, Any]) -> None:
                rev = api.get(f"{url}/v1/items/{ext}").json()["rev"]
                api.patch(f"{url}/v1/items/{ext}",
                          json={**changes, "rev": rev}).raise_for_status()

            yield AdapterWorld(
                adapter(), "items", lambda n: {"item_code": f"I-{n}", "label": f"Item {n}"},
                "label", edit, lambda ext: edit(ext, {"archived": True}), "base_price",
                ["0.10", "1234567.654321"], "text", {"item_code": "I-2", "label": ""},
                partial(held_up, url, edit),
                adapter(key="wrong"), adapter(f"http://127.0.0.1:{free_port()}"),
                lambda ext: json.dumps({"topic": "items", "event": "changed", "id": int(ext),
                                        "rev": 2}).encode(),
                lambda body, at: {"X-Erp-Signature": t_v1(body, at),
                                  "X-Erp-Delivery": f"d{next(_worlds)}"})


def broken(kind: type[MemoryAdapter]) -> set[str]:
    """The tests of the suite that an adapter fails, each in a world of its own."""
    failed = set()
    for name in (name for name in dir(AdapterSuite) if name.startswith("test_")):
        try:
            getattr(AdapterSuite(), name)(memory_world(kind))
        except (AssertionError, KeyError, ValueError, pytest.fail.Exception):
            failed.add(name)
    return failed


@pytest.mark.parametrize("kind", CAUGHT_BY, ids=lambda kind: kind.__name__)
def test_the_suite_finds_out_who_breaks_a_promise(kind: type[MemoryAdapter]) -> None:
    assert broken(kind) == CAUGHT_BY[kind]


def test_an_honest_adapter_breaks_none() -> None:
    assert broken(MemoryAdapter) == set()


def test_every_promise_is_broken_by_someone() -> None:
    promises = {name for name in dir(AdapterSuite) if name.startswith("test_")}
    assert set[str]().union(*CAUGHT_BY.values()) == promises
