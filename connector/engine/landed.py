"""Takes in updates whose results were lost: the records are read again, and what an update has
brought both sides to agree on is kept, before somebody changes it once more."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from connector.domain.entities import ENTITIES, pack, unpack
from connector.domain.policies import Role, other
from connector.domain.records import Batch, Change, Link, RemoteRecord, Snapshot
from connector.engine.known import Planned
from connector.engine.merge import agreed
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


def look_again(session: Session, batch: Batch) -> None:
    """Read what a batch of updates of an unknown fate was to change, and its counterparts; what is
    still to be done is planned anew from that. Raises `RetryLater` where a system is away."""
    pair, entity = session.pair, batch.intents[0].entity
    ours = pair.role_of(batch.intents[0].system)
    with session.store.begin() as uow:
        links = [link for found in uow.links_by_canonical(
            pair.name, entity, [i.canonical_id for i in batch.intents]).values()
            for link in found if not link.alias]
    theirs = {link.external_id: link.version for link in links
              if pair.role_of(link.system) != ours and link.seen is not None}
    written = reread(session, entity, ours, [i.external_id for i in batch.intents
                                             if i.external_id], Planned())
    opposite = reread(session, entity, other(ours), list(theirs), Planned()) if theirs else {}
    with session.store.begin() as uow:
        sights = {ours: _sights(session, uow, ours, links, written.values()),
                  other(ours): _sights(session, uow, other(ours), links, opposite.values())}
        _keep(session, uow, batch, sights)
        uow.receive(pair.name, [*written.values(), *(
            c for c in opposite.values() if c.version != theirs[c.external_id])])
        uow.settle_batches(pair.name, [batch.key])


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


def _keep(session: Session, uow: UnitOfWork, batch: Batch,
          sights: Mapping[Role, Mapping[str, Sight]]) -> None:
    """Move the base of each record whose update was made, and what was seen of both sides with it:
    an older sight of one would differ from the base, and be taken for an edit."""
    pair, entity = session.pair, batch.intents[0].entity
    spec, rules = ENTITIES[entity], pair.rules[entity]
    bases = uow.snapshots(pair.name, entity, [i.canonical_id for i in batch.intents])
    for intent in batch.intents:
        sides = [of_side[intent.canonical_id] for of_side in sights.values()
                 if intent.canonical_id in of_side]
        if intent.canonical_id not in bases or len(sides) < 2 \
                or not all(sight.as_before for sight in sides):
            continue
        base = unpack(spec, bases[intent.canonical_id].record)
        now = agreed(rules, base, unpack(spec, intent.record), sides[0].record)
        if now != base:
            uow.save_snapshots(pair.name, [Snapshot(entity, intent.canonical_id,
                                                    pack(spec, now))])
            links = [sight.seen for sight in sides]
            uow.save_links(pair.name, links)
            let_be_told(uow, pair, entity, links, anew=True)
