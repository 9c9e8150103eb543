"""Takes in updates whose results were lost: the records are read again, and what an update has
brought both sides to agree on is kept, before somebody changes it once more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from connector.domain.entities import ENTITIES, pack, unpack
from connector.domain.policies import Role
from connector.domain.records import Batch, Change, Intent, Link, RemoteRecord, Snapshot
from connector.engine.entries import Entries
from connector.engine.group import Group, Seen
from connector.engine.known import Planned
from connector.engine.match import match_key
from connector.engine.merge import agreed, carried_on
from connector.engine.pair import Pair, Rules
from connector.engine.places import let_be_told
from connector.engine.present import in_canonical_words
from connector.engine.reread import reread
from connector.engine.session import Session
from connector.ports import UnitOfWork


class Sight(NamedTuple):
    """One side of a record: how it is tied, the change it was just read as, and what it says."""

    link: Link
    change: Change
    record: dict[str, Any]

    @property
    def as_before(self) -> bool:
        """Whether it was there and in use when it was last seen, if it is now: else it came back,
        which is for the run to tell."""
        return self.link.seen is not None \
            and self.link.seen.get("active") == self.record.get("active")

    @property
    def seen(self) -> Link:
        """The link with what is seen now; taken up again, where it was not written by us."""
        return replace(self.link, seen=pack(ENTITIES[self.link.entity], self.record),
                       version=self.link.version * (self.link.version == self.change.version))


def look_again(session: Session, batches: Sequence[Batch]) -> None:
    """Read what batches of updates of an unknown fate, of one entity, were to change, and the
    counterparts; what is still to be done is planned anew from that. Raises `RetryLater` where a
    system is away."""
    pair, entity = session.pair, batches[0].intents[0].entity
    intents = [intent for batch in batches for intent in batch.intents]
    with session.store.begin() as uow:
        tied = uow.links_by_canonical(pair.name, entity, {i.canonical_id for i in intents})
        met = _met(uow, pair, [i for i in intents if not tied.get(i.canonical_id)])
    links = [*(link for found in tied.values() for link in found if not link.alias), *met]
    read: dict[Role, dict[str, Change]] = {}
    news: list[Change] = []
    for side in pair.sides:
        ours = {i.external_id for i in intents if i.system == side.system and i.external_id} | {
            link.external_id for link in met if link.system == side.system}
        known = {link.external_id: link.version for link in links
                 if link.system == side.system and link.seen is not None}
        read[side.role] = reread(session, entity, side.role, sorted(ours | known.keys()),
                                 Planned()) if ours | known.keys() else {}
        news += [change for external_id, change in read[side.role].items()
                 if external_id in ours or change.version != known[external_id]]
    with session.store.begin() as uow:
        _keep(session, uow, intents, {role: _sights(session, uow, role, links, changes.values())
                                      for role, changes in read.items()},
              {link.canonical_id for link in met})
        uow.receive(pair.name, news)
        uow.settle_batches(pair.name, [batch.key for batch in batches])


def _met(uow: UnitOfWork, pair: Pair, intents: Sequence[Intent]) -> list[Link]:
    """How those would be tied that met for the first time in these updates, if they still are what
    they were taken for."""
    places = {intent.canonical_id: {
        (intent.system, intent.external_id or ""), (of, ext)} for intent in intents
        for of, _, ext in [intent.reference.partition(":")]}
    ends = {place for of_one in places.values() for place in of_one}
    known = {(side.system, ext) for side in pair.sides for ext in uow.canonical_ids(
        pair.name, intents[0].entity, side.system,
        [ext for system, ext in ends if system == side.system])} if intents else set()
    return [Link(intents[0].entity, canonical_id, system, external_id, "", {})
            for canonical_id, of_one in places.items() if not of_one & known
            for system, external_id in sorted(of_one)]


def _sights(session: Session, uow: UnitOfWork, role: Role, links: Collection[Link],
            changes: Iterable[Change]) -> dict[str, Sight]:
    """Those records of one side that are there and can be read, by canonical ID."""
    side = session.pair.side(role)
    there = {c.external_id: c for c in changes if not c.deleted}
    tied = {link.external_id: link for link in links if link.system == side.system}
    found = in_canonical_words(session, uow, next(iter(links)).entity, side, [
        (RemoteRecord(c.external_id, c.version, c.payload), None)
        for c in there.values()]) if links else {}
    return {tied[ext].canonical_id: Sight(tied[ext], there[ext], record)
            for ext, record in found.items() if ext in tied and isinstance(record, dict)}


def _common_key(rules: Rules, sides: Iterable[Sight]) -> str:
    """The match key that all sides have; empty where they have none in common."""
    keys = {match_key(rules.policy.match, sight.record) for sight in sides}
    return keys.pop() if len(keys) == 1 else ""


def _keep(session: Session, uow: UnitOfWork, intents: Sequence[Intent],
          sights: Mapping[Role, Mapping[str, Sight]], met: Collection[str]) -> None:
    """Move the base of each record whose updates were made, and what was seen of both sides with
    it: an older sight of one would differ from the base, and be taken for an edit. Each intent
    tells what it adds to the base as it was when it was made, whatever the others add. Who met for
    the first time in them is tied, as long as both have one match key."""
    pair, entity = session.pair, intents[0].entity
    spec, rules = ENTITIES[entity], pair.rules[entity]
    by_record: dict[str, list[Intent]] = defaultdict(list)
    for intent in intents:
        by_record[intent.canonical_id].append(intent)
    bases = uow.snapshots(pair.name, entity, by_record)
    for canonical_id, mine in by_record.items():
        sides = {role: of_side[canonical_id] for role, of_side in sights.items()
                 if canonical_id in of_side}
        if len(sides) < 2:
            continue
        key = _common_key(rules, sides.values()) if canonical_id in met else ""
        if not key and not all(sight.as_before for sight in sides.values()):
            continue
        base = unpack(spec, bases[canonical_id].record) if canonical_id in bases else {}
        now = base
        for intent in mine:
            now = carried_on(rules, now, base, agreed(
                rules, base, unpack(spec, intent.record),
                sides[pair.role_of(intent.system)].record))
        if now == base:
            continue
        uow.save_snapshots(pair.name, [Snapshot(entity, canonical_id, pack(spec, now))])
        if key:
            _tie(session, uow, Group(entity, canonical_id, now, {
                role: Seen(sight.link.external_id, "", sight.record)
                for role, sight in sides.items()}, match_keys={key}))
            continue
        links = [sight.seen for sight in sides.values()]
        uow.save_links(pair.name, links)
        let_be_told(uow, pair, entity, links, anew=True)


def _tie(session: Session, uow: UnitOfWork, group: Group) -> None:
    """Tie the sides of a group; what waited for that goes on."""
    entries = Entries(session, group.entity)
    for role in group.sides:
        entries.link(group, role, unsettled=True)
    entries.save(uow)
