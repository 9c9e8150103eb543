"""From inbox rows to groups: decode, match, and load what is known of each record.

Everything is loaded in bulk: a handful of queries for a batch, whatever its size.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from typing import Any

from connector.domain.entities import ENTITIES, redirected, unpack
from connector.domain.ledger import ConflictState
from connector.domain.policies import Role, other
from connector.domain.records import Change, Link
from connector.engine.group import Group, Seen, title
from connector.engine.match import Ambiguous, Partner, Several, match
from connector.engine.pair import Pair, Side
from connector.errors import ParentMissing, RecordFailed
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
    taken: list[Change] = field(default_factory=list)


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


class Gathering:
    """One batch on its way from changes to groups."""

    def __init__(self, uow: UnitOfWork, pair: Pair, entity: str, planned: Planned) -> None:
        self.uow, self.pair, self.entity, self.planned = uow, pair, entity, planned
        self.out = Gathered()
        self.links: dict[tuple[str, str], Link] = {}
        self.by_canonical: dict[str, list[Link]] = {}
        self.bases: dict[str, dict[str, Any]] = {}
        self.changes: dict[tuple[str, str], Change] = {}
        self.records: dict[int, dict[str, Any]] = {}
        self.groups: dict[str, Group] = {}
        self.stale: dict[int, frozenset[str]] = {}
        self.became = uow.redirects(pair.name)

    def run(self, changes: Sequence[Change]) -> Gathered:
        """Sort `changes`, and those that belong to the same records, into groups."""
        self._take(changes)
        self._take_counterparts()
        self._take_partners()
        self._take_origins()
        linked = [link.canonical_id for link in self.links.values()]
        self.bases = {cid: self._unpacked(snapshot.record) for cid, snapshot in
                      self.uow.snapshots(self.pair.name, self.entity, linked).items()}
        for side in self.pair.sides:
            self._decode(side)
        self._match()
        self._complete()
        self.out.groups = list(self.groups.values())
        self.out.taken = list(self.changes.values())
        return self.out

    def _take(self, changes: Iterable[Change]) -> None:
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
                self._take(self.uow.inbox_by_external(self.pair.name, self.entity, side.system,
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
            self._take(c for same in found.values() for c in same)
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

    def _unpacked(self, packed: Mapping[str, Any]) -> dict[str, Any]:
        spec = ENTITIES[self.entity]
        return redirected(spec, unpack(spec, packed), self.became)

    def _is_alias(self, change: Change) -> bool:
        link = self.links.get((change.system, change.external_id))
        return link is not None and link.alias

    def _decode(self, side: Side) -> None:
        mapping = side.mappings[self.entity]
        mine = [c for c in self.changes.values() if c.system == side.system
                and not c.deleted and not c.derived_from and not self._is_alias(c)]
        wanted = [ref for c in mine for ref in mapping.references(c.payload)]
        known = references(self.uow, self.pair, side, wanted, self.planned)
        replaced = self._replaced(side, known)
        for change in mine:
            link = self.links.get((side.system, change.external_id))
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
        """Note which fields of a record name one of these restored records by its old ID."""
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
            return self._unpacked(link.seen)
        return self.bases.get(link.canonical_id)

    def _match(self) -> None:
        """Find or make the group of each decoded change."""
        for (system, external_id), change in self.changes.items():
            role = self.pair.role_of(system)
            if change.derived_from:
                self._derived(change, role)
                continue
            link = self.links.get((system, external_id))
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
            elif (canonical_id := self._first_contact(change, role)) is not None:
                self._place(canonical_id, role, change, record)

    def _back(self, group: Group, role: Role, link: Link) -> None:
        """Note where a record that was deleted or archived is there again."""
        record = group.sides[role].record or {}
        if link.seen is None:
            group.came_back.add(role)
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
            self.claims.setdefault(change.match_key, canonical_id)

    def _derived(self, change: Change, role: Role) -> None:
        canonical_id = self.pair.canonical_id(self.entity, change.system, change.external_id)
        if self.uow.links_by_canonical(self.pair.name, self.entity, [canonical_id]):
            self.out.skipped.append((change, "made already"))
            return
        record = self._unpacked(change.payload)
        self._join(canonical_id, role, change, record, virtual=True)

    def _gone(self, change: Change, role: Role, link: Link | None) -> None:
        if link is None:
            self.out.skipped.append((change, "deleted before it was ever linked"))
            return
        if change.merged_into:
            self.out.skipped.append((change, f"it was merged into {change.merged_into}"))
            return
        heir = next((x for x in self.by_canonical.get(link.canonical_id, ())
                     if x.alias and x.system == link.system and x.seen is not None), None)
        if heir is not None:
            self.out.heirs.append((change, heir))
            return
        group = self._join(link.canonical_id, role, change, None)
        if link.seen is not None:  # else it is known already: everything is being read again
            group.deleted_now.add(role)

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
        """When others changed a record last: what we wrote moves its time, but is no edit."""
        link = self.links.get((change.system, change.external_id))
        if link is not None and link.version and link.version == change.version:
            return link.changed_at
        return change.changed_at

    def _first_contact(self, change: Change, role: Role) -> str | None:
        """The canonical ID for a record without a link; None where a person is asked."""
        own = self.pair.canonical_id(self.entity, change.system, change.external_id)
        by_reference = self._by_reference(change, role)
        if by_reference is not None:
            return by_reference
        decision = self._decided.get(own)
        if decision is not None and "link" in decision:
            return self._partner_id(change, role, str(decision["link"]))
        several = self.pair.policies[self.entity].several_in
        partner = match(change, self.claims, partial(self._holder, role),
                        self.by_key.get(role, {}), self.by_key.get(other(role), {}),
                        Several(several == role, several == other(role)))
        if isinstance(partner, Ambiguous):
            if decision is not None and decision.get("create"):
                return own
            self.out.ambiguous.append((change, own, partner, title(self.records[change.id])))
            return None
        return self._canonical_of(partner, change, role)

    def _canonical_of(self, partner: Partner, change: Change, role: Role) -> str | None:
        if partner.canonical_id:
            return partner.canonical_id
        if partner.change is not None and partner.change.id in self.records:
            return self._partner_id(change, role, partner.change.external_id)
        unreadable = partner.change.external_id if partner.change is not None \
            else self.parked.get(other(role), {}).get(change.match_key)
        if unreadable is None:
            return self._own_id(change.system, change.external_id)
        wanted = f"{self.entity}:{self.pair.side(other(role)).system}:{unreadable}"
        self.out.waiting.append((change, wanted,
                                 f"its counterpart {unreadable} can't be read yet"))
        return None

    def _partner_id(self, change: Change, role: Role, external_id: str) -> str:
        """The canonical ID shared with a record of the other side; the CRM's record names it."""
        theirs = self.pair.side(other(role)).system
        link = self.links.get((theirs, external_id)) or self.uow.links_by_external(
            self.pair.name, self.entity, theirs, [external_id]).get(external_id)
        if link is not None:
            self.claimed.update(self.uow.links_by_canonical(
                self.pair.name, self.entity, [link.canonical_id]))
            return link.canonical_id
        self._take(self.uow.inbox_by_external(self.pair.name, self.entity, theirs,
                                              [external_id]).values()
                   if (theirs, external_id) not in self.changes else ())
        crm = (change.system, change.external_id) if role == "crm" else (theirs, external_id)
        return self._own_id(*crm)

    def _own_id(self, system: str, external_id: str) -> str:
        own = self.pair.canonical_id(self.entity, system, external_id)
        return self.became.get(own, own)

    def _by_reference(self, change: Change, role: Role) -> str | None:
        """A record that says it was created for one of the other side belongs to that one."""
        system, colon, external_id = (change.reference or "").partition(":")
        if not colon or system != self.pair.side(other(role)).system:
            return None
        return self.origins.get((system, external_id)) or self._own_id(system, external_id)

    def _holder(self, role: Role, canonical_id: str) -> str | None:
        """The external ID by which a canonical record is linked in a role, or will be; one that
        was deleted holds no place."""
        system = self.pair.side(role).system
        for link in self.claimed.get(canonical_id, ()):
            if link.system == system and not link.alias and link.seen is not None:
                return link.external_id
        group = self.groups.get(canonical_id)
        if group is not None and role in group.sides:
            return group.sides[role].external_id
        return self.planned.holders.get((self.entity, canonical_id, system))

    @cached_property
    def _decided(self) -> dict[str, Mapping[str, Any]]:
        """What persons have decided about first contact, by canonical ID."""
        decided = self.uow.conflicts(self.pair.name, entity=self.entity,
                                     states=(ConflictState.DECIDED,))
        return {c.canonical_id: c.decision for c in decided if c.path == "" and c.decision}

    def _complete(self) -> None:
        """Add to each group what is known of it: the other side, the base, the conflicts."""
        ids = list(self.groups)
        unseen = [cid for cid in ids if cid not in self.by_canonical]
        if unseen:
            self.by_canonical.update(
                self.uow.links_by_canonical(self.pair.name, self.entity, unseen))
        self._load_state()
        self._count_refusals()

    def _count_refusals(self) -> None:
        parked = self.uow.dead_attempts(
            self.pair.name, {c.trace_key for g in self.groups.values() for c in g.changes})
        for group in self.groups.values() if parked else ():
            group.refused = sum(parked.get(c.trace_key, 0) for c in group.changes)

    def _load_state(self) -> None:
        """Add to groups the sides that did not change, their bases and their live conflicts."""
        late = [cid for cid in self.groups if cid in self.by_canonical and cid not in self.bases]
        if late:
            self.bases.update({cid: self._unpacked(snapshot.record) for cid, snapshot in
                               self.uow.snapshots(self.pair.name, self.entity, late).items()})
        for canonical_id, group in self.groups.items():
            group.base = self.bases.get(canonical_id)
            for link in self.by_canonical.get(canonical_id, ()):
                if not link.alias:
                    self._know(group, link)
        linked = [cid for cid in self.groups if self.by_canonical.get(cid)]
        for conflict in self.uow.conflicts(self.pair.name, entity=self.entity,
                                           canonical_ids=linked, states=_LIVE):
            self.groups[conflict.canonical_id].conflicts.append(conflict)

    def _know(self, group: Group, link: Link) -> None:
        """Add what a link says of one side; another record that stands there now retires it. One
        that was entered anew knows nothing of what was agreed about a deleted one."""
        role = self.pair.role_of(link.system)
        if link.seen is not None:
            group.linked.add(role)
        if role not in group.sides:
            seen = self._unpacked(link.seen) if link.seen is not None else None
            group.sides[role] = Seen(link.external_id, link.version, seen,
                                     changed_at=link.changed_at)
        elif group.sides[role].external_id != link.external_id:
            group.retired.append(link)
            if link.seen is None:
                group.base = None
                group.came_back.add(role)


def gather(uow: UnitOfWork, pair: Pair, entity: str, changes: Sequence[Change],
           planned: Planned) -> Gathered:
    """Sort a batch of changes into groups, failures, waits, skips and open questions."""
    return Gathering(uow, pair, entity, planned).run(changes)
