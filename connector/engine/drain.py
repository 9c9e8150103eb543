"""Empties the inbox of one entity, batch by batch: gather, decide, apply."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from connector.domain.actions import AMBIGUOUS, FieldConflict
from connector.domain.policies import CRM
from connector.domain.records import Change
from connector.engine.aliases import MERGED, settle_merges
from connector.engine.apply import carry_out
from connector.engine.entries import Entries
from connector.engine.gather import Gathered, gather
from connector.engine.group import Group, Work
from connector.engine.in_flight import InFlight
from connector.engine.known import Planned
from connector.engine.plan import decide
from connector.engine.pull import refreshed
from connector.engine.reread import BATCH, rekey
from connector.engine.session import Session
from connector.errors import RecordFailed
from connector.tracing import span


def batches(session: Session, entity: str, planned: Planned,
            in_flight: InFlight, *, settles: bool = False) -> Iterator[Gathered]:
    """What waits in the inbox, gathered into groups; each row is taken up once, but one that is
    received anew meanwhile comes again. What touches a batch in flight is gathered once more
    after that has landed. A merge that only a hint told of is carried out before anything else
    where this run `settles` merges, and else left in the inbox."""
    if session.pair.keys_refer(entity):
        rekey(session, entity, planned)
    after, taken = 0, set[int]()
    while True:
        session.check()
        with session.store.begin() as uow:
            rows = uow.pending(session.pair.name, entity, after, BATCH)
        if not rows:
            if in_flight.land():
                continue  # it may have put something back
            return
        changes = refreshed(session, entity, [
            c for c in rows if c.id not in taken
            and (c.entity, c.system, c.external_id) not in session.put_off], planned)
        if merges := _told_by_hints(rows, changes):
            with session.store.begin() as uow:
                uow.receive(session.pair.name, merges)
            if settles:
                in_flight.land()
                settle_merges(session, entity)
                continue
            changes = [c for c in changes if c not in merges]  # they come again, as what they are
        gathered = Gathered()
        if changes:
            with session.store.begin() as uow:
                gathered = gather(uow, session.pair, entity, changes, planned)
            if in_flight.touches(gathered):
                in_flight.land()
                continue
        after = rows[-1].id
        taken.update(change.id for change in gathered.taken)
        if changes:
            yield gathered


def _told_by_hints(rows: Sequence[Change], changes: Sequence[Change]) -> list[Change]:
    """The merges of which only a hint was known until now."""
    hints = {row.id for row in rows if row.hint}
    return [c for c in changes if c.id in hints and c.merged_into]


def decided(session: Session, entity: str,
            groups: Sequence[Group]) -> tuple[list[Work], list[tuple[Group, RecordFailed]]]:
    """The work for each group, and the groups whose policy refuses them."""
    rules = session.pair.rules[entity]
    works, refused = [], []
    for group in groups:
        try:
            works.append(decide(rules, group))
        except RecordFailed as failure:
            refused.append((group, failure))
    return works, refused


def drain(session: Session, entity: str) -> None:
    """Work off the inbox of an entity; while batches are written, the next one is gathered and
    decided. Raises `RetryLater` where a system went away: what was not written stays in the
    inbox."""
    settle_merges(session, entity)
    with InFlight(session.in_flight) as in_flight:
        for gathered in batches(session, entity, Planned(), in_flight, settles=True):
            works, refused = decided(session, entity, gathered.groups)
            in_flight.begin(gathered, partial(_work_off, session, entity, gathered, works,
                                              refused))


def _work_off(session: Session, entity: str, gathered: Gathered, works: Sequence[Work],
              refused: Sequence[tuple[Group, RecordFailed]]) -> None:
    session = session.for_batch()
    for side in session.pair.sides:
        taken = sum(change.system == side.system for change in gathered.taken)
        if taken:
            session.count_read(entity, side.role, taken)
    with span("batch", entity=entity, records=len(gathered.taken)):
        set_aside(session, entity, gathered, refused)
        carry_out(session, entity, works)


def set_aside(session: Session, entity: str, gathered: Gathered,
              refused: Sequence[tuple[Group, RecordFailed]]) -> None:
    """Keep what came of the changes that call for no work: failed, waiting, skipped, asked."""
    if not (gathered.failed or gathered.waiting or gathered.skipped or gathered.ambiguous
            or gathered.aliases or gathered.heirs or gathered.merged or refused):
        return
    pair = session.pair
    with session.store.begin() as uow:
        entries = Entries(session, entity)
        for change, failure in gathered.failed:
            entries.fail([change], failure)
        for group, failure in refused:
            entries.fail_group(group, failure, group.changes)
        for change, wanted, reason in gathered.waiting:
            entries.wait([change], wanted, reason)
        for change, reason in gathered.skipped:
            entries.skip(change, reason)
        for change in gathered.merged:
            entries.leave(change, MERGED.format(change.merged_into))
        for change, canonical_id in gathered.aliases:
            entries.alias(change, canonical_id)
        for change, heir in gathered.heirs:
            entries.inherit(change, heir)
        asked = []
        for change, canonical_id, question, title in gathered.ambiguous:
            entries.ask(change, canonical_id, question.reason)
            asked.append((canonical_id, title, _question(session, change, question.candidates)))
        if asked:
            uow.open_conflicts(pair.name, entity, session.run_id, session.clock.now(), asked)
        entries.save(uow)


def _question(session: Session, change: Change, candidates: tuple[str, ...]) -> FieldConflict:
    mine, theirs = change.external_id, ", ".join(candidates)
    in_crm = session.pair.role_of(change.system) == CRM
    return FieldConflict("", None, mine if in_crm else theirs, theirs if in_crm else mine,
                         kind=AMBIGUOUS)
