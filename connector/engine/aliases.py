"""Several records of one thing: what a system merged becomes one canonical record here as well,
and a person may tie records together or part them again.

Links follow, and so do documents: whoever refers to a record that is no more is understood to
mean the one it became part of. Nothing is written to either system for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from connector.domain.actions import OutcomeKind
from connector.domain.entities import ENTITIES, unreferenced
from connector.domain.records import Change, Link, RemoteRecord, Snapshot
from connector.engine.entries import LIVE, Entries
from connector.engine.known import Planned
from connector.engine.places import take_back
from connector.engine.reread import read, reread
from connector.engine.session import Session
from connector.errors import RunFailed
from connector.ports import UnitOfWork

Place = tuple[str, str]
"""A record's system and external ID."""


MERGED = "it was merged into {}"


def settle_merges(session: Session, entity: str) -> None:
    """Carry out, in the links, the merges that were read and wait in the inbox. Raises what a read
    raises."""
    with session.store.begin() as uow:
        if not uow.merges(session.pair.name, entity):
            return
    while strangers := _strangers(session, entity):
        with session.store.begin() as uow:
            uow.receive(session.pair.name, strangers)
    session.guard()
    with session.store.begin() as uow:
        changes = uow.merges(session.pair.name, entity)
        entries = Entries(session, entity)
        regrouping = Regrouping(session, uow, entity, {
            (c.system, ext) for c in changes for ext in (c.external_id, c.merged_into)})
        for change in changes:
            session.count_read(entity, session.pair.role_of(change.system))
            regrouping.merge(change)
            canonical_id = regrouping.canonical_id((change.system, change.external_id))
            entries.outcome(change, OutcomeKind.UNCHANGED, canonical_id,
                            reason=MERGED.format(change.merged_into))
            entries.settled.append(change.id)
            entries.succeeded.append(change.trace_key)
        regrouping.save(entries)
        entries.save(uow)


def _strangers(session: Session, entity: str) -> list[Change]:
    """The records that others were merged into and that nobody has read: whoever is the same thing
    on the other side is found by what they are known by."""
    found: list[Change] = []
    for side in session.pair.sides:
        with session.store.begin() as uow:
            survivors = {c.merged_into for c in uow.merges(session.pair.name, entity)
                         if c.system == side.system}
            known = {*uow.versions(session.pair.name, entity, side.system, survivors),
                     *uow.inbox_versions(session.pair.name, entity, side.system, survivors)}
        if survivors - known:
            found += reread(session, entity, side.role, sorted(survivors - known),
                            Planned()).values()
    return found


def join(session: Session, entity: str, record: Place, into: Place) -> None:
    """Tie a record, and all that is tied to it, to the thing that another one is. Raises
    `RunFailed` where one of them is not linked."""
    session.guard()
    with session.store.begin() as uow:
        regrouping = Regrouping(session, uow, entity, {record, into})
        regrouping.join(regrouping.linked(record).canonical_id,
                        regrouping.linked(into).canonical_id)
        regrouping.again.update({record, into})
        entries = Entries(session, entity)
        regrouping.save(entries)
        entries.save(uow)


def split(session: Session, entity: str, record: Place) -> None:
    """Part a record from the others of its thing, together with those that can't be parted from it:
    from now on they are a thing of their own. One that is alone then gets a counterpart where the
    pair lets new ones come up. Raises `RunFailed` where it is not linked or not
    there, or where nothing that lives would be left."""
    session.guard()
    with session.store.begin() as uow:
        thing = Regrouping(session, uow, entity, {record}).thing(record)
    there = _as_it_is(session, entity, thing)
    together = _inseparable(record, there)
    living = {place for place, found in there.items() if not found.deleted}
    with session.store.begin() as uow:
        regrouping = Regrouping(session, uow, entity, {record})
        regrouping.split(record, together, living)
        entries = Entries(session, entity)
        regrouping.save(entries)
        entries.save(uow)


def _as_it_is(session: Session, entity: str, thing: Collection[Place]) -> dict[Place, RemoteRecord]:
    """The records of a thing, read anew; those that are not to be found are left out."""
    there: dict[Place, RemoteRecord] = {}
    for side in session.pair.sides:
        ids = [external_id for system, external_id in thing if system == side.system]
        there.update({(side.system, external_id): found for external_id, found in
                      read(session, entity, side.role, ids).items() if found is not None})
    return there


