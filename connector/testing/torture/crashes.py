"""`python -m connector.testing.torture.crashes`: kill the process at every boundary of every
scenario, start it again, and see what has to hold."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import structlog

from connector.domain.ledger import ConflictState
from connector.domain.policies import CRM, ERP
from connector.errors import ConnectorError
from connector.store.open import open_store
from connector.store.unit_of_work import SqlStore
from connector.testing.clock import VirtualClock
from connector.testing.torture.company import OBJECTS, TEXTS
from connector.testing.torture.faults import Died
from connector.testing.torture.rest import rest, settled
from connector.testing.torture.scenarios import SCENARIOS
from connector.testing.torture.stage import Boundaries, Stage
from connector.testing.torture.swarm import emptied


class Crash(NamedTuple):
    """One crash: the boundary it came at, whether all records were edited before the next run, and
    what did not hold."""

    boundary: int
    edited: bool
    violations: list[str]


class Crashed(NamedTuple):
    """What came of a scenario: its boundaries, and the crashes at them."""

    name: str
    boundaries: int
    crashes: list[Crash]

    @property
    def failed(self) -> list[Crash]:
        """The crashes after which something did not hold."""
        return [crash for crash in self.crashes if crash.violations]


def crash_everywhere(name: str, store: SqlStore, *, tells: bool = False,
                     edited_every: int = 1) -> Crashed:
    """All crashes of a scenario; see `crashes`."""
    every = list(crashes(name, store, tells=tells, edited_every=edited_every))
    return Crashed(name, max(crash.boundary for crash in every), every)


def crashes(name: str, store: SqlStore, *, tells: bool = False,
            edited_every: int = 1) -> Iterator[Crash]:
    """Run a scenario undisturbed, to count its boundaries, and then twice for each of them: with
    and without users who edit all records before the process is started again. Without, all has
    to end as it does undisturbed. Where the engine `tells` the CRM's records how they stand, there
    are boundaries in that, too. With `edited_every` 2 and more, users edit at every so many
    boundaries only."""
    boundaries, undisturbed, violations = play(name, store, tells=tells)
    yield Crash(0, False, violations)
    for number in range(1, boundaries + 1):
        _, state, violations = play(name, store, number, tells=tells)
        if not violations and state != undisturbed:
            violations.append(f"it ends otherwise: {_first_difference(undisturbed, state)}")
        yield Crash(number, False, violations)
        if number % edited_every == 0:
            yield Crash(number, True, play(name, store, number, edited=True, tells=tells)[2])


def play(name: str, store: SqlStore, die_at: int = 0, *,
         edited: bool = False, tells: bool = False) -> tuple[int, list[str], list[str]]:
    """Play a scenario whose process dies at a boundary, if that is not 0; returns how many it
    passed, how things stand in the end, and what does not hold."""
    stage = Stage(Boundaries(die_at=die_at), emptied(store), tells=tells)
    run = SCENARIOS[name](stage)
    stage.boundaries.counting = True
    with suppress(Died, ConnectorError):
        run()
    stage.boundaries.counting = False
    passed = stage.boundaries.passed
    stage.meddled()
    if die_at:
        if edited:
            _edit_all(stage)
        stage.clock.sleep(90)  # the dead one's lease has to run out
        with suppress(ConnectorError):
            run()
    rest(stage)
    violations = [told for told, holds in stage.at_rest.items() if not holds()] + settled(stage)
    return passed, _state(stage), violations


def _edit_all(stage: Stage) -> None:
    """Users edit every record on both sides, each its own field where there are two."""
    for role, field in ((CRM, 0), (ERP, -1)):
        for entity, object in OBJECTS[role].items():
            for external_id in stage.living(role, object):
                stage.edit(role, entity, external_id, **{TEXTS[object][field]: stage.token()})


def _state(stage: Stage) -> list[str]:
    """How things stand: all records, and what is kept of conflicts."""
    told = [f"{role} {object} {'deleted' if row.deleted else ''} {_shown(row.payload)}"
            for role in (CRM, ERP) for object in OBJECTS[role].values()
            for row in stage.rows(role, object)]
    with stage.store.begin() as uow:
        conflicts = {f"conflict {c.entity} {c.path} {c.kind} {c.state} {c.base} {c.crm} {c.erp}"
                     for c in uow.conflicts(stage.pair.name, states=tuple(ConflictState))}
    return sorted([*told, *conflicts])


def _shown(payload: Any) -> str:
    """What a record holds, but since when it stands as it does: a crash takes its time."""
    return str(sorted((name, str(value)) for name, value in payload.items() if name != "synced"))


def _first_difference(undisturbed: list[str], state: list[str]) -> str:
    missing = [told for told in undisturbed if told not in state]
    more = [told for told in state if told not in undisturbed]
    return f"{len(missing)} missing, {len(more)} more: {[*missing, *more][:2]}"


def main() -> int:
    """Crash everywhere, print what came of it, and say how a failing one is run again."""
    asked = _parser().parse_args()
    started = time.monotonic()
    boundaries, tried, recovered, failed = 0, 0, 0, 0
    for crashed in _all(asked):
        boundaries += crashed.boundaries
        tried += len(crashed.crashes) - 1
        recovered += sum(not c.violations for c in crashed.crashes if c.boundary)
        failed += len(crashed.failed)
        print(f"{crashed.name:45} {crashed.boundaries:4} boundaries, "
              f"{len(crashed.crashes) - 1:4} crashes, {len(crashed.failed)} not recovered")
        for crash in crashed.failed[:3]:
            print(f"  at {crash.boundary}{', edited meanwhile' if crash.edited else ''}: "
                  f"{crash.violations[0]}\n  again: python -m connector.testing.torture.crashes "
                  f"{crashed.name}{' --tells' if asked.tells else ''}", flush=True)
    print(f"{len(asked.names or SCENARIOS)} scenarios, {boundaries} boundaries, {tried} crashes in "
          f"{time.monotonic() - started:.0f} s: {recovered} recovered, {failed} did not")
    return 1 if failed else 0


def _all(asked: argparse.Namespace) -> Iterator[Crashed]:
    names = asked.names or list(SCENARIOS)
    if asked.processes == 1 or len(names) == 1:
        yield from map(partial(_crash, asked), names)
        return
    with ProcessPoolExecutor(asked.processes) as pool:
        yield from pool.map(partial(_crash, asked), names)


def _crash(asked: argparse.Namespace, name: str) -> Crashed:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    store = open_store("sqlite://", VirtualClock())
    try:
        return crash_everywhere(name, store, tells=asked.tells, edited_every=asked.edited_every)
    finally:
        store.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m connector.testing.torture.crashes",
                                     description=__doc__)
    parser.add_argument("names", nargs="*", help="these scenarios alone",
                        choices=[[], *SCENARIOS], metavar="SCENARIO")
    parser.add_argument("--tells", action="store_true",
                        help="the CRM's records are told how they stand with the ERP")
    parser.add_argument("--edited-every", type=int, default=1, metavar="N",
                        help="users edit at every N-th boundary only")
    parser.add_argument("--processes", type=int, default=None, help="one for each core")
    return parser


if __name__ == "__main__":
    sys.exit(main())
