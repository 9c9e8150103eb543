"""`python -m connector.testing.torture.kit MODULE:FACTORY`: torture an adapter on a simulated
system of its kind."""

from __future__ import annotations

import argparse
import hashlib
import importlib
import random
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from random import Random

import structlog

from connector.errors import ConfigInvalid, ConnectorError
from connector.store.open import open_store
from connector.store.unit_of_work import SqlStore
from connector.testing.torture.bench import OpenClock
from connector.testing.torture.bench_invariants import broken
from connector.testing.torture.bench_users import CrowdedBench
from connector.testing.torture.faults import Died, Faults, Stuck
from connector.testing.torture.line import LineRates
from connector.testing.torture.rest import at_rest, rest
from connector.testing.torture.simulated import Factory, Records, Simulated
from connector.testing.torture.swarm import Report, Said, Total, emptied, told

__all__ = ["Factory", "Records", "Report", "Simulated", "run_seed", "run_seeds"]


def run_seed(simulated: Factory, seed: int, store: SqlStore | None = None,
             trace: list[str] | None = None) -> Report:
    """Simulate one seed; the same one takes the same course. Without a `store` it has one of its
    own in memory; one that is given is emptied. What happens is noted in `trace`."""
    if store is None:
        store = open_store("sqlite://", OpenClock())
        try:
            return run_seed(simulated, seed, store, trace)
        finally:
            store.close()
    emptied(store)
    chance, clock, said = Random(seed), OpenClock(), Said()
    faults = Faults(chance, LineRates.drawn(chance), trace=[] if trace is None else trace)
    with _heard(said), _seeded(seed), simulated(clock, Random(f"system of {seed}")) as system:
        bench = CrowdedBench(system, clock, chance, faults, store)
        rounds = 0
        try:
            _work(bench)
            faults.on = False
            bench.mend()
            clock.sleep(bench.look_back)
            rounds = rest(bench)
            violations = at_rest(bench, lambda: broken(bench))
        except (Exception, Stuck) as error:
            violations = [*bench.violations, f"I6: it breaks off: {told(error)}"]
        finally:
            bench.close()
    digest = hashlib.sha256("\n".join(faults.trace).encode()).hexdigest()
    return Report(seed, violations + said.violations, faults.count, bench.edits.number,
                  faults.writes, rounds, digest)


def _work(bench: CrowdedBench) -> None:
    """Users work, and between what they do the connector syncs, as far as it gets."""
    for _ in range(bench.chance.randint(3, 8)):
        bench.clock.sleep(90)  # a dead one's lease has to run out
        bench.look()
        for _ in range(bench.chance.choice((1, 3, 5, 9))):
            bench.act()
        with suppress(ConnectorError, Died):
            bench.engine().sync(safety_stop=False)


@contextmanager
def _heard(said: Said) -> Iterator[None]:
    """What the log says is looked at, and shown to nobody."""
    before = structlog.get_config() if structlog.is_configured() else None
    structlog.configure(processors=[said], wrapper_class=structlog.BoundLogger)
    try:
        yield
    finally:
        structlog.reset_defaults() if before is None else structlog.configure(**before)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The waits between tries are drawn by a library, from the interpreter's own chance."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def run_seeds(simulated: Factory, seeds: Iterable[int]) -> Iterator[Report]:
    """Simulate many, one after the other."""
    store = open_store("sqlite://", OpenClock())
    try:
        for seed in seeds:
            yield run_seed(simulated, seed, store)
    finally:
        store.close()


# ---- the command

def main(words: Sequence[str] | None = None) -> int:
    """Simulate, print what came of it, and say how a failing seed is run again; by the words of
    the command line where none are given."""
    asked = _parser().parse_args(words)
    try:
        return _tortured(asked, _found(asked.simulated))
    except ConfigInvalid as error:
        sys.stderr.write(f"error: {error.message}\n  {error.hint}\n")
        return error.exit_code


def _tortured(asked: argparse.Namespace, simulated: Factory) -> int:
    if asked.seed is not None:
        trace = list[str]()
        report = run_seed(simulated, asked.seed, trace=trace)
        if asked.trace:
            print(*trace, sep="\n")
        print(f"seed {report.seed}: {report.edits} edits, {report.writes} writes, faults "
              f"{dict(report.faults)}, trace {report.digest[:16]}")
        print(*report.violations, sep="\n")
        return 1 if report.violations else 0
    started, total = time.monotonic(), Total()
    for report in run_seeds(simulated, range(asked.first, asked.first + asked.seeds)):
        total.add(report)
        if report.violations:
            print(f"seed {report.seed}: {report.violations[0]}\n  again: python -m "
                  f"connector.testing.torture.kit {asked.simulated} --seed {report.seed}",
                  flush=True)
        if time.monotonic() - started > asked.minutes * 60:
            break
    print(f"{total.seeds} seeds in {time.monotonic() - started:.0f} s: {total.edits} edits, "
          f"{total.writes} writes, at most {total.most_rounds} syncs until rest, "
          f"{len(total.failed)} failed")
    print("faults:", ", ".join(f"{name} {n}" for name, n in total.faults.most_common()))
    return 1 if total.failed else 0


def _found(named: str) -> Factory:
    """The factory that `MODULE:FACTORY` names. Raises `ConfigInvalid` where there is none."""
    module, _, name = named.partition(":")
    try:
        found: Factory = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigInvalid(f"{named} can't be found: {error}.", hint=(
            "Name it as MODULE:FACTORY, from the folder that the module is imported from.")
        ) from error
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m connector.testing.torture.kit",
                                     description=__doc__)
    parser.add_argument("simulated", metavar="MODULE:FACTORY",
                        help="what makes the simulated system of a seed")
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--minutes", type=float, default=10, help="the longest it may take")
    parser.add_argument("--seed", type=int, help="simulate this one alone, and tell of it")
    parser.add_argument("--trace", action="store_true", help="print all that happens in it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
