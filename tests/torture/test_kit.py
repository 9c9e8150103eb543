"""The torture test of adapters, on our own ones: what has to hold holds, and it bites."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from typing import Any

import pytest
import requests
import structlog

from connector.errors import ConfigInvalid
from connector.testing.clock import VirtualClock
from connector.testing.torture.bench import OpenClock
from connector.testing.torture.kit import Factory, main, run_seed, run_seeds
from connector.testing.torture.simulated import Records, Simulated, checked, opposite
from connector.testing.torture_suite import TortureSuite
from tests.torture.bugs_of_adapters import BUGS
from tests.torture.simulated_natives import BOTH, OF_CRM, native_crm, native_erp

BUDGET = 60
"""Seeds that a planted bug may take, counted from the one that caught it."""
blanks_dropped = BUGS["DropsBlanks"].planted


@pytest.mark.parametrize("kind", BOTH)
def test_no_invariant_breaks(kind: str) -> None:
    reports = list(run_seeds(BOTH[kind], range(1000, 1003)))
    assert {report.seed: report.violations for report in reports if report.violations} == {}
    assert all(report.edits for report in reports)
    assert sum(report.writes for report in reports) > 10


def test_the_log_is_left_as_it_was() -> None:
    structlog.configure(processors=[structlog.processors.JSONRenderer()])
    before = structlog.get_config()
    run_seed(native_erp, 1000)
    assert structlog.get_config() == before


@pytest.mark.slow
class TestNativeCrm(TortureSuite):
    @pytest.fixture
    def simulated(self) -> Factory:
        return native_crm


@pytest.mark.slow
class TestNativeErp(TortureSuite):
    @pytest.fixture
    def simulated(self) -> Factory:
        return native_erp


def test_one_seed_is_run_again_by_a_command() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "connector.testing.torture.kit",
         "tests.torture.simulated_natives:native_erp", "--seed", "3"],
        capture_output=True, text=True, check=True).stdout
    assert told.startswith("seed 3: ")
    assert told.strip().endswith(f"trace {run_seed(native_erp, 3).digest[:16]}")


def test_a_seed_that_fails_is_told_with_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    factory = "tests.torture.test_kit:blanks_dropped"
    assert main([factory, "--seeds", "1"]) == 1
    told = capsys.readouterr().out
    assert f"again: python -m connector.testing.torture.kit {factory} --seed 0" in told
    assert main([factory, "--seed", "0", "--trace"]) == 1
    told = capsys.readouterr().out
    assert "\nwrite crm update " in told
    assert "\nI3: " in told


def test_a_factory_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no.such:thing"]) == 3
    assert "no.such:thing can't be found" in capsys.readouterr().err


def described(records: dict[str, Records]) -> Simulated:
    """A system of which users do something else than what the native CRM's do."""
    with native_crm(OpenClock(), Random(0)) as simulated:
        return replace(simulated, records=records)


@pytest.mark.parametrize(("records", "told"), [
    ({"customer": Records(("nam",))}, "No field of customer is mapped to nam"),
    ({"customer": Records(("name",), amounts=("createdAt",))}, "is mapped to createdAt"),
    ({"customer": Records(("name", "email"))}, "email of customer takes no text as it stands"),
    ({"opportunity": Records(("name",))}, "There are records of opportunity, and no mapping")])
def test_a_mistake_in_what_users_do_is_told(records: dict[str, Records], told: str) -> None:
    with pytest.raises(ConfigInvalid, match=told):
        checked(described(records))


@contextmanager
def refusing(clock: VirtualClock, chance: Random) -> Iterator[Simulated]:
    """An ERP that takes no edits of its users while it is read or written by others."""
    with native_erp(clock, chance) as simulated:
        edited = simulated.edit

        def edit(object: str, id: str, changes: Mapping[str, Any]) -> None:
            if any(frame.function == "send" for frame in inspect.stack(0)):
                raise requests.HTTPError("409 in use")
            edited(object, id, changes)

        yield replace(simulated, edit=edit)


def test_what_a_user_can_not_do_is_told_and_no_fault() -> None:
    reports = list(run_seeds(refusing, range(4)))
    assert {told.partition(" (")[0] for report in reports for told in report.violations
            if "could not" in told} == {"a user could not do his work: HTTPError: 409 in use"}


def test_documents_are_not_simulated() -> None:
    with pytest.raises(ConfigInvalid, match="order has lines"):
        opposite(OF_CRM["order"])


@pytest.mark.parametrize("name", ["HalfAPageTakenForAnEmptyOne", "LogsWhatItWrites"])
def test_some_planted_bugs_are_caught_at_once(name: str) -> None:
    caught(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUGS)
def test_every_planted_bug_is_caught(name: str) -> None:
    caught(name)


def caught(name: str) -> None:
    """Simulate seeds with a bug in place until an invariant breaks that holds without it."""
    bug = BUGS[name]
    for report in run_seeds(bug.planted, range(bug.seed, bug.seed + BUDGET)):
        if report.violations:
            break
    assert bug.invariant in {told.partition(":")[0] for told in report.violations}
    (honest,) = run_seeds(bug.honest, [report.seed])
    assert honest.violations == []