def _inseparable(record: Place, there: Mapping[Place, RemoteRecord]) -> set[Place]:
    """The record and those of its thing that stay with it: whatever was made for it or it was made
    for, by the reference (a system whose references are unique would give one of them back where
    the other's counterpart is made), and what its system made part of it."""
    ties: dict[Place, Place] = {}
    for place, found in there.items():
        system, _, origin = (found.reference or "").partition(":")
        if found.merged_into:
            ties[place] = place[0], found.merged_into
        elif not found.deleted and (system, origin) in there \
                and not there[system, origin].deleted:
            ties[place] = system, origin
    together, before = {record}, set[Place]()
    while together != before:
        before = set(together)
        for tie in ties.items():
            if together.intersection(tie):
                together.update(place for place in tie if place in there)
    return together


class Regrouping:
    """The links of some things, changed in memory and saved at once."""

    def __init__(self, session: Session, uow: UnitOfWork, entity: str,
                 places: Iterable[Place]) -> None:
        self.pair, self.uow, self.entity = session.pair, uow, entity
        self.again: set[Place] = set()
        self._links: dict[Place, Link] = {}
        self._changed: set[Place] = set()
        self._ended: set[str] = set()
        self._released: list[str] = []
        self._again_below: list[Change] = []
        self._agreed_below: list[Snapshot] = []
        by_system: dict[str, set[str]] = defaultdict(set)
        for system, external_id in places:
            by_system[system].add(external_id)
        ids = {canonical_id for system, external in by_system.items() for canonical_id in
               uow.canonical_ids(self.pair.name, entity, system, external).values()}
        for links in uow.links_by_canonical(self.pair.name, entity, ids).values():
            self._links.update({(link.system, link.external_id): link for link in links})
        self._claims: dict[str, str] = {}
        self._keys = {(system, ext): change.match_key for system, external in by_system.items()
                      for ext, change in uow.inbox_by_external(
                          self.pair.name, entity, system,
                          [e for e in external if (system, e) not in self._links]).items()}

    def canonical_id(self, place: Place) -> str:
        """What a record belongs to; empty where it is not linked."""
        return self._links[place].canonical_id if place in self._links else ""

    def linked(self, place: Place) -> Link:
        """The link of a record. Raises `RunFailed`."""
        if place not in self._links:
            raise RunFailed(f"{self.entity} {place[1]} of {place[0]} is not linked.",
                            hint="Sync first; `connector links list` shows what is tied to what.")
        return self._links[place]

    def merge(self, change: Change) -> None:
        """A record became part of another one of its system."""
        place, survivor = (change.system, change.external_id), (change.system, change.merged_into)
        mine = self._links.get(place)
        self._let_go(place)  # a match may have waited for it, known or not
        if survivor not in self._links:
            if mine is not None:  # the survivor is new here: it takes the place of the other one
                lost = any(x.system != mine.system and not x.alias and x.seen is None
                           for x in self._of(mine.canonical_id))
                # That its counterpart was deleted is news to who was never told of it.
                self._keep(replace(mine, external_id=survivor[1], version="",
                                   seen={} if lost and mine.seen else mine.seen))
                if self._keys.get(survivor):  # who has this match key too is not new any more
                    self._claims[self._keys[survivor]] = mine.canonical_id
        elif mine is not None and mine.canonical_id != self._links[survivor].canonical_id:
            self.join(mine.canonical_id, self._links[survivor].canonical_id)
        elif mine is not None and not mine.alias:
            self._keep(replace(self._links[survivor], alias=False, version=""))
        if survivor in self._links:
            heir = self._links[survivor]
            if mine is not None and heir.seen is None and not heir.alias:
                # It was known to be deleted, and not that a living one would become part of it.
                self._keep(replace(heir, seen=mine.seen, version=""))
            self._keep(Link(self.entity, self._links[survivor].canonical_id, *place,
                            change.version, None, alias=True))
            self.again.add(survivor)

    def join(self, canonical_id: str, became: str) -> None:
        """One thing becomes part of another: on a side where that has a living record, those of
        the first one are aliases now."""
        if canonical_id == became:
            return
        for link in self._of(canonical_id):
            taken = any(x.system == link.system and not x.alias and x.seen is not None
                        for x in self._of(became))
            moved = replace(link, canonical_id=became, alias=link.alias or taken)
            self._keep(_as_alias(moved) if moved.alias else replace(moved, version=""))
            if not moved.alias:
                self.again.add((link.system, link.external_id))
        self._claims.update({key: became for key, claimed in self._claims.items()
                             if claimed == canonical_id})
        self._end(canonical_id)
        self.uow.redirect(self.pair.name, self.entity, canonical_id, became)

    def thing(self, place: Place) -> list[Place]:
        """All records of the thing that a record is. Raises `RunFailed` where it is not linked."""
        return [(x.system, x.external_id) for x in self._of(self.linked(place).canonical_id)]

    def split(self, place: Place, together: Collection[Place],
              living: Collection[Place]) -> None:
        """A record becomes, with some others, a thing of its own, under the ID that is its own;
        where those that are left bear that one, they are given another."""
        link, own = self.linked(place), self.pair.canonical_id(self.entity, *place)
        parted = [x for x in self._of(link.canonical_id) if (x.system, x.external_id) in together]
        others = [x for x in self._of(link.canonical_id) if x not in parted]
        if place not in living:
            raise RunFailed(f"{self.entity} {place[1]} of {place[0]} is not there any more.",
                            hint="Part one that is.")
        if not any((x.system, x.external_id) in living for x in others):
            raise RunFailed(
                f"{self.entity} {place[1]} of {place[0]} is tied to nothing "
                f"{'else that is there.' if parted == [link] else 'but what was made for it.'}",
                hint="" if parted == [link] else "Delete the one that is too many.")
        left = link.canonical_id
        if own == left:
            first = next((x for x in others if not x.alias), others[0])
            left = self.pair.canonical_id(self.entity, first.system, first.external_id)
            for other_link in others:
                self._keep(replace(other_link, canonical_id=left))
            self._end(own)
            self.uow.redirect(self.pair.name, self.entity, left, None)
        self._ask_whose(link.canonical_id, [*parted, *others])
        for each in parted:
            self.uow.redirect(self.pair.name, self.entity, self.pair.canonical_id(
                self.entity, each.system, each.external_id), None)
            self._keep(replace(each, canonical_id=own))
        self._lead(own, place)
        self._lead(left)

    def _ask_whose(self, canonical_id: str, parted: Iterable[Link]) -> None:
        """What refers to a thing that is several now is taken up again. Each side may name
        another one of them, and none is what was agreed."""
        named = {canonical_id} | {self.pair.canonical_id(self.entity, x.system, x.external_id)
                                  for x in parted}
        for child in self.pair.entities:
            spec = ENTITIES[child]
            if self.entity not in spec.parents:
                continue
            ids: set[str] = set()
            for side in self.pair.sides:
                found = self.uow.referring(self.pair.name, child, side.system, named)
                ids.update(self.uow.canonical_ids(self.pair.name, child, side.system,
                                                  found).values())
                self._again_below += [Change(0, child, side.system, external_id, "", hint=True)
                                      for external_id in found]
            self._agreed_below += [
                replace(kept, record=unreferenced(spec, kept.record, named)) for kept in
                self.uow.snapshots(self.pair.name, child, ids).values()]

    def _lead(self, canonical_id: str, first: Place | None = None) -> None:
        """On each side one record of a thing is kept in agreement: `first`, where it is there."""
        for side in self.pair.sides:
            mine = [x for x in self._of(canonical_id) if x.system == side.system]
            lead = next((x for x in mine if (x.system, x.external_id) == first), None) \
                or next((x for x in mine if not x.alias), None) \
                or next((x for x in mine if x.seen is not None), None)
            for link in mine:
                if link is lead:
                    self._keep(replace(link, alias=False, version=""))
                    self.again.add((link.system, link.external_id))
                elif not link.alias:
                    self._keep(_as_alias(link))

    def save(self, entries: Entries) -> None:
        """Add what was changed to the entries of a transaction, and take up again what calls for
        it."""
        entries.links += [self._links[place] for place in sorted(self._changed)]
        entries.released += self._released
        entries.claims.update(self._claims)
        entries.received += [Change(0, self.entity, system, external_id, "", hint=True)
                             for system, external_id in sorted(self.again)]
        entries.received += self._again_below
        entries.snapshots += self._agreed_below
        take_back(self.uow, self.pair, self.entity, [
            link for place in self._changed if (link := self._links[place]).alias])
        self.uow.remove_snapshots(self.pair.name, self.entity, sorted(self._ended))
        entries.closed.update({c.id: "its record became part of another" for c in
                               self.uow.conflicts(self.pair.name, entity=self.entity,
                                                  canonical_ids=sorted(self._ended),
                                                  states=LIVE)} if self._ended else {})

    def _of(self, canonical_id: str) -> list[Link]:
        return [x for x in self._links.values() if x.canonical_id == canonical_id]

    def _keep(self, link: Link) -> None:
        place = link.system, link.external_id
        self._links[place] = link
        self._changed.add(place)
        self._let_go(place)
        if not link.alias:  # what it belongs to may not have been on this side until now
            self._released.append(f"{self.entity}:{link.canonical_id}@{link.system}")

    def _let_go(self, place: Place) -> None:
        self._released.append(f"{self.entity}:{place[0]}:{place[1]}")

    def _end(self, canonical_id: str) -> None:
        """Nothing is agreed any more about a canonical record that is none."""
        self._ended.add(canonical_id)
        self._released += [f"{self.entity}:{canonical_id}@{side.system}"
                           for side in self.pair.sides]


def _as_alias(link: Link) -> Link:
    return replace(link, seen=None if link.seen is None else {}, alias=True)
