"""The kill test in small: real processes, and that a doubled or a lost record is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from connector.domain.policies import ERP
from connector.testing.torture.kills import Plant, broken, kills
from connector.testing.torture.natives import KEY, TOKEN


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plant]:
    monkeypatch.setenv("NATIVE_CRM_TOKEN", TOKEN)
    monkeypatch.setenv("NATIVE_ERP_KEY", KEY)
    made = Plant(tmp_path, "", Random(1))
    yield made
    made.stop()


def test_nothing_is_lost_or_doubled_and_it_would_be_told(plant: Plant) -> None:
    assert kills(plant, 3) == []
    assert plant.killed.total() > 0
    number = next(iter(plant.clerks.companies))
    twin = plant.systems[ERP].call("POST", "customers", {"display_name": "Twin",
                                                         "tax": {"vat_no": number}})
    plant.clerks.given.add("never entered")
    assert twin.ok
    told = broken(plant)
    assert f"{number} stands 2 times in the erp" in told
    assert "never entered is lost" in told
