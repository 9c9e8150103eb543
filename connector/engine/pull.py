"""Reads one side of an entity into the inbox: page by page, or the records that hints name.

A page's changes and the cursor behind it are committed together: after a crash nothing is lost
and nothing is read twice in vain.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace

from connector.domain.records import Change, Page, RemoteRecord
from connector.engine.echo import fresh
from connector.engine.known import Planned
from connector.engine.pacing import Pace
from connector.engine.pair import Side
from connector.engine.reread import BATCH, change_of, keyed, read, reread
from connector.engine.session import Session
from connector.errors import CursorExpired
from connector.ports import UnitOfWork
from connector.tracing import span


def pull(session: Session, entities: Sequence[str], side: Side, *, count: bool = True) -> None:
    """Read what changed since the cursors.

    An expired cursor is dropped and everything read again. Raises `RetryLater` where the system
    is away, and `AccessDenied`.
    """
    with session.store.begin() as uow:
        cursors = uow.cursors(session.pair.name, side.system)
    for entity in entities:
        with span("pull", entity=entity, system=side.system):
            try:
                _pull_from(session, entity, side, cursors.get(entity), count=count)
            except CursorExpired:
                _pull_from(session, entity, side, None, count=count)


def _pull_from(session: Session, entity: str, side: Side, cursor: str | None, *,
               count: bool) -> None:
    read = set[str]()
    pages = side.adapter.pull(side.mappings[entity].object, cursor)
    for page in _ahead(pages) if session.in_flight else pages:
        read.update(record.external_id for record in page.records)
        session.keep_alive()
        session.crash("page read")
        echoes = _receive(session, entity, side, page)
        if count and echoes:
            session.count_echoes(entity, side.role, echoes)
        session.observe(entity, "pull", len(page.records))
    if side.adapter.capabilities.deletions == "absence":
        _receive_absent(session, entity, side, read)


def _receive_absent(session: Session, entity: str, side: Side, read: Collection[str]) -> None:
    """Put the records that are no longer among all those just read into the inbox, as deletions;
    each is looked for once more, for it may have come up behind the pages."""
    with session.store.begin() as uow:
        absent = sorted(uow.living(session.pair.name, entity, side.system).difference(read))
    if absent:
        changes = reread(session, entity, side.role, absent, Planned())
        with session.store.begin() as uow:
            uow.receive(session.pair.name, [c for c in changes.values() if c.deleted])


def _ahead(pages: Iterator[Page]) -> Iterator[Page]:
    """The pages, each next one being read while the one before is stored."""
    def following() -> Page | None:
        return next(pages, None)

    with ThreadPoolExecutor(1, "pull") as reader:
        coming = reader.submit(copy_context().run, following)
        while (page := coming.result()) is not None:
            coming = reader.submit(copy_context().run, following)
            yield page


def _receive(session: Session, entity: str, side: Side, page: Page) -> int:
    """Put a page into the inbox; returns how many of its records were echoes."""
    with session.store.begin() as uow:
        echoes = _take_in(session, uow, entity, side, page.records)
        uow.save_cursor(session.pair.name, entity, side.system, page.cursor)
    return echoes


def _take_in(session: Session, uow: UnitOfWork, entity: str, side: Side,
             records: Sequence[RemoteRecord]) -> int:
    """Put records just read into the inbox; returns how many of them were echoes.

    A record that waits there in the same version, or was parked in it, stays as it is and is not
    counted again.
    """
    pair = session.pair
    ids = [record.external_id for record in records]
    versions = uow.versions(pair.name, entity, side.system, ids)
    kept = uow.inbox_versions(pair.name, entity, side.system, ids)
    kept.update(uow.dead_versions(pair.name, entity, side.system, ids))
    news = fresh(records, versions)
    changes = [change_of(entity, side.system, record.external_id, record)
               for record in fresh(news, kept)]
    uow.receive(pair.name, keyed(session, uow, entity, side, changes, versions, Planned()))
    return len(records) - len(news)


def read_hinted(session: Session, entities: Sequence[str], side: Side, *, count: bool = True,
                pace: Pace | None = None) -> None:
    """Read the records that hints name into the inbox, each once, until all that was told by now
    is read; those that rest by `pace` keep their hints. A hint that comes up while its record is
    read stays for the next time."""
    done = {entity: set[str]() for entity in entities}
    after, more = 0, True
    while more:
        with session.store.begin() as uow:
            hinted = uow.hinted(session.pair.name, side.system, after, BATCH)
        after, more = max(hinted, default=after), len(hinted) == BATCH
        wanted: dict[str, dict[str, int]] = {entity: {} for entity in entities}
        for id, (entity, external_id) in hinted.items():
            if entity in done and external_id not in done[entity] \
                    and not (pace and pace.rest_left((entity, side.system, external_id))):
                wanted[entity][external_id] = id
        for entity, ids in wanted.items():
            if ids:
                done[entity].update(ids)
                _read_told(session, entity, side, ids, count=count)
                if pace:
                    pace.was_read((entity, side.system, external_id) for external_id in ids)


def _read_told(session: Session, entity: str, side: Side, hints: Mapping[str, int], *,
               count: bool) -> None:
    """Read records into the inbox and settle their hints, by external ID."""
    session.keep_alive()
    found = read(session, entity, side.role, list(hints))
    session.crash("hints read")
    with session.store.begin() as uow:
        echoes = _take_in(session, uow, entity, side,
                          [record or _gone(ext) for ext, record in found.items()])
        uow.settle_hints(hints.values())
    if count and echoes:
        session.count_echoes(entity, side.role, echoes)
    session.observe(entity, "pull", len(hints))


def _gone(external_id: str) -> RemoteRecord:
    return RemoteRecord(external_id, "", {}, deleted=True)


def refreshed(session: Session, entity: str, changes: Sequence[Change],
              planned: Planned) -> list[Change]:
    """The changes, hints read again: a hint says that something changed, never what."""
    hints = [c for c in changes if c.hint]
    if not hints:
        return list(changes)
    found: dict[int, Change] = {}
    for side in session.pair.sides:
        mine = {c.external_id: c for c in hints if c.system == side.system}
        if mine:
            now = reread(session, entity, side.role, list(mine), planned)
            found.update({mine[ext].id: replace(change, id=mine[ext].id)
                          for ext, change in now.items()})
    return [found.get(c.id, c) for c in changes]
