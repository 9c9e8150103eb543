"""One execution: pull, decode, match, merge, plan, apply, for every entity, parents first.

Read `Engine.sync` and `agree` for the whole way.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from threading import Event
from typing import Any

import structlog

from connector.domain.actions import AMBIGUOUS, Action, OutcomeKind
from connector.domain.drift import Drift
from connector.domain.ledger import Conflict, DeadLetter, Request, Run, RunState
from connector.domain.records import Change, Payload
from connector.engine.agree import agree, read_all
from connector.engine.aliases import Place, join, split
from connector.engine.apply import recover
from connector.engine.drain import batches, drain
from connector.engine.drift import compare
from connector.engine.fan_out import Division
from connector.engine.fence import FencedStore
from connector.engine.in_flight import BATCHES_IN_FLIGHT, InFlight
from connector.engine.known import Planned
from connector.engine.pacing import Pace
from connector.engine.pair import Pair
from connector.engine.phases import Phase, at_once, in_phase
from connector.engine.plan_file import Gate, Plan
from connector.engine.planning import apply_gated, plan_all
from connector.engine.replay import records_of, take_up, take_up_due, take_up_edited
from connector.engine.session import Observe, Session, unobserved
from connector.engine.telling import look_for_untold, tell
from connector.engine.turns import AT_ONCE, Busy, Merged, take_turn
from connector.engine.undo import plan_undo, undo
from connector.errors import (
    BudgetSpent,
    ConnectorError,
    ReauthRequired,
    RunCancelled,
    RunFailed,
)
from connector.ports import Clock, Store
from connector.tracing import span


def new_id() -> str:
    """An ID for a run."""
    return uuid.uuid4().hex[:12]


class Engine:
    """Keeps one pair in agreement. `busy` says what a run does where another one works on the
    pair, `phase` does its phases, `run_id` makes its ID. With a `division` other processes work
    with it."""

    def __init__(self, pair: Pair, store: Store, clock: Clock, *,
                 crash: Callable[[str], None] = lambda _point: None,
                 in_flight: int = BATCHES_IN_FLIGHT, busy: Busy = AT_ONCE,
                 phase: Phase = at_once, run_id: Callable[[], str] = new_id,
                 division: Division | None = None) -> None:
        self.pair, self.store, self.clock = pair, store, clock
        self._busy, self._phase, self._run_id = busy, phase, run_id
        self._crash, self._in_flight, self._division = crash, in_flight, division
        self._stop = Event()

    def sync(self, entities: Sequence[str] = (), *, safety_stop: bool = True,
             trigger: str = "cli", observe: Observe = unobserved) -> Run:
        """Bring both sides into agreement and say what came of every record read.

        `entities` narrows the run to some. Raises `SafetyStopped` where it would change more than
        the pair allows, `LeaseHeld` where another run works on the pair, `RetryLater` or
        `AccessDenied` where a system can't be used; the run is kept as failed then. It is `merged`
        where it was left with a run at work, which never happens without `safety_stop`.
        """
        return self._settle(Request("sync", self._wanted(entities)), trigger, observe,
                            safety_stop=safety_stop)

    def drain(self, entities: Sequence[str] = (), *, safety_stop: bool = True,
              trigger: str = "webhook", observe: Observe = unobserved,
              pace: Pace | None = None) -> Run:
        """Work off what is in the inbox, after reading the records that hints name, but for those
        that rest by `pace`: what changed in a system and wasn't told stays for the next sync.
        Raises as `sync` does. Where there was nothing but echoes the run is not kept."""
        return self._settle(Request("drain", self._wanted(entities)), trigger, observe,
                            safety_stop=safety_stop, pace=pace)

    def reconcile(self, entities: Sequence[str] = (), *, report_only: bool = False,
                  safety_stop: bool = True, trigger: str = "reconcile",
                  observe: Observe = unobserved) -> tuple[Run, Drift]:
        """Compare everything on both sides, whatever the cursors say, and tell what drifted; then,
        unless `report_only`, repair it by a sync. A report writes nothing to either system. Raises
        what `sync` raises."""
        wanted, more = Request("sync", self._wanted(entities)), 0
        with self._session(trigger, observe, open_to_requests=not report_only) as session:
            if report_only:
                found = compare(session, wanted.entities, repair=False)
            else:
                found = in_phase(session, self._phase, "compare", partial(
                    compare, session, wanted.entities, repair=True))
                look_for_untold(session, wanted.entities)
                agree(session, self._phase, wanted, self._division, safety_stop=safety_stop)
                more = self._take_up_requests(session, wanted)
        return self._kept(session, message=_also(more)), found

    def cancel(self) -> None:
        """Have the run at work end before its next write, or its next page; called from another
        thread. It is kept as cancelled and raises `RunCancelled`."""
        self._stop.set()

    def undo(self, run_id: str, *, observe: Observe = unobserved) -> tuple[Run, list[Action]]:
        """Put back what a run wrote, where nothing has changed since; returns what was left too,
        each with its reason. Repeated after a crash it finishes. Raises `RunFailed` where there is
        no such run, and what `sync` raises."""
        with self._session("undo", observe) as session:
            recover(session)
            left = undo(session, run_id)
            tell(session, self.pair.entities)
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
            read_all(session, wanted, count=False)
            take_up_due(session, wanted)
            actions = plan_all(session, wanted)
        return Plan(self.pair.name, self.clock.now(), actions)

    def apply(self, gate: Gate, *, observe: Observe = unobserved) -> Run:
        """Carry out a saved plan exactly. An action whose record has moved since is refused (an
        outcome `skipped` says so), and what the plan doesn't name is left for the next sync."""
        with self._session("apply", observe) as session:
            recover(session)
            read_all(session, self.pair.entities, count=False)
            for entity in self.pair.entities:
                for gathered in batches(session, entity, Planned(), InFlight(0)):
                    apply_gated(session, entity, gathered, gate)
            tell(session, self.pair.entities)
        return self._kept(session)

    def resolve(self, conflict: Conflict, decision: Mapping[str, Any]) -> Run:
        """Keep a person's decision on a conflict and carry it out at once; the next run does, where
        this one can't: the records are in the inbox from the moment on that it is kept."""
        with self.store.begin() as uow:
            uow.decide_conflict(conflict.id, decision)
            if conflict.kind == AMBIGUOUS:
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
            tell(session, self.pair.entities)
        return self._kept(session)

    def split(self, entity: str, record: Place) -> Run:
        """Part a record from the others of its thing."""
        with self._session("links", unobserved) as session:
            recover(session)
            split(session, entity, record)
            drain(session, entity)
            tell(session, self.pair.entities)
        return self._kept(session)

    # ---- the parts of a run

    def _settle(self, wanted: Request, trigger: str, observe: Observe, *,
                safety_stop: bool, pace: Pace | None = None) -> Run:
        """A sync or a drain, and what others ask for meanwhile."""
        try:
            with self._session(trigger, observe, open_to_requests=True,
                               request=wanted if safety_stop else None) as session:
                agree(session, self._phase, wanted, self._division, safety_stop=safety_stop,
                      pace=pace)
                more = self._take_up_requests(session, wanted)
        except Merged as merged:
            return self._merged(trigger, merged.into)
        return self._kept(session, idle_too=wanted.kind != "drain" or more > 0,
                          message=_also(more))

    def _take_up_requests(self, session: Session, done: Request) -> int:
        """Do what others have asked for while this run worked, until there is nothing, and give
        the lease back; returns how many asked. What was left before and never done is done by
        now, where `done` covers it."""
        covered = [r.id for r in session.requests if done.covers(r)]
        if covered:
            with session.store.begin() as uow:
                uow.settle_requests(covered)
        more = 0
        while not session.store.release_unless_asked():
            with session.store.begin() as uow:
                asked = uow.requests(self.pair.name)
            kind = "sync" if any(r.kind == "sync" for r in asked) else "drain"
            entities = {entity for r in asked for entity in r.entities}
            agree(session, self._phase, Request(kind, tuple(
                e for e in self.pair.entities if e in entities)), self._division,
                safety_stop=True)
            with session.store.begin() as uow:
                uow.settle_requests([r.id for r in asked])
            more += len(asked)
        return more

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
        tell(session, self.pair.entities)

    def _wanted(self, entities: Sequence[str]) -> tuple[str, ...]:
        unknown = sorted(set(entities) - set(self.pair.entities))
        if unknown:
            raise RunFailed(f"Pair {self.pair.name!r} has no entity {unknown[0]!r}.",
                            hint=f"It shares: {', '.join(self.pair.entities)}.")
        return tuple(e for e in self.pair.entities if not entities or e in entities)

    # ---- the frame of a run

    @contextmanager
    def _session(self, trigger: str, observe: Observe, *, open_to_requests: bool = False,
                 request: Request | None = None) -> Iterator[Session]:
        """A run under the pair's lease; kept as failed where it breaks off. Raises `Merged` where
        `request` was left with another one."""
        lease = take_turn(self.store, self.clock, self.pair.name, self._busy, request, self._stop)
        session = Session(self.pair, FencedStore(self.store, self.pair.name, lease), self.clock,
                          self._run_id(), observe, self._crash, self._in_flight, stop=self._stop)
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
                if open_to_requests:
                    session.requests = uow.requests(self.pair.name)
                    session.store.offer(uow, session.run_id)
            with span("run", run=session.run_id, pair=self.pair.name, trigger=trigger):
                yield session
            with self.store.begin() as uow:
                uow.admit([side.system for side in self.pair.sides])
            log.info("run ended", writes=session.written,
                     read=sum(tally.read for tally in session.tallies.values()))
        except ConnectorError as error:
            state = _broken_off(error)
            self._keep_run(session, trigger, state, str(error))
            if isinstance(error, ReauthRequired):
                with self.store.begin() as uow:
                    uow.deny(error.system, error.message, self.clock.now())
            log.info(f"run {state.value}", error=type(error).__name__)
            raise
        except KeyboardInterrupt:
            with suppress(ConnectorError):
                self._keep_run(session, trigger, RunState.CANCELLED, "stopped by the keyboard")
            raise
        finally:
            structlog.contextvars.reset_contextvars(**named)
            session.store.release()

    def _merged(self, trigger: str, into: str) -> Run:
        """A run that is left with another one, as it is kept."""
        now = self.clock.now()
        self.run = Run(self._run_id(), self.pair.name, trigger, RunState.MERGED, now, now,
                       f"Run {into} is at work and takes this up before it ends.")
        with self.store.begin() as uow:
            uow.save_run(self.run)
        return self.run

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
                           tallies=dict(session.tallies), writes=dict(session.writes),
                           told=dict(session.told))
        if trigger != "plan":
            with self.store.begin() as uow:
                uow.save_run(self.run)
        return self.run


def _broken_off(error: ConnectorError) -> RunState:
    """How a run that ended so stands."""
    if isinstance(error, BudgetSpent):
        return RunState.PAUSED
    return RunState.CANCELLED if isinstance(error, RunCancelled) else RunState.FAILED


def _also(more: int) -> str:
    """What is said of a run that took up `more` requests."""
    runs = "run was" if more == 1 else "runs were"
    return f"took up what {more} more {runs} to do" if more else ""


def _idle(run: Run) -> bool:
    """Whether a run wrote and told nothing, and found everything as it was."""
    return not any((*run.writes.values(), *run.told.values())) and all(
        kind is OutcomeKind.UNCHANGED for tally in run.tallies.values()
        for kind, number in tally.outcomes.items() if number)


def needs_attention(run: Run) -> bool:
    """Whether records failed in a run, so that somebody has to look."""
    return any(tally.outcomes[OutcomeKind.FAILED] for tally in run.tallies.values())
