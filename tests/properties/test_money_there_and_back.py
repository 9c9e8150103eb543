"""A small run of the money benchmark: nothing is lost between the two native systems."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def money() -> Any:
    """The benchmark, as a module."""
    spec = spec_from_file_location("money_benchmark", ROOT / "benchmarks" / "money.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_nothing_is_lost_there_and_back(money: Any) -> None:
    report = money.run(3000, 1)
    assert report.lines >= 3000
    assert set(report.currencies) == set(money.DECIMALS)
    assert report.figures > 5 * report.lines
    assert (report.off, report.examples) == (0, [])


def test_the_comparison_tells_a_unit_that_is_off(money: Any) -> None:
    def one_more(body: Any, by: Any) -> Any:
        exact = money.exactly(body, by)
        return money.Exact(exact.lines, exact.net, exact.tax + 1)

    report = money.run(1, 1, one_more)
    assert report.off >= 8  # tax and total, of the CRM twice, the ERP and the connector
