"""Compares everything on both sides, by key and by content, with cursors left out of it.

First the cursors are followed once more, so that what they bring is not taken for missed. Then
each side of an entity is read as a whole, page by page, and each page compared with what was last
seen of its records; then the links are walked, a batch at a time. Only external IDs are held in
memory. What drifted goes into the inbox, if it is to be repaired, and a sync takes it up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connector.domain.drift import Drift, Drifted, DriftKind
from connector.domain.entities import ENTITIES, redirected, unpack
from connector.domain.ledger import Conflict
from connector.domain.policies import CRM, Role, other
from connector.domain.records import Change, Link, RemoteRecord, Snapshot
from connector.engine.entries import LIVE
from connector.engine.group import Group, Seen
from connector.engine.known import Planned
from connector.engine.orphans import note_orphaned
from connector.engine.pair import Side
from connector.engine.plan import decide
from connector.engine.present import in_canonical_words
from connector.engine.pull import pull, read_hinted
from connector.engine.reread import BATCH, reread
from connector.engine.session import Session
from connector.errors import RecordFailed
from connector.ports import UnitOfWork

DELETED = "deleted"


@dataclass(slots=True)
class _Read:
    """One side, read as a whole: all external IDs, and why some of them look missed."""

    ids: set[str] = field(default_factory=set)
    suspects: dict[str, str] = field(default_factory=dict)


def compare(session: Session, entities: Iterable[str], *, repair: bool) -> Drift:
    """Compare both sides of each entity; with `repair`, put what drifted into the inbox. Raises
    `RetryLater` where a system is away."""
    drift = Drift()
    for entity in entities:
        comparison = _Comparison(session, entity, drift, repair)
        comparison.run()
    return drift


class _Comparison:
    """One entity at a time."""

    def __init__(self, session: Session, entity: str, drift: Drift, repair: bool) -> None:
        self.session, self.entity, self.drift, self.repair = session, entity, drift, repair
        self.pair, self.rules = session.pair, session.pair.rules[entity]
        self.read: dict[Role, _Read] = {}
        with session.store.begin() as uow:
            self.became = uow.redirects(session.pair.name)

    def run(self) -> None:
        """Read both sides, then walk the links of both."""
        for side in self.pair.sides:
            self._follow(side)
            self.read[side.role] = self._read(side)
        for side in self.pair.sides:
            if self.read[side.role].suspects:  # changed while it was read, it is not missed
                self._follow(side, count=False)
            self._tell_missed(side)
        for side in self.pair.sides:
            for links in self._links(side):
                self._walk(side, links)

    # ---- reading

    def _follow(self, side: Side, *, count: bool = True) -> None:
        """Read what the cursor and hints bring."""
        pull(self.session, [self.entity], side, count=count)
        read_hinted(self.session, [self.entity], side, count=count)

    def _read(self, side: Side) -> _Read:
        read = _Read()
        pages = side.adapter.pull(side.mappings[self.entity].object, None)
        for page in pages:
            self.session.keep_alive()
            fresh = [r for r in page.records if r.external_id not in read.ids]
            read.ids.update(r.external_id for r in page.records)
            with self.session.store.begin() as uow:
                suspects = self._suspects(uow, side, page.records)
            for record in page.records:
                read.suspects.pop(record.external_id, None)
            read.suspects.update(suspects)
            self.session.count_echoes(self.entity, side.role, len(fresh))
            self.session.observe(self.entity, "compare", len(page.records))
        self.drift.compared[self.entity, side.role] = len(read.ids)
        return read

    def _suspects(self, uow: UnitOfWork, side: Side,
                  records: Sequence[RemoteRecord]) -> dict[str, str]:
        """The records of a page that are not what was last seen of them, and why."""
        ids = [record.external_id for record in records]
        links = uow.links_by_external(self.pair.name, self.entity, side.system, ids)
        parked = uow.dead_versions(self.pair.name, self.entity, side.system, ids)
        told = [r for r in records if parked.get(r.external_id) != r.version]
        found = dict[str, str]()
        linked = [(r, links[r.external_id]) for r in told if r.external_id in links
                  and not links[r.external_id].alias]
        now = in_canonical_words(self.session, uow, self.entity, side, [
            (r, self._seen(link.seen)) for r, link in linked if not r.deleted])
        for record, link in linked:
            if (link.seen is None) != record.deleted:
                found[record.external_id] = DELETED if record.deleted else "there again"
            elif link.version not in ("", record.version) and not record.deleted:
                found[record.external_id] = "in another version than the one last seen"
            elif now.get(record.external_id) != self._seen(link.seen):
                found[record.external_id] = "holds something else than what was last seen"
        for record in told:
            if record.external_id not in links and self._belongs(side, record):
                found[record.external_id] = "new"
        return found

    def _belongs(self, side: Side, record: RemoteRecord) -> bool:
        """Whether a record without a link is one that a sync would take up."""
        if record.deleted:
            return False
        try:
            return side.mappings[self.entity].selects(record.payload)
        except RecordFailed:
            return True

    def _tell_missed(self, side: Side) -> None:
        read = self.read[side.role]
        ids = sorted(read.suspects)
        for start in range(0, len(ids), BATCH):
            batch = ids[start:start + BATCH]
            with self.session.store.begin() as uow:
                waiting = uow.inbox_by_external(self.pair.name, self.entity, side.system, batch)
                missed = [ext for ext in batch if ext not in waiting]
                self.drift.add([Drifted(DriftKind.MISSED, self.entity, side.role, ext,
                                        read.suspects[ext]) for ext in missed])
                self._take_up(uow, side, [ext for ext in missed
                                          if read.suspects[ext] != DELETED])
            self._take_up_deleted(side, [ext for ext in missed if read.suspects[ext] == DELETED])

    # ---- walking the links

    def _links(self, side: Side) -> Iterator[list[Link]]:
        after = ""
        while True:
            self.session.keep_alive()
            with self.session.store.begin() as uow:
                links = uow.links_after(self.pair.name, self.entity, side.system, after, BATCH)
            if not links:
                return
            yield links
            after = links[-1].external_id

    def _walk(self, side: Side, links: Sequence[Link]) -> None:
        living = [link for link in links if link.seen is not None and not link.alias]
        self._tell_gone(side, [x for x in living if x.external_id not in self.read[side.role].ids])
        with self.session.store.begin() as uow:
            found = list(self._differences(uow, side, living))
            self.drift.add(found)
            for one in self.pair.sides:
                self._take_up(uow, one, [x.external_id for x in found if x.side == one.role])

    def _tell_gone(self, side: Side, links: Sequence[Link]) -> None:
        """Links whose record was not among all those read; each is looked for once more, for it
        may have come up behind the pages."""
        if not links:
            return
        now = reread(self.session, self.entity, side.role, [x.external_id for x in links],
                     Planned())
        with self.session.store.begin() as uow:
            waiting = uow.inbox_by_external(self.pair.name, self.entity, side.system, list(now))
            gone = [c for ext, c in now.items() if c.deleted and ext not in waiting]
            self.drift.add([Drifted(DriftKind.GONE, self.entity, side.role, c.external_id,
                                    "it is no longer there, and nothing told so") for c in gone])
            if self.repair:
                uow.receive(self.pair.name, gone)

    def _differences(self, uow: UnitOfWork, side: Side,
                     links: Sequence[Link]) -> Iterator[Drifted]:
        """Records that stand alone, and, walking the CRM's, pairs that differ; of those of which
        something waits nothing is told."""
        ids = {link.canonical_id for link in links}
        tied = uow.links_by_canonical(self.pair.name, self.entity, ids)
        busy = self._busy(uow, [link for links in tied.values() for link in links])
        snapshots = uow.snapshots(self.pair.name, self.entity, ids) if side.role == CRM else {}
        conflicts: dict[str, list[Conflict]] = {}
        for conflict in uow.conflicts(self.pair.name, entity=self.entity, canonical_ids=ids,
                                      states=LIVE):
            conflicts.setdefault(conflict.canonical_id, []).append(conflict)
        for link in links:
            asked = conflicts.get(link.canonical_id, [])
            both = [x for x in tied[link.canonical_id] if not x.alias]
            if link.canonical_id in busy or link != next(
                    x for x in both if x.system == link.system):
                continue
            if all(x.system == side.system for x in both):
                if not asked:
                    yield from self._alone(side, link)
            elif side.role == CRM:
                agreed = snapshots.get(link.canonical_id)
                group = self._group(link.canonical_id, both, agreed, asked)
                note_orphaned(uow, self.pair, [group], Planned())
                yield from self._unequal(group, asked)

    def _busy(self, uow: UnitOfWork, links: Iterable[Link]) -> Collection[str]:
        """The canonical IDs of which a record waits in the inbox, is parked, or was just found to
        be missed."""
        busy, by_system = set[str](), dict[str, dict[str, str]]()
        for link in links:
            by_system.setdefault(link.system, {})[link.external_id] = link.canonical_id
        for system, canonical in by_system.items():
            name, ids = self.pair.name, list(canonical)
            missed = self.read[self.pair.role_of(system)].suspects
            found = {*uow.inbox_by_external(name, self.entity, system, ids),
                     *uow.dead_versions(name, self.entity, system, ids),
                     *(ext for ext in ids if ext in missed)}
            busy.update(canonical[ext] for ext in found)
        return busy

    def _alone(self, side: Side, link: Link) -> Iterator[Drifted]:
        if self.rules.policy.born_in in ("either", side.role):
            yield Drifted(DriftKind.ALONE, self.entity, side.role, link.external_id,
                          f"it has no counterpart in the {other(side.role)}")

    def _unequal(self, group: Group, asked: Sequence[Conflict]) -> Iterator[Drifted]:
        if any(seen.record is None for seen in group.sides.values()):
            return
        try:
            work = decide(self.rules, group)
        except RecordFailed as failure:
            yield self._told(group, CRM, str(failure))
            return
        known = {conflict.path for conflict in asked}
        for action in work.actions:
            paths = [c.path for c in action.changes] + [
                c.path for c in action.conflicts if c.path not in known]
            if paths:
                yield self._told(group, action.target or CRM,
                                 f"both sides differ: {', '.join(paths)}")
                return

    def _told(self, group: Group, side: Role, reason: str) -> Drifted:
        return Drifted(DriftKind.UNEQUAL, self.entity, side, group.sides[side].external_id, reason)

    def _group(self, canonical_id: str, links: Sequence[Link], snapshot: Snapshot | None,
               asked: Sequence[Conflict]) -> Group:
        group = Group(self.entity, canonical_id, self._seen(snapshot.record if snapshot else None))
        for link in links:
            group.sides.setdefault(self.pair.role_of(link.system), Seen(
                link.external_id, link.version, self._seen(link.seen),
                changed_at=link.changed_at))
        group.linked = set(group.sides)
        group.conflicts = list(asked)
        return group

    def _seen(self, packed: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """A record as it was kept; what it refers to by an ID that is none any more, by the one
        that became of it."""
        if packed is None:
            return None
        spec = ENTITIES[self.entity]
        return redirected(spec, unpack(spec, packed), self.became)

    # ---- repairing

    def _take_up_deleted(self, side: Side, external_ids: Sequence[str]) -> None:
        """As deletions, not as hints: so the safety stop counts them."""
        if not self.repair or not external_ids:
            return
        changes = reread(self.session, self.entity, side.role, external_ids, Planned())
        with self.session.store.begin() as uow:
            uow.receive(self.pair.name, list(changes.values()))

    def _take_up(self, uow: UnitOfWork, side: Side, external_ids: Iterable[str]) -> None:
        if self.repair:
            uow.receive(self.pair.name, [
                Change(0, self.entity, side.system, ext, "", hint=True) for ext in external_ids])
