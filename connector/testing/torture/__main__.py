"""`python -m connector.testing.torture`: simulate seeds, on all cores."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from connector.testing.torture.swarm import Report, Total, run_seeds

CHUNK = 20
"""Seeds that a process takes at a time."""


def main() -> int:
    """Simulate, print what came of it, and say how a failing seed is run again."""
    asked = _parser().parse_args()
    if asked.seed is not None:
        (report,) = _chunk(asked, range(asked.seed, asked.seed + 1))
        print(f"seed {report.seed}: {report.edits} edits, {report.writes} writes, faults "
              f"{dict(report.faults)}, trace {report.digest[:16]}")
        print(*report.violations, sep="\n")
        return 1 if report.violations else 0
    started, total = time.monotonic(), Total()
    for report in _all(asked, started):
        total.add(report)
        if report.violations:
            print(f"seed {report.seed}: {report.violations[0]}\n"
                  f"  again: python -m connector.testing.torture --seed {report.seed}"
                  + (f" --partitions {asked.partitions}" if asked.partitions > 1 else "")
                  + (" --tells" if asked.tells else ""), flush=True)
    print(f"{total.seeds} seeds in {time.monotonic() - started:.0f} s: {total.edits} edits, "
          f"{total.writes} writes before rest, at most {total.most_rounds} syncs until rest, "
          f"{len(total.failed)} failed")
    print("faults:", ", ".join(f"{name} {n}" for name, n in total.faults.most_common()))
    return 1 if total.failed else 0


def _all(asked: argparse.Namespace, started: float) -> Iterator[Report]:
    """Reports of every seed asked for, until the time is up."""
    chunks = (range(first, min(first + CHUNK, asked.first + asked.seeds))
              for first in range(asked.first, asked.first + asked.seeds, CHUNK))
    with ProcessPoolExecutor(asked.processes) as pool:
        for reports in pool.map(partial(_chunk, asked), chunks):
            yield from reports
            if time.monotonic() - started > asked.minutes * 60:
                pool.shutdown(wait=False, cancel_futures=True)
                return


def _chunk(asked: argparse.Namespace, seeds: range) -> list[Report]:
    run = partial(run_seeds, seeds, url=asked.store, partitions=asked.partitions,
                  tells=asked.tells)
    reports = list(run())
    if asked.twice:
        for report, again in zip(reports, run(), strict=True):
            if report.digest != again.digest:
                report.violations.append("I11: run again, it takes another course")
    return reports


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m connector.testing.torture",
                                     description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--minutes", type=float, default=10, help="the longest it may take")
    parser.add_argument("--processes", type=int, default=None, help="one for each core")
    parser.add_argument("--seed", type=int, help="simulate this one alone, and tell of it")
    parser.add_argument("--twice", action="store_true",
                        help="run each again, and see that it takes the same course")
    parser.add_argument("--partitions", type=int, default=1,
                        help="in how many an inbox is worked off")
    parser.add_argument("--tells", action="store_true",
                        help="the CRM's records are told how they stand with the ERP")
    parser.add_argument("--store", default="sqlite://", help="the store's URL")
    return parser


if __name__ == "__main__":
    sys.exit(main())
