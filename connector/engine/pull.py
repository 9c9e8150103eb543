"""Reads one side of an entity into the inbox, page by page.

A page's changes and the cursor behind it are committed together: after a crash nothing is lost
and nothing is read twice in vain.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from connector.domain.records import Change, Page
from connector.engine.echo import fresh
from connector.engine.gather import Planned
from connector.engine.pair import Side
from connector.engine.reread import change_of, keyed, reread
from connector.engine.session import Session
from connector.errors import CursorExpired


def pull(session: Session, entity: str, side: Side, *, everything: bool = False,
         count: bool = True) -> None:
    """Read what changed since the cursor; `everything` ignores cursors and versions.

    An expired cursor is dropped and everything read again. Raises `RetryLater` where the system
    is away, and `AccessDenied`.
    """
    with session.store.begin() as uow:
        cursor = None if everything else uow.cursor(session.pair.name, entity, side.system)
    try:
        _pull_from(session, entity, side, cursor, everything=everything, count=count)
    except CursorExpired:
        _pull_from(session, entity, side, None, everything=everything, count=count)


def _pull_from(session: Session, entity: str, side: Side, cursor: str | None, *,
               everything: bool, count: bool) -> None:
    read = set[str]()
    pages = side.adapter.pull(side.mappings[entity].object, cursor)
    for page in _ahead(pages) if session.in_flight else pages:
        read.update(record.external_id for record in page.records)
        session.keep_alive()
        session.crash("page read")
        echoes = _receive(session, entity, side, page, everything=everything)
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
    with ThreadPoolExecutor(1, "pull") as reader:
        coming = reader.submit(next, pages, None)
        while (page := coming.result()) is not None:
            coming = reader.submit(next, pages, None)
            yield page


def _receive(session: Session, entity: str, side: Side, page: Page, *, everything: bool) -> int:
    """Put a page into the inbox; returns how many of its records were echoes.

    A record that waits there in the same version, or was parked in it, stays as it is and is not
    counted again; `everything` tries the parked ones once more.
    """
    pair = session.pair
    with session.store.begin() as uow:
        ids = [record.external_id for record in page.records]
        versions = uow.versions(pair.name, entity, side.system, ids)
        kept = uow.inbox_versions(pair.name, entity, side.system, ids)
        if not everything:
            kept.update(uow.dead_versions(pair.name, entity, side.system, ids))
        news = list(page.records) if everything else fresh(page.records, versions)
        echoes = len(page.records) - len(news)
        changes = [change_of(entity, side.system, record.external_id, record)
                   for record in fresh(news, kept)]
        uow.receive(pair.name, keyed(session, uow, entity, side, changes, versions, Planned()))
        uow.save_cursor(pair.name, entity, side.system, page.cursor)
    return echoes


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
