"""The story: customers, contacts and products that stand on both sides already, a sale from the
customer's yes to the payment, edits on both sides; with a real CRM and a real ERP.

Where there is no Python 3.12, which BottleCRM needs, the native CRM takes its place.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from connector.bootstrap import open_connector
from connector.domain.records import Batch, Intent, Operation, WriteStatus
from connector.native import crm as native_crm
from connector.native.serving import running as serving
from tests.real.bottlecrm import server as bottlecrm
from tests.real.company import Company200, company
from tests.real.tryton import server as tryton
from tests.real.users import BottleUser, CrmUser, ErpUser, NativeUser

pytestmark = pytest.mark.timeout(1800)  # the first start installs both systems
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "bottlecrm-tryton.yaml"
NATIVE = """
store: sqlite:///connector.db
log: {format: json, level: debug}
systems:
  crm: {adapter: native_crm, url: "%s", token: "env:BOTTLECRM_TOKEN"}
  erp: {adapter: tryton, url: "%s", database: erp, user: clerk, password: "env:TRYTON_PASSWORD"}
pairs:
  main:
    crm: crm
    erp: erp
    entities:
      product: {match: [sku], conflict: {prefer: erp}}
      customer: {match: [name], conflict: manual, fields: {phone: {owner: crm}}}
      contact: {match: [email], conflict: manual}
      stock_level: {match: [product, warehouse], born_in: erp}
      quote:
        born_in: crm
        conflict: {prefer: erp}
        total_tolerance: 0.01
        becomes: {order: {when: {status: accepted}, in: erp, set: {status: confirmed}}}
      order: {born_in: crm, conflict: {prefer: erp}, total_tolerance: 0.01}
      delivery: {born_in: erp}
      invoice: {born_in: erp, total_tolerance: 0.01}
