"""Everything is compared whatever the cursors say: what drifted is told and repaired."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from connector.domain.drift import Drift, DriftKind
from connector.domain.records import Link
from connector.errors import SafetyStopped
from tests.integration.conftest import Pair
from tests.integration.test_cli import cli


@pytest.fixture
def accounts(pair: Pair) -> list[dict[str, Any]]:
    """Three customers that stand on both sides, as the CRM shows them."""
    for i in range(3):
        pair.crm("POST", "accounts", {"name": f"Customer {i}", "vatNumber": f"DE{i}",
                                      "city": "Berlin", "phone": f"+4930123450{i}"})
    pair.sync()
    pair.quiet()
    return sorted(pair.in_crm("accounts"), key=lambda a: str(a["name"]))


def past(pair: Pair, system: str, cursor: Mapping[str, Any]) -> None:
    """Let the cursor stand where it misses all that has happened."""
    with pair.connector.store.begin() as uow:
        uow.save_cursor("main", "customer", system, json.dumps(cursor))


def kinds(drift: Drift) -> dict[tuple[str, str], list[str]]:
    """The external IDs found, by side and kind."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in drift.examples:
        assert one.entity == "customer"
        found.setdefault((one.side, one.kind.value), []).append(one.external_id)
    return found


def link(pair: Pair, system: str, external_id: str) -> Link:
    """The link of a record."""
    with pair.connector.store.begin() as uow:
        return uow.links_by_external("main", "customer", system, [external_id])[external_id]


def customer(pair: Pair, vat_number: str) -> dict[str, Any]:
    """A customer as the ERP shows it."""
    (found,) = (c for c in pair.in_erp("customers") if c["tax"]["vat_no"] == vat_number)
    return found


def state(pair: Pair) -> list[Any]:
    """All there is on both sides."""
    return [pair.in_crm("accounts"), pair.in_erp("customers")]


def test_nothing_drifts_by_itself(pair: Pair, accounts: list[dict[str, Any]]) -> None:
    before = state(pair)
    run, drift = pair.engine.reconcile()
    assert (drift.total, drift.examples) == (0, [])
    assert drift.compared["customer", "crm"] == drift.compared["customer", "erp"] == 3
    assert not any(run.writes.values())
    assert all(tally.accounted for tally in run.tallies.values())
    assert state(pair) == before


def test_what_a_cursor_brings_is_not_missed(pair: Pair, accounts: list[dict[str, Any]]) -> None:
    pair.crm("PATCH", f"accounts/{accounts[0]['id']}", {"city": "Bonn"})
    pair.crm("DELETE", f"accounts/{accounts[1]['id']}")
    _, drift = pair.engine.reconcile()
    assert drift.total == 0
    assert customer(pair, "DE0")["address"]["town"] == "Bonn"
    assert customer(pair, "DE1")["archived"] is True


def test_what_cursors_missed_is_told_and_repaired(pair: Pair,
                                                  accounts: list[dict[str, Any]]) -> None:
    first, second, _ = accounts
    hasty: Any = pair.connector.adapter("crm")  # promises that nothing is ever committed late
    hasty.capabilities = replace(hasty.capabilities, look_back=timedelta(0))
    pair.crm("PATCH", f"accounts/{first['id']}", {"city": "Bonn"})
    pair.crm("DELETE", f"accounts/{second['id']}")
    new = pair.crm("POST", "accounts", {"name": "New", "vatNumber": "DE9"})
    third = customer(pair, "DE2")["id"]
    pair.edit_erp("customers", third, address={"line2": "Gate 4"})
    past(pair, "crm", {"since": "2099-01-01T00:00:00Z"})
    past(pair, "erp", {"modified": "2099-01-01T00:00:00+00:00", "id": 0})
    assert not any(pair.sync().writes.values())  # no cursor brings it
    told = {("crm", "missed"): sorted([first["id"], second["id"], new["id"]]),
            ("erp", "missed"): [str(third)]}

    before = state(pair)
    run, drift = pair.engine.reconcile(report_only=True)
    assert kinds(drift) == told
    assert {d.external_id: d.reason for d in drift.examples}[second["id"]] == "deleted"
    assert not any(run.writes.values())
    assert state(pair) == before

    _, drift = pair.engine.reconcile()
    assert kinds(drift) == told  # a report left nothing behind
    assert customer(pair, "DE0")["address"]["town"] == "Bonn"
    assert customer(pair, "DE1")["archived"] is True
    assert customer(pair, "DE9")["display_name"] == "New"
    assert pair.crm("GET", f"accounts/{accounts[2]['id']}")["street2"] == "Gate 4"
    assert pair.engine.reconcile()[1].total == 0


