"""Reads a whole list by pages, and misses no record while others come, go and move."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from connector.errors import SystemUnreachable

PASSES = 5
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of each part of a list, and how many rows there are in all parts."""

    parts: Sequence[Sequence[Row]]
    count: int


Read = Callable[[int, int], Listing]
"""Gives the page at an offset, of a size."""


def every_row(read: Read, size: int) -> Iterator[list[Row]]:
    """Every row of the list once, page by page.

    A page is read by its offset, so a row that comes or goes before it moves all the others. Each
    page begins with the last row of the page before it; where another row stands there, or where
    fewer rows were read than there are in the end, the list is read over, for what was missed.
    Raises `SystemUnreachable` where it does not come to rest.
    """
    seen = set[str]()
    for _ in range(PASSES):
        steady = True
        for rows, as_before in _pass(read, size):
            steady = steady and as_before
            new = [row for row in rows if row["id"] not in seen]
            seen.update(row["id"] for row in new)
            if new:
                yield new
        if steady and read(0, 1).count <= len(seen):
            return
    raise SystemUnreachable("Records come and go faster than the list can be read.",
                            hint="Sync again later.")


def _pass(read: Read, size: int) -> Iterator[tuple[list[Row], bool]]:
    """The list from its beginning, and of each page whether the ones before it stood still."""
    first = read(0, size)
    yield [row for part in first.parts for row in part], True
    last: list[Row | None] = [part[-1] if len(part) == size else None for part in first.parts]
    offset = size
    while any(last):
        listing = read(offset - 1, size + 1)
        rows, steady = list[Row](), True
        for number, part in enumerate(listing.parts):
            before = last[number]
            if before is None:
                continue
            steady = steady and bool(part) and part[0]["id"] == before["id"]
            rows += part
            last[number] = part[-1] if len(part) == size + 1 else None
        yield rows, steady
        offset += size
