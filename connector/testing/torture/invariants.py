"""What has to hold once the faults are over and the systems have come to rest."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from connector.domain.ledger import Conflict, ConflictState
from connector.domain.policies import CRM, ERP, Role
from connector.domain.records import Link
from connector.ports import UnitOfWork
from connector.testing.torture.world import OBJECTS, World, tokens

_EVERY = tuple(ConflictState)


def broken(world: World) -> list[str]:
    """What does not hold, each with the number of the invariant."""
    found = list(world.violations)
    with world.store.begin() as uow:
        conflicts = uow.conflicts(world.pair.name, states=_EVERY)
        found += _open_work(world, uow)
        for entity in world.pair.entities:
            of_entity = [c for c in conflicts if c.entity == entity]
            found += _counterparts(world, uow, entity, of_entity)
            found += _equal(world, uow, entity, of_entity)
    found += _lost(world, conflicts)
    return found


def _open_work(world: World, uow: UnitOfWork) -> Iterator[str]:
    """I5: nothing is left half done."""
    if uow.unsettled_batches(world.pair.name):
        yield "I5: the outbox is not empty"
    for (entity, system, state), number in uow.inbox_counts(world.pair.name).items():
        if state == "pending":
            yield f"I5: {number} {entity} changes of the {system} are pending"


def _living(world: World, role: Role, entity: str) -> dict[str, dict[str, Any]]:
    rows = world.systems[role].objects.get(OBJECTS[role][entity], {})
    return {ext: row.payload for ext, row in rows.items() if not row.deleted}


def _counterparts(world: World, uow: UnitOfWork, entity: str,
                  conflicts: list[Conflict]) -> Iterator[str]:
    """I2: every record has exactly one counterpart, or a person is asked."""
    asked = {c.canonical_id for c in conflicts if c.state is not ConflictState.SETTLED}
    by_canonical: dict[str, dict[Role, list[Link]]] = defaultdict(lambda: defaultdict(list))
    for role in (CRM, ERP):
        living = _living(world, role, entity)
        links = uow.links_by_external(world.pair.name, entity, role, living)
        inbox = uow.inbox_by_external(world.pair.name, entity, role, living)
        for ext in living:
            own = world.pair.canonical_id(entity, role, ext)
            if ext not in links and ext not in inbox and own not in asked:
                yield f"I2: {entity} {ext} of the {role} has no link"
        for link in links.values():
            by_canonical[link.canonical_id][role].append(link)
        made_for = Counter(row.reference for ext, row in world.systems[role].objects.get(
            OBJECTS[role][entity], {}).items() if row.reference and not row.deleted)
        yield from (f"I2: {n} {entity} records of the {role} were made for {ref}"
                    for ref, n in made_for.items() if n > 1)
    for canonical_id, sides in by_canonical.items():
        for role, links_there in sides.items():
            if len(links_there) > 1:
                yield f"I2: {canonical_id} has {len(links_there)} {entity} records in the {role}"
        if len(sides) == 1 and not _ended(uow, world, entity, canonical_id):
            yield f"I2: {entity} {canonical_id} stands on one side only"


def _ended(uow: UnitOfWork, world: World, entity: str, canonical_id: str) -> bool:
    """Whether the counterpart was deleted."""
    links = uow.links_by_canonical(world.pair.name, entity, [canonical_id]).get(canonical_id, [])
    return any(link.seen is None for link in links)


def _equal(world: World, uow: UnitOfWork, entity: str,
           conflicts: list[Conflict]) -> Iterator[str]:
    """I1 and I4: both sides say the same, in every field and to the digit, unless a person is
    asked about it."""
    asked: dict[str, set[str]] = defaultdict(set)
    for conflict in conflicts:
        if conflict.state is not ConflictState.SETTLED:
            asked[conflict.canonical_id].add(conflict.path)
    records: dict[str, dict[Role, dict[str, Any]]] = defaultdict(dict)
    for role in (CRM, ERP):
        living = _living(world, role, entity)
        for ext, link in uow.links_by_external(world.pair.name, entity, role, living).items():
            records[link.canonical_id][role] = _decoded(world, uow, entity, role, living[ext])
    for canonical_id, sides in records.items():
        if len(sides) == 2 and "" not in asked[canonical_id]:
            for path, crm, erp in _differences(sides[CRM], sides[ERP]):
                if not any(path == a or path.startswith(f"{a}.") for a in asked[canonical_id]):
                    yield f"I1: {path} of {entity} {canonical_id} is {crm!r} and {erp!r}"


def _decoded(world: World, uow: UnitOfWork, entity: str, role: Role,
             payload: dict[str, Any]) -> dict[str, Any]:
    mapping = world.pair.side(role).mappings[entity]

    def canonical(parent: str, ext: str) -> str:
        return uow.canonical_ids(world.pair.name, parent, role, [ext]).get(ext, f"?{ext}")

    return mapping.decode(payload, canonical, None)


def _differences(crm: dict[str, Any], erp: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted({*crm, *erp} - {"lines"}):
        if crm.get(name) != erp.get(name):
            yield name, crm.get(name), erp.get(name)
    lines = {role: {line["line_no"]: line for line in record.get("lines", ())}
             for role, record in ((CRM, crm), (ERP, erp))}
    for key in sorted({*lines[CRM], *lines[ERP]}):
        left, right = lines[CRM].get(key), lines[ERP].get(key)
        if left is None or right is None:
            yield f"lines[{key}]", left, right
            continue
        yield from ((f"lines[{key}].{name}", left.get(name), right.get(name))
                    for name in left if left.get(name) != right.get(name))


def _lost(world: World, conflicts: list[Conflict]) -> Iterator[str]:
    """I3: every value that a user gave is there, or was replaced by someone who saw it, or is
    kept in a conflict."""
    final: set[str] = set()
    for system in world.systems.values():
        for rows in system.objects.values():
            final |= tokens([row.payload for row in rows.values()])
    kept = tokens([[c.base, c.crm, c.erp] for c in conflicts])
    yield from (f"I3: {token} is lost" for token in
                sorted(world.edits.given - world.edits.seen - final - kept))


