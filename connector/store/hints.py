"""Hints, and the webhook deliveries that brought them.

Rows are always locked in the order of their keys: receivers and drains that touch the same ones at
the same time wait for each other, but never in a circle.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import bindparam, delete, select, tuple_

from connector.store.codec import moment
from connector.store.rows import Among, Prepared, Rows, same
from connector.store.tables import deliveries, hints

_RECORD = ("pair", "entity", "system", "external_id")
_HINTED = Prepared(
    select(hints.c.id, hints.c.entity, hints.c.external_id)
    .where(hints.c.pair == bindparam("pair"), hints.c.system == bindparam("system"),
           hints.c.id > bindparam("after"))
    .order_by(hints.c.id).limit(bindparam("limit")))
_LOCKED = Among(select(hints.c.id).order_by(*(hints.c[name] for name in _RECORD))
                .with_for_update(), hints.c.id)
_DELIVERED = Among(select(deliveries.c.delivery_id).where(*same(deliveries.c.system)),
                   deliveries.c.delivery_id)


class HintRows(Rows):
    """The part of a unit of work about what webhooks tell."""

    def note_deliveries(self, at: datetime,
                        came: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        known = set[tuple[str, str]]()
        for system in {system for system, _ in came}:
            ids = {delivery_id for of, delivery_id in came if of == system}
            known.update((system, row[0])
                         for row in self.where_in(_DELIVERED, ids, system=system))
        new = set(came) - known
        self.insert_new(deliveries, [{"system": system, "delivery_id": delivery_id,
                                      "at": moment(at)} for system, delivery_id in sorted(new)],
                        ("system", "delivery_id"))
        return new

    def forget_deliveries(self, before: datetime, limit: int) -> int:
        old = select(deliveries.c.system, deliveries.c.delivery_id).where(
            deliveries.c.at < moment(before)).order_by(deliveries.c.at).limit(limit)
        return self.connection.execute(delete(deliveries).where(
            tuple_(deliveries.c.system, deliveries.c.delivery_id).in_(old))).rowcount

    def hint(self, pair: str, records: Collection[tuple[str, str, str]]) -> None:
        if records:
            self.replace(hints, [dict(zip(_RECORD, (pair, *record), strict=True))
                                 for record in sorted(set(records))], _RECORD)

    def hinted(self, pair: str, system: str, after: int,
               limit: int) -> dict[int, tuple[str, str]]:
        rows = self.prepared(_HINTED, pair=pair, system=system, after=after, limit=limit)
        return {row[0]: (row[1], row[2]) for row in rows}

    def settle_hints(self, hint_ids: Collection[int]) -> None:
        found = [row[0] for row in self.where_in(_LOCKED, hint_ids)]
        self.execute_among(delete(hints), hints.c.id, found)
