"""`python -m tests.torture.planted`: how many seeds each planted bug takes."""

from __future__ import annotations

import argparse
import logging
import sys

import structlog

from connector.testing.torture.scenarios import SCENARIOS
from tests.torture import bugs_of_engine, bugs_of_store, bugs_of_things
from tests.torture.planting import BUGS, Caught, Crashed, caught, caught_crashing

FILES = bugs_of_engine, bugs_of_store, bugs_of_things
"""Where the bugs are planted; importing them registers theirs."""


def main() -> None:
    """Print the table of bugs: how many seeds each takes or, where they are not enough, in which
    scenario of the crash test it shows."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.planted", description=__doc__)
    parser.add_argument("names", nargs="*", help="these alone")
    parser.add_argument("--seeds", type=int, default=300, help="how many seeds at most")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    for name in asked.names or BUGS:
        found = caught(name, range(asked.first, asked.first + asked.seeds))
        told = _in_seeds(found) if found else _in_crashes(caught_crashing(name, SCENARIOS))
        sys.stdout.write(f"| `{name}` | {BUGS[name].promise} | {told} |\n")
        sys.stdout.flush()


def _in_seeds(found: Caught) -> str:
    return f"{found.seeds} | {found.invariant} | {found.violation}"


def _in_crashes(found: Crashed | None) -> str:
    if found is None:
        return "- | - | not caught"
    at = f", boundary {found.crash.boundary}" if found.crash.boundary else ""
    return f"`{found.scenario}`{at} | {found.violation.partition(':')[0]} | {found.violation}"


if __name__ == "__main__":
    main()
