"""Budgets and credentials in a whole sync, against the native systems."""

from __future__ import annotations

import json

import pytest

from connector.bootstrap import open_connector
from connector.domain.ledger import RunState
from connector.errors import BudgetSpent, ReauthRequired
from tests.integration.conftest import Pair
from tests.integration.test_cli import cli

SYSTEMS = "    adapter: native_erp\n"


def states(pair: Pair) -> list[RunState]:
    """How the runs ended, the last one first."""
    with pair.connector.store.begin() as uow:
        return [run.state for run in uow.runs("main", 20)]


def test_a_run_pauses_when_the_day_is_spent_and_the_next_one_goes_on(pair: Pair) -> None:
    for n in range(120):
        pair.crm("POST", "accounts", {"name": f"Customer {n}", "vatNumber": f"DE{n}"})
    pair.reconfigure(SYSTEMS, SYSTEMS + "    budget: {per_day: 12, per_second: 500}\n")
    runs = 0
    with pytest.raises(BudgetSpent, match="erp: the 12 calls of a day are used up until"):
        while True:  # a run takes some ten calls of the ERP
            pair.engine.sync()
            runs += 1
    assert states(pair)[0] is RunState.PAUSED
    pair.connector.clock.sleep(26 * 3600)
    pair.sync()
    assert sorted(row["display_name"] for row in pair.in_erp("customers")) == sorted(
        f"Customer {n}" for n in range(120))
    assert states(pair)[0] is RunState.COMPLETED


def test_a_person_may_use_what_a_schedule_may_not(pair: Pair) -> None:
    pair.crm("POST", "accounts", {"name": "Acme", "vatNumber": "DE1"})
    pair.reconfigure(SYSTEMS, SYSTEMS + "    budget: {per_day: 10, reserve_percent: 90}\n")
    spent = cli(pair, "sync")
    assert spent.returncode == 9, spent.stderr
    assert "kept for people) are used up until" in spent.stderr
    assert cli(pair, "sync").returncode == 9
    planned = cli(pair, "plan")
    assert planned.returncode == 0, planned.stderr
    assert pair.in_erp("customers") == []


def test_a_revoked_token_is_told_until_it_is_replaced(pair: Pair) -> None:
    pair.sync()
    refused = cli(pair, "sync", token="revoked")
    assert refused.returncode == 4
    assert "Give new credentials for crm" in refused.stderr
    told = json.loads(cli(pair, "status", "--json").stdout)["connections"]
    assert told["crm"]["denied_at"]
    assert "401" in told["crm"]["denied"]
    assert "erp" not in told
    pair.sync()
    told = json.loads(cli(pair, "status", "--json").stdout)["connections"]
    assert told["crm"]["denied_at"] is None


def test_the_pair_of_another_system_goes_on(pair: Pair,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    text = pair.config.read_text(encoding="utf-8")
    pair.config.write_text(text.replace("pairs:\n", (
        f"  other:\n    adapter: native_crm\n    url: {pair.crm_url}\n    token: env:OTHER\n"
        "pairs:\n  second:\n    crm: other\n    erp: erp\n    entities:\n      product: {}\n"), 1),
        encoding="utf-8")
    monkeypatch.setenv("OTHER", "revoked")
    pair.connector.close()
    pair.connector = open_connector(pair.config, pair.connector.clock)
    with pytest.raises(ReauthRequired):
        pair.connector.engine("second").sync()
    assert pair.connector.engine("main").sync().state is RunState.COMPLETED