def test_a_record_that_is_gone_without_a_tombstone_is_told(
        pair: Pair, accounts: list[dict[str, Any]]) -> None:
    with sqlite3.connect(pair.folder / "crm.db") as database:
        database.execute("delete from rows where id = ?", (accounts[0]["id"],))
    pair.sync()
    assert customer(pair, "DE0")["archived"] is False
    _, drift = pair.engine.reconcile()
    assert kinds(drift) == {("crm", "gone"): [accounts[0]["id"]]}
    assert customer(pair, "DE0")["archived"] is True
    assert pair.engine.reconcile()[1].total == 0


def test_a_record_without_its_counterpart_is_tied_again_and_not_doubled(
        pair: Pair, accounts: list[dict[str, Any]]) -> None:
    id = str(customer(pair, "DE1")["id"])
    with pair.connector.store.begin() as uow:
        uow.remove_links("main", "customer", "erp", [id])
    pair.sync()
    _, drift = pair.engine.reconcile(report_only=True)
    assert kinds(drift) == {("crm", "alone"): [accounts[1]["id"]], ("erp", "missed"): [id]}
    pair.engine.reconcile()
    assert len(pair.in_erp("customers")) == len(pair.in_crm("accounts")) == 3
    assert link(pair, "erp", id).canonical_id == link(pair, "crm", accounts[1]["id"]).canonical_id
    assert pair.engine.reconcile()[1].total == 0


def test_a_pair_that_differs_though_nothing_is_pending_is_told_and_repaired(
        pair: Pair, accounts: list[dict[str, Any]]) -> None:
    """As if the ERP's answer had been kept and the write it called for lost."""
    id = customer(pair, "DE0")["id"]
    pair.edit_erp("customers", id, address={"town": "Bonn"})
    kept, now = link(pair, "erp", str(id)), customer(pair, "DE0")
    assert kept.seen is not None
    with pair.connector.store.begin() as uow:
        uow.save_links("main", [replace(kept, version=str(now["rev"]),
                                        seen={**kept.seen, "city": "Bonn"})])
    assert not any(pair.sync().writes.values())
    run, drift = pair.engine.reconcile()
    (found,) = drift.examples
    assert (found.kind, found.side, found.external_id, found.reason) == (
        DriftKind.UNEQUAL, "crm", accounts[0]["id"], "both sides differ: city")
    assert run.writes["customer", "crm", "update"] == 1
    assert pair.crm("GET", f"accounts/{accounts[0]['id']}")["city"] == "Bonn"
    assert pair.engine.reconcile()[1].total == 0


def test_content_that_changed_under_the_same_version_is_found(
        pair: Pair, accounts: list[dict[str, Any]]) -> None:
    kept = link(pair, "crm", accounts[0]["id"])
    assert kept.seen is not None
    with pair.connector.store.begin() as uow:
        uow.save_links("main", [replace(kept, seen={**kept.seen, "city": "Rome"})])
    _, drift = pair.engine.reconcile(report_only=True)
    assert [(d.external_id, d.reason) for d in drift.examples] == [
        (accounts[0]["id"], "holds something else than what was last seen")]


def test_an_open_conflict_and_a_parked_record_are_no_drift(
        pair: Pair, accounts: list[dict[str, Any]]) -> None:
    pair.crm("PATCH", f"accounts/{accounts[0]['id']}", {"city": "Bonn"})
    pair.edit_erp("customers", customer(pair, "DE0")["id"], address={"town": "Rome"})
    pair.crm("PATCH", f"accounts/{accounts[1]['id']}", {"country": "QQ"})
    pair.sync()
    assert len(pair.conflicts()) == 1
    assert pair.engine.reconcile()[1].total == 0
    assert len(pair.conflicts()) == 1


def test_deletions_that_were_missed_are_counted_by_the_safety_stop(pair: Pair) -> None:
    for i in range(60):
        pair.crm("POST", "accounts", {"name": f"Customer {i}", "vatNumber": f"DE{i}"})
    pair.sync()
    with sqlite3.connect(pair.folder / "crm.db") as database:
        database.execute("delete from rows where object = 'accounts'")
    with pytest.raises(SafetyStopped):
        pair.engine.reconcile(["customer"])
    assert not any(c["archived"] for c in pair.in_erp("customers"))


def test_the_command_tells_drift_by_its_exit_code(pair: Pair,
                                                  accounts: list[dict[str, Any]]) -> None:
    kept = link(pair, "crm", accounts[0]["id"])
    assert kept.seen is not None
    with pair.connector.store.begin() as uow:
        uow.save_links("main", [replace(kept, seen={**kept.seen, "city": "Rome"})])
    told = cli(pair, "reconcile", "--report-only", "--json")
    assert told.returncode == 10, told.stderr
    drift = json.loads(told.stdout)["drift"]
    assert (drift["total"], drift["examples"][0]["external_id"]) == (1, accounts[0]["id"])
    assert {"entity": "customer", "side": "crm", "compared": 3, "missed": 1, "gone": 0,
            "alone": 0, "unequal": 0} in drift["sides"]
    repaired = cli(pair, "reconcile")
    assert repaired.returncode == 10
    assert "holds something else" in repaired.stdout
    assert cli(pair, "reconcile").returncode == 0
