"""What has to hold once the faults are over and the systems have come to rest."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import select

from connector.domain.actions import AMBIGUOUS
from connector.domain.ledger import Conflict, ConflictState
from connector.domain.policies import CRM, ERP, Role
from connector.domain.records import Link
from connector.ports import UnitOfWork
from connector.store.tables import inbox
from connector.testing.torture.at_rest import AtRest
from connector.testing.torture.company import LINES, OBJECTS, SHOWN, STANDING, VAT, tokens
from connector.testing.torture.world import World

_EVERY = tuple(ConflictState)
_LIVE = (ConflictState.OPEN, ConflictState.DECIDED)
_AMOUNTS = {"credit_limit", "total", "quantity", "unit_price"}


def broken(world: World) -> list[str]:
    """What does not hold, each with the number of the invariant."""
    world.settle_doubts()
    found, waiting = list(world.violations), waits(world)
    with world.store.begin() as uow:
        conflicts = uow.conflicts(world.pair.name, states=_EVERY)
        found += open_work(world, uow, waiting)
        for entity in world.pair.entities:
            of_entity = [c for c in conflicts if c.entity == entity]
            found += _counterparts(world, uow, entity, of_entity)
            found += _equal(world, uow, entity, of_entity)
            found += _line_keys(world, entity)
            found += _deletions(world, uow, entity, of_entity)
            found += _shown(world, uow, entity, conflicts, waiting) if world.tells else []
        found += _quotes(world, uow, conflicts)
        found += lost(world, uow, conflicts)
    found += _too_many_writes(world)
    return found


def open_work(world: AtRest, uow: UnitOfWork,
              waiting: list[tuple[str, str, str, str]]) -> Iterator[str]:
    """I5: nothing is left half done, nothing stays parked, and nothing waits for what is there."""
    if uow.unsettled_batches(world.pair.name):
        yield "I5: the outbox is not empty"
    live = uow.conflicts(world.pair.name, states=_LIVE)
    for letter in uow.dead_letters(world.pair.name):
        tied = uow.canonical_ids(world.pair.name, letter.entity, letter.system,
                                 [letter.external_id])
        if any(c.canonical_id in tied.values() for c in live):
            continue  # it stays parked until a person has answered
        yield f"I5: {letter.trace_key} stays parked: {letter.message}"
    for (entity, system, state), number in uow.inbox_counts(world.pair.name).items():
        if state == "pending":
            yield f"I5: {number} {entity} changes of the {system} are pending"
    asked = {f"conflict:{c.canonical_id}" for c in live if c.kind == AMBIGUOUS}
    for entity, system, ext, wanted in waiting:
        if wanted.startswith("conflict:"):
            there = wanted not in asked
        elif "@" in wanted:
            parent, canonical_id = wanted.split("@")[0].split(":")
            there = bool(uow.external_ids(world.pair.name, parent, wanted.split("@")[1],
                                          [canonical_id]))
        else:
            parent, side, parent_ext = wanted.split(":")
            there = bool(uow.canonical_ids(world.pair.name, parent, side, [parent_ext]))
            if parent == entity and not there and parent_ext not in world.payloads(
                    CRM if side == CRM else ERP, parent):
                yield f"I5: {entity} {ext} of the {system} waits for {wanted}, which is gone"
        if there:
            yield f"I5: {entity} {ext} of the {system} waits for {wanted}, which is there"


def waits(world: AtRest) -> list[tuple[str, str, str, str]]:
    """What waits: its entity, its system, its external ID, and what it waits for."""
    with world.store.engine.connect() as connection:
        return [(row.entity, row.system, row.external_id, row.wanted)
                for row in connection.execute(select(inbox).where(inbox.c.state == "waiting"))]


def _mains(world: AtRest, uow: UnitOfWork, entity: str, role: Role) -> dict[str, Link]:
    """The links of the living records of a side, without those that became part of another."""
    links = uow.links_by_external(world.pair.name, entity, role, world.payloads(role, entity))
    return {ext: link for ext, link in links.items() if not link.alias}


def _merges(world: World, uow: UnitOfWork, entity: str, role: Role) -> Iterator[str]:
    """I2: a record that was made part of another one is the same thing as that one."""
    merged = {row.external_id: row.merged_into for row in world.rows(role, OBJECTS[role][entity])
              if row.merged_into is not None}
    found = uow.canonical_ids(world.pair.name, entity, role, {*merged, *merged.values()})
    for ext, into in merged.items():
        if ext in found and into in found and found[ext] != found[into]:
            yield f"I2: {entity} {ext} of the {role} became {into}, and is still another thing"


def _counterparts(world: World, uow: UnitOfWork, entity: str,
                  conflicts: list[Conflict]) -> Iterator[str]:
    """I2: every record has exactly one counterpart, or a person is asked."""
    asked = {c.canonical_id for c in conflicts if c.state is not ConflictState.SETTLED}
    by_canonical: dict[str, dict[Role, list[Link]]] = defaultdict(lambda: defaultdict(list))
    for role in (CRM, ERP):
        living = world.payloads(role, entity)
        links = uow.links_by_external(world.pair.name, entity, role, living)
        yield from _merges(world, uow, entity, role)
        inbox = uow.inbox_by_external(world.pair.name, entity, role, living)
        for ext in living:
            own = world.pair.canonical_id(entity, role, ext)
            if ext not in links and (role, OBJECTS[role][entity], ext) not in world.born:
                yield f"I2: {entity} {ext} of the {role} was made by us, and is nobody's"
            if ext not in links and ext not in inbox and own not in asked:
                yield f"I2: {entity} {ext} of the {role} has no link"
        mains = {ext: link for ext, link in links.items() if not link.alias}
        for link in mains.values():
            by_canonical[link.canonical_id][role].append(link)
        keys = Counter(payload[VAT[role]] for ext, payload in living.items()
                       if entity == "customer" and ext in mains
                       and not world.is_distinct(uow, mains[ext].canonical_id))
        yield from (f"I2: {n} customers of the {role} have the number {key}"
                    for key, n in keys.items() if n > 1)
    ordered = set(_ordered(world)) if entity == "order" else set()
    for canonical_id, sides in by_canonical.items():
        for role, links_there in sides.items():
            if len(links_there) > 1:
                yield f"I2: {canonical_id} has {len(links_there)} {entity} records in the {role}"
        tied = uow.links_by_canonical(world.pair.name, entity, [canonical_id])[canonical_id]
        if not world.parted and canonical_id not in ordered and not any(
                (role, OBJECTS[role][entity], link.external_id) in world.born
                for link in tied for role in (CRM, ERP) if link.system == role):
            yield f"I2: {entity} {canonical_id} is of our own making on both sides"
        if len(sides) == 1 and not ended(uow, world, entity, canonical_id):
            yield f"I2: {entity} {canonical_id} stands on one side only"


def _ordered(world: World) -> dict[str, str]:
    """The quotes of the CRM that were ever entered, by the canonical ID of the order which each
    becomes once it is accepted."""
    return {world.pair.canonical_id("order", CRM, f"quote:{row.external_id}"): row.external_id
            for row in world.rows(CRM, OBJECTS[CRM]["quote"])}


def _quotes(world: World, uow: UnitOfWork, conflicts: list[Conflict]) -> Iterator[str]:
    """I2: an accepted quote has become exactly one order, unless a person is asked; no other has
    become one. What was made, and deleted before we were told so, is made again."""
    asked = {c.canonical_id for c in conflicts if c.state is not ConflictState.SETTLED}
    ordered = _ordered(world)
    made = uow.links_by_canonical(world.pair.name, "order", ordered)
    orders = OBJECTS[ERP]["order"]
    references = Counter(row.reference for row in world.rows(ERP, orders)
                         if (ERP, orders, row.external_id) not in world.unmet)
    quotes = world.payloads(CRM, "quote")
    links = uow.links_by_external(world.pair.name, "quote", CRM, quotes)
    for canonical_id, ext in ordered.items():
        times = references[f"crm:quote:{ext}"]
        if times > 1:
            yield f"I2: quote {ext} became {times} orders"
        accepted = ext in quotes and quotes[ext]["stage"] == "won"
        if accepted and ext in links and canonical_id not in made \
                and not {links[ext].canonical_id, canonical_id} & asked \
                and not ended(uow, world, "quote", links[ext].canonical_id):
            yield f"I2: quote {ext} was accepted, and has become no order"


def ended(uow: UnitOfWork, world: AtRest, entity: str, canonical_id: str) -> bool:
    """Whether the counterpart was deleted."""
    links = uow.links_by_canonical(world.pair.name, entity, [canonical_id]).get(canonical_id, [])
    return any(link.seen is None for link in links)


def asked_about(conflicts: Iterable[Conflict]) -> dict[str, set[str]]:
    """The paths that a person is asked about, by canonical ID."""
    asked: dict[str, set[str]] = defaultdict(set)
    for conflict in conflicts:
        if conflict.state is not ConflictState.SETTLED:
            asked[conflict.canonical_id].add(conflict.path)
    return asked


def _equal(world: World, uow: UnitOfWork, entity: str,
           conflicts: list[Conflict]) -> Iterator[str]:
    """I1 and I4: both sides say the same, in every field and to the digit, unless a person is
    asked about it."""
    asked = asked_about(conflicts)
    records: dict[str, dict[Role, dict[str, Any]]] = defaultdict(dict)
    for role in (CRM, ERP):
        living = world.payloads(role, entity)
        for ext, link in _mains(world, uow, entity, role).items():
            records[link.canonical_id][role] = decoded(world, uow, entity, role, living[ext])
    for canonical_id, sides in records.items():
        if len(sides) == 2 and "" not in asked[canonical_id]:
            lines_asked = any(path.startswith("lines[") for path in asked[canonical_id])
            for path, crm, erp in _differences(sides[CRM], sides[ERP]):
                if path == "total" and lines_asked:
                    continue  # each is the sum of its own lines
                if not any(path == a or path.startswith(f"{a}.") for a in asked[canonical_id]):
                    number = "I4" if path.rpartition(".")[2] in _AMOUNTS else "I1"
                    yield f"{number}: {path} of {entity} {canonical_id} is {crm!r} and {erp!r}"


def _line_keys(world: World, entity: str) -> Iterator[str]:
    """I2: no line stands twice in a document."""
    for role in (CRM, ERP):
        object = OBJECTS[role][entity]
        if object in LINES:
            path, key, *_ = LINES[object]
            for ext, payload in world.payloads(role, entity).items():
                keys = Counter(line[key] for line in payload.get(path, ()))
                yield from (f"I2: line {k} stands {n} times in {entity} {ext} of the {role}"
                            for k, n in keys.items() if n > 1)


def decoded(world: AtRest, uow: UnitOfWork, entity: str, role: Role,
            payload: Mapping[str, Any]) -> dict[str, Any]:
    """A payload in canonical words; what refers to a record that has no link names it by `?`."""
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


def _deletions(world: World, uow: UnitOfWork, entity: str,
               conflicts: list[Conflict]) -> Iterator[str]:
    """I1: what was deleted on one side is deleted or out of use on the other one, unless a person
    is asked."""
    asked = {c.canonical_id for c in conflicts if c.path == ""}
    for role in (CRM, ERP):
        living = world.payloads(role, entity)
        for ext, link in _mains(world, uow, entity, role).items():
            theirs = [k for k in uow.links_by_canonical(
                world.pair.name, entity, [link.canonical_id])[link.canonical_id]
                if k.system != role]
            gone = theirs and all(k.seen is None for k in theirs)
            used = decoded(world, uow, entity, role, living[ext]).get("active")
            if gone and used and link.canonical_id not in asked \
                    and (role, OBJECTS[role][entity], ext) not in world.spoiled:
                yield f"I1: {entity} {ext} of the {role} is in use; its counterpart was deleted"


def lost(world: AtRest, uow: UnitOfWork, conflicts: list[Conflict]) -> Iterator[str]:
    """I3: every value that a user gave is there, or was replaced by someone who saw it, or is
    kept in a conflict; and what was replaced does not come back."""
    final: set[str] = set()
    there: set[str] = set()
    followed: dict[str, set[str]] = defaultdict(set)  # by record, if it stands on both sides
    for role in (CRM, ERP):
        for entity in world.pair.entities:
            living = world.payloads(role, entity)
            there |= living.keys()
            final |= tokens(list(living.values()))
            links = uow.links_by_external(world.pair.name, entity, role, living)
            tied = uow.links_by_canonical(world.pair.name, entity,
                                          {link.canonical_id for link in links.values()})
            for ext, link in links.items():
                both = tied[link.canonical_id]
                if not link.alias and all(k.seen is not None for k in both):
                    for one in both:
                        followed[one.external_id] |= tokens(living[ext])
    kept = tokens([[c.base, c.crm, c.erp] for c in conflicts])
    yield from (f"I3: {token} is lost" for token in
                sorted(world.edits.given - world.edits.seen - final - kept))
    yield from (f"I3: {token} was replaced and came back"
                for token, where in sorted(world.edits.replaced.items())
                if where in there and token in followed[where] - kept)


def _shown(world: World, uow: UnitOfWork, entity: str, conflicts: list[Conflict],
           waiting: list[tuple[str, str, str, str]]) -> Iterator[str]:
    """I12: what a record of the CRM says about how it stands is true."""
    def meant(kind: str, system: str, ext: str) -> str:
        own = world.pair.canonical_id(kind, system, ext)
        return uow.canonical_ids(world.pair.name, kind, system, [ext]).get(ext, own)

    parked = [(letter.entity, letter.system, letter.external_id)
              for letter in uow.dead_letters(world.pair.name)]
    failed = {meant(*letter) for letter in parked if letter[0] == entity}
    waits = {meant(kind, system, ext) for kind, system, ext, _ in waiting if kind == entity}
    asked = {c.canonical_id for c in conflicts if c.state in _LIVE}
    unmade = {ext for _, _, ext in parked} | {ext for _, _, ext, _ in waiting}
    for ext, payload in world.payloads(CRM, entity).items():
        own, link = meant(entity, CRM, ext), uow.links_by_external(
            world.pair.name, entity, CRM, [ext]).get(ext)
        true = None if link is not None and link.alias else \
            "failed" if own in failed else "conflict" if own in asked else \
            "waiting" if own in waits else "in_sync" if link is not None else None
        says = STANDING.get(payload["sync"])
        if says != true and f"{entity}:{ext}" not in unmade:
            yield f"I12: {entity} {ext} of the crm says {says}, and is {true}"
        if (says is None) != (payload["synced"] is None) or \
                (says in (None, "in_sync")) != (payload["why"] is None):
            yield f"I12: {entity} {ext} of the crm says {[payload[name] for name in SHOWN]}"


def _too_many_writes(world: World) -> Iterator[str]:
    """I7: at most two writes for an edit, and one for each that had to be made again."""
    again = world.faults.count["lost_answer"] + world.faults.count["half_written"] \
        + world.faults.count["died"]
    if world.faults.writes > 2 * world.edits.number + again:
        yield f"I7: {world.faults.writes} writes for {world.edits.number} edits"
    if world.faults.told > 3 * world.edits.number + again:  # failed, tried again, and in sync
        yield f"I7: {world.faults.told} records told for {world.edits.number} edits"
