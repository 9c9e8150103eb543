"""The adapters' promises: in memory, and to both native systems over real HTTP."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
from pydantic import SecretStr

from connector.adapters.memory import MemoryAdapter, MemorySettings
from connector.adapters.native_crm import NativeCrm, NativeCrmSettings
from connector.adapters.native_erp import NativeErp, NativeErpSettings
from connector.domain.records import Intent, WriteResult, WriteStatus
from connector.native import crm, erp
from connector.native.serving import free_port, running
from connector.testing.adapter_suite import AdapterSuite, AdapterWorld
from connector.testing.clock import VirtualClock
from connector.testing.hostile import CAUGHT_BY

_worlds = itertools.count()


class Picky(MemoryAdapter):
    """A memory system that refuses records without a name."""

    def write_one(self, object: str, intent: Intent) -> WriteResult:
        if "name" in intent.payload and not intent.payload["name"]:
            return WriteResult(WriteStatus.REJECTED, error="name: must not be blank")
        return super().write_one(object, intent)


def memory_world(kind: type[MemoryAdapter]) -> AdapterWorld:
    settings = MemorySettings(name="system", world=f"world {next(_worlds)}")
    picky = Picky if kind is MemoryAdapter else type("Picked", (kind, Picky), {})
    adapter = picky(settings, VirtualClock(), page=3)
    system = adapter.system
    return AdapterWorld(
        adapter, "things", lambda n: {"name": f"thing {n}", "amount": Decimal(n)}, "name",
        lambda ext, changes: void(system.put("things", ext, changes)),
        lambda ext: system.delete("things", ext), "amount",
        [Decimal("0.1"), Decimal("12345678901234.567891")], {"name": ""})


def void(_: object) -> None:
    """What an edit returns is of no interest."""


class TestMemory(AdapterSuite):
    @pytest.fixture
    def world(self) -> AdapterWorld:
        return memory_world(MemoryAdapter)


class TestNativeCrm(AdapterSuite):
    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[AdapterWorld]:
        app = crm.create_app(f"sqlite:///{tmp_path}/crm.db", token="right")
        with running(app) as url:
            api = requests.Session()
            api.headers["Authorization"] = "Bearer right"

            def adapter(at: str = url, token: str = "right") -> NativeCrm:
                return NativeCrm(NativeCrmSettings(
                    name="crm", url=at, token=SecretStr(token), max_attempts=2), VirtualClock())

            def edit(ext: str, changes: Mapping[str, Any]) -> None:
                api.patch(f"{url}/api/accounts/{ext}", json=changes).raise_for_status()

            yield AdapterWorld(
                adapter(), "accounts", lambda n: {"name": f"Company {n}"}, "name", edit,
                lambda ext: api.delete(f"{url}/api/accounts/{ext}").raise_for_status(),
                "creditLimitMicros", [1, 900_000_000_000_000_001], {"name": "", "segment": "?"},
                adapter(token="wrong"), adapter(f"http://127.0.0.1:{free_port()}"))


class TestNativeErp(AdapterSuite):
    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[AdapterWorld]:
        app = erp.create_app(f"sqlite:///{tmp_path}/erp.db", api_key="right")
        with running(app) as url:
            api = requests.Session()
            api.headers["X-Api-Key"] = "right"

            def adapter(at: str = url, key: str = "right") -> NativeErp:
                return NativeErp(NativeErpSettings(
                    name="erp", url=at, api_key=SecretStr(key), max_attempts=2), VirtualClock())

            def edit(ext: str, changes: Mapping[str, Any]) -> None:
                rev = api.get(f"{url}/v1/items/{ext}").json()["rev"]
                api.patch(f"{url}/v1/items/{ext}",
                          json={**changes, "rev": rev}).raise_for_status()

            yield AdapterWorld(
                adapter(), "items", lambda n: {"item_code": f"I-{n}", "label": f"Item {n}"},
                "label", edit, lambda ext: edit(ext, {"archived": True}), "base_price",
                ["0.10", "1234567.654321"], {"item_code": "I-2", "label": ""},
                adapter(key="wrong"), adapter(f"http://127.0.0.1:{free_port()}"))


@pytest.mark.parametrize(("kind", "promise"), CAUGHT_BY.items(),
                         ids=[kind.__name__ for kind in CAUGHT_BY])
def test_the_suite_finds_out_who_breaks_a_promise(kind: type[MemoryAdapter],
                                                  promise: str) -> None:
    arguments = [("x" * 200,)] if promise == "test_text_survives" else [()]
    with pytest.raises((AssertionError, KeyError, pytest.fail.Exception)):
        for more in arguments:
            getattr(AdapterSuite(), promise)(memory_world(kind), *more)


@pytest.mark.parametrize("promise", sorted(set(CAUGHT_BY.values())))
def test_an_honest_adapter_keeps_each_of_them(promise: str) -> None:
    arguments = ("x" * 200,) if promise == "test_text_survives" else ()
    getattr(AdapterSuite(), promise)(memory_world(MemoryAdapter), *arguments)
