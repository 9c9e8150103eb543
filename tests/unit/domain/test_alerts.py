"""What the rules find, at their borders and beyond."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from connector.domain.actions import Tally
from connector.domain.alerts import AlertRules, Backlog, Figures, findings
from connector.domain.ledger import Run, RunState

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def run(ago: timedelta, read: int = 100, written: int = 0, *, trigger: str = "schedule",
        state: RunState = RunState.COMPLETED) -> Run:
    """A run that ended so long ago."""
    return Run(f"r{ago}", "main", trigger, state, NOW - ago, NOW - ago, "",
               {("customer", "crm"): Tally(read)}, {("customer", "erp", "create"): written})


def found(rules: AlertRules, **figures: object) -> list[tuple[str, str]]:
    """Rule and subject of what is found."""
    return [(f.rule, f.subject) for f in
            findings(rules, Figures("main", **figures), NOW)]  # type: ignore[arg-type]


def test_without_rules_only_refused_credentials_are_told() -> None:
    figures = {"backlog": Backlog(9, 9, NOW - 99 * HOUR),
               "runs": [run(99 * HOUR, state=RunState.FAILED)], "denied": {"crm": NOW}}
    assert found(AlertRules(), **figures) == [("credentials", "crm")]


@pytest.mark.parametrize(("backlog", "expected"), [
    (Backlog(2, 3, NOW - HOUR), []),
    (Backlog(3, 4, NOW - HOUR - timedelta(seconds=1)),
     [("dead_letters", ""), ("conflicts", ""), ("unsettled", "")])])
def test_a_limit_is_still_well(backlog: Backlog, expected: list[tuple[str, str]]) -> None:
    rules = AlertRules(dead_letters=2, conflicts=3, unsettled=HOUR)
    assert found(rules, backlog=backlog) == expected


@pytest.mark.parametrize(("runs", "silent"), [
    ([], False),  # it never ran: nobody expects it to
    ([run(HOUR)], False),
    ([run(2 * HOUR + timedelta(seconds=1))], True),
    ([run(HOUR, state=RunState.FAILED), run(3 * HOUR)], True),
    ([run(HOUR, state=RunState.PAUSED), run(3 * HOUR)], True),
    ([run(HOUR, state=RunState.FAILED)], False),  # it began to run not long ago
    ([run(3 * HOUR, state=RunState.FAILED)], True)])
def test_silence(runs: list[Run], silent: bool) -> None:
    assert bool(found(AlertRules(silence=2 * HOUR), runs=runs)) is silent


def deviation(last: Run, *before: Run) -> list[tuple[str, str]]:
    """What is found of a last run, and those before it."""
    return found(AlertRules(deviation_percent=50), runs=[last, *before])


USUAL = [run(n * HOUR, 100, 60) for n in range(1, 6)]


def test_a_run_that_reads_or_writes_far_from_the_usual_is_told() -> None:
    assert deviation(run(HOUR, 150, 30), *USUAL) == []
    assert deviation(run(HOUR, 151, 91), *USUAL) == [("deviation", "read"),
                                                     ("deviation", "written")]
    assert deviation(run(HOUR, 0, 60), *USUAL) == [("deviation", "read")]


def test_what_is_usual_takes_some_runs_set_off_alike() -> None:
    assert deviation(run(HOUR, 900), *USUAL[:4]) == []
    assert deviation(run(HOUR, 900, trigger="drain"), *USUAL) == []
    replayed = run(HOUR, 900, trigger="replay")
    assert deviation(replayed, *USUAL, run(9 * HOUR, 100, 60)) == []
    failed = run(HOUR, 900, state=RunState.FAILED)
    assert deviation(failed, *USUAL, run(9 * HOUR, 100, 60)) == []


def test_small_numbers_are_no_deviation() -> None:
    few = [run(n * HOUR, 2, 1) for n in range(1, 8)]
    assert deviation(run(HOUR, 49, 40), *few) == []
    assert deviation(run(HOUR, 50, 40), *few) == [("deviation", "read")]
