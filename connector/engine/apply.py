"""Carries out decided work: intents first, then the writes, then everything that came of them.

Three steps: the conflicts and intents are committed before the first write; the writes are made,
and those that their results call for; links, snapshots, outcomes and settled inbox rows are
committed together after the last one. Dying
anywhere in between loses nothing: the outbox tells which writes have to be verified.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from connector.domain.policies import Role
from connector.domain.records import (
    Batch,
    Change,
    Operation,
    RemoteRecord,
    WriteResult,
    WriteStatus,
)
from connector.engine.adopt import Adopting
from connector.engine.group import Work
from connector.engine.intents import Outgoing, outgoing
from connector.engine.keep import Keeping, Result
from connector.engine.known import Planned
from connector.engine.landed import look_again
from connector.engine.places import has_places, stamp
from connector.engine.reread import reread
from connector.engine.session import Session
from connector.errors import BudgetSpent, RetryLater, SystemUnreachable
from connector.ports import UnitOfWork

_MADE = {WriteStatus.CREATED, WriteStatus.UPDATED, WriteStatus.DELETED}


def carry_out(session: Session, entity: str, works: Sequence[Work], *, follow: bool = True,
              keeping: Keeping | None = None) -> None:
    """Carry out works of one entity and, unless `follow` is false, what their results call for;
    `keeping` takes the results in.

    Raises `RetryLater` where a system went away; what was not written stays in the inbox.
    """
    keeping = keeping or Keeping(session, entity)
    down: RetryLater | None = None
    unknown = False
    while works:
        out = _record(session, entity, works)
        session.crash("intents recorded")
        results = _write_all(session, entity, out, keeping)
        moved = _read_again(session, entity, results)
        with session.store.begin() as uow:
            called_for = keeping.take(uow, works, out, results, moved)
        down = _down(results)
        unknown = any(r.status is WriteStatus.UNKNOWN for r in _all(results))
        works = called_for if follow and not down and not unknown else []
        if called_for and not works:
            keeping.unfollowed(called_for)
    session.crash("results not kept")
    with session.store.begin() as uow:
        keeping.save(uow)
    session.crash("results kept")
    if down is not None:
        raise down
    if unknown:
        recover(session)


def _record(session: Session, entity: str, works: Sequence[Work]) -> Outgoing:
    """Encode the works, and keep the conflicts and intents before anything is written."""
    stamps = {side.role: stamp(side, entity, session.clock.now()) for side in session.pair.sides
              if any(side.role in work.writes for work in works)
              and has_places(session, entity, side)}
    with session.store.begin() as uow:
        out = outgoing(uow, session.pair, entity, works, stamps)
        _keep_conflicts(session, entity, works, uow)
        uow.to_tell(session.pair.name, [  # again, unless the result says that it was told
            (entity, intent.system, intent.external_id) for _, batch in out.batches
            for intent in batch.intents if intent.key in out.stamped and intent.external_id],
            anew=True)
        for _, batch in out.batches:
            uow.record_batch(session.pair.name, session.run_id, batch)
    return out


def _keep_conflicts(session: Session, entity: str, works: Sequence[Work],
                    uow: UnitOfWork) -> None:
    """Both values and the base are on record before one of them is overwritten."""
    found = []
    for work in works:
        seen = set()
        for action in work.actions:
            for conflict in action.conflicts:
                if conflict.path not in seen:
                    seen.add(conflict.path)
                    found.append((work.group.canonical_id, work.group.title, conflict))
    if found:
        uow.open_conflicts(session.pair.name, entity, session.run_id, session.clock.now(),
                           found)


def _write_all(session: Session, entity: str, out: Outgoing,
               keeping: Keeping) -> dict[int, dict[Role, Result]]:
    """Write every batch; the results by work (its identity) and role."""
    results: dict[int, dict[Role, Result]] = defaultdict(dict)
    for intent in out.unversioned:
        work, role = out.works[intent.key]
        results[id(work)][role] = Result(intent, WriteResult(WriteStatus.STALE))
    for role, batch in out.batches:
        told = write(session, role, batch)
        if not any(result.status is WriteStatus.UNKNOWN for result in told):
            keeping.batches.append(batch.key)
        for intent, result in zip(batch.intents, told, strict=True):
            work, _ = out.works[intent.key]
            results[id(work)][role] = Result(intent, result)
            if result.status in _MADE:
                session.count_write(entity, role, intent.operation)
        session.observe(entity, "write", len(batch.intents))
    return results


def write(session: Session, role: Role, batch: Batch) -> list[WriteResult]:
    """Write one batch at a side, unless another run has taken over."""
    session.guard()
    session.crash("before write")
    results = session.pair.side(role).adapter.write(batch)
    session.crash("after write")
    return results


def _read_again(session: Session, entity: str,
                results: dict[int, dict[Role, Result]]) -> dict[tuple[Role, str], Change]:
    """The records that moved under our hands, as they are now, as changes for the inbox."""
    wanted: dict[Role, list[str]] = defaultdict(list)
    for by_role in results.values():
        for role, (intent, result) in by_role.items():
            if result.status in (WriteStatus.STALE, WriteStatus.GONE) and intent.external_id:
                wanted[role].append(intent.external_id)
    changes = {}
    for role, ids in wanted.items():
        for external_id, change in reread(session, entity, role, ids, Planned()).items():
            changes[role, external_id] = change
    return changes


def _all(results: dict[int, dict[Role, Result]]) -> list[WriteResult]:
    return [result.result for by_role in results.values() for result in by_role.values()]


def _down(results: dict[int, dict[Role, Result]]) -> RetryLater | None:
    """Why nothing more can be written now; None where something was written. A budget that is
    spent in the middle of a batch is spent for all that comes after it."""
    told = _all(results)
    spent = next((r.cause for r in told if isinstance(r.cause, BudgetSpent)), None)
    if spent is not None:
        return spent
    if told and all(r.status in (WriteStatus.RETRY, WriteStatus.UNKNOWN) for r in told):
        after = told[0].cause.after if told[0].cause else None
        return SystemUnreachable(told[0].error, after=after, hint=(
            "What was not written stays in the inbox; sync again later."))
    return None


def recover(session: Session) -> None:
    """Verify the writes whose results were never kept.

    An update is left to be planned anew: its record is read again. A create is looked up by its
    reference first; where none of a batch is found, the same batch is sent again under the same
    key, so that a system still working on the first one can tell. Raises `RetryLater` where the
    system is away.
    """
    with session.store.begin() as uow:
        batches = uow.unsettled_batches(session.pair.name)
    others: dict[str, list[Batch]] = defaultdict(list)
    for batch in batches:
        if batch.operation is Operation.CREATE:
            session.guard()
            _recover_creates(session, batch)
        else:
            others[batch.intents[0].entity].append(batch)
    for of_entity in others.values():
        session.guard()
        look_again(session, of_entity)


def _recover_creates(session: Session, batch: Batch) -> None:
    role = session.pair.role_of(batch.intents[0].system)
    adapter = session.pair.side(role).adapter
    size = adapter.capabilities.read_batch
    references = [intent.reference for intent in batch.intents]
    found: dict[str, RemoteRecord] = {}
    for start in range(0, len(references), size):
        found.update({reference: record for reference, record in adapter.find(
            batch.object, references[start:start + size]).items() if not record.deleted})
    if found:
        results = [WriteResult(WriteStatus.CREATED, found[i.reference]) if i.reference in found
                   else WriteResult(WriteStatus.RETRY, error="was not created")
                   for i in batch.intents]
    else:
        results = write(session, role, batch)
    if all(r.status in (WriteStatus.RETRY, WriteStatus.UNKNOWN) for r in results) and not found:
        if isinstance(results[0].cause, BudgetSpent):
            raise results[0].cause
        raise RetryLater(results[0].error or "The last writes could not be verified.")
    with session.store.begin() as uow:
        adopting = Adopting(session, batch.intents[0].entity)
        adopting.adopt(uow, batch, results)
        adopting.save(uow)
