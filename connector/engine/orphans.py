"""References to what stands nowhere any more: no rule can settle whose a record is then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from connector.domain.entities import ENTITIES
from connector.engine.group import Group
from connector.engine.known import Planned
from connector.engine.pair import Pair
from connector.ports import UnitOfWork

_REFERENCES = {entity.name: [(name, spec.to) for name, spec in entity.fields.items() if spec.to]
               for entity in ENTITIES.values()}
"""By entity, its fields that name other records, and of which entity those are."""


def note_orphaned(uow: UnitOfWork, pair: Pair, groups: Iterable[Group],
                  planned: Planned) -> None:
    """Note the fields in which the sides of a group name different things, and one of those was
    deleted, or never came to be, on both sides."""
    apart = [difference for group in groups for difference in _apart(group)]
    for to in {to for _, _, to, _ in apart}:
        mine = [(group, name, ids) for group, name, parent, ids in apart if parent == to]
        standing = _standing(uow, pair, planned, to, set[str]().union(*(ids for _, _, ids in mine)))
        for group, name, ids in mine:
            if not ids <= standing:
                group.orphaned.add(name)


def _apart(group: Group) -> Iterator[tuple[Group, str, str, set[str]]]:
    """The references in which the sides differ: field, entity, and the things that are named."""
    records = [seen.record for seen in group.sides.values() if seen.record is not None]
    if len(records) < 2:
        return
    for name, to in _REFERENCES[group.entity]:
        ids = {str(id) for record in records if (id := record.get(name)) is not None}
        if len(ids) > 1:
            yield group, name, to, ids


def _standing(uow: UnitOfWork, pair: Pair, planned: Planned, entity: str,
              ids: set[str]) -> set[str]:
    """Those of some things that have a record on a side, or will have one."""
    linked = uow.links_by_canonical(pair.name, entity, ids)
    return {id for id in ids if any(link.seen is not None for link in linked.get(id, ()))
            or any((entity, id, side.system) in planned.holders for side in pair.sides)}
