"""`python -m connector.testing.torture.crashes`: kill the process at every boundary of every
scenario, start it again, and see what has to hold."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterator
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
from connector.testing.torture.copies import Copies
from connector.testing.torture.faults import Died
from connector.testing.torture.rest import rest, settled
from connector.testing.torture.scenarios import SCENARIOS
from connector.testing.torture.scenarios.registry import Run
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


class End(NamedTuple):
    """How a scenario ended: the boundaries it passed, how things stand, and what does not hold."""

    boundaries: int
    state: list[str]
    violations: list[str]


def crash_everywhere(name: str, store: SqlStore, *, tells: bool = False, edited_every: int = 1,
                     until_one_fails: bool = False) -> Crashed:
    """Play a scenario, and let a copy of the process die at each boundary, and another one whose
    users edit all records before it is started again. Without them, all has to end as it does
    undisturbed.

    Where the engine `tells` the CRM's records how they stand, there are boundaries in that, too.
    With `edited_every` 2 and more, users edit at every so many boundaries only.
    """
    copies, crashed = Copies(), list[tuple[Crash, End]]()

    def dies(boundary: int) -> bool:
        for edited in (False, True) if boundary % edited_every == 0 else (False,):
            if until_one_fails and any(crash.violations for crash, _ in crashed):
                return False
            end: End | None = copies.make("edited" if edited else "alone")
            if end is None:
                return True
            crashed.append((Crash(boundary, edited, end.violations), end))
        return False

    undisturbed = play(name, store, tells=tells, copies=copies, dies=dies)
    for crash, end in crashed:
        if not crash.edited and not crash.violations and end.state != undisturbed.state:
            crash.violations.append(
                f"it ends otherwise: {_first_difference(undisturbed.state, end.state)}")
    return Crashed(name, undisturbed.boundaries, [Crash(0, False, undisturbed.violations),
                                                  *(crash for crash, _ in crashed)])


def play(name: str, store: SqlStore, *, tells: bool = False, copies: Copies | None = None,
         dies: Callable[[int], bool] = lambda _boundary: False) -> End:
    """Play a scenario to its end; in a copy of the process, which dies, until it has recovered."""
    copies = copies or Copies()
    stage = Stage(Boundaries(dying=dies), emptied(store), tells=tells)
    run = SCENARIOS[name](stage)
    try:
        end = _played(stage, run, copies)
    except BaseException as error:
        if copies.purpose:
            copies.end(error)
        raise
    if copies.purpose:
        copies.end(end)
    return end


def _played(stage: Stage, run: Run, copies: Copies) -> End:
    stage.boundaries.counting = True
    with suppress(Died, ConnectorError):
        run()
    stage.boundaries.counting = False
    stage.meddled()
    if copies.purpose:
        if copies.purpose == "edited":
            _edit_all(stage)
        stage.clock.sleep(90)  # the dead one's lease has to run out
        with suppress(ConnectorError):
            run()
    rest(stage)
    violations = [told for told, holds in stage.at_rest.items() if not holds()] + settled(stage)
    return End(stage.boundaries.passed, _state(stage), violations)


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
