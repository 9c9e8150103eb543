"""Links, snapshots and claims: identity, and what was last seen and agreed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Row, delete, select

from connector.domain.records import Link, Snapshot
from connector.store.codec import dump, load
from connector.store.rows import Rows
from connector.store.tables import claims, links, snapshots


class LinkRows(Rows):
    """The part of a unit of work about identity."""

    def links_by_external(self, pair: str, entity: str, system: str,
                          external_ids: Collection[str]) -> dict[str, Link]:
        query = select(links).where(links.c.pair == pair, links.c.entity == entity,
                                    links.c.system == system)
        return {row.external_id: _link(row)
                for row in self.where_in(query, links.c.external_id, external_ids)}

    def links_by_canonical(self, pair: str, entity: str,
                           canonical_ids: Collection[str]) -> dict[str, list[Link]]:
        query = select(links).where(links.c.pair == pair, links.c.entity == entity)
        found: dict[str, list[Link]] = {}
        for row in self.where_in(query, links.c.canonical_id, canonical_ids):
            found.setdefault(row.canonical_id, []).append(_link(row))
        return found

    def versions(self, pair: str, entity: str, system: str,
                 external_ids: Collection[str]) -> dict[str, str]:
        return self._by_external(links.c.version, pair, entity, system, external_ids)

    def canonical_ids(self, pair: str, entity: str, system: str,
                      external_ids: Collection[str]) -> dict[str, str]:
        return self._by_external(links.c.canonical_id, pair, entity, system, external_ids)

    def _by_external(self, column: Column[Any], pair: str, entity: str, system: str,
                     external_ids: Collection[str]) -> dict[str, str]:
        query = select(links.c.external_id, column).where(
            links.c.pair == pair, links.c.entity == entity, links.c.system == system)
        return {row[0]: row[1]
                for row in self.where_in(query, links.c.external_id, external_ids)}

    def external_ids(self, pair: str, entity: str, system: str,
                     canonical_ids: Collection[str]) -> dict[str, str]:
        query = select(links.c.canonical_id, links.c.external_id).where(
            links.c.pair == pair, links.c.entity == entity, links.c.system == system)
        found: dict[str, str] = {}
        for canonical_id, external_id in self.where_in(query, links.c.canonical_id,
                                                       canonical_ids):
            found.setdefault(canonical_id, external_id)
        return found

    def save_links(self, pair: str, saved: Sequence[Link]) -> None:
        rows = {(k.system, k.external_id): {
            "pair": pair, "entity": k.entity, "system": k.system, "external_id": k.external_id,
            "canonical_id": k.canonical_id, "version": k.version,
            "seen": None if k.seen is None else dump(k.seen)} for k in saved}
        self.upsert(links, list(rows.values()), ("pair", "entity", "system", "external_id"))

    def remove_links(self, pair: str, entity: str, system: str,
                     external_ids: Collection[str]) -> None:
        self.execute_among(
            delete(links).where(links.c.pair == pair, links.c.entity == entity,
                                links.c.system == system), links.c.external_id, external_ids)

    def snapshots(self, pair: str, entity: str,
                  canonical_ids: Collection[str]) -> dict[str, Snapshot]:
        query = select(snapshots.c.canonical_id, snapshots.c.record).where(
            snapshots.c.pair == pair, snapshots.c.entity == entity)
        return {row.canonical_id: Snapshot(entity, row.canonical_id, load(row.record))
                for row in self.where_in(query, snapshots.c.canonical_id, canonical_ids)}

    def save_snapshots(self, pair: str, saved: Sequence[Snapshot]) -> None:
        rows = {s.canonical_id: {"pair": pair, "entity": s.entity,
                                 "canonical_id": s.canonical_id, "record": dump(s.record)}
                for s in saved}
        self.upsert(snapshots, list(rows.values()), ("pair", "entity", "canonical_id"))

    def claims(self, pair: str, entity: str, keys: Collection[str]) -> dict[str, str]:
        query = select(claims.c.match_key, claims.c.canonical_id).where(
            claims.c.pair == pair, claims.c.entity == entity)
        return {row.match_key: row.canonical_id
                for row in self.where_in(query, claims.c.match_key, keys)}

    def claim(self, pair: str, entity: str, claimed: Mapping[str, str]) -> None:
        self.insert_new(claims, [{"pair": pair, "entity": entity, "match_key": key,
                                  "canonical_id": cid} for key, cid in claimed.items()],
                        ("pair", "entity", "match_key"))


def _link(row: Row[Any]) -> Link:
    return Link(row.entity, row.canonical_id, row.system, row.external_id, row.version,
                None if row.seen is None else load(row.seen))
