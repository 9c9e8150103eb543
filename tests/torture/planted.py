"""`python -m tests.torture.planted`: how many seeds each planted bug takes."""

from __future__ import annotations

import argparse
import logging
import sys
import time

import structlog

from tests.torture import bugs_of_engine, bugs_of_store
from tests.torture.planting import BUGS, caught

FILES = bugs_of_engine, bugs_of_store
"""Where the bugs are planted; importing them registers theirs."""


def main() -> None:
    """Print how many seeds each bug takes."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.planted", description=__doc__)
    parser.add_argument("names", nargs="*", help="these alone")
    parser.add_argument("--seeds", type=int, default=300, help="how many seeds at most")
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    for name, bug in BUGS.items():
        if asked.names and name not in asked.names:
            continue
        started = time.monotonic()
        found = caught(name, range(asked.seeds))
        told = f"{found.seeds:4} {found.invariant} {found.violation[:70]}" if found else "   - -"
        sys.stdout.write(f"{name:30} {told}  ({bug.promise}; "
                         f"{time.monotonic() - started:.0f} s)\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
