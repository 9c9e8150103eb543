"""The torture test of an adapter. Inherit `TortureSuite` and give it a `simulated` fixture."""

from __future__ import annotations

import sys
from dataclasses import fields
from functools import cache
from pathlib import Path
from random import Random

from requests.adapters import HTTPAdapter

from connector.testing.torture.bench import OpenClock
from connector.testing.torture.kit import Factory, Report, run_seed, run_seeds
from connector.testing.torture.line import LineRates


class TortureSuite:
    """Whatever users, the line and the process's end do in `SEEDS` seeds, what has to hold holds.

    The fixture `simulated` gives what makes the simulated system of a seed: a function of a
    module, so that a seed that fails can be run again by the command that the test prints.
    """

    SEEDS = 10

    def test_no_invariant_breaks(self, simulated: Factory) -> None:
        failed = [report for report in _reports(simulated, self.SEEDS) if report.violations]
        assert not failed, "\n".join(
            f"seed {report.seed}: {'; '.join(report.violations)}\n"
            f"  again, {_again(simulated, report.seed)}" for report in failed)

    def test_the_same_seed_takes_the_same_course(self, simulated: Factory) -> None:
        first = _reports(simulated, self.SEEDS)[:2]
        assert [r.digest for r in first] == [run_seed(simulated, r.seed).digest for r in first]
        assert len({r.digest for r in first}) == len(first)

    def test_every_fault_happens(self, simulated: Factory) -> None:
        missing = _possible(simulated).difference(
            *(report.faults for report in _reports(simulated, self.SEEDS)))
        for report in run_seeds(simulated, range(self.SEEDS, 40 * self.SEEDS)):
            if not missing:
                break
            missing -= set(report.faults)
        assert not missing


@cache
def _reports(simulated: Factory, seeds: int) -> list[Report]:
    return list(run_seeds(simulated, range(seeds)))


def _possible(simulated: Factory) -> set[str]:
    """The faults that may happen to the system, by what it is and what its adapter promises."""
    with simulated(OpenClock(), Random(0)) as system:
        adapter = system.connect(HTTPAdapter())
        capabilities = adapter.capabilities
        adapter.close()
        late = system.late is not None
    impossible = set()
    if not late or capabilities.look_back.total_seconds() <= 1:
        impossible.add("committed_late")
    if capabilities.write_window:
        impossible.add("edited_under_hands")
    return {rate.name for rate in fields(LineRates)} - impossible


def _again(simulated: Factory, seed: int) -> str:
    """The command that runs a seed again, and where."""
    module, name = simulated.__module__, getattr(simulated, "__qualname__", "")
    file = getattr(sys.modules.get(module), "__file__", None)
    folder = Path(file).parents[module.count(".")] if file else Path()
    return f"in {folder}: python -m connector.testing.torture.kit {module}:{name} --seed {seed}"
