"""Reads records anew, outside a pull: those that moved under our hands, those of an unknown fate,
and those that a hint names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from connector.domain.policies import Role
from connector.domain.records import Change, RemoteRecord
from connector.engine.known import Planned, references
from connector.engine.match import match_key
from connector.engine.pair import Side
from connector.engine.session import Session
from connector.errors import RecordFailed
from connector.ports import UnitOfWork

BATCH = 500
"""Inbox rows taken up at a time."""


def reread(session: Session, entity: str, role: Role, external_ids: Sequence[str],
           planned: Planned) -> dict[str, Change]:
    """Records as they are now, as changes for the inbox, by external ID; a deletion where one is
    gone. One without a link has its match key, or first contact would miss it."""
    side = session.pair.side(role)
    records = read(session, entity, role, external_ids)
    with session.store.begin() as uow:
        linked = uow.versions(session.pair.name, entity, side.system, external_ids)
        changes = [change_of(entity, side.system, ext, record) for ext, record in records.items()]
        return {c.external_id: c
                for c in keyed(session, uow, entity, side, changes, linked, planned)}


def read(session: Session, entity: str, role: Role,
         external_ids: Sequence[str]) -> dict[str, RemoteRecord | None]:
    """Records as they are now, in as few calls as the system allows; None where one is gone."""
    side = session.pair.side(role)
    size = side.adapter.capabilities.read_batch
    found: dict[str, RemoteRecord | None] = dict.fromkeys(external_ids)
    for start in range(0, len(external_ids), size):
        found.update(side.adapter.get(side.mappings[entity].object,
                                      external_ids[start:start + size]))
    return found


def change_of(entity: str, system: str, external_id: str, record: RemoteRecord | None) -> Change:
    """A record just read, as a change for the inbox; a deletion where it is gone."""
    if record is None:
        return Change(0, entity, system, external_id, "", deleted=True)
    return Change(0, entity, system, external_id, record.version, record.payload,
                  record.deleted, record.reference, changed_at=record.changed_at,
                  merged_into=record.merged_into or "")


def keyed(session: Session, uow: UnitOfWork, entity: str, side: Side, changes: Sequence[Change],
          linked: Mapping[str, str], planned: Planned) -> list[Change]:
    """The changes with the match keys of those that have no link yet."""
    unlinked = [c for c in changes if c.external_id not in linked and not c.deleted]
    keys = _match_keys(session, uow, entity, side, unlinked, planned)
    if not keys:
        return list(changes)
    return [replace(c, match_key=keys.get(c.external_id, "")) for c in changes]


def rekey(session: Session, entity: str, planned: Planned) -> None:
    """Give the changes in the inbox that were read before a record they refer to was linked the
    match keys that they have by now."""
    for side in session.pair.sides:
        after = 0
        while True:
            with session.store.begin() as uow:
                changes = uow.unkeyed(session.pair.name, entity, side.system, after, BATCH)
                keys = _match_keys(session, uow, entity, side, changes, planned)
                uow.set_match_keys(session.pair.name, {
                    c.id: keys[c.external_id] for c in changes if keys.get(c.external_id)})
            if not changes:
                break
            after = changes[-1].id


def _match_keys(session: Session, uow: UnitOfWork, entity: str, side: Side,
                changes: Sequence[Change], planned: Planned) -> dict[str, str]:
    """Match keys by external ID."""
    fields = session.pair.policies[entity].match
    if not fields or not changes:
        return {}
    mapping = session.pair.key_maps[entity, side.role]
    known = references(uow, session.pair, side,
                       [ref for c in changes for ref in mapping.references(c.payload)], planned)
    keys = {}
    for change in changes:
        try:
            if mapping.selects(change.payload):
                keys[change.external_id] = match_key(fields, mapping.decode(
                    change.payload, lambda parent, ext: known.get((parent, ext))))
        except RecordFailed:
            continue  # told when the change is taken up
    return keys
