"""Bugs planted in what decides and applies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import count
from typing import Any
from unittest.mock import patch

from connector.domain.actions import OutcomeKind
from connector.domain.policies import CRM, ERP
from connector.domain.records import Operation, RemoteRecord, Snapshot, WriteResult, WriteStatus
from connector.engine import (
    apply,
    deletion,
    first_contact,
    gather,
    intents,
    keep,
    landed,
    merge,
    policy,
    run,
    standing,
)
from connector.engine.adopt import Adopting
from connector.engine.entries import Entries
from connector.engine.gather import Gathering
from connector.engine.match import NEW
from connector.engine.policy import Verdict
from connector.store.unit_of_work import SqlUnitOfWork
from connector.testing.torture.faults import FaultyAdapter
from tests.torture.planting import planted, swap

Patches = Iterable[Any]


# ---- the merge

@planted("two changes of one field are a conflict")
def last_writer_wins() -> Patches:
    def by_change(_rule: Any, _path: str, base: Any, values: Any, *_moments: Any) -> Verdict:
        return Verdict("last writer", ERP if values[ERP] != base else CRM)

    yield patch.object(policy, "_by_change", by_change)


@planted("what the owner's rule put back is on record")
def put_back_not_recorded() -> Patches:
    yield swap(policy, "_by_owner", lambda real: lambda *args: (
        verdict := real(*args)) and replace(verdict, conflict=None))


@planted("a blanked field is blanked on the other side")
def blank_says_nothing() -> Patches:
    yield swap(policy, "changed", lambda real: lambda base, value: value is not None
               and real(base, value))


@planted("lines are told by their key")
def lines_by_position() -> Patches:
    yield patch.object(merge, "_by_key", lambda _rules, record: dict(
        enumerate(record.get("lines", ()))))


@planted("a line that one side removed is removed on the other")
def removed_lines_come_back() -> Patches:
    yield patch.object(merge, "_keeper_of_line", lambda *args: args[4])


@planted("totals that differ are told")
def totals_not_compared() -> Patches:
    yield patch.object(merge, "_compare_computed", lambda *_args: None)


@planted("an edit against a deletion is asked about")
def update_against_delete_carried() -> Patches:
    yield patch.object(deletion, "_edited", lambda *_args: False)


@planted("a deletion is carried over")
def deletions_ignored() -> Patches:
    yield patch.object(Gathering, "_gone", lambda self, change, *_: self.out.skipped.append(
        (change, "deleted")))


# ---- what records are told

@planted("a record that a person is asked about says so", tells=True)
def conflict_not_told() -> Patches:
    yield patch.object(standing, "LIVE", ())


# ---- conflicts and intents

@planted("a conflict is kept")
def conflict_not_recorded() -> Patches:
    yield patch.object(apply, "_keep_conflicts", lambda *_args: None)


@planted("a conflict is kept before the write that overwrites")
def conflict_after_the_write() -> Patches:
    later: list[Any] = []
    real = apply._keep_conflicts

    def save(original: Any) -> Any:
        def then(self: Entries, uow: Any) -> None:
            original(self, uow)
            while later:
                real(*later.pop(), uow)

        return then

    yield patch.object(apply, "_keep_conflicts",
                       lambda session, entity, works, _uow: later.append((session, entity, works)))
    yield swap(Entries, "save", save)
    # A process that died has forgotten what it meant to keep.
    yield swap(run.Engine, "__init__", lambda real: lambda self, *args, **more: (
        later.clear(), real(self, *args, **more))[1])


@planted("the snapshot is kept after the write")
def snapshot_before_the_write() -> Patches:
    def record(real: Any) -> Any:
        def early(session: Any, entity: str, works: Any) -> Any:
            with session.store.begin() as uow:
                uow.save_snapshots(session.pair.name, [
                    Snapshot(entity, w.group.canonical_id, keep.pack(keep.ENTITIES[entity], w.base))
                    for w in works if w.base is not None and w.writes])
            return real(session, entity, works)

        return early

    yield swap(apply, "_record", record)


@planted("an inbox row is settled after the write")
def settled_before_the_write() -> Patches:
    def record(real: Any) -> Any:
        def early(session: Any, entity: str, works: Any) -> Any:
            with session.store.begin() as uow:
                uow.settle([c.id for w in works for c in w.group.changes if w.writes])
            return real(session, entity, works)

        return early

    yield swap(apply, "_record", record)


@planted("a retry carries the same reference")
def new_reference_per_retry() -> Patches:
    numbers = count()
    yield swap(intents, "_intent", lambda real: lambda *args: (
        intent := real(*args)) and replace(intent, reference=f"{intent.reference}#{next(numbers)}"))
    yield patch.object(apply, "recover", _forget)
    yield patch.object(run, "recover", _forget)


def _forget(session: Any) -> None:
    with session.store.begin() as uow:
        uow.settle_batches(session.pair.name, [
            b.key for b in uow.unsettled_batches(session.pair.name)])


@planted("writes of an unknown fate are verified")
def recovery_drops_the_outbox() -> Patches:
    yield patch.object(apply, "recover", _forget)
    yield patch.object(run, "recover", _forget)


@planted("a create of an unknown fate is looked for before it is made again")
def blind_create() -> Patches:
    yield patch.object(FaultyAdapter, "find", lambda *_args: {})


@planted("the base of an adopted record is what was sent")
def wrong_base_on_adoption() -> Patches:
    def adopt(real: Any) -> Any:
        def wrong(self: Any, uow: Any, batch: Any, results: Any) -> None:
            real(self, uow, batch, results)
            system = batch.intents[0].system
            now = {link.canonical_id: link.seen for link in self.links if link.system == system}
            self.snapshots = [replace(s, record=now[s.canonical_id]) for s in self.snapshots]

        return wrong

    yield swap(Adopting, "adopt", adopt)


# ---- what a write's answer means

def _retold(tell: Any) -> Any:
    """A patch of the engine's writes that takes an answer for another one."""
    def write(real: Any) -> Any:
        def told(session: Any, role: Any, batch: Any) -> list[WriteResult]:
            rows = session.pair.side(role).adapter.system.objects.get(batch.object, {})
            return [tell(session, role, batch, intent, result, rows.get(intent.external_id))
                    for intent, result in
                    zip(batch.intents, real(session, role, batch), strict=True)]

        return told

    return swap(apply, "write", write)


