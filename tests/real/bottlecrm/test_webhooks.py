"""A real BottleCRM tells of an edit: the hint is kept, and that record alone is read again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from connector.bootstrap import open_connector
from connector.domain.ledger import RunState
from connector.errors import DeliveryRefused
from connector.native import erp
from connector.native.serving import running
from connector.web.receiver import create_app, open_receiver
from tests.real.bottlecrm.server import BottleServer

pytestmark = pytest.mark.timeout(900)  # the first start installs BottleCRM

CONFIG = """
store: sqlite:///store.db
systems:
  crm:
    adapter: bottlecrm
    url: "%s"
    token: "env:BOTTLE_TOKEN"
    webhooks: {secrets: ["env:BOTTLE_HOOKS"]}
  erp: {adapter: native_erp, url: "%s", api_key: "env:ERP_KEY"}
pairs:
  main:
    crm: crm
    erp: erp
    entities:
      customer:
        conflict: manual
        fields: {number: to_crm, credit_limit: to_crm, balance: to_crm, on_hold: to_crm}
"""


class Later:
    """An app that is given after its address is known: BottleCRM tells its secret only when it is
    told where to send."""

    def __init__(self) -> None:
        self.app: Any = None

    async def __call__(self, scope: Any, receive: Callable[[], Any],
                       send: Callable[[Any], Any]) -> None:
        if scope["type"] == "http":
            await self.app(scope, receive, send)


@pytest.fixture
def erp_url(tmp_path: Path) -> Iterator[str]:
    with running(erp.create_app(f"sqlite:///{tmp_path}/erp.db", api_key="right")) as url:
        yield url


def test_an_edit_is_told_and_only_that_record_is_read(
        bottlecrm: BottleServer, erp_url: str, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    bottlecrm.empty()
    for name, value in (("BOTTLE_TOKEN", bottlecrm.token), ("ERP_KEY", "right")):
        monkeypatch.setenv(name, value)

    def crm(method: str, path: str, body: Any, token: str = bottlecrm.token) -> Any:
        answer = requests.request(method, f"{bottlecrm.url}/api/{path}/", json=body, timeout=60,
                                  headers={"Authorization": f"Bearer {token}"})
        assert answer.ok, answer.text
        return answer.json()

    def customers() -> set[str]:
        rows = requests.get(f"{erp_url}/v1/customers", headers={"X-Api-Key": "right"},
                            timeout=60).json()["rows"]
        return {row["display_name"] for row in rows}

    later = Later()
    with running(later) as url:
        hook = crm("POST", "webhooks", {"url": f"{url}/webhooks/crm", "events": [
            "account.created", "account.updated", "account.deleted"]}, bottlecrm.session)
        monkeypatch.setenv("BOTTLE_HOOKS", hook["secret"])
        config = tmp_path / "config.yaml"
        config.write_text(CONFIG % (bottlecrm.url, erp_url), encoding="utf-8")
        connector = open_connector(config)
        receiver = open_receiver(connector, lambda _pairs: None)
        later.app = create_app(receiver)
        mapping = connector.mappings("crm")["customer"]
        connector.adapter("crm").prepare(mapping.object, mapping.field_types)

        ids = [crm("POST", "accounts", {"name": name, "currency": "EUR", "country": "FR",
                                        "city": "Lyon"})["id"] for name in ("One", "Two", "Three")]
        engine = connector.engine("main")
        for _ in range(2):
            assert engine.sync().state is RunState.COMPLETED
        assert customers() == {"One", "Two", "Three"}
        engine.drain()  # what our own writes told

        crm("PATCH", f"accounts/{ids[1]}", {"name": "Two SARL"})
        with connector.store.begin() as uow:
            assert list(uow.hinted("main", "crm", 0, 9).values()) == [("customer", ids[1])]
        run = engine.drain()
        assert run.state is RunState.COMPLETED
        assert run.tallies["customer", "crm"].read == 1
        assert {key: n for key, n in run.writes.items() if n} \
            == {("customer", "erp", "update"): 1}
        assert customers() == {"One", "Two SARL", "Three"}

        answered = receiver.counted["crm", 202]
        assert answered >= 4
        assert set(receiver.counted) == {("crm", 202)}
        with pytest.raises(DeliveryRefused):
            connector.adapter("crm").parse_webhook(
                {"x-bottlecrm-signature": "t=1,v1=00"}, b"{}", connector.clock.now())
        receiver.close()
        connector.close()
