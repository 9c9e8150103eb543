"""Runs, outcomes, conflicts and dead letters: what is kept for people."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Row, bindparam, delete, exists, select, update

from connector.domain.actions import UNDONE, FieldChange, FieldConflict, Outcome, OutcomeKind
from connector.domain.ledger import (
    Conflict,
    ConflictState,
    DeadLetter,
    HistoryEntry,
    Run,
    RunState,
)
from connector.domain.policies import Role
from connector.domain.records import Change
from connector.domain.retries import next_try
from connector.store.accounts import packed_account, unpacked_account
from connector.store.codec import bounded, dump, instant, load, moment, readable
from connector.store.rows import Among, Rows, same
from connector.store.tables import conflicts, dead_letters, inbox, links, outcomes, runs

_WRITES = Among(select(outcomes).where(
    *same(outcomes.c.pair, outcomes.c.entity), outcomes.c.target.is_not(None))
    .order_by(outcomes.c.id), outcomes.c.canonical_id)
_DEAD_ATTEMPTS = Among(select(dead_letters.c.trace_key, dead_letters.c.attempts).where(
    *same(dead_letters.c.pair)), dead_letters.c.trace_key)
_DEAD_ON_SIDE = same(dead_letters.c.pair, dead_letters.c.entity, dead_letters.c.system)
_DEAD_VERSIONS = Among(select(dead_letters.c.external_id, dead_letters.c.version).where(
    *_DEAD_ON_SIDE), dead_letters.c.external_id)
_DEAD_BY_MATCH_KEY = Among(
    select(dead_letters.c.match_key, dead_letters.c.external_id).where(
        *_DEAD_ON_SIDE, ~exists().where(
            links.c.pair == dead_letters.c.pair, links.c.entity == dead_letters.c.entity,
            links.c.system == dead_letters.c.system,
            links.c.external_id == dead_letters.c.external_id)), dead_letters.c.match_key)


class LedgerRows(Rows):
    """The part of a unit of work about what happened."""

    # runs and outcomes

    def save_run(self, run: Run) -> None:
        self.upsert(runs, [{
            "id": run.id, "pair": run.pair, "trigger": run.trigger, "state": run.state.value,
            "started_at": moment(run.started_at),
            "ended_at": moment(run.ended_at) if run.ended_at else None,
            "message": readable(run.message),
            "account": packed_account(run.tallies, run.writes, told=[
                [*key, number] for key, number in run.told.items()])}], ("id",))

    def runs(self, pair: str, limit: int) -> list[Run]:
        rows = self.connection.execute(select(runs).where(runs.c.pair == pair)
                                       .order_by(runs.c.started_at.desc()).limit(limit))
        return [_run(row) for row in rows]

    def forget_run(self, run_id: str) -> None:
        self.connection.execute(delete(runs).where(runs.c.id == run_id))

    def run(self, pair: str, run_id: str) -> Run | None:
        row = self.connection.execute(select(runs).where(
            runs.c.pair == pair, runs.c.id == run_id)).one_or_none()
        return None if row is None else _run(row)

    def abandon_runs(self, pair: str, at: datetime) -> None:
        self.connection.execute(
            update(runs).where(runs.c.pair == pair, runs.c.state == RunState.RUNNING.value)
            .values(state=RunState.ABANDONED.value, ended_at=moment(at),
                    message="its process ended before it did; a later run took over"))

    def add_outcomes(self, pair: str, run_id: str, at: datetime,
                     added: Sequence[Outcome]) -> None:
        if added:
            self.many(outcomes.insert(), [{
                "pair": pair, "run_id": run_id, "at": moment(at), "entity": o.entity,
                "canonical_id": o.canonical_id, "kind": o.kind.value, "side": o.side,
                "external_id": o.external_id, "target": o.target,
                "changes": dump([[c.path, c.before, c.after, c.rule] for c in o.changes]),
                "reason": readable(o.reason), "counted": o.counted} for o in added])

    def history(self, pair: str, entity: str, canonical_id: str) -> list[HistoryEntry]:
        rows = self.connection.execute(
            select(outcomes).where(outcomes.c.pair == pair, outcomes.c.entity == entity,
                                   outcomes.c.canonical_id == canonical_id)
            .order_by(outcomes.c.id))
        return [_entry(row) for row in rows]

    def written_in(self, pair: str, run_id: str, entity: str, after: str,
                   limit: int) -> list[str]:
        rows = self.connection.execute(
            select(outcomes.c.canonical_id).distinct().where(
                outcomes.c.pair == pair, outcomes.c.run_id == run_id, outcomes.c.entity == entity,
                outcomes.c.target.is_not(None), outcomes.c.canonical_id > after)
            .order_by(outcomes.c.canonical_id).limit(limit))
        return list(rows.scalars())

    def writes(self, pair: str, entity: str,
               canonical_ids: Collection[str]) -> dict[str, list[HistoryEntry]]:
        found: dict[str, list[HistoryEntry]] = {}
        for row in self.where_in(_WRITES, canonical_ids, pair=pair, entity=entity):
            found.setdefault(row.canonical_id, []).append(_entry(row))
        return found

    # conflicts

    def open_conflicts(self, pair: str, entity: str, run_id: str, at: datetime,
                       found: Sequence[tuple[str, str, FieldConflict]]) -> None:
        live = {(c.canonical_id, c.path): c for c in self.conflicts(
            pair, entity=entity, canonical_ids={cid for cid, _, _ in found},
            states=(ConflictState.OPEN, ConflictState.DECIDED))}
        new, moved = [], []
        for canonical_id, title, conflict in found:
            sides = dump({"base": conflict.base, "crm": conflict.crm, "erp": conflict.erp})
            kept = live.get((canonical_id, conflict.path))
            # A decided one stays live until it is carried out, which closes it: a crash before
            # the write must not lose the decision.
            settled = bool(conflict.settled_by) and (
                kept is None or kept.state is ConflictState.OPEN)
            stands = {"sides": sides, "settled_by": conflict.settled_by if settled else "",
                      "state": (ConflictState.SETTLED if settled else ConflictState.OPEN).value}
            if kept is None:
                new.append({"pair": pair, "entity": entity, "canonical_id": canonical_id,
                            "path": conflict.path, "kind": conflict.kind,
                            "title": readable(title), "decision": None, "run_id": run_id,
                            "opened_at": moment(at), **stands})
            elif settled or load(sides) != {"base": kept.base, "crm": kept.crm,
                                           "erp": kept.erp} or UNDONE == conflict.kind != kept.kind:
                moved.append({"b_id": kept.id, "decision": None, "kind": conflict.kind, **stands})
        if new:
            self.many(conflicts.insert(), new)
        if moved:
            self.many(update(conflicts).where(conflicts.c.id == bindparam("b_id")), moved)

    def conflicts(self, pair: str, *, entity: str | None = None,
                  canonical_ids: Collection[str] | None = None,
                  states: Collection[ConflictState] = (ConflictState.OPEN,)) -> list[Conflict]:
        query = select(conflicts).where(conflicts.c.pair == pair, conflicts.c.state.in_(
            [state.value for state in states])).order_by(conflicts.c.id)
        if entity is not None:
            query = query.where(conflicts.c.entity == entity)
        if canonical_ids is None:
            return [_conflict(row) for row in self.connection.execute(query)]
        found = self.where_in(Among(query, conflicts.c.canonical_id), canonical_ids)
        return sorted((_conflict(row) for row in found), key=lambda conflict: conflict.id)

    def conflict(self, conflict_id: int) -> Conflict | None:
        row = self.connection.execute(
            select(conflicts).where(conflicts.c.id == conflict_id)).one_or_none()
        return None if row is None else _conflict(row)

    def decide_conflict(self, conflict_id: int, decision: Mapping[str, Any]) -> None:
        self.connection.execute(
            update(conflicts).where(conflicts.c.id == conflict_id,
                                    conflicts.c.state != ConflictState.SETTLED.value)
            .values(state=ConflictState.DECIDED.value, decision=dump(decision)))

    def settle_conflicts(self, pair: str, entity: str, settled: Mapping[int, str]) -> None:
        if settled:
            self.connection.execute(
                update(conflicts).where(conflicts.c.pair == pair, conflicts.c.entity == entity,
                                        conflicts.c.id == bindparam("b_id"),
                                        conflicts.c.state != ConflictState.SETTLED.value)
                .values(state=ConflictState.SETTLED.value, settled_by=bindparam("b_by")),
                [{"b_id": i, "b_by": by} for i, by in settled.items()])

    # dead letters

    def bury(self, pair: str, run_id: str, at: datetime,
             failures: Sequence[tuple[Change, str, str, str]]) -> None:
        kept = self.dead_attempts(pair, {change.trace_key for change, *_ in failures})
        tries = {change.trace_key: kept.get(change.trace_key, 0) + 1 for change, *_ in failures}
        again = {change.trace_key: next_try(stage, tries[change.trace_key], at)
                 for change, stage, *_ in failures}
        rows = {change.trace_key: {
            "pair": pair, "trace_key": change.trace_key, "entity": change.entity,
            "system": change.system, "external_id": change.external_id,
            "version": change.version, "stage": stage,
            "error": error, "message": readable(message), "payload": dump(change.payload),
            "attempts": tries[change.trace_key],
            "match_key": bounded(change.match_key), "run_id": run_id,
            "at": moment(at), "next_try_at": _moment(again[change.trace_key])}
            for change, stage, error, message in failures}
        self.upsert(dead_letters, list(rows.values()), ("pair", "trace_key"))
        self.execute_among(delete(inbox), inbox.c.id,
                           [change.id for change, *_ in failures if change.id])

    def resolve_dead_letters(self, pair: str, trace_keys: Collection[str]) -> None:
        self.execute_among(delete(dead_letters).where(dead_letters.c.pair == pair),
                           dead_letters.c.trace_key, trace_keys)

    def dead_attempts(self, pair: str, trace_keys: Collection[str]) -> dict[str, int]:
        return {row[0]: row[1] for row in self.where_in(_DEAD_ATTEMPTS, trace_keys, pair=pair)}

    def dead_versions(self, pair: str, entity: str, system: str,
                      external_ids: Collection[str]) -> dict[str, str]:
        return {row[0]: row[1] for row in self.where_in(
            _DEAD_VERSIONS, external_ids, pair=pair, entity=entity, system=system)}

    def dead_letters(self, pair: str, *, entity: str | None = None) -> list[DeadLetter]:
        query = select(dead_letters).where(dead_letters.c.pair == pair)
        if entity is not None:
            query = query.where(dead_letters.c.entity == entity)
        return [_letter(row)
                for row in self.connection.execute(query.order_by(dead_letters.c.id))]

    def due_dead_letters(self, pair: str, entities: Collection[str], at: datetime, after: int,
                         limit: int) -> list[DeadLetter]:
        query = select(dead_letters).where(
            dead_letters.c.pair == pair, dead_letters.c.entity.in_(entities),
            dead_letters.c.next_try_at <= moment(at), dead_letters.c.id > after)
        return [_letter(row) for row in
                self.connection.execute(query.order_by(dead_letters.c.id).limit(limit))]

    def dead_letter(self, letter_id: int) -> DeadLetter | None:
        row = self.connection.execute(
            select(dead_letters).where(dead_letters.c.id == letter_id)).one_or_none()
        return None if row is None else _letter(row)

    def dead_by_match_key(self, pair: str, entity: str, system: str,
                          keys: Collection[str]) -> dict[str, str]:
        asked = {key: bounded(key) for key in keys}
        kept = {row[0]: row[1] for row in self.where_in(
            _DEAD_BY_MATCH_KEY, set(asked.values()), pair=pair, entity=entity, system=system)}
        return {key: kept[short] for key, short in asked.items() if short in kept}

    def remove_dead_letter(self, letter_id: int) -> None:
        letter = self.dead_letter(letter_id)
        if letter is not None:
            self.connection.execute(delete(dead_letters).where(dead_letters.c.id == letter_id))
            self.connection.execute(update(inbox).where(
                inbox.c.wanted == f"{letter.entity}:{letter.system}:{letter.external_id}")
                .values(state="pending", wanted=None))


def _entry(row: Row[Any]) -> HistoryEntry:
    return HistoryEntry(row.run_id, datetime.fromisoformat(row.at), OutcomeKind(row.kind),
                        row.side, row.external_id, row.target,
                        tuple(FieldChange(*change) for change in load(row.changes)), row.reason)


def _run(row: Row[Any]) -> Run:
    account = load(row.account)
    tallies, writes = unpacked_account(account)
    return Run(row.id, row.pair, row.trigger, RunState(row.state),
               datetime.fromisoformat(row.started_at), instant(row.ended_at), row.message, tallies,
               writes, {(entity, cast(Role, role)): number
                        for entity, role, number in account.get("told", ())})


def _conflict(row: Row[Any]) -> Conflict:
    sides = load(row.sides)
    return Conflict(row.id, row.entity, row.canonical_id, row.path, row.kind, sides["base"],
                    sides["crm"], sides["erp"], ConflictState(row.state), row.title,
                    row.settled_by, None if row.decision is None else load(row.decision),
                    row.run_id, instant(row.opened_at))


def _letter(row: Row[Any]) -> DeadLetter:
    return DeadLetter(row.id, row.trace_key, row.entity, row.system, row.external_id, row.stage,
                      row.error, row.message, load(row.payload), row.attempts, row.run_id,
                      datetime.fromisoformat(row.at), row.version, instant(row.next_try_at))


def _moment(at: datetime | None) -> str | None:
    return None if at is None else moment(at)
