"""The torture test in small: a few seeds, and that a seed means the same whenever it is run."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import pytest

from connector.testing.torture.faults import Rates
from connector.testing.torture.swarm import Total, run_seeds


def test_no_invariant_breaks() -> None:
    assert {report.seed: report.violations
            for report in run_seeds(range(1000, 1015)) if report.violations} == {}


@pytest.mark.slow
def test_no_invariant_breaks_under_any_fault() -> None:
    total = Total()
    for report in run_seeds(range(60)):
        total.add(report)
    assert {report.seed: report.violations for report in total.failed} == {}
    assert min(total.faults.values()) > 5
    assert len(total.faults) == len(fields(Rates))
    assert total.most_rounds <= 10


def test_what_the_records_are_told_is_true() -> None:
    reports = list(run_seeds(range(4), tells=True))
    assert {report.seed: report.violations for report in reports if report.violations} == {}
    assert [r.digest for r in reports] != [r.digest for r in run_seeds(range(4))]


def test_a_seed_gives_the_same_trace_whenever_it_is_run() -> None:
    first = [report.digest for report in run_seeds(range(6))]
    assert first == [report.digest for report in run_seeds(range(6))]
    assert len(set(first)) == 6


def test_one_seed_is_run_again_by_a_command() -> None:
    done = subprocess.run([sys.executable, "-m", "connector.testing.torture", "--seed", "3"],
                          capture_output=True, text=True, check=True)
    assert done.stdout.startswith("seed 3: ")
