"""A change in one system reaches the other by webhook: told, kept, read again, written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Queue

import pytest

from connector.bootstrap import open_connector
from connector.domain.actions import OutcomeKind
from connector.domain.ledger import Run, RunState
from connector.errors import SafetyStopped
from connector.native.serving import running
from connector.web.receiver import Receiver, create_app, open_receiver
from tests.integration.conftest import CRM_SECRET, ERP_SECRET, Pair, expect_webhooks

UNCHANGED, CREATED = OutcomeKind.UNCHANGED, OutcomeKind.CREATED


@dataclass(slots=True)
class Told:
    """A pair whose systems send webhooks to a receiver."""

    pair: Pair
    receiver: Receiver
    arrived: Queue[set[str]]

    def hinted(self) -> dict[tuple[str, str, str], int]:
        """What there are hints of, by entity and system."""
        with self.pair.connector.store.begin() as uow:
            return {key: n for key, n in uow.inbox_counts("main").items() if key[2] == "hinted"}

    def until_hinted(self, *keys: tuple[str, str]) -> None:
        """Wait until these entities of these systems have hints, and no others."""
        wanted, deadline = {(*key, "hinted") for key in keys}, time.monotonic() + 60
        while set(self.hinted()) != wanted:
            assert time.monotonic() < deadline, self.hinted()
            self.next()

    def until_received(self, **numbers: int) -> None:
        """Wait until so many deliveries of these systems were taken."""
        deadline = time.monotonic() + 60
        while any(self.receiver.counted[system, 202] < n for system, n in numbers.items()):
            assert time.monotonic() < deadline, self.receiver.counted
            self.next()

    def next(self) -> None:
        """Wait for a delivery."""
        with suppress(Empty):
            self.arrived.get(timeout=1)

    def drain(self) -> Run:
        """A drain that accounts for every record."""
        run = self.pair.engine.drain()
        assert run.state is RunState.COMPLETED, run.message
        return run

    def drain_until_quiet(self) -> None:
        """Drain until the systems have nothing more to tell."""
        quiet = 0
        while quiet < 2:
            quiet = quiet + 1 if not any(self.drain().writes.values()) and not self.hinted() else 0
            self.next()

    def runs(self) -> list[str]:
        """What set the runs off that are kept, the latest first."""
        with self.pair.connector.store.begin() as uow:
            return [run.trigger for run in uow.runs("main", 99)]


@pytest.fixture
def told(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    expect_webhooks(pair, monkeypatch)
    pair.connector = open_connector(pair.config)
    pair.engine = pair.connector.engine("main")
    arrived: Queue[set[str]] = Queue()
    receiver = open_receiver(pair.connector, arrived.put)
    with running(create_app(receiver)) as url:
        pair.crm("POST", "webhooks", {"url": f"{url}/webhooks/crm", "secret": CRM_SECRET})
        pair.erp("POST", "hooks", {"url": f"{url}/webhooks/erp", "secret": ERP_SECRET})
        yield Told(pair, receiver, arrived)
        receiver.close()
    pair.connector.close()


def test_an_edit_reaches_the_other_side(told: Told) -> None:
    pair = told.pair
    account = pair.crm("POST", "accounts", {"name": "Aurora", "phone": "1"})
    told.until_hinted(("customer", "crm"))
    run = told.drain()
    assert run.tallies["customer", "crm"].outcomes[CREATED] == 1
    (customer,) = pair.in_erp("customers")
    assert customer["display_name"] == "Aurora"
    told.drain_until_quiet()

    pair.edit_erp("customers", customer["id"], display_name="Aurora SE")
    told.until_hinted(("customer", "erp"))
    assert told.drain().writes == {("customer", "crm", "update"): 1}
    assert pair.crm("GET", f"accounts/{account['id']}")["name"] == "Aurora SE"
    told.drain_until_quiet()
    assert not any(pair.sync().writes.values())


def test_an_echo_ends_there_and_leaves_no_run(told: Told) -> None:
    pair = told.pair
    account = pair.crm("POST", "accounts", {"name": "Aurora"})
    told.until_hinted(("customer", "crm"))
    told.drain_until_quiet()
    kept = told.runs()
    assert set(kept) == {"webhook"}
    with pair.connector.store.begin() as uow:
        uow.hint("main", [("customer", "crm", account["id"])])
    echo = told.drain()
    assert {key: (tally.read, tally.outcomes[UNCHANGED]) for key, tally in echo.tallies.items()} \
        == {("customer", "crm"): (1, 1)}
    assert not any(echo.writes.values())
    assert told.runs() == kept
    assert told.hinted() == {}


def test_only_what_was_told_is_read(told: Told) -> None:
    pair = told.pair
    for name in ("One", "Two", "Three"):
        pair.crm("POST", "accounts", {"name": name})
    told.until_received(crm=3)
    told.drain()
    assert len(pair.in_erp("customers")) == 3
    told.until_received(crm=6, erp=3)  # the CRM got the ERP's numbers
    told.drain()
    account = pair.in_crm("accounts")[1]
    for n in range(5):
        pair.crm("PATCH", f"accounts/{account['id']}", {"phone": f"{n}"})
    told.until_received(crm=11)
    assert told.hinted() == {("customer", "crm", "hinted"): 1}
    run = told.drain()
    assert run.tallies["customer", "crm"].read == 1
    assert run.writes == {("customer", "erp", "update"): 1}
    with pair.connector.store.begin() as uow:
        assert uow.cursors("main", "crm").get("customer") is None  # nothing was ever pulled


def test_documents_go_over_with_what_they_refer_to(told: Told) -> None:
    pair = told.pair
    pair.erp("POST", "warehouses", {"code": "MAIN", "name": "Main"})
    account = pair.crm("POST", "accounts", {"name": "Aurora"})
    product = pair.crm("POST", "products", {"sku": "P-1", "name": "Pump", "currency": "EUR"})
    pair.crm("POST", "quotes", {"accountId": account["id"], "currency": "EUR", "warehouse": "MAIN",
                                "status": "Accepted", "lines": [
                                    {"productId": product["id"], "quantity": 2,
                                     "unitPriceMicros": 9_990_000, "taxPercent": 19}]})
    told.until_hinted(("customer", "crm"), ("product", "crm"), ("quote", "crm"))
    told.drain()
    told.drain_until_quiet()
    assert len(pair.in_erp("quotations")) == 1
    assert len(pair.in_erp("sales_orders")) == 1
    pair.quiet()


def test_what_was_deleted_is_told_as_well(told: Told) -> None:
    pair = told.pair
    account = pair.crm("POST", "accounts", {"name": "Aurora"})
    told.until_hinted(("customer", "crm"))
    told.drain_until_quiet()
    pair.crm("DELETE", f"accounts/{account['id']}")
    told.until_hinted(("customer", "crm"))
    told.drain()
    (customer,) = pair.in_erp("customers")
    assert customer["archived"] is True


def test_the_safety_stop_holds_for_webhooks_too(told: Told) -> None:
    pair = told.pair
    made = pair.crm("POST", "accounts/batch", {"operations": [
        {"method": "create", "body": {"name": f"Company {n}"}} for n in range(60)]})["results"]
    pair.sync()
    told.drain_until_quiet()
    pair.crm("POST", "accounts/batch", {"operations": [
        {"method": "delete", "id": row["body"]["id"]} for row in made]})
    while sum(told.hinted().values()) < 60:
        told.next()
    with pytest.raises(SafetyStopped, match="60 of 60 linked customer records"):
        told.drain()
    assert not any(c["archived"] for c in pair.in_erp("customers"))


def test_a_sync_settles_hints_as_well(told: Told) -> None:
    pair = told.pair
    pair.crm("POST", "accounts", {"name": "Aurora"})
    told.until_hinted(("customer", "crm"))
    pair.sync()
    assert ("customer", "crm", "hinted") not in told.hinted()
    assert len(pair.in_erp("customers")) == 1
