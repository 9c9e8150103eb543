"""What belongs together is worked off by one process, and the rest is shared out evenly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from connector.engine.slots import Ties

ROWS = st.lists(st.tuples(st.lists(st.integers(0, 40), min_size=1, max_size=4), st.booleans()),
                max_size=60)
JOINS = st.lists(st.lists(st.integers(0, 40), min_size=2, max_size=3), max_size=6)
SLOTS = st.integers(1, 9)

Rows = list[tuple[list[int], bool]]


def added(rows: Rows, joins: list[list[int]]) -> Ties:
    ties = Ties()
    for number, (of, pending) in enumerate(rows):
        ties.add(number, of, pending=pending)
    for join in joins:
        ties.join(join)
    return ties


def together(rows: Rows, joins: list[list[int]]) -> list[set[int]]:
    """The rows that belong together, found by going on as long as something new comes up."""
    groups: list[set[int]] = []
    left = set(range(len(rows)))
    while left:
        group, known = set[int](), set(rows[min(left)][0])
        while True:
            reached = {n for n in left if known & set(rows[n][0])}
            wider = known.union(*(rows[n][0] for n in reached),
                                *(join for join in joins if known & set(join)))
            if (reached, wider) == (group, known):
                break
            group, known = reached, wider
        groups.append(group)
        left -= group
    return groups


@given(ROWS, JOINS, SLOTS)
def test_what_belongs_together_stays_together(rows: Rows, joins: list[list[int]],
                                              slots: int) -> None:
    shared = added(rows, joins).shared_out(slots)
    for group in together(rows, joins):
        homes = [home for home in shared if group & set(home)]
        assert len(homes) <= 1
        assert all(group <= set(home) for home in homes)


@given(ROWS, JOINS, SLOTS)
def test_every_pending_row_is_in_one_slot_and_no_slot_is_without_one(
        rows: Rows, joins: list[list[int]], slots: int) -> None:
    shared = added(rows, joins).shared_out(slots)
    every = [row for home in shared for row in home]
    assert len(every) == len(set(every))
    assert {n for n, (_, pending) in enumerate(rows) if pending} <= set(every)
    assert len(shared) <= slots
    assert all(any(rows[row][1] for row in home) for home in shared)


@given(ROWS, JOINS, SLOTS)
def test_no_slot_has_more_work_than_what_belongs_together_makes_it(
        rows: Rows, joins: list[list[int]], slots: int) -> None:
    work = [sum(rows[n][1] for n in group) for group in together(rows, joins)]
    loads = [sum(rows[row][1] for row in home)
             for home in added(rows, joins).shared_out(slots)]
    assert max(loads, default=0) <= sum(work) / slots + max(work, default=0)


@given(ROWS, JOINS, SLOTS)
def test_the_same_rows_are_shared_out_the_same_way(rows: Rows, joins: list[list[int]],
                                                   slots: int) -> None:
    assert added(rows, joins).shared_out(slots) == added(rows, joins).shared_out(slots)
