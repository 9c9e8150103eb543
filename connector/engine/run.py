"""One execution: pull, decode, match, merge, plan, apply, for every entity, parents first.

Read `Engine.sync` for the whole way. A run goes on in passes until nothing moves: the echoes
of its own writes are read (and dropped by their version), and what those writes set off in the
other system, such as stock reserved by an order, is carried over in the same run.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import structlog

from connector.domain.actions import Action, OutcomeKind
from connector.domain.drift import Drift
from connector.domain.ledger import Conflict, DeadLetter, Run, RunState
from connector.domain.records import Change, Payload
from connector.engine.aliases import Place, join, split
from connector.engine.apply import recover
from connector.engine.drain import batches, drain
from connector.engine.drift import compare
from connector.engine.fence import FencedStore
from connector.engine.in_flight import BATCHES_IN_FLIGHT, InFlight
from connector.engine.known import Planned
from connector.engine.pair import Pair, Side
from connector.engine.plan_file import Gate, Plan
from connector.engine.planning import apply_gated, plan_all
from connector.engine.pull import pull, read_hinted
from connector.engine.replay import records_of, take_up, take_up_due, take_up_edited
from connector.engine.safety import stakes, stop_beyond, suspicious
from connector.engine.session import LEASE_TTL, Observe, Session, unobserved
from connector.engine.undo import plan_undo, undo
from connector.errors import BudgetSpent, ConnectorError, LeaseHeld, ReauthRequired, RunFailed
from connector.ports import Clock, Store
from connector.tracing import span

MAX_PASSES = 5
BETWEEN_TRIES = 0.2
"""Seconds before a lease that another run holds is asked for again."""


class Engine:
    """Keeps one pair in agreement. Where another run works on it, a run waits for `patience`
    seconds before it gives up."""

    def __init__(self, pair: Pair, store: Store, clock: Clock, *,
                 crash: Callable[[str], None] = lambda _point: None,
                 in_flight: int = BATCHES_IN_FLIGHT, patience: float = 0) -> None:
        self.pair, self.store, self.clock = pair, store, clock
        self._patience = patience
        self._crash, self._in_flight = crash, in_flight

    def sync(self, entities: Sequence[str] = (), *, safety_stop: bool = True,
             trigger: str = "cli", observe: Observe = unobserved) -> Run:
        """Bring both sides into agreement and say what came of every record read.

        `entities` narrows the run to some. Raises `SafetyStopped` where it would change more than
        the pair allows, `LeaseHeld` where another run works on the pair, `RetryLater` or
        `AccessDenied` where a system can't be used; the run is kept as failed then.
        """
        wanted = self._wanted(entities)
        with self._session(trigger, observe) as session:
            recover(session)
            self._agree(session, wanted, self._pulling(session, wanted), safety_stop=safety_stop)
        return self._kept(session)

    def drain(self, entities: Sequence[str] = (), *, safety_stop: bool = True,
              trigger: str = "webhook", observe: Observe = unobserved) -> Run:
        """Work off what is in the inbox, after reading the records that hints name: what changed
        in a system and wasn't told stays for the next sync. Raises as `sync` does. Where there
        was nothing but echoes the run is not kept."""
        wanted = self._wanted(entities)
        with self._session(trigger, observe) as session:
            recover(session)
            self._agree(session, wanted, lambda _again: self._read_both(
                session, partial(self._read_hinted, session, wanted)), safety_stop=safety_stop)
        return self._kept(session, idle_too=False)

    def reconcile(self, entities: Sequence[str] = (), *, report_only: bool = False,
                  safety_stop: bool = True, trigger: str = "reconcile",
                  observe: Observe = unobserved) -> tuple[Run, Drift]:
        """Compare everything on both sides, whatever the cursors say, and tell what drifted; then,
        unless `report_only`, repair it by a sync. A report writes nothing to either system. Raises
        what `sync` raises."""
        wanted = self._wanted(entities)
        with self._session(trigger, observe) as session:
            if not report_only:
                recover(session)
            drift = compare(session, wanted, repair=not report_only)
            if not report_only:
                self._agree(session, wanted, self._pulling(session, wanted),
                            safety_stop=safety_stop)
        return self._kept(session), drift

    def undo(self, run_id: str, *, observe: Observe = unobserved) -> tuple[Run, list[Action]]:
        """Put back what a run wrote, where nothing has changed since; returns what was left too,
        each with its reason. Repeated after a crash it finishes. Raises `RunFailed` where there is
        no such run, and what `sync` raises."""
        with self._session("undo", observe) as session:
            recover(session)
            left = undo(session, run_id)
        return self._kept(session, message=f"undoes run {run_id}"), left

    def plan_undo(self, run_id: str, *, observe: Observe = unobserved) -> Plan:
        """What an undo would put back, and what it would leave, without doing it."""
        with self._session("plan", observe) as session:
            actions = plan_undo(session, run_id)
        return Plan(self.pair.name, self.clock.now(), actions)

    def plan(self, entities: Sequence[str] = (), *, observe: Observe = unobserved) -> Plan:
        """What a sync would do, without doing it: the systems are only read. What was read stays
        in the inbox, so that the sync after it need not read it again."""
        wanted = self._wanted(entities)
        with self._session("plan", observe) as session:
            recover(session)
            self._pull_all(session, wanted, count=False)
            take_up_due(session, wanted)
            actions = plan_all(session, wanted)
        return Plan(self.pair.name, self.clock.now(), actions)

    def apply(self, gate: Gate, *, observe: Observe = unobserved) -> Run:
        """Carry out a saved plan exactly. An action whose record has moved since is refused (an
        outcome `skipped` says so), and what the plan doesn't name is left for the next sync."""
        with self._session("apply", observe) as session:
            recover(session)
            self._pull_all(session, self.pair.entities, count=False)
            for entity in self.pair.entities:
                for gathered in batches(session, entity, Planned(), InFlight(0)):
                    apply_gated(session, entity, gathered, gate)
        return self._kept(session)

    def resolve(self, conflict: Conflict, decision: Mapping[str, Any]) -> Run:
        """Keep a person's decision on a conflict and carry it out at once; the next run does, where
        this one can't: the records are in the inbox from the moment on that it is kept."""
        with self.store.begin() as uow:
            uow.decide_conflict(conflict.id, decision)
            if conflict.kind == "ambiguous_match":
                uow.release(self.pair.name, [f"conflict:{conflict.canonical_id}"])
            links = uow.links_by_canonical(self.pair.name, conflict.entity,
                                           [conflict.canonical_id])
            concerned = [(link.system, link.external_id)
                         for link in links.get(conflict.canonical_id, ())]
            uow.receive(self.pair.name, [
                Change(0, conflict.entity, system, external_id, "", hint=True)
                for system, external_id in concerned])
        return self._again("resolve", {conflict.entity: concerned})

    def replay(self, letters: Sequence[DeadLetter]) -> Run:
        """Read parked records again and try them once more."""
        return self._again("replay", records_of(self.pair, letters))

    def replay_edited(self, letter: DeadLetter, payload: Payload, note: str) -> Run:
        """Try a parked record once more with another payload in the place of what was read; `note`
        says who edited what and stands in the outcome's reason. Nothing is written to the record's
        own system unless the merge calls for it. Raises `RunFailed` where the record has changed
        since it was parked, or is made from another document."""
        with self._session("replay", unobserved) as session:
            recover(session)
            take_up_edited(session, letter, payload, note)
            self._drain(session, [letter.entity])
        return self._kept(session)

    def join(self, entity: str, record: Place, into: Place) -> Run:
        """Tie a record (system, external ID) to the thing that another one is."""
        with self._session("links", unobserved) as session:
            recover(session)
            join(session, entity, record, into)
            drain(session, entity)
        return self._kept(session)

    def split(self, entity: str, record: Place) -> Run:
        """Part a record from the others of its thing."""
        with self._session("links", unobserved) as session:
            recover(session)
            split(session, entity, record)
            drain(session, entity)
        return self._kept(session)

    # ---- the parts of a run

    def _agree(self, session: Session, wanted: Sequence[str], read: Callable[[bool], None], *,
               safety_stop: bool) -> None:
        """Read (again, in later passes) and work off, until a pass writes nothing and lets nothing
        go on that waited: it may have come too late for this pass."""
        for number in range(MAX_PASSES):
            before = session.written, session.released
            read(number > 0)
            if number == 0:
                take_up_due(session, wanted)
            self._drain_all(session, wanted, safety_stop=safety_stop and number == 0)
            if (session.written, session.released) == before:
                break

    def _again(self, trigger: str, records: Mapping[str, Sequence[tuple[str, str]]]) -> Run:
        """Read records (system, external ID), by entity, again and work off their entities."""
        with self._session(trigger, unobserved) as session:
            recover(session)
            take_up(session, records)
            self._drain(session, records)
        return self._kept(session)

    def _drain(self, session: Session, entities: Collection[str]) -> None:
        """Work off some entities, and what their documents become."""
        becomes = {rule.entity for entity in entities
                   if (rule := self.pair.policies[entity].becomes) is not None}
        for entity in self.pair.entities:
            if entity in entities or entity in becomes:
                drain(session, entity)

    def _pulling(self, session: Session, entities: Sequence[str]) -> Callable[[bool], None]:
        return lambda again: self._pull_all(session, entities, again=again)

    def _pull_all(self, session: Session, entities: Sequence[str], *, again: bool = False,
                  count: bool = True) -> None:
        """Read all entities, both sides at the same time, and then what hints name. `again`, after
        writes of this run, what is as it was last seen is not counted once more, and a system that
        can only be read as a whole is left for the next run."""
        def pull_side(side: Side) -> None:
            if not (again and side.adapter.capabilities.deletions == "absence"):
                for entity in entities:
                    pull(session, entity, side, count=count and not again)
            self._read_hinted(session, entities, side, count=count and not again)

        self._read_both(session, pull_side)

    def _read_hinted(self, session: Session, entities: Sequence[str], side: Side, *,
                     count: bool = True) -> None:
        for entity in entities:
            read_hinted(session, entity, side, count=count)

    def _read_both(self, session: Session, read: Callable[[Side], None]) -> None:
        """Read both sides, at the same time where the run works in threads."""
        if not session.in_flight:
            for side in self.pair.sides:
                read(side)
            return
        with ThreadPoolExecutor(2, "pull") as threads:
            reading = [threads.submit(copy_context().run, read, side) for side in self.pair.sides]
            for side_read in reading:
                side_read.result()

    def _drain_all(self, session: Session, entities: Sequence[str], *, safety_stop: bool) -> None:
        if safety_stop:
            self._check_safety(session, entities)
        for entity in entities:
            drain(session, entity)

    def _check_safety(self, session: Session, entities: Sequence[str]) -> None:
        """Stop where too much would be deleted or changed; it is planned only where so much was
        read that this could be."""
        policies, found = self.pair.policies, stakes(session, entities)
        if suspicious(policies, found):
            stop_beyond(policies, found, plan_all(session, entities))

    def _wanted(self, entities: Sequence[str]) -> tuple[str, ...]:
        unknown = sorted(set(entities) - set(self.pair.entities))
        if unknown:
            raise RunFailed(f"Pair {self.pair.name!r} has no entity {unknown[0]!r}.",
                            hint=f"It shares: {', '.join(self.pair.entities)}.")
        return tuple(e for e in self.pair.entities if not entities or e in entities)

    # ---- the frame of a run

    @contextmanager
    def _session(self, trigger: str, observe: Observe) -> Iterator[Session]:
        """A run under the pair's lease; kept as failed where it breaks off."""
        lease = self._lease()
        session = Session(self.pair, FencedStore(self.store, self.pair.name, lease), self.clock,
                          uuid.uuid4().hex[:12], observe, self._crash, self._in_flight)
        started = self.clock.now()
        log = structlog.get_logger()
        self.run = Run(session.run_id, self.pair.name, trigger, RunState.RUNNING, started)
        named = structlog.contextvars.bind_contextvars(run=session.run_id, pair=self.pair.name)
        log.info("run started", trigger=trigger)
        try:
            with self.store.begin() as uow:
                uow.abandon_runs(self.pair.name, started)
                if trigger != "plan":
                    uow.save_run(self.run)
            with span("run", run=session.run_id, pair=self.pair.name, trigger=trigger):
                yield session
            with self.store.begin() as uow:
                uow.admit([side.system for side in self.pair.sides])
            log.info("run ended", writes=session.written,
                     read=sum(tally.read for tally in session.tallies.values()))
        except ConnectorError as error:
            paused = isinstance(error, BudgetSpent)
            self._keep_run(session, trigger, RunState.PAUSED if paused else RunState.FAILED,
                           str(error))
            if isinstance(error, ReauthRequired):
                with self.store.begin() as uow:
                    uow.deny(error.system, error.message, self.clock.now())
            log.info("run paused" if paused else "run failed", error=type(error).__name__)
            raise
        finally:
            structlog.contextvars.reset_contextvars(**named)
            self.store.release_lease(self.pair.name, lease)

    def _lease(self) -> int:
        """Take the pair's lease; raises `LeaseHeld` where it isn't free in time."""
        holder = f"{socket.gethostname()}:{os.getpid()}"
        given_up = self.clock.now() + timedelta(seconds=self._patience)
        while True:
            try:
                return self.store.acquire_lease(self.pair.name, holder, LEASE_TTL)
            except LeaseHeld:
                if self.clock.now() >= given_up:
                    raise
                self.clock.sleep(BETWEEN_TRIES)

    def _kept(self, session: Session, *, idle_too: bool = True, message: str = "") -> Run:
        """The finished run, with a `message`; failed where a record read has no outcome, or more
        than one. One that found nothing but echoes is kept only where `idle_too`."""
        astray = [f"{entity} from the {role}: {tally.read} read, "
                  f"{sum(tally.outcomes.values())} accounted for"
                  for (entity, role), tally in session.tallies.items() if not tally.accounted]
        state = RunState.FAILED if astray else RunState.COMPLETED
        run = self._keep_run(session, self.run.trigger, state, "; ".join(astray) or message)
        if not idle_too and not astray and _idle(run):
            with self.store.begin() as uow:
                uow.forget_run(run.id)
        return run

    def _keep_run(self, session: Session, trigger: str, state: RunState, message: str) -> Run:
        self.run = replace(self.run, state=state, ended_at=self.clock.now(), message=message,
                           tallies=dict(session.tallies), writes=dict(session.writes))
        if trigger != "plan":
            with self.store.begin() as uow:
                uow.save_run(self.run)
        return self.run


def _idle(run: Run) -> bool:
    """Whether a run wrote nothing and found everything as it was."""
    return not any(run.writes.values()) and all(
        kind is OutcomeKind.UNCHANGED for tally in run.tallies.values()
        for kind, number in tally.outcomes.items() if number)


def needs_attention(run: Run) -> bool:
    """Whether records failed in a run, so that somebody has to look."""
    return any(tally.outcomes[OutcomeKind.FAILED] for tally in run.tallies.values())
