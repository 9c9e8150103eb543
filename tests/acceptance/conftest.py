"""Both native systems served over HTTP, filled from a seed, and a config that joins them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from connector.bootstrap import Connector, open_connector, shipped
from connector.native import crm, erp
from connector.native.seed import fill
from connector.native.serving import running

TOKEN, KEY = "crm-test-token", "erp-test-key"


@dataclass(slots=True)
class World:
    """Two systems, and the connector between them."""

    folder: Path
    crm_url: str
    erp_url: str
    connector: Connector

    def every(self, system: str, object: str) -> list[dict[str, Any]]:
        """All records of an object, as the system's own API gives them."""
        found: list[dict[str, Any]] = []
        if system == "crm":
            query = {"limit": "500"}
            while True:
                page = requests.get(f"{self.crm_url}/api/{object}", params=query, timeout=60,
                                    headers={"Authorization": f"Bearer {TOKEN}"}).json()
                found += page["data"]
                if not page["nextCursor"]:
                    return found
                query["cursor"] = page["nextCursor"]
        query = {"limit": "1000", "archived": "include"}
        while True:
            page = requests.get(f"{self.erp_url}/v1/{object}", params=query, timeout=60,
                                headers={"X-Api-Key": KEY}).json()
            found += page["rows"]
            if not page["more"]:
                return found
            query.update(after_modified=found[-1]["modified"], after_id=str(found[-1]["id"]))


Worlds = Callable[..., World]


def write_config(folder: Path, crm_url: str, erp_url: str, **match: str) -> Path:
    """The example config with these URLs, other match keys where given, and several ERP customers
    for one account."""
    text = shipped("config.example.yaml").read_text(encoding="utf-8")
    text = text.replace("http://127.0.0.1:8801", crm_url).replace("http://127.0.0.1:8802", erp_url)
    for old, new in match.items():
        text = text.replace(f"match: [{old}]", f"match: [{new}]")
    text = text.replace("        on_delete: deactivate", "        several_in: erp", 1)
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worlds]:
    """Makes a world from a seed: `demo`, a number, or a folder."""
    monkeypatch.setenv("NATIVE_CRM_TOKEN", TOKEN)
    monkeypatch.setenv("NATIVE_ERP_KEY", KEY)
    with ExitStack() as stack:
        def make(seed: str | Path | None = None, **match: str) -> World:
            databases = {kind: f"sqlite:///{tmp_path}/{kind}.db" for kind in ("crm", "erp")}
            if seed is not None:
                for kind, database in databases.items():
                    fill(kind, database, seed)
            crm_url = stack.enter_context(running(crm.create_app(databases["crm"], token=TOKEN)))
            erp_url = stack.enter_context(running(erp.create_app(databases["erp"], api_key=KEY)))
            connector = open_connector(write_config(tmp_path, crm_url, erp_url, **match))
            stack.callback(connector.close)
            return World(tmp_path, crm_url, erp_url, connector)

        yield make
