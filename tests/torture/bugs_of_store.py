"""Bugs planted in what reads, in the adapter and in the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from connector.adapters.memory import MemoryAdapter
from connector.domain.records import Page
from connector.engine import pull
from connector.errors import CursorExpired
from connector.store.unit_of_work import SqlUnitOfWork
from tests.torture.planting import planted, swap

Patches = Iterable[Any]


@planted("the cursor moves with its page")
def cursor_moved_first() -> Patches:
    def receive(real: Any) -> Any:
        def early(session: Any, entity: str, side: Any, page: Any, **more: Any) -> Any:
            with session.store.begin() as uow:
                uow.save_cursor(session.pair.name, entity, side.system, page.cursor)
            session.crash("cursor moved")
            return real(session, entity, side, page, **more)

        return early

    yield swap(pull, "_receive", receive)


@planted("a pull looks back behind the cursor")
def no_look_back() -> Patches:
    def looking_ahead(real: Any) -> Any:
        def read(self: Any, object: str, cursor: str | None) -> Iterator[Page]:
            self.look_back = 0
            return real(self, object, cursor)  # type: ignore[no-any-return]

        return read

    yield swap(MemoryAdapter, "pull", looking_ahead)


@planted("no cursor stands behind what may still come up while a pull goes on")
def max_seen_cursor() -> Patches:
    def greatest(real: Any) -> Any:
        def read(self: Any, object: str, cursor: str | None) -> Iterator[Page]:
            for page in real(self, object, cursor):
                yield replace(page, cursor=page.records[-1].version)

        return read

    yield swap(MemoryAdapter, "pull", greatest)


@planted("pages go by key, not by offset")
def pages_by_offset() -> Patches:
    def read(self: Any, object: str, cursor: str | None) -> Iterator[Page]:
        after, offset = max(0, int(cursor or 0) - self.look_back), 0
        while True:
            rows = sorted((r for r in self.system.objects.get(object, {}).values()
                           if r.at > after), key=lambda r: r.at)[offset:offset + self.page]
            if not rows:
                return
            offset += self.page
            yield Page(tuple(row.record() for row in rows), str(rows[-1].at))

    yield patch.object(MemoryAdapter, "pull", read)


@planted("after an expired cursor everything is read again")
def expired_cursor_goes_on_from_now() -> Patches:
    def from_now(real: Any) -> Any:
        def read(session: Any, entity: str, side: Any, cursor: Any, **more: Any) -> None:
            try:
                real(session, entity, side, cursor, **more)
            except CursorExpired:
                with session.store.begin() as uow:
                    uow.save_cursor(session.pair.name, entity, side.system,
                                    str(side.adapter.system.changes + side.adapter.look_back))

        return read

    yield swap(pull, "_pull_from", from_now)


@planted("a write that was not read before is refused")
def version_not_checked() -> Patches:
    def write_one(real: Any) -> Any:
        def blind(self: Any, object: str, intent: Any) -> Any:
            row = self.system.objects.get(object, {}).get(intent.external_id)
            return real(self, object, replace(intent, version=str(row.at)) if row else intent)

        return blind

    yield swap(MemoryAdapter, "write_one", write_one)


@planted("an echo is told by its version")
def echoes_told_by_time() -> Patches:
    written: dict[str, float] = {}
    now = [0.0]

    def write_one(real: Any) -> Any:
        def timed(self: Any, object: str, intent: Any) -> Any:
            result = real(self, object, intent)
            if result.record is not None:
                written[result.record.external_id] = self.clock.now().timestamp()
            return result

        return timed

    def receive(real: Any) -> Any:
        def timed(session: Any, entity: str, side: Any, page: Any, **more: Any) -> Any:
            now[0] = session.clock.now().timestamp()
            return real(session, entity, side, page, **more)

        return timed

    yield patch.object(MemoryAdapter, "write_one", write_one(MemoryAdapter.write_one))
    yield swap(pull, "_receive", receive)
    yield swap(pull, "fresh", lambda real: lambda records, versions: [
        r for r in real(records, versions)
        if now[0] - written.get(r.external_id, -1e9) > 120])


@planted("a link is kept with what was seen")
def links_not_saved() -> Patches:
    yield swap(SqlUnitOfWork, "save_links", lambda real: lambda self, pair, saved: real(
        self, pair, list(saved)[:1]))


@planted("a snapshot is kept")
def snapshots_not_saved() -> Patches:
    yield patch.object(SqlUnitOfWork, "save_snapshots", lambda *_args: None)


@planted("the outbox keeps what is sent")
def outbox_not_kept() -> Patches:
    yield patch.object(SqlUnitOfWork, "record_batch", lambda *_args: None)
