"""From inbox rows to groups: decode, match, and load what is known of each record.

Everything is loaded in bulk: a handful of queries for a batch, whatever its size.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connector.domain.entities import ENTITIES
from connector.domain.ledger import ConflictState
from connector.domain.policies import Role, other
from connector.domain.records import Change, Link
from connector.engine.first_contact import FirstContact, Unreadable
from connector.engine.group import Group, Seen, title
from connector.engine.known import Known, Planned, references
from connector.engine.match import Ambiguous
from connector.engine.orphans import note_orphaned
from connector.engine.pair import Pair, Side
from connector.errors import ParentMissing, RecordFailed
from connector.ports import UnitOfWork

_LIVE = (ConflictState.OPEN, ConflictState.DECIDED)


@dataclass(slots=True)
class Gathered:
    """A batch of changes, sorted by what can be done with them."""

    groups: list[Group] = field(default_factory=list)
    failed: list[tuple[Change, RecordFailed]] = field(default_factory=list)
    waiting: list[tuple[Change, str, str]] = field(default_factory=list)  # change, wanted, reason
    skipped: list[tuple[Change, str]] = field(default_factory=list)
    ambiguous: list[tuple[Change, str, Ambiguous, str]] = field(default_factory=list)
    aliases: list[tuple[Change, str]] = field(default_factory=list)  # change, canonical ID
    heirs: list[tuple[Change, Link]] = field(default_factory=list)  # a deletion; who comes after it
    merged: list[Change] = field(default_factory=list)  # read when merges had been settled
    taken: list[Change] = field(default_factory=list)


class Gathering:
    """One batch on its way from changes to groups."""

    def __init__(self, uow: UnitOfWork, pair: Pair, entity: str, planned: Planned) -> None:
        self.uow, self.pair, self.entity = uow, pair, entity
        self.known = Known(uow, pair, entity, planned)
        self.out = Gathered()
        self.bases: dict[str, dict[str, Any]] = {}
        self.records: dict[int, dict[str, Any]] = {}
        self.groups: dict[str, Group] = {}
        self.stale: dict[int, frozenset[str]] = {}
        self.contact = FirstContact(self.known, self.records.keys(), self._holder)

    def run(self, changes: Sequence[Change]) -> Gathered:
        """Sort `changes`, and those that belong to the same records, into groups."""
        self.known.load(changes)
        linked = [link.canonical_id for link in self.known.links.values()]
        self.bases = {cid: self.known.unpacked(snapshot.record) for cid, snapshot in
                      self.uow.snapshots(self.pair.name, self.entity, linked).items()}
        self.moved_to = self._moved_to()
        for side in self.pair.sides:
            self._decode(side)
        self._match()
        self._complete()
        self.out.groups = list(self.groups.values())
        self.out.taken = list(self.known.changes.values())
        return self.out

    def _moved_to(self) -> dict[tuple[str, str], str]:
        """The versions that records have since they were told how they stand, where it counts when
        they were changed."""
        found = {}
        for side in self.pair.sides:
            if side.mappings[self.entity].state and self.pair.rules[self.entity].times_count:
                ids = [c.external_id for c in self.known.changes.values()
                       if c.system == side.system]
                found.update({(side.system, ext): told.moved_to for ext, told in self.uow.told(
                    self.pair.name, self.entity, side.system, ids).items() if told.moved_to})
        return found

    def _is_alias(self, change: Change) -> bool:
        link = self.known.links.get((change.system, change.external_id))
        return link is not None and link.alias

    def _decode(self, side: Side) -> None:
        mapping = side.mappings[self.entity]
        mine = [c for c in self.known.changes.values() if c.system == side.system
                and not c.deleted and not c.derived_from and not self._is_alias(c)]
        wanted = [ref for c in mine for ref in mapping.references(c.payload)]
        known = references(self.uow, self.pair, side, wanted, self.known.planned)
        replaced = self._replaced(side, known)
        for change in mine:
            link = self.known.links.get((side.system, change.external_id))
            try:
                if not mapping.selects(change.payload):
                    self.out.skipped.append((change, "not selected by the mapping"))
                    continue
                record = self.records[change.id] = mapping.decode(
                    change.payload, lambda entity, ext: known.get((entity, ext)),
                    self._previous(link))
                self._note_stale(change, record, {known[ref] for ref in replaced.intersection(
                    mapping.references(change.payload))} if replaced else set())
            except ParentMissing as missing:
                entity, _, ext = missing.wanted.partition(":")
                self.out.waiting.append((change, f"{entity}:{side.system}:{ext}", str(missing)))
            except RecordFailed as failure:
                self.out.failed.append((change, failure))

    def _replaced(self, side: Side, known: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """The references among those known that name a deleted record with a successor."""
        by_entity: dict[str, set[str]] = defaultdict(set)
        for entity, external_id in known:
            by_entity[entity].add(external_id)
        return {(entity, external_id) for entity, ids in by_entity.items() for external_id in
                self.uow.replaced(self.pair.name, entity, side.system, ids)}

    def _note_stale(self, change: Change, record: Mapping[str, Any], ids: set[str]) -> None:
        """Note which fields of a record name one of these things by the ID of a deleted record."""
        if not ids:
            return
        spec = ENTITIES[self.entity]
        named = {name for name, f in spec.fields.items() if f.to and record.get(name) in ids}
        if any(f.to and line.get(name) in ids for line in record.get("lines", ())
               for name, f in spec.line_fields.items()):
            named.add("lines")
        self.stale[change.id] = frozenset(named)

    def _previous(self, link: Link | None) -> dict[str, Any] | None:
        if link is None:
            return None
        if link.seen:
            return self.known.unpacked(link.seen)
        return self.bases.get(link.canonical_id)

    def _match(self) -> None:
        """Find or make the group of each decoded change."""
        for (system, external_id), change in self.known.changes.items():
            role = self.pair.role_of(system)
            if change.derived_from:
                self._derived(change, role)
                continue
            link = self.known.links.get((system, external_id))
            if link is not None and link.alias:
                self.out.aliases.append((change, link.canonical_id))
                continue
            if change.deleted:
                self._gone(change, role, link)
                continue
            record = self.records.get(change.id)
            if record is None:
                continue
            if link is not None:
                self._back(self._join(link.canonical_id, role, change, record), role, link)
            else:
                self._meet(change, role, record)

    def _meet(self, change: Change, role: Role, record: dict[str, Any]) -> None:
        """First contact."""
        found = self.contact.canonical_id(change, role)
        if isinstance(found, Ambiguous):
            own = self.pair.canonical_id(self.entity, change.system, change.external_id)
            self.out.ambiguous.append((change, own, found, title(record)))
        elif isinstance(found, Unreadable):
            self.out.waiting.append((change, found.wanted,
                                     f"its counterpart {found.external_id} can't be read yet"))
        else:
            self._place(found, role, change, record)

    def _back(self, group: Group, role: Role, link: Link) -> None:
        """Note where a record that was deleted or archived is there again."""
        record = group.sides[role].record or {}
        if link.seen is None:
            group.came_back.add(role)
        elif not link.seen:  # an alias until now: a deletion of its counterpart is news to it
            group.deleted_now.add(other(role))
        elif link.seen.get("active") is False and record.get("active") is True \
                and role in self.pair.rules[self.entity].archives:
            group.unarchived.add(role)

    def _place(self, canonical_id: str, role: Role, change: Change,
               record: dict[str, Any]) -> None:
        """Put a record into its group; one whose place there is taken is an alias."""
        if self._holder(role, canonical_id) not in (None, change.external_id):
            self.out.aliases.append((change, canonical_id))
            return
        self._join(canonical_id, role, change, record)
        if change.match_key:
            self.known.claims.setdefault(change.match_key, canonical_id)

    def _derived(self, change: Change, role: Role) -> None:
        canonical_id = self.pair.canonical_id(self.entity, change.system, change.external_id)
        if self.uow.links_by_canonical(self.pair.name, self.entity, [canonical_id]):
            self.out.skipped.append((change, "made already"))
            return
        record = self.known.unpacked(change.payload)
        self._join(canonical_id, role, change, record, virtual=True)

    def _gone(self, change: Change, role: Role, link: Link | None) -> None:
        if link is None:
            self.out.skipped.append((change, "deleted before it was ever linked"))
            return
        if change.merged_into:
            self.out.merged.append(change)
            return
        heir = _heir(link, self.known.by_canonical.get(link.canonical_id, ()))
        if heir is not None:
            self.out.heirs.append((change, heir))
            return
        if self._held_by_another(link.canonical_id, role, change.external_id):
            self.groups[link.canonical_id].changes.append(change)
            return
        group = self._join(link.canonical_id, role, change, None)
        if link.seen is not None:  # else it is known already: everything is being read again
            group.deleted_now.add(role)

    def _held_by_another(self, canonical_id: str, role: Role, external_id: str) -> bool:
        """Whether another living record has taken the place of a deleted one in this batch."""
        group = self.groups.get(canonical_id)
        seen = group.sides.get(role) if group is not None else None
        return seen is not None and seen.record is not None and seen.external_id != external_id

    def _join(self, canonical_id: str, role: Role, change: Change,
              record: dict[str, Any] | None, *, virtual: bool = False) -> Group:
        group = self.groups.setdefault(canonical_id, Group(self.entity, canonical_id))
        group.sides[role] = Seen(change.external_id, change.version, record, virtual,
                                 self._changed_at(change))
        group.changes.append(change)
        if change.id in self.stale:
            group.stale[role] = self.stale[change.id]
        if change.match_key:
            group.match_keys.add(change.match_key)
        return group

    def _changed_at(self, change: Change) -> datetime | None:
        """When others changed a record last: what we wrote moves its time, but is no edit. None
        where what it was told, while it was parked or waited, has covered that up."""
        place = change.system, change.external_id
        link = self.known.links.get(place)
        if link is not None and link.version and link.version == change.version:
            return link.changed_at
        return None if self.moved_to.get(place) == change.version else change.changed_at

    def _holder(self, role: Role, canonical_id: str) -> str | None:
        """The external ID by which a canonical record is linked in a role, or will be; one that
        was deleted holds no place."""
        system, links = self.pair.side(role).system, self.known.claimed.get(canonical_id, ())
        for link in links:
            if link.system == system and not link.alias and (
                    self._is_there(link) or _heir(link, links) is not None):
                return link.external_id
        group = self.groups.get(canonical_id)
        if group is not None and role in group.sides and group.sides[role].record is not None:
            return group.sides[role].external_id
        return self.known.planned.holders.get((self.entity, canonical_id, system))

    def _is_there(self, link: Link) -> bool:
        """Whether a record is not deleted, as this batch has it, before or after who asks."""
        change = self.known.changes.get((link.system, link.external_id))
        if link.seen is None:
            return change is not None and change.id in self.records
        return change is None or not change.deleted or bool(change.merged_into)

    def _complete(self) -> None:
        """Add to each group what is known of it: the other side, the base, the conflicts."""
        ids = list(self.groups)
        unseen = [cid for cid in ids if cid not in self.known.by_canonical]
        if unseen:
            self.known.by_canonical.update(
                self.uow.links_by_canonical(self.pair.name, self.entity, unseen))
        self._load_state()
        note_orphaned(self.uow, self.pair, self.groups.values(), self.known.planned)
        self._count_refusals()

    def _count_refusals(self) -> None:
        parked = self.uow.dead_attempts(
            self.pair.name, {c.trace_key for g in self.groups.values() for c in g.changes})
        for group in self.groups.values() if parked else ():
            group.refused = sum(parked.get(c.trace_key, 0) for c in group.changes)

    def _load_state(self) -> None:
        """Add to groups the sides that did not change, their bases and their live conflicts."""
        late = [cid for cid in self.groups
                if cid in self.known.by_canonical and cid not in self.bases]
        if late:
            self.bases.update({cid: self.known.unpacked(snapshot.record) for cid, snapshot in
                               self.uow.snapshots(self.pair.name, self.entity, late).items()})
        for canonical_id, group in self.groups.items():
            group.base = self.bases.get(canonical_id)
            for link in self.known.by_canonical.get(canonical_id, ()):
                if not link.alias:
                    self._know(group, link)
        # Of those without a link too: a run may have died between the question and the link.
        for conflict in self.uow.conflicts(self.pair.name, entity=self.entity,
                                           canonical_ids=self.groups, states=_LIVE):
            self.groups[conflict.canonical_id].conflicts.append(conflict)

    def _know(self, group: Group, link: Link) -> None:
        """Add what a link says of one side; another record that stands there now retires it. One
        that was entered anew knows nothing of what was agreed about a deleted one."""
        role, there = self.pair.role_of(link.system), self._is_there(link)
        taken = role in group.sides and group.sides[role].external_id != link.external_id
        if link.seen is not None and (there or not taken):
            group.linked.add(role)
        if role not in group.sides:
            seen = self.known.unpacked(link.seen) if link.seen is not None else None
            group.sides[role] = Seen(link.external_id, link.version, seen,
                                     changed_at=link.changed_at)
        elif taken:
            group.retired.append(link)
            if not there:
                group.base = None
                group.came_back.add(role)


def _heir(link: Link, links: Iterable[Link]) -> Link | None:
    """The living alias that takes the place of a deleted record, if there is one."""
    return next((x for x in links
                 if x.alias and x.system == link.system and x.seen is not None), None)


def gather(uow: UnitOfWork, pair: Pair, entity: str, changes: Sequence[Change],
           planned: Planned) -> Gathered:
    """Sort a batch of changes into groups, failures, waits, skips and open questions."""
    return Gathering(uow, pair, entity, planned).run(changes)
