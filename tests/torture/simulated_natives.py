"""The native CRM and the native ERP as the torture test of adapters takes them, over real HTTP in
this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import requests
from pydantic import SecretStr
from requests.adapters import BaseAdapter

from connector.adapters.native_crm import NativeCrm, NativeCrmSettings
from connector.adapters.native_erp import NativeErp, NativeErpSettings
from connector.domain.policies import CRM, ERP
from connector.mapping.load import load_mappings
from connector.mapping.transforms import REGISTRY
from connector.native import crm, erp
from connector.native.serving import running
from connector.testing.clock import VirtualClock
from connector.testing.torture.kit import Factory, Records, Simulated

MAPPINGS = Path(__file__).resolve().parents[2] / "mappings"
OF_CRM, OF_ERP = (load_mappings(MAPPINGS, kind, REGISTRY) for kind in ("native_crm", "native_erp"))
PAGE = 2


def crm_with(kind: type[NativeCrm]) -> Factory:
    """A native CRM that adapters of this kind speak to."""
    @contextmanager
    def simulated(clock: VirtualClock, chance: Random) -> Iterator[Simulated]:
        app = crm.create_app("sqlite://", token="right", clock=clock.now,
                             new_id=lambda: f"{chance.getrandbits(80):020x}")
        with running(app) as url, requests.Session() as people:
            people.headers["Authorization"] = "Bearer right"

            def connect(transport: BaseAdapter) -> NativeCrm:
                settings = NativeCrmSettings(name=CRM, url=url, token=SecretStr("right"),
                                             max_attempts=2, calls_in_flight=1)
                return kind(settings.through(transport), clock, page=PAGE)

            def create(object: str, payload: Mapping[str, Any]) -> str:
                made = people.post(f"{url}/api/{object}", json=payload)
                made.raise_for_status()
                return str(made.json()["id"])

            def edit(object: str, id: str, changes: Mapping[str, Any]) -> None:
                people.patch(f"{url}/api/{object}/{id}", json=changes).raise_for_status()

            def delete(object: str, id: str) -> None:
                people.delete(f"{url}/api/{object}/{id}").raise_for_status()

            yield Simulated(CRM, connect, OF_CRM, {
                "customer": Records(
                    texts=("name", "city", "street"), blank=("city", "street"),
                    amounts=("creditLimitMicros",), payload=lambda _n: {"currency": "EUR"}),
                "contact": Records(texts=("firstName", "lastName", "jobTitle"),
                                   blank=("firstName", "jobTitle")),
                "product": Records(
                    texts=("name", "description"), blank=("description",),
                    amounts=("listPriceMicros",),
                    payload=lambda n: {"sku": f"P-{n}", "currency": "EUR"}),
            }, create, edit, delete)

    return simulated


def erp_with(kind: type[NativeErp]) -> Factory:
    """A native ERP that adapters of this kind speak to."""
    @contextmanager
    def simulated(clock: VirtualClock, _chance: Random) -> Iterator[Simulated]:
        app = erp.create_app("sqlite://", api_key="right", clock=clock.now)
        with running(app) as url, requests.Session() as people:
            people.headers["X-Api-Key"] = "right"

            def connect(transport: BaseAdapter) -> NativeErp:
                settings = NativeErpSettings(name=ERP, url=url, api_key=SecretStr("right"),
                                             max_attempts=2, calls_in_flight=1)
                return kind(settings.through(transport), clock, page=PAGE)

            def create(object: str, payload: Mapping[str, Any]) -> str:
                made = people.post(f"{url}/v1/{object}", json=payload)
                made.raise_for_status()
                return str(made.json()["id"])

            def edit(object: str, id: str, changes: Mapping[str, Any]) -> None:
                rev = people.get(f"{url}/v1/{object}/{id}").json()["rev"]
                people.patch(f"{url}/v1/{object}/{id}",
                             json={**changes, "rev": rev}).raise_for_status()

            yield Simulated(ERP, connect, OF_ERP, {
                "customer": Records(
                    texts=("display_name", "address.town", "address.line1"),
                    blank=("address.town", "address.line1"), amounts=("finance.credit_limit",),
                    payload=lambda _n: {"finance": {"currency_code": "EUR"}}),
                "contact": Records(texts=("given_name", "family_name", "function"),
                                   blank=("given_name", "function")),
                "product": Records(
                    texts=("label", "text"), blank=("text",), amounts=("base_price",),
                    payload=lambda n: {"item_code": f"I-{n}", "currency_code": "EUR"}),
            }, create, edit, delete=lambda object, id: edit(object, id, {"archived": True}))

    return simulated


native_crm: Factory = crm_with(NativeCrm)
native_erp: Factory = erp_with(NativeErp)
BOTH: Mapping[str, Factory] = {"native_crm": native_crm, "native_erp": native_erp}
