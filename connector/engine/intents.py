"""From decided writes to intents, and from intents to batches with keys that never vary."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from connector.domain.entities import ENTITIES, pack
from connector.domain.policies import CRM, ERP, Role, other
from connector.domain.records import Batch, Intent, Operation, Payload
from connector.engine.group import Work
from connector.engine.merge import agreed
from connector.engine.pair import Pair, Side
from connector.engine.places import agrees
from connector.errors import ParentMissing, RecordFailed
from connector.ports import UnitOfWork


@dataclass(slots=True)
class Outgoing:
    """The batches to write, whose work each intent is, and the work that can't be sent.

    Those in `stamped` tell their records that they are in sync, besides. `unversioned` are writes
    against a record of which no version is known: it is read again before it is written, as if it
    were stale.
    """

    batches: list[tuple[Role, Batch]] = field(default_factory=list)
    unversioned: list[Intent] = field(default_factory=list)
    works: dict[str, tuple[Work, Role]] = field(default_factory=dict)
    failed: list[tuple[Work, RecordFailed]] = field(default_factory=list)
    waiting: list[tuple[Work, str, str]] = field(default_factory=list)
    stamped: set[str] = field(default_factory=set)  # the intents' keys


def outgoing(uow: UnitOfWork, pair: Pair, entity: str, works: Sequence[Work],
             stamps: Mapping[Role, Payload] | None = None) -> Outgoing:
    """Encode the writes of all works and cut them into the batches that each side takes. By the
    `stamps` a side's record is told that it is in sync, in one with a write that leaves it so."""
    out = Outgoing()
    sorted_out: dict[tuple[Role, Operation], list[Intent]] = defaultdict(list)
    for side in pair.sides:
        mine = [w for w in works if side.role in w.writes]
        known = _external_ids(uow, pair, side, entity, mine)
        for work in mine:
            try:
                intent = _intent(pair, side, work, known)
            except ParentMissing as missing:
                out.waiting.append((work, f"{missing.wanted}@{side.system}",
                                    f"{missing.field} is not in the {side.role} yet"))
                continue
            except RecordFailed as failure:
                out.failed.append((work, failure))
                continue
            stamp = (stamps or {}).get(side.role)
            if stamp and intent.operation is not Operation.DELETE and agrees(work):
                intent = replace(intent, payload=_with(intent.payload, stamp))
                out.stamped.add(intent.key)
            out.works[intent.key] = work, side.role
            if intent.external_id and not intent.version:
                out.unversioned.append(intent)
            else:
                sorted_out[side.role, intent.operation].append(intent)
    _drop_halves(out, sorted_out)
    for (role, operation), intents in sorted_out.items():
        side = pair.side(role)
        size = side.adapter.capabilities.write_batch
        for start in range(0, len(intents), size):
            out.batches.append((role, batch_of(side.mappings[entity].object, operation,
                                               intents[start:start + size])))
    return out


def batch_of(object: str, operation: Operation, intents: Sequence[Intent]) -> Batch:
    """A batch whose key depends on what it writes alone."""
    digest = hashlib.sha256()
    for intent in intents:
        digest.update(intent.key.encode())
        digest.update(_digest(intent.payload))
    return Batch(digest.hexdigest()[:40], object, operation, tuple(intents))


def _external_ids(uow: UnitOfWork, pair: Pair, side: Side, entity: str,
                  works: Sequence[Work]) -> dict[tuple[str, str], str]:
    wanted: dict[str, set[str]] = defaultdict(set)
    for work in works:
        for parent, canonical_id in side.mappings[entity].wanted(work.writes[side.role].record):
            wanted[parent].add(canonical_id)
    return {(parent, canonical_id): external_id for parent, ids in wanted.items()
            for canonical_id, external_id in
            uow.external_ids(pair.name, parent, side.system, ids).items()}


def _intent(pair: Pair, side: Side, work: Work, known: dict[tuple[str, str], str]) -> Intent:
    group, write = work.group, work.writes[side.role]
    payload = side.mappings[group.entity].encode(
        write.record, lambda parent, canonical_id: known.get((parent, canonical_id)))
    seen = group.sides.get(side.role)
    origin = group.sides.get(other(side.role))
    reference = f"{pair.side(other(side.role)).system}:{origin.external_id}" if origin else ""
    key = f"{write.operation}:{group.canonical_id}:{side.system}"
    if write.operation is Operation.CREATE:
        if seen is not None:  # made before, and deleted: a repeat of that call would be no creation
            key += f":in the place of {seen.external_id}"
            seen = None
    elif seen is not None:
        key += f":{seen.version}:{_digest(payload).hex()[:12]}"
    if group.refused:  # a system that knows our keys would only repeat its refusal
        key += f":after {group.refused}"
    return Intent(key, group.entity, group.canonical_id, side.system, write.operation, payload,
                  pack(ENTITIES[group.entity], _agreed_then(pair, side, work)), reference,
                  seen.external_id if seen else None, seen.version if seen else None)


def _agreed_then(pair: Pair, side: Side, work: Work) -> Mapping[str, Any]:
    """What both sides agree on once this one write is made: of an update, not yet what the other
    side is to be told as well."""
    group, write = work.group, work.writes[side.role]
    if write.operation is not Operation.UPDATE:
        return work.base or {}
    sides = {role: seen.record or {} for role, seen in group.sides.items()}
    if work.asks or len(sides) < 2:
        return group.base or {}
    sides[side.role] = {**sides[side.role], **write.record}
    return agreed(pair.rules[group.entity], group.base or {}, sides[CRM], sides[ERP])


def _with(payload: Payload, more: Payload) -> dict[str, Any]:
    """A payload and more of it, which stands at other paths."""
    both = dict(payload)
    for name, value in more.items():
        there = both.get(name)
        both[name] = _with(there, value) if isinstance(there, dict) and isinstance(
            value, dict) else value
    return both


def _digest(payload: Payload) -> bytes:
    return hashlib.sha256(repr(payload).encode()).digest()


def _drop_halves(out: Outgoing, intents: dict[tuple[Role, Operation], list[Intent]]) -> None:
    """A work of which one write can't be sent is not sent at all."""
    unsent = {id(work) for work, *_ in (*out.failed, *out.waiting)}
    if not unsent:
        return
    out.unversioned = [i for i in out.unversioned if id(out.works[i.key][0]) not in unsent]
    for key, mine in intents.items():
        intents[key] = [i for i in mine if id(out.works[i.key][0]) not in unsent]
    out.works = {key: at for key, at in out.works.items() if id(at[0]) not in unsent}