def _as_if_made(intent: Any, row: Any) -> WriteResult:
    record = RemoteRecord(intent.external_id, intent.version, {**row.payload, **intent.payload})
    return WriteResult(WriteStatus.UPDATED, record)


@planted("UNKNOWN is verified, not taken for made")
def unknown_taken_for_made() -> Patches:
    yield _retold(lambda _session, _role, batch, intent, result, row: _as_if_made(intent, row)
                  if result.status is WriteStatus.UNKNOWN and row
                  and batch.operation is Operation.UPDATE else result)


@planted("RETRY is not taken for made")
def retry_taken_for_made() -> Patches:
    yield _retold(lambda _session, _role, batch, intent, result, row: _as_if_made(intent, row)
                  if result.status is WriteStatus.RETRY and row
                  and batch.operation is Operation.UPDATE else result)


@planted("UNKNOWN is verified, not taken for not made")
def unknown_taken_for_not_made() -> Patches:
    yield _retold(lambda _session, _role, _batch, _intent, result, _row: replace(
        result, status=WriteStatus.RETRY) if result.status is WriteStatus.UNKNOWN else result)


@planted("a stale write is merged again")
def stale_repeated() -> Patches:
    def tell(session: Any, role: Any, batch: Any, intent: Any, result: Any, row: Any) -> Any:
        if result.status is not WriteStatus.STALE:
            return result
        again = replace(batch, intents=(replace(intent, version=str(row.at)),))
        return session.pair.side(role).adapter.write(again)[0]

    yield _retold(tell)


@planted("what a system returned is kept as seen")
def returned_not_kept() -> Patches:
    def seen_after(real: Any) -> Any:
        def as_sent(self: Any, work: Any, role: Any, intent: Any, result: Any) -> Any:
            group = work.group
            before = group.sides.get(role)
            decoded = real(self, work, role, intent, result)
            if decoded is None:
                return None
            held = before.record if before and before.record else {}
            sent = {**held, **{n: v for n, v in (work.base or {}).items() if n in decoded}}
            group.sides[role] = replace(group.sides[role], record=sent)
            return sent

        return as_sent

    yield swap(keep.Keeping, "_seen_after", seen_after)


