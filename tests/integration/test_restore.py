"""A store restored from a backup that is older than the systems: nothing is lost or doubled."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from connector.bootstrap import open_connector
from tests.integration.conftest import Pair


def names(pair: Pair) -> tuple[list[str], list[str]]:
    """What the customers are called in the CRM and in the ERP."""
    return (sorted(row["name"] for row in pair.in_crm("accounts")),
            sorted(row["display_name"] for row in pair.in_erp("customers")))


def test_after_a_restore_and_a_reconcile_both_sides_agree(pair: Pair, tmp_path: Path) -> None:
    kept = pair.crm("POST", "accounts", {"name": "Kept", "vatNumber": "DE1"})
    pair.sync()
    store, backup = tmp_path / "connector.db", tmp_path / "backup.db"
    with closing(sqlite3.connect(store)) as running, closing(sqlite3.connect(backup)) as copy:
        running.backup(copy)  # while the connector has it open
    pair.crm("POST", "accounts", {"name": "No key to match by"})
    pair.erp("POST", "customers", {"display_name": "Of the ERP"})
    pair.crm("PATCH", f"accounts/{kept['id']}", {"city": "Bonn"})
    pair.sync()
    pair.quiet()
    before = names(pair)
    assert before[0] == before[1] == ["Kept", "No key to match by", "Of the ERP"]
    pair.connector.close()
    for beside in tmp_path.glob("connector.db*"):
        beside.unlink()
    backup.rename(store)
    pair.connector = open_connector(pair.config, pair.connector.clock)
    pair.engine = pair.connector.engine("main")
    run, _ = pair.engine.reconcile()
    assert not any(run.writes.values()), run.writes
    pair.quiet()
    assert names(pair) == before
    assert [row["address"]["town"] for row in pair.in_erp("customers")
            if row["display_name"] == "Kept"] == ["Bonn"]
