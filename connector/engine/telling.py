"""Tells records in their own systems how they stand with the other side, where the mapping gives
that a place: in sync, waiting, conflict or failed, since when, and why.

Only what changed since a record was last told is written, under the version last seen of it; where
that has moved, the next run tells it. The version that comes of it takes the place of the one
before, so that it is no news when it is read. It is content of neither side: nothing is merged,
counted as a write of the run, or undone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import structlog

from connector.domain.entities import ENTITIES, pack
from connector.domain.records import Intent, Link, Operation, RemoteRecord, WriteResult, WriteStatus
from connector.domain.telling import Told
from connector.engine.apply import write
from connector.engine.intents import batch_of
from connector.engine.known import Known, Planned
from connector.engine.pair import Side
from connector.engine.places import has_places
from connector.engine.present import in_canonical_words
from connector.engine.reread import BATCH, read
from connector.engine.session import Session
from connector.engine.standing import Standing, Standings, standings
from connector.errors import RetryLater
from connector.ports import UnitOfWork
from connector.tracing import span

_AWAY = {WriteStatus.RETRY, WriteStatus.UNKNOWN}


def tells(session: Session, entities: Collection[str]) -> bool:
    """Whether the records of any of some entities are told how they stand, on either side."""
    return any(side.mappings[entity].state for side in session.pair.sides for entity in entities)


def look_for_untold(session: Session, entities: Collection[str]) -> None:
    """Let all records of some entities be told that never were: the config may not have asked for
    it when they were linked."""
    for side in session.pair.sides:
        for entity in entities:
            if side.mappings[entity].state:
                with session.store.begin() as uow:
                    uow.begin_telling(session.pair.name, entity, side.system, again=True)


def tell(session: Session, entities: Collection[str]) -> None:
    """Tell the records of some entities how they stand. What can't be told now is left to the
    next run."""
    for side in session.pair.sides:
        for entity in entities:
            if side.mappings[entity].state:
                _Telling(session, entity, side).all()


class _Telling:
    """Tells the records of one entity and side."""

    def __init__(self, session: Session, entity: str, side: Side) -> None:
        self.session, self.entity, self.side = session, entity, side
        self.at = (session.pair.name, entity, side.system)
        self.mapping = side.mappings[entity]
        self.now = session.clock.now()

    def all(self) -> None:
        """Tell all that stand otherwise than they were told."""
        with self.session.store.begin() as uow:
            uow.begin_telling(*self.at)
            stand = standings(uow, self.session.pair, self.entity, self.side)
            untold = uow.untold(*self.at)
        wanted = sorted(ext for ext in {*untold, *stand.amiss} - stand.moving
                        if _is_news(untold.get(ext), stand.amiss.get(ext)))
        for start in range(0, len(wanted), BATCH):
            if not self._some(wanted[start:start + BATCH], stand):
                return

    def _some(self, external_ids: Sequence[str], stand: Standings) -> bool:
        """Tell some records; False where nothing more can be told now."""
        with self.session.store.begin() as uow:
            links = uow.links_by_external(*self.at, external_ids)
            before = uow.told(*self.at, external_ids)
        news: dict[str, Standing | None] = {}
        forgotten = []
        for ext in external_ids:
            now, was = stand.of(ext, links.get(ext)), before.get(ext, Told(ext))
            if _gone(links.get(ext)) or (now is None and not was.state and not was.due):
                forgotten.append(ext)
            elif now is None or _is_news(was, now):
                news[ext] = now
        if forgotten:
            with self.session.store.begin() as uow:
                uow.forget_told(*self.at, forgotten)
        return not news or (has_places(self.session, self.entity, self.side)
                            and self._write(news, links, stand))

    def _write(self, news: Mapping[str, Standing | None], links: Mapping[str, Link],
               stand: Standings) -> bool:
        try:
            versions = self._versions(list(news), links, stand)
        except RetryLater:
            return False
        intents = [self._intent(ext, news[ext], version, links.get(ext))
                   for ext, version in versions.items()]
        size = self.side.adapter.capabilities.write_batch
        for start in range(0, len(intents), size):
            part = intents[start:start + size]
            with self.session.store.begin() as uow:  # whatever becomes of the call
                uow.to_tell(self.session.pair.name, [
                    (self.entity, self.side.system, intent.external_id or "")
                    for intent in part], anew=True)
            with span("tell", entity=self.entity, system=self.side.system, records=len(part)):
                results = write(self.session, self.side.role, batch_of(
                    self.mapping.object, Operation.UPDATE, part))
            self._keep(part, results, news, links)
            if all(result.status in _AWAY for result in results):
                return False
        return True

    def _versions(self, external_ids: Sequence[str], links: Mapping[str, Link],
                  stand: Standings) -> dict[str, str]:
        """The versions last seen; a record of which none is known is read. Absent where it is
        gone."""
        known = {ext: stand.versions.get(ext) or (links[ext].version if ext in links else "")
                 for ext in external_ids}
        unknown = [ext for ext, version in known.items() if not version]
        if unknown:
            for ext, record in read(self.session, self.entity, self.side.role, unknown).items():
                known[ext] = record.version if record and not record.deleted else ""
        return {ext: version for ext, version in known.items() if version}

    def _intent(self, external_id: str, now: Standing | None, version: str,
                link: Link | None) -> Intent:
        canonical_id = link.canonical_id if link else self.session.pair.canonical_id(
            self.entity, self.side.system, external_id)
        return Intent(f"tell:{canonical_id}:{self.side.system}:{version}", self.entity,
                      canonical_id, self.side.system, Operation.UPDATE,
                      self.mapping.encode_state(_worded(now, self.now)), {}, "", external_id,
                      version)

    def _keep(self, intents: Sequence[Intent], results: Sequence[WriteResult],
              news: Mapping[str, Standing | None], links: Mapping[str, Link]) -> None:
        """Keep what was told. A record that is gone has nobody left to be told; what is refused is
        tried again by the next run."""
        written = [(intent, result.record) for intent, result in zip(intents, results, strict=True)
                   if result.status is WriteStatus.UPDATED and result.record is not None]
        settled = {intent.external_id or "": None for intent, result in zip(
            intents, results, strict=True) if result.status is WriteStatus.GONE} | {
            record.external_id: self.now for _, record in written}
        refused = sum(result.status is WriteStatus.REJECTED for result in results)
        if refused:
            structlog.get_logger().warning("sync state refused", entity=self.entity,
                                           system=self.side.system, records=refused)
        with self.session.store.begin() as uow:
            moved = self._unchanged(uow, written, links)
            uow.restamp(*self.at, moved)
            uow.save_told(*self.at, [
                Told(ext, now.state, now.reason, at, moved_to=moved.get(ext, ("", ""))[1])
                for ext, at in settled.items() if (now := news[ext]) is not None])
            uow.forget_told(*self.at, [ext for ext in settled if news[ext] is None])
        self.session.crash("told")
        self.session.count_told(self.entity, self.side.role, len(written))

    def _unchanged(self, uow: UnitOfWork, written: Sequence[tuple[Intent, RemoteRecord]],
                   links: Mapping[str, Link]) -> dict[str, tuple[str, str]]:
        """The versions, before and now, of records that hold what they held before they were told.
        One that its system changed meanwhile, or a user where the system has no lock, is news when
        it is read."""
        known = Known(uow, self.session.pair, self.entity, Planned())
        seen = {record.external_id: known.unpacked(links[record.external_id].seen or {})
                for intent, record in written if record.external_id in links
                and links[record.external_id].version == intent.version}
        now = in_canonical_words(self.session, uow, self.entity, self.side, [
            (record, seen[record.external_id]) for _, record in written
            if record.external_id in seen])
        kept = uow.unsettled_payloads(*self.at, [
            record.external_id for _, record in written if record.external_id not in seen])
        same = {ext for ext, before in seen.items()
                if _packed(self.entity, now[ext]) == pack(ENTITIES[self.entity], before)}
        same |= {record.external_id for intent, record in written
                 if record.external_id in kept and kept[record.external_id][0] == intent.version
                 and self.mapping.reads_alike(kept[record.external_id][1], record.payload)}
        return {record.external_id: (intent.version or "", record.version)
                for intent, record in written if record.external_id in same}


def _is_news(was: Told | None, now: Standing | None) -> bool:
    """Whether a record stands otherwise than it was told; what was never told, or is due, is."""
    return was is None or was.due or now is None \
        or (now.state, now.reason) != (was.state, was.reason)


def _worded(now: Standing | None, at: datetime) -> dict[str, object]:
    if now is None:
        return {"state": None, "since": None, "reason": None}
    return {"state": now.state.value, "since": at, "reason": now.reason or None}


def _packed(entity: str, decoded: object) -> object:
    return pack(ENTITIES[entity], decoded) if isinstance(decoded, dict) else None


def _gone(link: Link | None) -> bool:
    """Whether a record was deleted."""
    return link is not None and link.seen is None