# ---- who is who, and who waits for whom

@planted("a record that is there is found by its match key")
def match_keys_ignored() -> Patches:
    yield patch.object(first_contact, "match", lambda *_args: NEW)


@planted("a match key that a linked record has is taken")
def claims_ignored() -> Patches:
    yield patch.object(SqlUnitOfWork, "claims", lambda *_args: {})


@planted("the counterpart of a parked record waits")
def parked_not_held_back() -> Patches:
    yield patch.object(SqlUnitOfWork, "dead_by_match_key", lambda *_args: {})


@planted("both sides are tied where the first write is refused")
def refused_not_linked() -> Patches:
    yield swap(Entries, "fail_group", lambda _real: lambda self, group, failure, changes: self.fail(
        changes, failure, group.canonical_id, counted=bool(group.changes)))
    yield _only_written_tied()


@planted("both sides are tied where the first answer is lost")
def tied_on_one_side() -> Patches:
    yield _only_written_tied()


def _only_written_tied() -> Any:
    def link(real: Any) -> Any:
        def only_written(self: Any, group: Any, role: Any, *, unsettled: bool = False) -> None:
            if not unsettled or role in group.linked:
                real(self, group, role, unsettled=unsettled)

        return only_written

    return swap(keep.Keeping, "link", link)


@planted("what one update of an unknown fate adds to the base, another one does not take back")
def landed_in_turn() -> Patches:
    yield patch.object(landed, "carried_on", lambda _rules, _record, _before, after: after)


@planted("what an update of an unknown fate made both sides agree on is kept")
def landed_forgotten() -> Patches:
    yield patch.object(landed, "agreed", lambda _rules, base, _sent, _now: base)


@planted("where nothing was agreed before, an update of an unknown fate is what is agreed")
def landed_without_a_base() -> Patches:
    yield swap(landed, "carried_on", lambda real: lambda rules, now, base, after: (
        real(rules, now, base, after) if base else now))


@planted("what was made in part of a first contact is the base of what is still to be made")
def made_in_part_without_a_base() -> Patches:
    yield swap(keep, "agreed", lambda real: lambda rules, base, crm, erp: (
        real(rules, base, crm, erp) if base else {}))


@planted("who met for the first time in updates of an unknown fate is tied once they are verified")
def met_in_vain() -> Patches:
    yield patch.object(landed, "_met", lambda *_: [])


@planted("what waited for one that met its counterpart in such updates goes on")
def met_without_a_word() -> Patches:
    class Mute(landed.Entries):
        def save(self, uow: Any) -> None:
            self.released.clear()
            super().save(uow)

    yield patch.object(landed, "Entries", Mute)


@planted("a child waits for its parent")
def child_does_not_wait() -> Patches:
    class Any_(dict):  # type: ignore[type-arg]
        def get(self, key: Any, default: Any = None) -> Any:
            return super().get(key, "nobody")

    yield swap(intents, "_external_ids", lambda real: lambda *args: Any_(real(*args)))

    def references(real: Any) -> Any:
        def guessed(uow: Any, pair: Any, side: Any, wanted: Any, planned: Any) -> Any:
            every = list(wanted)
            return {**{(e, x): pair.canonical_id(e, side.system, x) for e, x in every},
                    **real(uow, pair, side, every, planned)}

        return guessed

    yield swap(gather, "references", references)


@planted("a child goes on once its parent is there")
def waiting_never_released() -> Patches:
    yield patch.object(SqlUnitOfWork, "release", lambda *_args: 0)


@planted("a record that failed is parked")
def failed_dropped() -> Patches:
    def fail(self: Entries, changes: Any, _failure: Any, canonical_id: str = "", *,
             counted: bool = True) -> None:
        for change in changes:
            if counted:
                self.outcome(change, OutcomeKind.FAILED, canonical_id)
            self.settled.append(change.id)

    yield patch.object(Entries, "fail", fail)


@planted("a record that moved under our hands is taken up again")
def moved_record_forgotten() -> Patches:
    yield swap(keep.Keeping, "_again", lambda real: lambda self, work, *more: (
        real(self, work, *more), self.received.clear(),
        self.settled.extend(c.id for c in work.group.changes)))
