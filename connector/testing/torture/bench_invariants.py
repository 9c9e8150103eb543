"""What has to hold on the bench of an adapter once the faults are over; the numbers are those of
docs/torture.md."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from connector.domain.ledger import Conflict, ConflictState
from connector.domain.policies import CRM, ERP, Role
from connector.domain.records import Link
from connector.domain.values import MISSING, FieldType
from connector.ports import UnitOfWork
from connector.testing.torture.bench import Bench
from connector.testing.torture.invariants import (
    asked_about,
    decoded,
    ended,
    lost,
    open_work,
    waits,
)

Records = Mapping[str, dict[str, Any]]
"""The payloads of a side's records of an entity, by external ID."""
_AMOUNTS = (FieldType.MONEY, FieldType.DECIMAL)


def broken(bench: Bench) -> list[str]:
    """What does not hold, each with the number of the invariant."""
    found, waiting = list(bench.violations), waits(bench)
    with bench.store.begin() as uow:
        conflicts = uow.conflicts(bench.pair.name, states=tuple(ConflictState))
        found += open_work(bench, uow, waiting)
        for entity in bench.pair.entities:
            of_entity = [c for c in conflicts if c.entity == entity]
            sides = {role: bench.payloads(role, entity) for role in (CRM, ERP)}
            found += _unread(bench, entity, sides)
            found += _counterparts(bench, uow, entity, sides, of_entity)
            found += _equal(bench, uow, entity, sides, of_entity)
            found += _deletions(bench, uow, entity, sides, of_entity)
        found += lost(bench, uow, conflicts)
    if bench.faults.writes > 2 * bench.edits.number:
        found.append(f"I7: {bench.faults.writes} writes for {bench.edits.number} edits")
    return found


def _unread(bench: Bench, entity: str, sides: Mapping[Role, Records]) -> Iterator[str]:
    """I2: what a user made and nobody deleted is among what is read."""
    for role, kind, ext in sorted(bench.born):
        if kind == entity and ext not in sides[role] \
                and bench.payload(role, entity, ext) is not None:
            yield f"I2: {entity} {ext} of the {role} is there, and a full pull leaves it out"


def _counterparts(bench: Bench, uow: UnitOfWork, entity: str, sides: Mapping[Role, Records],
                  conflicts: list[Conflict]) -> Iterator[str]:
    """I2: every record has exactly one counterpart, or a person is asked."""
    asked = {c.canonical_id for c in conflicts if c.state is not ConflictState.SETTLED}
    by_canonical: dict[str, dict[Role, list[Link]]] = defaultdict(lambda: defaultdict(list))
    for role in (CRM, ERP):
        links = uow.links_by_external(bench.pair.name, entity, role, sides[role])
        waiting = uow.inbox_by_external(bench.pair.name, entity, role, sides[role])
        for ext in sides[role]:
            own = bench.pair.canonical_id(entity, role, ext)
            if ext in links:
                by_canonical[links[ext].canonical_id][role].append(links[ext])
            elif (role, entity, ext) not in bench.born:
                yield f"I2: {entity} {ext} of the {role} was made by us, and is nobody's"
            elif ext not in waiting and own not in asked:
                yield f"I2: {entity} {ext} of the {role} has no link"
    for canonical_id, tied in by_canonical.items():
        for role, several in tied.items():
            if len([link for link in several if not link.alias]) > 1:
                yield f"I2: {canonical_id} has {len(several)} {entity} records in the {role}"
        if len(tied) == 1 and not ended(uow, bench, entity, canonical_id) \
                and canonical_id not in asked:
            yield f"I2: {entity} {canonical_id} stands on one side only"


def _equal(bench: Bench, uow: UnitOfWork, entity: str, sides: Mapping[Role, Records],
           conflicts: list[Conflict]) -> Iterator[str]:
    """I1 and I4: both sides say the same in every field that both map and one may be written in,
    unless a person is asked about it."""
    asked = asked_about(conflicts)
    records: dict[str, dict[Role, dict[str, Any]]] = defaultdict(dict)
    for role in (CRM, ERP):
        links = uow.links_by_external(bench.pair.name, entity, role, sides[role])
        for ext, link in links.items():
            records[link.canonical_id][role] = decoded(bench, uow, entity, role, sides[role][ext])
    for canonical_id, both in records.items():
        if len(both) == 1 or "" in asked[canonical_id]:
            continue
        for name, rule in bench.pair.rules[entity].header.items():
            crm, erp = both[CRM].get(name, MISSING), both[ERP].get(name, MISSING)
            if crm != erp and MISSING not in (crm, erp) and name not in asked[canonical_id]:
                number = "I4" if rule.field.type in _AMOUNTS else "I1"
                yield f"{number}: {name} of {entity} {canonical_id} is {crm!r} and {erp!r}"


def _deletions(bench: Bench, uow: UnitOfWork, entity: str, sides: Mapping[Role, Records],
               conflicts: list[Conflict]) -> Iterator[str]:
    """I1: what was deleted on one side is deleted or out of use on the other one, where there is a
    way to, unless a person is asked."""
    asked = {c.canonical_id for c in conflicts if c.path == ""}
    policy = bench.pair.policies[entity].on_delete
    for role in (CRM, ERP):
        may_idle = "active" in bench.pair.side(role).mappings[entity].writable
        if policy not in ("propagate", "deactivate") or (policy == "deactivate" and not may_idle):
            continue
        for ext, link in uow.links_by_external(bench.pair.name, entity, role,
                                               sides[role]).items():
            theirs = [k for k in uow.links_by_canonical(
                bench.pair.name, entity, [link.canonical_id])[link.canonical_id]
                if k.system != role]
            if theirs and all(k.seen is None for k in theirs) and link.canonical_id not in asked \
                    and decoded(bench, uow, entity, role, sides[role][ext]).get("active") \
                    is not False:
                yield f"I1: {entity} {ext} of the {role} is in use; its counterpart was deleted"
