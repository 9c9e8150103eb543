"""What changed in Tryton since a cursor: by the time of change, in all places where it shows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from connector.adapters.tryton.kind import Kind, Source
from connector.domain.records import Page, RemoteRecord
from connector.errors import CursorExpired

CLOCKS_APART = timedelta(seconds=60)
"""How far the clocks of Tryton's web server and its database may be apart."""
Place = tuple[str, int]
"""The (last_modified_at, id) of the row read last."""


@dataclass(slots=True)
class Cursor:
    """How far each source has been read, and which records were there."""

    places: dict[str, Place] = field(default_factory=dict)
    alive: set[int] = field(default_factory=set)

    def __str__(self) -> str:
        return json.dumps({"places": self.places, "alive": _ranges(self.alive)},
                          separators=(",", ":"))


def parsed(text: str) -> Cursor:
    """A cursor as it was given. Raises `CursorExpired`."""
    try:
        kept = json.loads(text)
        places = {str(model): (str(at), int(id)) for model, (at, id) in kept["places"].items()}
        if all(datetime.fromisoformat(at).tzinfo for at, _ in places.values()):
            return Cursor(places, _numbers(kept["alive"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise CursorExpired(f"{text[:80]!r} is no cursor of a Tryton.")


def pull(kind: Kind, cursor: str | None, page: int, look_back: timedelta) -> Iterator[Page]:
    """See the port. A pull without a cursor reads the records themselves; one with a cursor also
    the rows beside them, behind by `look_back`, for commit order is not the order of times."""
    place = Cursor() if cursor is None else parsed(cursor)
    alive = set(kind.rpc.ids(kind.model, kind.domain()))
    now = kind.rpc.time
    sources = _known(kind)
    if cursor is None:
        place.alive = alive
        for source in sources[1:]:  # they lead to records that are about to be read
            newest = _rows(kind, source, None, 1, newest=True)
            if newest:
                place.places[source.model] = newest[0][0]
        yield from _changed(kind, sources[:1], place, page, timedelta(0))
    else:
        if gone := place.alive - alive:
            yield from _gone(kind, place, gone, page)
        yield from _changed(kind, sources, place, page, look_back)
    for source in sources:
        ahead = _ahead(place.places.get(source.model), now)
        if ahead is not None:
            place.places[source.model] = ahead
    yield Page((), str(place))


def _changed(kind: Kind, sources: Sequence[Source], place: Cursor, page: int,
             look_back: timedelta) -> Iterator[Page]:
    """The records that the sources' rows lead to, in rounds: a page of rows of each source, then
    what they lead to, which often is the same. `place` moves on with every round."""
    starts = {source.model: _behind(place.places.get(source.model), look_back)
              for source in sources}
    left, given = list(sources), dict[str, str]()
    while left:
        ids: dict[int, None] = {}
        for source in list(left):
            rows = _rows(kind, source, starts[source.model], page)
            if rows:
                starts[source.model] = rows[-1][0]
            if len(rows) < page:
                left.remove(source)
            ids |= dict.fromkeys(id for _, some in rows for id in some)
        for part in _parts(list(ids), page):
            records = [r for r in _records(kind, part) if given.get(r.external_id) != r.version]
            given |= {record.external_id: record.version for record in records}
            place.alive |= {id for r in records if (id := kind.internal(r.external_id))}
            if part[-1] == next(reversed(ids)):
                place.places |= {model: at for model, at in starts.items() if at is not None}
            if records:
                yield Page(tuple(records), str(place))


def _known(kind: Kind) -> list[Source]:
    """The sources whose models this Tryton has."""
    shown = {row["name"] for row in kind.rpc.ask(
        "model.ir.model.search_read",
        [["name", "in", [source.model for source in kind.sources]]], 0, None, None, ["name"],
        dict(kind.rpc.context))}
    return [source for source in kind.sources if source.model in shown]


def _rows(kind: Kind, source: Source, after: Place | None, limit: int, *,
          newest: bool = False) -> list[tuple[Place, list[int]]]:
    """Rows of a source by their time of change: the place of each, and the IDs it leads to."""
    own = source.model == kind.model and source.path == "id"
    domain: list[Any] = [*source.domain, *(kind.domain() if own else ())]
    if after is not None:
        at = datetime.fromisoformat(after[0]).replace(tzinfo=None)
        domain.append(["OR", ["last_modified_at", ">", at],
                       [["last_modified_at", "=", at], ["id", ">", after[1]]]])
    way = "DESC" if newest else "ASC"
    found = kind.rpc.read(source.model, domain, {source.path, "last_modified_at"}, limit=limit,
                          order=[["last_modified_at", way], ["id", way]])
    return [((row["last_modified_at"], row["id"]), _ids(row[source.path])) for row in found]


def _ids(value: Any) -> list[int]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _records(kind: Kind, ids: Sequence[int]) -> list[RemoteRecord]:
    """The records with these IDs, in the order given."""
    order = {id: n for n, id in enumerate(ids)}
    found = [record for _, record in kind.find(ids)]
    return sorted(found, key=lambda record: order.get(kind.internal(record.external_id) or 0, 0))


def _gone(kind: Kind, place: Cursor, ids: set[int], page: int) -> Iterator[Page]:
    """Tombstones for records that were there."""
    for part in _parts(sorted(ids), page):
        place.alive -= set(part)
        yield Page(tuple(RemoteRecord(external, "deleted", {}, True)
                         for id in part for external in kind.externals(id)), str(place))


def _parts(ids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (ids[start:start + size] for start in range(0, len(ids), size))


def _behind(place: Place | None, look_back: timedelta) -> Place | None:
    if place is None:
        return None
    return (datetime.fromisoformat(place[0]) - look_back).isoformat(), 0


def _ahead(place: Place | None, now: datetime | None) -> Place | None:
    """Where a source stands that has been read to its end: at the time of the pull, if nothing
    has changed for long, so that the next one need not read the same rows again."""
    if now is None:
        return place
    complete = ((now - CLOCKS_APART).isoformat(), 0)
    if place is None:
        return complete
    return max(place, complete, key=lambda p: datetime.fromisoformat(p[0]))


def _ranges(numbers: Iterable[int]) -> str:
    """Numbers in short: `1-57,59`."""
    spans: list[list[int]] = []
    for one in sorted(numbers):
        if spans and one == spans[-1][1] + 1:
            spans[-1][1] = one
        else:
            spans.append([one, one])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


def _numbers(text: str) -> set[int]:
    """The inverse of `_ranges`. Raises `ValueError`."""
    found: set[int] = set()
    for span in text.split(",") if text else ():
        first, _, last = span.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found
