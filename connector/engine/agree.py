"""Brings both sides into agreement: reads them, and works off what was read.

This goes on in passes until nothing moves: the echoes of the run's own writes are read (and dropped
by their version), and what those writes set off in the other system, such as stock reserved by an
order, is carried over in the same run. At rest, records are told how they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial

from connector.domain.ledger import Request
from connector.engine.drain import drain
from connector.engine.fan_out import Division, fan_out
from connector.engine.pacing import Pace
from connector.engine.pair import Side
from connector.engine.phases import Phase, in_phase
from connector.engine.planning import plan_all
from connector.engine.pull import pull, read_hinted
from connector.engine.replay import take_up_due
from connector.engine.safety import stakes, stop_beyond, suspicious
from connector.engine.session import Session
from connector.engine.telling import tell, tells

MAX_PASSES = 5


def agree(session: Session, phase: Phase, wanted: Request, division: Division | None, *,
          safety_stop: bool, pace: Pace | None = None) -> None:
    """Read (again, in later passes) and work off, until a pass writes nothing and lets nothing go
    on that waited: it may have come too late for this pass. Then, once, where a mapping says so,
    tell the records how they stand. With a `division` other processes work off with this one. A
    drain leaves records alone that rest by `pace`."""
    for number in range(MAX_PASSES):
        before = session.written, session.released
        in_phase(session, phase, "read", partial(
            _read, session, wanted, again=number > 0, pace=pace))
        in_phase(session, phase, "work off", partial(
            _work_off, session, wanted.entities, division,
            safety_stop=safety_stop and number == 0))
        if (session.written, session.released) == before:
            break
    if tells(session, wanted.entities):
        in_phase(session, phase, "tell", partial(tell, session, wanted.entities))


def _read(session: Session, wanted: Request, *, again: bool, pace: Pace | None) -> None:
    if wanted.kind == "drain":
        _read_both(session, partial(read_hinted, session, wanted.entities, pace=pace))
    else:
        read_all(session, wanted.entities, again=again)
    if not again:
        take_up_due(session, wanted.entities)


def read_all(session: Session, entities: Sequence[str], *, again: bool = False,
             count: bool = True) -> None:
    """Read all entities, both sides at the same time, and then what hints name. `again`, after
    writes of this run, what is as it was last seen is not counted once more, and a system that
    can only be read as a whole is left for the next run."""
    def read_side(side: Side) -> None:
        if not (again and side.adapter.capabilities.deletions == "absence"):
            pull(session, entities, side, count=count and not again)
        read_hinted(session, entities, side, count=count and not again)

    _read_both(session, read_side)


def _read_both(session: Session, read: Callable[[Side], None]) -> None:
    """Read both sides, at the same time where the run works in threads."""
    if not session.in_flight:
        for side in session.pair.sides:
            read(side)
        return
    with ThreadPoolExecutor(2, "pull") as threads:
        reading = [threads.submit(copy_context().run, read, side) for side in session.pair.sides]
        for side_read in reading:
            side_read.result()


def _work_off(session: Session, entities: Sequence[str], division: Division | None, *,
              safety_stop: bool) -> None:
    if safety_stop:
        _check_safety(session, entities)
    for entity in entities:
        if division is None or not fan_out(session, entity, division):
            drain(session, entity)


def _check_safety(session: Session, entities: Sequence[str]) -> None:
    """Stop where too much would be deleted or changed; it is planned only where so much was read
    that this could be."""
    policies, found = session.pair.policies, stakes(session, entities)
    if suspicious(policies, found):
        stop_beyond(policies, found, plan_all(session, entities))
