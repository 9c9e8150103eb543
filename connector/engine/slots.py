"""Which rows have to be worked off by one process, and how the rest is shared out. Pure.

A row is known by its number and by its ties: what it is, and what it hangs on. Rows that have a tie
in common, or are joined by others in between, stay together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from heapq import heapify, heapreplace


class Ties:
    """Rows, sorted into what belongs together as they are added."""

    def __init__(self) -> None:
        self._place: dict[Hashable, int] = {}  # of a tie
        self._parent: list[int] = []
        self._rows: dict[int, int] = {}  # by the row's number, the place of its first tie
        self._pending = set[int]()

    def add(self, row: int, ties: Iterable[Hashable], *, pending: bool = True) -> None:
        """Add a row with its ties, of which there is at least one; one that is not `pending` is no
        work."""
        self._rows[row] = self.join(ties)
        if pending:
            self._pending.add(row)

    def join(self, ties: Iterable[Hashable]) -> int:
        """What has one of these ties has all of them."""
        places = [self._place_of(tie) for tie in ties]
        first = self._found(places[0])
        for place in places[1:]:
            other = self._found(place)
            # The older one stays: a tree grows no deeper than what was joined one by one.
            first, other = min(first, other), max(first, other)
            self._parent[other] = first
        return first

    def shared_out(self, slots: int) -> list[list[int]]:
        """The rows in at most `slots` lists, of as much work each as what belongs together lets
        them be: the largest first, each to where there is least. A list without work is left
        out."""
        together: dict[int, list[int]] = defaultdict(list)
        for row, place in self._rows.items():
            together[self._found(place)].append(row)
        work = {place: sum(row in self._pending for row in rows)
                for place, rows in together.items()}
        loads = [(0, slot) for slot in range(slots)]
        heapify(loads)
        shared: list[list[int]] = [[] for _ in range(slots)]
        for place in sorted(together, key=lambda place: -work[place]):
            load, slot = loads[0]
            shared[slot] += together[place]
            heapreplace(loads, (load + work[place], slot))
        return [rows for rows in shared if not self._pending.isdisjoint(rows)]

    def _place_of(self, tie: Hashable) -> int:
        place = self._place.setdefault(tie, len(self._parent))
        if place == len(self._parent):
            self._parent.append(place)
        return place

    def _found(self, place: int) -> int:
        parent = self._parent
        while parent[place] != place:
            parent[place] = place = parent[parent[place]]
        return place
