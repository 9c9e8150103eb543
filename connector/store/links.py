"""Links, snapshots and claims: identity, and what was last seen and agreed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import bindparam, delete, or_, select, update

from connector.domain.records import Link, Snapshot
from connector.store.codec import bounded, dump, instant, load, moment
from connector.store.rows import Among, Rows, chunks, same
from connector.store.tables import claims, inbox, links, redirects, snapshots

# In the order of `Link`; a row is unpacked at once, for its attributes cost more than its query.
_LINK = (links.c.entity, links.c.canonical_id, links.c.system, links.c.external_id,
         links.c.version, links.c.seen, links.c.changed_at, links.c.alias)
_ON_SIDE = same(links.c.pair, links.c.entity, links.c.system)
_BY_EXTERNAL = Among(select(*_LINK).where(*_ON_SIDE), links.c.external_id)
_BY_CANONICAL = Among(select(*_LINK).where(*same(links.c.pair, links.c.entity))
                      .order_by(links.c.alias, links.c.id), links.c.canonical_id)
_AFTER = select(*_LINK).where(*_ON_SIDE, links.c.external_id > bindparam("after")).order_by(
    links.c.external_id).limit(bindparam("limit"))
_VERSIONS, _CANONICAL_IDS = (
    Among(select(links.c.external_id, column).where(*_ON_SIDE), links.c.external_id)
    for column in (links.c.version, links.c.canonical_id))
_EXTERNAL_IDS = Among(select(links.c.canonical_id, links.c.external_id).where(*_ON_SIDE).order_by(
    links.c.alias, links.c.id), links.c.canonical_id)
_REPLACED = Among(select(links.c.external_id).where(
    *_ON_SIDE, links.c.alias, links.c.seen.is_(None)), links.c.external_id)
_LIVING = (
    select(links.c.external_id).where(*_ON_SIDE, links.c.seen.is_not(None)),
    select(inbox.c.external_id).where(
        *same(inbox.c.pair, inbox.c.entity, inbox.c.system), inbox.c.deleted.is_(False),
        inbox.c.derived_from == ""))
_SNAPSHOTS = Among(select(snapshots.c.canonical_id, snapshots.c.record).where(
    *same(snapshots.c.pair, snapshots.c.entity)), snapshots.c.canonical_id)
_CLAIMS = Among(select(claims.c.match_key, claims.c.canonical_id).where(
    *same(claims.c.pair, claims.c.entity)), claims.c.match_key)
_REDIRECTED = Among(select(redirects.c.canonical_id).where(*same(redirects.c.pair)),
                    redirects.c.became)


class LinkRows(Rows):
    """The part of a unit of work about identity."""

    def links_by_external(self, pair: str, entity: str, system: str,
                          external_ids: Collection[str]) -> dict[str, Link]:
        found = (_link(*row) for row in self.where_in(
            _BY_EXTERNAL, external_ids, pair=pair, entity=entity, system=system))
        return {link.external_id: link for link in found}

    def links_after(self, pair: str, entity: str, system: str, after: str,
                    limit: int) -> list[Link]:
        rows = self.connection.execute(_AFTER, {
            "pair": pair, "entity": entity, "system": system, "after": after, "limit": limit})
        return [_link(*row) for row in rows]

    def links_by_canonical(self, pair: str, entity: str,
                           canonical_ids: Collection[str]) -> dict[str, list[Link]]:
        found: dict[str, list[Link]] = {}
        for row in self.where_in(_BY_CANONICAL, canonical_ids, pair=pair, entity=entity):
            link = _link(*row)
            found.setdefault(link.canonical_id, []).append(link)
        return found

    def versions(self, pair: str, entity: str, system: str,
                 external_ids: Collection[str]) -> dict[str, str]:
        return self._by_external(_VERSIONS, pair, entity, system, external_ids)

    def living(self, pair: str, entity: str, system: str) -> set[str]:
        of_side = {"pair": pair, "entity": entity, "system": system}
        return {external_id for query in _LIVING
                for external_id in self.connection.execute(query, of_side).scalars()}

    def canonical_ids(self, pair: str, entity: str, system: str,
                      external_ids: Collection[str]) -> dict[str, str]:
        return self._by_external(_CANONICAL_IDS, pair, entity, system, external_ids)

    def _by_external(self, query: Among, pair: str, entity: str, system: str,
                     external_ids: Collection[str]) -> dict[str, str]:
        return {row[0]: row[1] for row in self.where_in(
            query, external_ids, pair=pair, entity=entity, system=system)}

    def external_ids(self, pair: str, entity: str, system: str,
                     canonical_ids: Collection[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for canonical_id, external_id in self.where_in(
                _EXTERNAL_IDS, canonical_ids, pair=pair, entity=entity, system=system):
            found.setdefault(canonical_id, external_id)
        return found

    def replaced(self, pair: str, entity: str, system: str,
                 external_ids: Collection[str]) -> set[str]:
        return {row[0] for row in self.where_in(
            _REPLACED, external_ids, pair=pair, entity=entity, system=system)}

    def referring(self, pair: str, entity: str, system: str,
                  canonical_ids: Collection[str]) -> list[str]:
        text = self.text_of(links.c.seen)
        query = select(links.c.external_id).where(
            links.c.pair == pair, links.c.entity == entity, links.c.system == system,
            links.c.alias.is_(False), links.c.seen.is_not(None)).order_by(links.c.id)
        found = {row[0]: None for chunk in chunks(canonical_ids) for row in self.connection.execute(
            query.where(or_(*(text.contains(canonical_id) for canonical_id in chunk))))}
        return list(found)

    def save_links(self, pair: str, saved: Sequence[Link]) -> None:
        rows = {(k.entity, k.system, k.external_id): {
            "pair": pair, "entity": k.entity, "system": k.system, "external_id": k.external_id,
            "canonical_id": k.canonical_id, "version": k.version,
            "seen": None if k.seen is None else dump(k.seen),
            "changed_at": moment(k.changed_at) if k.changed_at else None,
            "alias": k.alias} for k in saved}
        self.upsert(links, list(rows.values()), ("pair", "entity", "system", "external_id"))

    def remove_links(self, pair: str, entity: str, system: str,
                     external_ids: Collection[str]) -> None:
        self.execute_among(
            delete(links).where(links.c.pair == pair, links.c.entity == entity,
                                links.c.system == system), links.c.external_id, external_ids)

    def snapshots(self, pair: str, entity: str,
                  canonical_ids: Collection[str]) -> dict[str, Snapshot]:
        return {canonical_id: Snapshot(entity, canonical_id, load(record)) for canonical_id, record
                in self.where_in(_SNAPSHOTS, canonical_ids, pair=pair, entity=entity)}

    def save_snapshots(self, pair: str, saved: Sequence[Snapshot]) -> None:
        rows = {(s.entity, s.canonical_id): {"pair": pair, "entity": s.entity,
                                             "canonical_id": s.canonical_id,
                                             "record": dump(s.record)} for s in saved}
        self.upsert(snapshots, list(rows.values()), ("pair", "entity", "canonical_id"))

    def remove_snapshots(self, pair: str, entity: str, canonical_ids: Collection[str]) -> None:
        self.execute_among(
            delete(snapshots).where(snapshots.c.pair == pair, snapshots.c.entity == entity),
            snapshots.c.canonical_id, canonical_ids)

    def redirects(self, pair: str) -> dict[str, str]:
        query = select(redirects.c.canonical_id, redirects.c.became).where(
            redirects.c.pair == pair)
        return {row[0]: row[1] for row in self.connection.execute(query)}

    def redirected_to(self, pair: str, canonical_ids: Collection[str]) -> set[str]:
        return {row[0] for row in self.where_in(_REDIRECTED, canonical_ids, pair=pair)}

    def redirect(self, pair: str, entity: str, canonical_id: str, became: str | None) -> None:
        self.connection.execute(delete(redirects).where(
            redirects.c.pair == pair,
            redirects.c.canonical_id.in_([canonical_id, became or canonical_id])))
        if became is None:
            return
        self.connection.execute(update(redirects).where(
            redirects.c.pair == pair, redirects.c.became == canonical_id).values(became=became))
        self.insert_new(redirects, [{"pair": pair, "canonical_id": canonical_id,
                                     "became": became}], ("pair", "canonical_id"))
        self.connection.execute(update(claims).where(
            claims.c.pair == pair, claims.c.entity == entity,
            claims.c.canonical_id == canonical_id).values(canonical_id=became))

    def claims(self, pair: str, entity: str, keys: Collection[str]) -> dict[str, str]:
        asked = {key: bounded(key) for key in keys}
        kept = {row[0]: row[1] for row in self.where_in(
            _CLAIMS, set(asked.values()), pair=pair, entity=entity)}
        return {key: kept[short] for key, short in asked.items() if short in kept}

    def claim(self, pair: str, entity: str, claimed: Mapping[str, str]) -> None:
        self.insert_new(claims, [{"pair": pair, "entity": entity, "match_key": bounded(key),
                                  "canonical_id": cid} for key, cid in claimed.items()],
                        ("pair", "entity", "match_key"))


def _link(entity: str, canonical_id: str, system: str, external_id: str, version: str,
          seen: bytes | None, changed_at: str | None, alias: bool) -> Link:
    return Link(entity, canonical_id, system, external_id, version,
                None if seen is None else load(seen), instant(changed_at), alias)
