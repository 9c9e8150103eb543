"""A run that would delete or change too much of what is linked stops before its first write."""

from __future__ import annotations

from typing import Any

import pytest

from connector.domain.ledger import RunState
from connector.errors import SafetyStopped
from tests.integration.conftest import Pair

NUMBER = 60


@pytest.fixture
def accounts(pair: Pair) -> list[str]:
    """The IDs of sixty accounts that are linked; half of the customers may change in a run."""
    pair.reconfigure("on_delete: deactivate", "on_delete: deactivate\n"
                     "        safety_stop: {change_percent: 50}")
    made = batch(pair, [{"method": "create", "body": {"name": f"Company {n}", "phone": None}}
                        for n in range(NUMBER)])
    pair.sync()
    assert len(pair.in_erp("customers")) == NUMBER
    return [row["body"]["id"] for row in made]


def batch(pair: Pair, operations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = pair.crm("POST", "accounts/batch",
                                             {"operations": operations})["results"]
    assert all(row["status"] < 300 for row in results), results
    return results


def archived(pair: Pair) -> int:
    return sum(c["archived"] for c in pair.in_erp("customers"))


def test_many_deletions_stop_the_run_until_they_are_allowed(pair: Pair,
                                                            accounts: list[str]) -> None:
    batch(pair, [{"method": "delete", "id": id} for id in accounts])
    pair.crm("POST", "products", {"sku": "P", "name": "Pump"})
    for _ in range(2):
        with pytest.raises(SafetyStopped, match="60 of 60 linked customer records of the erp "
                           "would be deleted or deactivated, more than 10 %"):
            pair.engine.sync()
    assert archived(pair) == 0
    assert pair.in_erp("items") == []
    with pair.connector.store.begin() as uow:
        assert [run.state for run in uow.runs("main", 2)] == [RunState.FAILED] * 2
    pair.engine.sync(safety_stop=False)
    assert archived(pair) == NUMBER
    pair.quiet()


def test_many_changes_stop_the_run_until_they_are_put_right(pair: Pair,
                                                            accounts: list[str]) -> None:
    batch(pair, [{"method": "update", "id": id, "body": {"city": "Wrong"}} for id in accounts])
    with pytest.raises(SafetyStopped, match="60 of 60 linked customer records of the erp "
                       "would be changed, more than 50 %"):
        pair.engine.sync()
    assert {c["address"]["town"] for c in pair.in_erp("customers")} == {None}
    batch(pair, [{"method": "update", "id": id, "body": {"city": None}} for id in accounts])
    assert not any(pair.sync().writes.values())


def test_what_would_write_nothing_stops_nothing(pair: Pair, accounts: list[str]) -> None:
    batch(pair, [{"method": "update", "id": id, "body": {"status": "former"}} for id in accounts])
    assert not any(pair.sync().writes.values())


def test_a_few_changes_stop_nothing(pair: Pair, accounts: list[str]) -> None:
    batch(pair, [{"method": "update", "id": id, "body": {"city": "Bonn"}} for id in accounts[:6]])
    batch(pair, [{"method": "delete", "id": id} for id in accounts[6:10]])
    pair.sync()
    assert archived(pair) == 4
    assert sum(c["address"]["town"] == "Bonn" for c in pair.in_erp("customers")) == 6
