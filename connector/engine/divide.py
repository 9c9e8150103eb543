"""Divides the inbox of an entity, so that each part can be worked off by a process of its own.

In one part are the changes of one canonical record on both sides, whatever says that they are one
(a link, a match key, a reference, a person), and all records that hang on one root: a customer
with its contacts, orders, deliveries. So the order within a customer is kept, and no two processes
ever have to do with the same record.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

from connector.domain.entities import ENTITIES
from connector.domain.ledger import ConflictState
from connector.domain.policies import other
from connector.domain.records import Change, Link
from connector.engine.known import Planned, references
from connector.engine.pair import Side
from connector.engine.pull import refreshed
from connector.engine.reread import BATCH, rekey
from connector.engine.session import Session
from connector.engine.slots import Ties
from connector.ports import UnitOfWork


def divided(session: Session, entity: str, slots: int) -> list[list[int]]:
    """The changes of an entity in the inbox, by ID, in at most `slots` parts. Hints are read before
    that, for only a record tells where it belongs. Raises `RetryLater` where a system is away."""
    if session.pair.keys_refer(entity):
        rekey(session, entity, Planned())
    dividing, after = _Dividing(session, entity), 0
    while True:
        session.keep_alive()
        with session.store.begin() as uow:
            rows = uow.inbox_after(session.pair.name, entity, after, BATCH)
            known = [(change, pending) for change, pending in rows if not change.hint]
            dividing.take(uow, known)
        if not rows:
            return dividing.ties.shared_out(slots)
        after = rows[-1][0].id
        hints = [change for change, _ in rows if change.hint]
        if hints:
            read = refreshed(session, entity, hints, Planned())
            with session.store.begin() as uow:
                uow.receive(session.pair.name, read)  # they come again, at the end


Parent = tuple[str, Hashable]
"""The entity of a parent, and its tie: its canonical ID, or where it stands while it has none."""


class _Dividing:
    """Finds the ties of changes, in bulk. A tie is a canonical ID (text), where a record stands
    (system, external ID), a parent without a canonical ID (with its entity in front), or a match
    key (alone in a tuple)."""

    def __init__(self, session: Session, entity: str) -> None:
        self._pair, self._entity, self._put_off = session.pair, entity, session.put_off
        self._mine = {f.to for f in ENTITIES[entity].fields.values() if f.to}
        self._climbed = set[Parent]()
        self._became: Mapping[str, str] = {}
        self.ties = Ties()

    def take(self, uow: UnitOfWork, rows: Sequence[tuple[Change, bool]]) -> None:
        """Add changes, each with whether it is pending."""
        changes = [change for change, _ in rows]
        self._became = uow.redirects(self._pair.name)
        linked = self._linked(uow, changes)
        claims = uow.claims(self._pair.name, self._entity,
                            {c.match_key for c in changes if c.match_key})
        parents = self._parents(uow, changes, linked)
        self._climb(uow, {parent for found in parents.values() for parent in found})
        named = self._named_by_persons(uow)
        for change, pending in rows:
            self.ties.add(change.id, [
                *self._own(change, linked, claims), *(tie for _, tie in parents[change.id]),
                *(self._named_for(change, named) if named else ())],
                pending=pending and _place(change) not in self._put_off)

    def _linked(self, uow: UnitOfWork, changes: Sequence[Change]) -> dict[tuple[str, str], Link]:
        """The links of the changes, and of the records that they name as their origin, by system
        and external ID."""
        wanted: dict[str, set[str]] = defaultdict(set)
        for change in changes:
            for system, external_id in _stands_at(change):
                wanted[system].add(external_id)
        return {(side.system, ext): link for side in self._pair.sides if wanted[side.system]
                for ext, link in uow.links_by_external(
                    self._pair.name, self._entity, side.system, wanted[side.system]).items()}

    def _own(self, change: Change, linked: Mapping[tuple[str, str], Link],
             claims: Mapping[str, str]) -> Iterator[Hashable]:
        """What a change is: itself, what is tied to it, what has its match key."""
        for place in _stands_at(change):
            yield place
            if place in linked:
                yield self._now(linked[place].canonical_id)
        if change.match_key:
            yield (change.match_key,)
            if change.match_key in claims:
                yield self._now(claims[change.match_key])

    def _parents(self, uow: UnitOfWork, changes: Sequence[Change],
                 linked: Mapping[tuple[str, str], Link]) -> dict[int, list[Parent]]:
        """What each change hangs on, by its ID."""
        found: dict[int, list[Parent]] = {}
        for side in self._pair.sides:
            mine = [change for change in changes if change.system == side.system]
            named = {change.id: self._named(change, side) for change in mine}
            known = references(uow, self._pair, side,
                               [ref for refs in named.values() for ref in refs], Planned())
            for change in mine:
                found[change.id] = [
                    (ref[0], self._now(known[ref]) if ref in known else (*ref, side.system))
                    for ref in named[change.id]]
                if change.derived_from:
                    found[change.id] += self._above(self._entity, change.payload)
                elif change.deleted:
                    link = linked.get((change.system, change.external_id))
                    found[change.id] += self._above(self._entity, (link and link.seen) or {})
        return found

    def _named(self, change: Change, side: Side) -> list[tuple[str, str]]:
        """The parents (entity, external ID) that a payload names in its header."""
        if change.deleted or change.derived_from:
            return []
        return [ref for ref in side.mappings[self._entity].references(change.payload)
                if ref[0] in self._mine]

    def _above(self, entity: str, record: Mapping[str, Any]) -> list[Parent]:
        """The parents of a canonical record."""
        return [(field.to, self._now(record[name])) for name, field in
                ENTITIES[entity].fields.items() if field.to and record.get(name)]

    def _climb(self, uow: UnitOfWork, parents: set[Parent]) -> None:
        """Go on from parents to what they hang on, up to the roots."""
        while parents := parents - self._climbed:
            self._climbed |= parents
            by_entity: dict[str, set[str]] = defaultdict(set)
            for entity, tie in parents:
                if isinstance(tie, str) and any(f.to for f in ENTITIES[entity].fields.values()):
                    by_entity[entity].add(tie)
            parents = set()
            for entity, ids in by_entity.items():
                for canonical_id, snapshot in uow.snapshots(self._pair.name, entity, ids).items():
                    above = self._above(entity, snapshot.record)
                    self.ties.join([canonical_id, *(tie for _, tie in above)])
                    parents.update(above)

    def _named_by_persons(self, uow: UnitOfWork) -> dict[str, str]:
        """The external IDs that persons have named as the same thing, by canonical ID."""
        decided = uow.conflicts(self._pair.name, entity=self._entity,
                                states=(ConflictState.DECIDED,))
        return {c.canonical_id: str(c.decision["link"]) for c in decided
                if c.path == "" and c.decision and "link" in c.decision}

    def _named_for(self, change: Change, named: Mapping[str, str]) -> Iterator[Hashable]:
        own = self._pair.canonical_id(self._entity, change.system, change.external_id)
        if own in named:
            yield self._pair.side(other(self._pair.role_of(change.system))).system, named[own]

    def _now(self, canonical_id: str) -> str:
        return self._became.get(canonical_id, canonical_id)


def _place(change: Change) -> tuple[str, str, str]:
    return change.entity, change.system, change.external_id


def _stands_at(change: Change) -> list[tuple[str, str]]:
    """Where a change stands, and the records of the same entity that it names."""
    places = [(change.system, change.external_id)]
    system, colon, origin = (change.reference or "").partition(":")
    if colon:
        places.append((system, origin))
    if change.merged_into:
        places.append((change.system, change.merged_into))
    return places
