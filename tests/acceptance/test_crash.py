"""`kill -9` in the middle of the first load, ten times: nothing doubled, nothing missing."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from random import Random

import datasets
import pytest
from conftest import World, Worlds

KILLS = 10


def sync(config: Path, *, kill_after: float | None = None) -> int:
    """Run `connector sync`; the exit code, -9 where it was killed."""
    process = subprocess.Popen([sys.executable, "-m", "connector.cli", "--config", str(config),
                                "sync"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    return process.returncode


def killed_and_finished(world: World, seed: int) -> None:
    """Kill ten syncs at random moments, then let one go to its end."""
    rolled = Random(seed)
    world.connector.close()
    codes = [sync(world.folder / "config.yaml", kill_after=rolled.uniform(0.45, 1.3))
             for _ in range(KILLS)]
    assert codes.count(-9) >= KILLS // 2, codes  # the load takes longer than that
    assert sync(world.folder / "config.yaml") == 0


def assert_once(records: list[dict[str, object]], key: str) -> None:
    """Every record that was created for another one was created for it once."""
    counts = Counter(r[key] for r in records if r[key])
    assert not [ref for ref, n in counts.items() if n > 1]


@pytest.mark.slow
@pytest.mark.skipif(not datasets.HERE.is_dir(), reason=datasets.ABSENT)
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_northwind_survives_ten_kills(tmp_path: Path, world: Worlds, seed: int) -> None:
    here = world(datasets.northwind(tmp_path / "seed"), vat_number="name")
    killed_and_finished(here, seed)
    orders, shown = here.every("erp", "sales_orders"), here.every("crm", "orders")
    assert len(orders) == len(shown) == 830
    gross = {o["order_no"]: Decimal(o["gross"]) for o in orders}
    assert {o["erpOrderNumber"]: Decimal(o["totalMicros"]) / 1_000_000 for o in shown} == gross
    assert {q["status"] for q in here.every("crm", "quotes")} == {"Ordered"}
    # Two customers have the same name: a person is asked, and their two contacts wait.
    for object, number in (("customers", 93), ("items", 77), ("quotations", 415),
                           ("stock_levels", 77), ("contact_persons", 91)):
        assert len(here.every("erp", object)) == number, object
    for object, number in (("accounts", 93), ("products", 77), ("contacts", 93),
                           ("stockLevels", 77)):
        assert len(here.every("crm", object)) == number, object
    assert len(here.every("crm", "invoices")) == len(here.every("erp", "invoices"))
    assert len(here.every("crm", "shipments")) == len(here.every("erp", "deliveries"))
    for object in ("accounts", "orders", "invoices", "shipments", "stockLevels"):
        assert_once(here.every("crm", object), "externalRef")


def test_made_up_companies_survive_ten_kills(world: Worlds) -> None:
    here = world("demo")
    accounts, customers = here.every("crm", "accounts"), here.every("erp", "customers")
    both = {a["vatNumber"] for a in accounts} | {c["tax"]["vat_no"] for c in customers}
    rolled = Random(3)
    here.connector.close()
    for _ in range(KILLS):
        sync(here.folder / "config.yaml", kill_after=rolled.uniform(0.4, 0.9))
    assert sync(here.folder / "config.yaml") == 0
    for system, object in (("crm", "accounts"), ("erp", "customers")):
        found = here.every(system, object)
        numbers = [r["vatNumber"] if system == "crm" else r["tax"]["vat_no"] for r in found]
        assert sorted(numbers) == sorted(both), object
    assert len(here.every("crm", "orders")) == len(here.every("erp", "sales_orders"))
    assert len(here.every("erp", "contact_persons")) == len(here.every("crm", "contacts"))