"""


@dataclass(slots=True)
class Synced:
    """What came of a command: exit code, seconds, calls by system, and what it said."""

    code: int
    seconds: float
    calls: Counter[str]
    said: str

    @property
    def writes(self) -> dict[str, int]:
        """What a sync wrote."""
        found: dict[str, int] = json.loads(self.said)["writes"]
        return found


@dataclass(slots=True)
class Story:
    """Both systems with their users, and the folder with the config that joins them."""

    folder: Path
    crm: CrmUser
    erp: ErpUser
    company: Company200
    tokens: dict[str, str]
    told: list[str] = field(default_factory=list)

    def run(self, *words: str, kill_after: int | None = None) -> Synced:
        """A command of the connector, in a process of its own; killed after so many calls to the
        systems, if it makes that many."""
        started = time.monotonic()
        with (self.folder / "log").open("w+", encoding="utf-8") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "connector.cli", "--config",
                 str(self.folder / "config.yaml"), *words], text=True,
                stdout=subprocess.PIPE, stderr=log, env={**os.environ, **self.tokens})
            while kill_after is not None and process.poll() is None:
                if self._calls().total() >= kill_after:
                    process.kill()
                time.sleep(0.02)
            said, _ = process.communicate()
            seconds = time.monotonic() - started
            calls = self._calls()
        return Synced(process.returncode, seconds, calls, said)

    def _calls(self) -> Counter[str]:
        """The calls that a command has logged so far, by system."""
        lines = (self.folder / "log").read_text(encoding="utf-8").splitlines(keepends=True)
        return Counter(entry["system"] for line in lines if line.startswith("{")
                       and line.endswith("}\n") and (entry := json.loads(line))["event"] == "call")

    def broken_runs(self) -> int:
        """How many runs ended by being killed."""
        runs = json.loads(self.run("status", "--json").said)["runs"]
        return sum(run["state"] == "abandoned" for run in runs)

    def sync(self, what: str, *, kills: int = 0) -> Synced:
        """A sync that has to succeed, after some that are killed; it is told how long it took."""
        for number in range(kills):
            self.run("sync", kill_after=40 + 60 * number)
        done = self.run("sync", "--json")
        assert done.code == 0, (done.said, (self.folder / "log").read_text("utf-8")[-3000:]) \
            if done.code != 7 else self.run("dead-letters", "list").said
        self.told.append(f"{what}: {done.seconds:.1f} s, calls {dict(done.calls)}, "
                         f"writes {done.writes}")
        return done


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    """Both systems, the ERP with all of a company in place, the CRM with half of it, edited."""
    if os.environ.get("CONNECTOR_REAL") != "1":
        pytest.skip("the real systems are started only with CONNECTOR_REAL=1")
    with ExitStack() as stack:
        # Not in pytest's folder: another run of it would take it from PostgreSQL's user.
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="story-")))
        erp = stack.enter_context(tryton.running(tmp_path / "tryton"))
        tokens = {"TRYTON_PASSWORD": erp.password}
        seller: CrmUser
        reason = bottlecrm.missing()
        if reason is None:
            server = stack.enter_context(bottlecrm.running(folder))
            tokens["BOTTLECRM_TOKEN"], seller = server.token, BottleUser(server)
            text = EXAMPLE.read_text("utf-8").replace("http://127.0.0.1:8000", server.url) \
                .replace("http://127.0.0.1:8001", erp.url).replace("user: connector",
                                                                   f"user: {erp.user}") \
                + "\nlog: {format: json, level: debug}\n"
        else:
            url = stack.enter_context(serving(native_crm.create_app(
                f"sqlite:///{folder}/crm.db", token="right")))
            tokens["BOTTLECRM_TOKEN"], seller = "right", NativeUser(url, "right")
            text = NATIVE % (url, erp.url)
        (folder / "config.yaml").write_text(text, encoding="utf-8")
        told = Story(folder, seller, ErpUser(erp), company(), tokens)
        for command in ("prepare", "check"):
            done = told.run(command)
            assert done.code == 0, done.said
        _fill_erp(told)
        _fill_crm(told)
        yield told
        sys.stdout.write("\n".join(told.told) + "\n")


def _fill_erp(story: Story) -> None:
    """200 customers, their contacts and 50 products, as if they had always been there."""
    os.environ.update(story.tokens)
    connector = open_connector(story.folder / "config.yaml")
    erp = connector.adapter("erp")

    def fill(object: str, payloads: list[dict[str, Any]]) -> dict[str, str]:
        made: dict[str, str] = {}
        for start in range(0, len(payloads), 100):
            some = payloads[start:start + 100]
            results = erp.write(Batch(f"{object} {start}", object, Operation.CREATE, tuple(
                Intent(f"{start + n}", "thing", "1", "erp", Operation.CREATE, payload, {},
                       f"old:{object}{start + n}") for n, payload in enumerate(some))))
            for payload, result in zip(some, results, strict=True):
                assert result.status is WriteStatus.CREATED, result.error
                assert result.record is not None
                made[payload.get("name", "")] = result.record.external_id
        return made

    ids = fill("customers", [
        {"name": c.name, "address": {"street": c.street, "city": c.city,
                                     "postal_code": c.postal_code, "country": c.country},
         "contact_mechanisms": {"phone": c.phone}} for c in story.company.companies])
    fill("contacts", [
        {"customer": int(ids[p.company]), "first_name": p.first_name, "last_name": p.last_name,
         "contact_mechanisms": {"email": p.email}} for p in story.company.people])
    fill("products", [
        {"code": p.sku, "name": p.name, "list_price": Decimal(p.price), "unit": "u",
         "tax_percent": Decimal(19)} for p in story.company.products])
    connector.close()


def _fill_crm(story: Story) -> None:
    """Every other one of them, with another telephone number and a website of its own."""
    half = {c.name for c in story.company.companies[::2]}
    for number, c in enumerate(story.company.companies[::2]):
        story.crm.add_company(c, f"https://site{number}.example", f"+1 425-555-{number:04}")
    for person in story.company.people:
        if person.company in half:
            story.crm.add_person(person)
    for product in story.company.products[::2]:
        story.crm.add_product(product)


def assert_one_of_each(story: Story) -> None:
    """Both sides have everything, once."""
    names = sorted(c.name for c in story.company.companies)
    assert story.crm.names() == names
    assert story.erp.names() == names
    emails = sorted(p.email for p in story.company.people)
    assert story.crm.emails() == emails
    assert story.erp.emails() == emails
    skus = sorted(p.sku for p in story.company.products)
    assert story.crm.skus() == skus
    assert story.erp.skus() == skus


@pytest.mark.parametrize("kills", [0, 3])
def test_from_two_systems_in_place_to_a_paid_invoice(story: Story, kills: int) -> None:
    one_by_one = isinstance(story.crm, BottleUser)  # the native CRM takes a hundred in a call
    for number in range(kills):
        story.run("sync", kill_after=(120 + 200 * number) if one_by_one else 30 + 30 * number)
    story.sync("first sync")
    assert story.broken_runs() == kills
    assert_one_of_each(story)
    first = story.company.companies[0]
    number = story.erp.company(first.name)["number"]
    assert story.crm.company(first.name)["number"] == number
    assert story.erp.company(first.name)["phone"] == "+14255550000"
    assert story.erp.company(first.name)["website"] == "https://site0.example"
    assert story.sync("second sync").writes == {}

    first_sku, second_sku = (p.sku for p in story.company.products[:2])
    price = {p.sku: Decimal(p.price) for p in story.company.products}
    story.erp.put_in_stock(first_sku, 100)
    story.erp.put_in_stock(second_sku, 50)
    wanted = [(first_sku, 4), (second_sku, 1)]
    deal = story.crm.hope(first.name, wanted)
    net = 4 * price[first_sku] + price[second_sku]
    if deal:
        story.sync("the deal")
        (hope,) = story.erp.opportunities()
        assert (hope["state"], hope["amount"], hope["lines"]) == ("opportunity", net, wanted)
    offer = story.crm.offer(first.name, wanted, deal)
    story.sync("the quote")
    (sale,) = story.erp.sales()
    total = (net * Decimal("1.19")).quantize(Decimal("0.01"))
    assert (sale["state"], abs(sale_total(sale) - total) <= Decimal("0.01")) \
        == ("quotation", True)
    assert story.crm.quote(offer) == {"number": sale["number"], "status": "Sent"}
    story.crm.accept(offer)
    story.sync("quote to order", kills=kills)
    (sale,) = story.erp.sales()
    assert (sale["state"], abs(sale_total(sale) - total) <= Decimal("0.01")) \
        == ("processing", True)
    (order,) = story.crm.orders()
    assert story.crm.order(order)["number"] == sale["number"]
    assert story.crm.quote(offer)["status"] == "Ordered"
    if deal:
        (hope,) = story.erp.opportunities()
        assert (hope["state"], story.crm.deal(deal)) == ("won", "CLOSED_WON")
    assert story.crm.stock(first_sku) == {"on_hand": 100, "available": 96}

    story.erp.ship(sale)
    story.sync("shipped")
    assert story.crm.order(order)["status"] == "Shipped"
    assert story.crm.stock(first_sku) == {"on_hand": 96, "available": 96}
    story.erp.bill(sale)
    story.sync("billed")
    assert story.crm.order(order)["status"] == "Invoiced"
    (invoice,) = story.crm.invoices()
    assert abs(invoice["total"] - total) <= Decimal("0.01")
    assert invoice["open"] == invoice["total"]
    assert story.crm.company(first.name)["balance"] == sale_total(sale)
    story.erp.pay(sale)
    story.sync("paid")
    assert story.crm.order(order)["status"] == "Paid"
    assert [i["open"] for i in story.crm.invoices()] == [0]
    assert story.crm.company(first.name)["balance"] == 0
    assert len(story.erp.sales()) == 1

    other, third = story.company.companies[1], story.company.companies[2]
    story.crm.change_company(other.name, website="https://new.example")
    story.erp.change_company(other.name, street="New street 1")
    story.crm.change_company(third.name, city="Bonn")
    story.erp.change_company(third.name, city="Ulm")
    story.sync("edits on both sides")
    assert story.erp.company(other.name)["website"] == "https://new.example"
    assert story.crm.company(other.name)["street"] == "New street 1"
    assert story.crm.company(third.name)["city"] == "Bonn"
    assert story.erp.company(third.name)["city"] == "Ulm"
    (conflict,) = json.loads(story.run("conflicts", "list", "--json").said)
    assert (conflict["path"], conflict["crm"], conflict["erp"]) == ("city", "Bonn", "Ulm")
    done = story.run("conflicts", "resolve", str(conflict["id"]), "--take", "crm")
    assert done.code == 0, done.said
    assert story.erp.company(third.name)["city"] == "Bonn"
    assert story.sync("last sync").writes == {}
    assert_one_of_each(story)


def sale_total(sale: dict[str, Any]) -> Decimal:
    """A sale's total as Tryton tells it."""
    return Decimal(sale["total_amount"]["decimal"])
