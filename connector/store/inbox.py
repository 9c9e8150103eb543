"""Cursors and the inbox: how far was read, and what was read and isn't settled yet."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, delete, exists, func, literal_column, select, update

from connector.domain.records import Change, Stake
from connector.store.codec import bounded, dump, instant, load, moment
from connector.store.rows import Among, Prepared, Rows, same
from connector.store.tables import cursors, hints, inbox, links

PENDING, WAITING, HINTED = "pending", "waiting", "hinted"

# In the order of `Change`; a row is unpacked at once, for its attributes cost more than its query.
CHANGE = (inbox.c.id, inbox.c.entity, inbox.c.system, inbox.c.external_id, inbox.c.version,
          inbox.c.payload, inbox.c.deleted, inbox.c.reference, inbox.c.match_key, inbox.c.hint,
          inbox.c.derived_from, inbox.c.changed_at, inbox.c.merged_into)


_CURSORS = Prepared(select(cursors.c.entity, cursors.c.cursor).where(
    cursors.c.pair == bindparam("pair"), cursors.c.system == bindparam("system")))
_PENDING, _PENDING_IN_SLOT = (Prepared(
    select(*CHANGE).where(
        inbox.c.pair == bindparam("pair"), inbox.c.entity == bindparam("entity"),
        inbox.c.state == PENDING, inbox.c.id > bindparam("after"), *more)
    .order_by(inbox.c.id).limit(bindparam("limit")))
    for more in ((), (inbox.c.slot == bindparam("slot"),)))
_MERGING = Prepared(select(inbox.c.id).where(
    inbox.c.pair == bindparam("pair"), inbox.c.entity == bindparam("entity"),
    inbox.c.state == PENDING, inbox.c.merged_into != literal_column("''")).limit(1))
_ON_SIDE = same(inbox.c.pair, inbox.c.entity, inbox.c.system)
_BY_EXTERNAL = Among(select(*CHANGE).where(*_ON_SIDE), inbox.c.external_id)
_VERSIONS = Among(select(inbox.c.external_id, inbox.c.version).where(
    *_ON_SIDE, inbox.c.hint.is_(False)), inbox.c.external_id)
_BY_MATCH_KEY = Among(select(inbox.c.id, inbox.c.match_key, inbox.c.external_id).where(*_ON_SIDE),
                      inbox.c.match_key)
_LINKED = and_(links.c.pair == inbox.c.pair, links.c.entity == inbox.c.entity,
               links.c.system == inbox.c.system, links.c.external_id == inbox.c.external_id)


class InboxRows(Rows):
    """The part of a unit of work about changes read."""

    def cursors(self, pair: str, system: str) -> dict[str, str]:
        rows = self.prepared(_CURSORS, pair=pair, system=system)
        return {row[0]: row[1] for row in rows}

    def save_cursor(self, pair: str, entity: str, system: str, cursor: str | None) -> None:
        if cursor is None:
            self.connection.execute(delete(cursors).where(
                cursors.c.pair == pair, cursors.c.entity == entity, cursors.c.system == system))
            return
        self.upsert(cursors, [{"pair": pair, "entity": entity, "system": system,
                               "cursor": cursor}], ("pair", "entity", "system"))

    def receive(self, pair: str, changes: Sequence[Change]) -> None:
        newest = {(c.entity, c.system, c.external_id): c for c in changes}
        if not newest:
            return
        self.replace(inbox, [{**_row(pair, c, self.at), "slot": self.slot_of(c.entity)}
                             for c in newest.values()],
                     ("pair", "entity", "system", "external_id"))

    def pending(self, pair: str, entity: str, after: int, limit: int) -> list[Change]:
        asked = {"pair": pair, "entity": entity, "after": after, "limit": limit}
        rows = self.prepared(_PENDING, **asked) if self.part is None else \
            self.prepared(_PENDING_IN_SLOT, slot=self.part.slot, **asked)
        return [as_change(*row) for row in rows]

    def inbox_by_external(self, pair: str, entity: str, system: str,
                          external_ids: Collection[str]) -> dict[str, Change]:
        found = (as_change(*row) for row in self.where_in(
            _BY_EXTERNAL, external_ids, pair=pair, entity=entity, system=system))
        return {change.external_id: change for change in found}

    def inbox_versions(self, pair: str, entity: str, system: str,
                       external_ids: Collection[str]) -> dict[str, str]:
        return {row[0]: row[1] for row in self.where_in(
            _VERSIONS, external_ids, pair=pair, entity=entity, system=system)}

    def inbox_by_match_key(self, pair: str, entity: str, system: str, keys: Collection[str],
                           known: Mapping[int, Change]) -> dict[str, list[Change]]:
        asked = {key: bounded(key) for key in keys}
        rows = sorted(tuple(row) for row in self.where_in(
            _BY_MATCH_KEY, set(asked.values()), pair=pair, entity=entity, system=system))
        missing = {external_id for id, _, external_id in rows if id not in known}
        loaded = self.inbox_by_external(pair, entity, system, missing) if missing else {}
        kept: dict[str, list[Change]] = {}
        for id, match_key, external_id in rows:
            change = known.get(id) or loaded.get(external_id)
            if change is not None:  # else another transaction has settled it just now
                kept.setdefault(match_key, []).append(change)
        return {key: kept[short] for key, short in asked.items() if short in kept}

    def merges(self, pair: str, entity: str) -> list[Change]:
        if self.prepared(_MERGING, pair=pair, entity=entity).one_or_none() is None:
            return []
        rows = self.connection.execute(
            select(*CHANGE).where(inbox.c.pair == pair, inbox.c.entity == entity,
                                  inbox.c.merged_into != "", inbox.c.state == PENDING,
                                  *self.mine(inbox.c.slot))
            .order_by(inbox.c.id))
        return [as_change(*row) for row in rows]

    def unkeyed(self, pair: str, entity: str, system: str, after: int,
                limit: int) -> list[Change]:
        rows = self.connection.execute(
            select(*CHANGE).where(
                inbox.c.pair == pair, inbox.c.entity == entity, inbox.c.system == system,
                inbox.c.match_key == "", inbox.c.deleted.is_(False), inbox.c.hint.is_(False),
                inbox.c.derived_from == "", inbox.c.id > after, ~exists().where(_LINKED),
                *self.mine(inbox.c.slot))
            .order_by(inbox.c.id).limit(limit))
        return [as_change(*row) for row in rows]

    def set_match_keys(self, pair: str, keys: Mapping[int, str]) -> None:
        if keys:
            self.connection.execute(
                update(inbox).where(inbox.c.pair == pair, inbox.c.id == bindparam("b_id"))
                .values(match_key=bindparam("b_key")),
                [{"b_id": i, "b_key": bounded(key)} for i, key in keys.items()])

    def stake(self, pair: str, entity: str, system: str) -> Stake:
        linked = self.connection.execute(select(func.count()).select_from(links).where(
            links.c.pair == pair, links.c.entity == entity, links.c.system == system,
            links.c.seen.is_not(None))).scalar_one()
        moved = dict(self.connection.execute(
            select(inbox.c.deleted, func.count()).select_from(inbox.join(links, _LINKED)).where(
                inbox.c.pair == pair, inbox.c.entity == entity, inbox.c.system == system,
                inbox.c.state == PENDING).group_by(inbox.c.deleted)).tuples().all())
        return Stake(linked, moved.get(True, 0), moved.get(False, 0))

    def settle(self, change_ids: Collection[int]) -> None:
        self.execute_among(delete(inbox), inbox.c.id, change_ids)

    def wait(self, pair: str, waits: Mapping[int, str]) -> None:
        if waits:
            self.connection.execute(
                update(inbox).where(inbox.c.pair == pair, inbox.c.id == bindparam("b_id"))
                .values(state=WAITING, wanted=bindparam("b_wanted")),
                [{"b_id": i, "b_wanted": wanted} for i, wanted in waits.items()])

    def release(self, pair: str, wanted: Collection[str]) -> int:
        return self.execute_among(
            update(inbox).where(inbox.c.pair == pair).values(state=PENDING, wanted=None),
            inbox.c.wanted, wanted)

    def inbox_counts(self, pair: str) -> dict[tuple[str, str, str], int]:
        rows = self.connection.execute(
            select(inbox.c.entity, inbox.c.system, inbox.c.state, func.count())
            .where(inbox.c.pair == pair)
            .group_by(inbox.c.entity, inbox.c.system, inbox.c.state))
        told = self.connection.execute(
            select(hints.c.entity, hints.c.system, func.count())
            .where(hints.c.pair == pair).group_by(hints.c.entity, hints.c.system))
        return {**{(entity, system, state): number for entity, system, state, number in rows},
                **{(entity, system, HINTED): number for entity, system, number in told}}


def _row(pair: str, change: Change, at: datetime | None) -> dict[str, Any]:
    return {"pair": pair, "entity": change.entity, "system": change.system,
            "external_id": change.external_id, "state": PENDING, "version": change.version,
            "payload": dump(change.payload), "deleted": change.deleted,
            "reference": change.reference, "match_key": bounded(change.match_key),
            "hint": change.hint, "derived_from": change.derived_from, "wanted": None,
            "changed_at": moment(change.changed_at) if change.changed_at else None,
            "merged_into": change.merged_into,
            "received_at": moment(at) if at else None}


def as_change(id: int, entity: str, system: str, external_id: str, version: str, payload: bytes,
              deleted: bool, reference: str | None, match_key: str, hint: bool, derived_from: str,
              changed_at: str | None, merged_into: str) -> Change:
    """A row of the inbox."""
    return Change(id, entity, system, external_id, version, load(payload), bool(deleted),
                  reference, match_key, bool(hint), derived_from, instant(changed_at),
                  merged_into)
