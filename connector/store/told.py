"""What records were told about themselves, and what that follows from, in short rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    Row,
    Table,
    Update,
    bindparam,
    delete,
    exists,
    literal,
    select,
    text,
    true,
    update,
)

from connector.domain.records import Payload
from connector.domain.telling import Parked, SyncState, Told, Unsettled
from connector.store.codec import instant, load, moment, readable
from connector.store.inbox import WAITING
from connector.store.rows import Among, Rows, same
from connector.store.tables import dead_letters, inbox, links, told

_TOLD = (told.c.external_id, told.c.state, told.c.reason, told.c.since, told.c.due,
         told.c.moved_to)
_KEY = ("pair", "entity", "system", "external_id")
_TOLD_TO = Among(select(*_TOLD).where(*same(told.c.pair, told.c.entity, told.c.system)),
                 told.c.external_id)
_PAYLOADS = tuple(
    Among(select(table.c.external_id, table.c.version, table.c.payload).where(
        *same(table.c.pair, table.c.entity, table.c.system)), table.c.external_id)
    for table in (dead_letters, inbox))  # what was read later says what stands there
_BEGUN = ""
"""Stands for no record, but for that telling has begun."""


class ToldRows(Rows):
    """The part of a unit of work about what records are told."""

    def begin_telling(self, pair: str, entity: str, system: str, *, again: bool = False) -> None:
        if not again and self.connection.execute(select(exists().where(
                *self._of(pair, entity, system), told.c.external_id == _BEGUN))).scalar_one():
            return
        known = select(told.c.external_id).where(*self._of(pair, entity, system))
        linked = select(links.c.pair, links.c.entity, links.c.system, links.c.external_id,
                        literal(""), literal(""), true(), literal("")).where(
            links.c.pair == pair, links.c.entity == entity, links.c.system == system,
            links.c.alias.is_(False), links.c.seen.is_not(None),
            links.c.external_id.not_in(known))
        self.connection.execute(told.insert().from_select(
            [*_KEY, "state", "reason", "due", "moved_to"], linked))
        self.save_told(pair, entity, system, [Told(_BEGUN, SyncState.IN_SYNC)])

    def to_tell(self, pair: str, records: Collection[tuple[str, str, str]], *,
                anew: bool) -> None:
        rows = [{"pair": pair, "entity": entity, "system": system, "external_id": external_id,
                 "state": "", "reason": "", "since": None, "due": True, "moved_to": ""}
                for entity, system, external_id in records]
        if anew:
            self.upsert(told, rows, _KEY, keep=("state", "reason", "since", "moved_to"))
        else:
            self.insert_new(told, rows, _KEY)

    def untold(self, pair: str, entity: str, system: str) -> dict[str, Told]:
        rows = self.connection.execute(select(*_TOLD).where(
            *self._of(pair, entity, system),
            text("(due OR state != 'in_sync')")))  # in the words of the index
        return {row[0]: _told(row) for row in rows}

    def told(self, pair: str, entity: str, system: str,
             external_ids: Collection[str]) -> dict[str, Told]:
        return {row[0]: _told(row) for row in self.where_in(
            _TOLD_TO, external_ids, pair=pair, entity=entity, system=system)}

    def save_told(self, pair: str, entity: str, system: str, saved: Sequence[Told]) -> None:
        self.upsert(told, [{
            "pair": pair, "entity": entity, "system": system, "external_id": t.external_id,
            "state": str(t.state), "reason": readable(t.reason),
            "since": moment(t.since) if t.since else None, "due": t.due,
            "moved_to": t.moved_to} for t in saved], _KEY)

    def forget_told(self, pair: str, entity: str, system: str,
                    external_ids: Collection[str]) -> None:
        self.execute_among(delete(told).where(*self._of(pair, entity, system)),
                           told.c.external_id, external_ids)

    def parked(self, pair: str, entity: str) -> list[Parked]:
        rows = self.connection.execute(select(
            dead_letters.c.system, dead_letters.c.external_id, dead_letters.c.version,
            dead_letters.c.message).where(dead_letters.c.pair == pair,
                                          dead_letters.c.entity == entity))
        return [Parked(*row) for row in rows]

    def unsettled(self, pair: str, entity: str) -> list[Unsettled]:
        rows = self.connection.execute(select(
            inbox.c.system, inbox.c.external_id, inbox.c.version, inbox.c.state, inbox.c.wanted)
            .where(inbox.c.pair == pair, inbox.c.entity == entity))
        return [Unsettled(row[0], row[1], row[2], row[4] if row[3] == WAITING else None)
                for row in rows]

    def unsettled_payloads(self, pair: str, entity: str, system: str,
                           external_ids: Collection[str]) -> dict[str, tuple[str, Payload]]:
        found: dict[str, tuple[str, Payload]] = {}
        for query in _PAYLOADS:
            found.update({ext: (version, load(payload)) for ext, version, payload in self.where_in(
                query, external_ids, pair=pair, entity=entity, system=system)})
        return found

    def restamp(self, pair: str, entity: str, system: str,
                versions: Mapping[str, tuple[str, str]]) -> None:
        if not versions:
            return
        at = [(external_id, before, now) for external_id, (before, now) in versions.items()]
        for table in (links, inbox):
            self.many(_restamping(table, table.c.external_id).where(
                table.c.entity == bindparam("b_entity"), table.c.system == bindparam("b_system")),
                [{**_versions(pair, external_id, before, now), "b_entity": entity,
                  "b_system": system} for external_id, before, now in at])
        self.many(_restamping(dead_letters, dead_letters.c.trace_key),
                  [_versions(pair, f"{entity}/{system}/{external_id}", before, now)
                   for external_id, before, now in at])

    def _of(self, pair: str, entity: str, system: str) -> tuple[Any, ...]:
        return (told.c.pair == pair, told.c.entity == entity, told.c.system == system)


def _told(row: Row[Any]) -> Told:
    return Told(row[0], row[1], row[2], instant(row[3]), row[4], row[5])


def _restamping(table: Table, key: Column[Any]) -> Update:
    return update(table).where(table.c.pair == bindparam("b_pair"), key == bindparam("b_key"),
                               table.c.version == bindparam("b_before")).values(
        version=bindparam("b_now"))


def _versions(pair: str, key: str, before: str, now: str) -> dict[str, str]:
    return {"b_pair": pair, "b_key": key, "b_before": before, "b_now": now}
