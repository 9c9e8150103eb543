"""The main job on real input: every record accounted for, every total equal to the cent."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import datasets
import pytest
from conftest import World, Worlds

from connector.domain.actions import OutcomeKind
from connector.domain.ledger import ConflictState, Run, RunState

pytestmark = pytest.mark.skipif(not datasets.HERE.is_dir(), reason=datasets.ABSENT)


def outcomes(run: Run, entity: str, role: str) -> dict[str, int]:
    """The outcomes of an entity and side that came up, by name."""
    tally = run.tallies[entity, role]  # type: ignore[index]
    return {kind.value: n for kind, n in tally.outcomes.items() if n}


def assert_quiet(world: World) -> None:
    """One more sync writes nothing, and every record read is accounted for."""
    run = world.connector.engine("main").sync()
    assert run.state is RunState.COMPLETED
    assert not any(run.writes.values())
    assert not any(tally.outcomes[kind] for tally in run.tallies.values()
                   for kind in (OutcomeKind.CREATED, OutcomeKind.UPDATED, OutcomeKind.FAILED))


def test_northwind(tmp_path: Path, world: Worlds) -> None:
    here = world(datasets.northwind(tmp_path / "seed"), vat_number="name")
    run = here.connector.engine("main").sync()
    assert run.state is RunState.COMPLETED, run.message
    assert run.writes["order", "erp", "create"] == 415
    assert run.writes["order", "crm", "create"] == 830
    orders = {o["id"]: o for o in here.every("erp", "sales_orders")}
    assert len(orders) == 830
    shown = here.every("crm", "orders")
    assert len(shown) == 830
    by_number = {o["order_no"]: o for o in orders.values()}
    for order in shown:
        theirs = by_number.pop(order["erpOrderNumber"])
        assert Decimal(theirs["gross"]) == Decimal(order["totalMicros"]) / 1_000_000
        assert len(theirs["lines"]) == len(order["lines"])
    assert not by_number
    quotes = here.every("crm", "quotes")
    assert {q["status"] for q in quotes} == {"Ordered"}
    of_quote = [o["quoteId"] for o in shown if o["quoteId"]]
    assert sorted(of_quote) == sorted(q["id"] for q in quotes)
    assert len(here.every("crm", "accounts")) == len(here.every("erp", "customers")) == 93
    assert len(here.every("crm", "invoices")) == len(here.every("erp", "invoices"))
    levels = {(s["productId"], s["warehouse"]): s for s in here.every("crm", "stockLevels")}
    assert len(levels) == 77
    theirs_by_sku = {i["id"]: i["item_code"] for i in here.every("erp", "items")}
    sku = {p["id"]: p["sku"] for p in here.every("crm", "products")}
    held = {(theirs_by_sku[s["item_id"]], s["warehouse"]): s
            for s in here.every("erp", "stock_levels")}
    for (product, warehouse), level in levels.items():
        theirs = held[sku[product], warehouse]
        assert str(level["onHand"]) == theirs["on_hand"]
        assert str(level["reserved"]) == theirs["reserved"]
    assert_quiet(here)


def test_adventureworks(tmp_path: Path, world: Worlds) -> None:
    here = world(datasets.adventureworks(tmp_path / "seed"), vat_number="name")
    run = here.connector.engine("main").sync()
    assert run.state is RunState.COMPLETED, run.message
    assert all(tally.accounted for tally in run.tallies.values())
    # 697 stores have one or two customers each; four are two accounts of the same name.
    assert outcomes(run, "customer", "crm") == {"updated": 697, "conflict": 4}
    assert outcomes(run, "customer", "erp") == {"updated": 697, "skipped": 19_115, "conflict": 8}
    with here.connector.store.begin() as uow:
        asked = uow.conflicts("main", entity="customer", states=(ConflictState.OPEN,))
        waiting = uow.inbox_counts("main")
    assert {c.kind for c in asked} == {"ambiguous_match"}
    assert len(here.every("crm", "orders")) == 404
    assert waiting["order", "erp", "waiting"] == 1_162  # of persons, whom the CRM doesn't know
    assert_quiet(here)
