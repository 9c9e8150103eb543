"""What is known of a batch of changes before anything is decided: their links, what waits in the
inbox for the same records, and who has a claim on their match keys. Loaded in bulk.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connector.domain.entities import ENTITIES, redirected, unpack
from connector.domain.policies import Role
from connector.domain.records import Change, Link
from connector.engine.group import Group
from connector.engine.pair import Pair, Side
from connector.ports import UnitOfWork


@dataclass(slots=True)
class Planned:
    """What a plan would have linked by now; empty in a run that applies as it goes."""

    ids: dict[tuple[str, str, str], str] = field(default_factory=dict)  # entity, system, ext ID
    holders: dict[tuple[str, str, str], str] = field(default_factory=dict)  # entity, ID, system
    claims: dict[tuple[str, str], str] = field(default_factory=dict)  # entity, match key

    def add(self, pair: Pair, group: Group) -> None:
        """Take note of a group whose actions are planned."""
        for role, seen in group.sides.items():
            system = pair.side(role).system
            self.ids[group.entity, system, seen.external_id] = group.canonical_id
            self.holders[group.entity, group.canonical_id, system] = seen.external_id
        for key in group.match_keys:
            self.claims.setdefault((group.entity, key), group.canonical_id)


def references(uow: UnitOfWork, pair: Pair, side: Side, wanted: Iterable[tuple[str, str]],
               planned: Planned) -> dict[tuple[str, str], str]:
    """Canonical IDs by (entity, external ID) for all references of a batch."""
    by_entity: dict[str, set[str]] = defaultdict(set)
    for entity, external_id in wanted:
        by_entity[entity].add(external_id)
    found = {}
    for entity, ids in by_entity.items():
        linked = uow.canonical_ids(pair.name, entity, side.system, ids)
        for external_id in ids:
            canonical_id = linked.get(external_id) or planned.ids.get(
                (entity, side.system, external_id))
            if canonical_id:
                found[entity, external_id] = canonical_id
    return found


class Known:
    """What the store knows of the records of a batch."""

    def __init__(self, uow: UnitOfWork, pair: Pair, entity: str, planned: Planned) -> None:
        self.uow, self.pair, self.entity, self.planned = uow, pair, entity, planned
        self.links: dict[tuple[str, str], Link] = {}
        self.by_canonical: dict[str, list[Link]] = {}
        self.changes: dict[tuple[str, str], Change] = {}
        self.became = uow.redirects(pair.name)

    def load(self, changes: Sequence[Change]) -> None:
        """Take `changes`, and those that belong to the same records."""
        self.take(changes)
        self._take_counterparts()
        self._take_partners()
        self._take_origins()

    def take(self, changes: Iterable[Change]) -> None:
        """Take changes, with their links, unless they are taken already."""
        new = [c for c in changes if (c.system, c.external_id) not in self.changes
               and not c.hint]  # a hint is read again in its own turn
        for side in self.pair.sides:
            ids = {c.external_id for c in new if c.system == side.system}
            if ids:
                found = self.uow.links_by_external(self.pair.name, self.entity, side.system, ids)
                self.links.update({(side.system, ext): link for ext, link in found.items()})
        self.changes.update({(c.system, c.external_id): c for c in new})

    def _take_counterparts(self) -> None:
        """What waits in the inbox for the other side of a linked record belongs to it as well."""
        ids = {link.canonical_id for link in self.links.values()}
        self.by_canonical = self.uow.links_by_canonical(self.pair.name, self.entity, ids)
        for side in self.pair.sides:
            wanted = {link.external_id for links in self.by_canonical.values() for link in links
                      if link.system == side.system}
            wanted -= {ext for system, ext in self.changes if system == side.system}
            if wanted:
                self.take(self.uow.inbox_by_external(self.pair.name, self.entity, side.system,
                                                      wanted).values())

    def _take_partners(self) -> None:
        """Unlinked records with the same match key are wanted for first contact."""
        self.by_key: dict[Role, dict[str, list[Change]]] = {}
        self.parked: dict[Role, dict[str, str]] = {}
        keys = {c.match_key for at, c in self.changes.items() if c.match_key
                and at not in self.links}
        self.claims = {key: self.planned.claims[self.entity, key] for key in keys
                       if (self.entity, key) in self.planned.claims}
        if keys:
            self.claims.update(self.uow.claims(self.pair.name, self.entity, keys))
        self.claimed = self.uow.links_by_canonical(self.pair.name, self.entity,
                                                   set(self.claims.values()))
        known = {c.id: c for c in self.changes.values()}
        for side in self.pair.sides:
            found = self.uow.inbox_by_match_key(self.pair.name, self.entity, side.system, keys,
                                                known) if keys else {}
            self.take(c for same in found.values() for c in same)
            self.by_key[side.role] = {
                key: [c for c in same if (c.system, c.external_id) not in self.links]
                for key, same in found.items()}
            self.parked[side.role] = self.uow.dead_by_match_key(
                self.pair.name, self.entity, side.system, keys) if keys else {}

    def _take_origins(self) -> None:
        """What the records are that others say they were created for."""
        self.origins: dict[tuple[str, str], str] = {}
        for side in self.pair.sides:
            named = {external_id for at, c in self.changes.items() if at not in self.links
                     for system, _, external_id in [(c.reference or "").partition(":")]
                     if system == side.system != c.system}
            found = self.uow.canonical_ids(self.pair.name, self.entity, side.system, named) \
                if named else {}
            self.origins.update({(side.system, ext): cid for ext, cid in found.items()})
        self.claimed.update(self.uow.links_by_canonical(
            self.pair.name, self.entity, set(self.origins.values())) if self.origins else {})

    def unpacked(self, packed: Mapping[str, Any]) -> dict[str, Any]:
        """A kept record as it is meant now: what it refers to may have become another."""
        spec = ENTITIES[self.entity]
        return redirected(spec, unpack(spec, packed), self.became)

    def own_id(self, system: str, external_id: str) -> str:
        """The canonical ID that a record born there has, or what that one became."""
        own = self.pair.canonical_id(self.entity, system, external_id)
        return self.became.get(own, own)
