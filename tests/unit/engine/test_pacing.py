"""How often a record that is told of again and again is read."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from connector.engine.pacing import LONGEST, SHORTEST, Named, Pace
from connector.testing.clock import VirtualClock

A, B = ("customer", "crm", "a"), ("customer", "erp", "a")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def rests(pace: Pace, clock: VirtualClock, pauses: list[float], record: Named = A) -> list[float]:
    """Seconds of rest after each of several reads; before each but the first the last rest ends
    and so many seconds more pass."""
    lengths = list[float]()
    for pause in [0.0, *pauses]:
        if lengths:
            clock.sleep(lengths[-1] + pause)
        assert not pace.rest_left(record)
        pace.was_read([record])
        lengths.append(pace.rest_left(record).total_seconds())
    return lengths


def test_what_was_never_read_may_be_read_at_once(clock: VirtualClock) -> None:
    pace = Pace(clock)
    pace.was_read([A])
    assert pace.rest_left(A) == SHORTEST
    assert not pace.rest_left(B)
    clock.sleep(0.75)
    assert pace.rest_left(A) == timedelta(seconds=0.25)
    clock.sleep(0.25)
    assert not pace.rest_left(A)


def test_rests_double_up_to_the_longest(clock: VirtualClock) -> None:
    assert rests(Pace(clock), clock, [0, 0, 0, 0, 0, 0]) == [1, 2, 4, 8, 15, 15, 15]


def test_a_record_that_is_left_alone_for_a_while_is_as_new(clock: VirtualClock) -> None:
    # After a rest of 4 s it counts as left alone once 8 s more have passed.
    assert rests(Pace(clock), clock, [0, 0, 7.9, 16.1, 2.1, 1.9]) == [1, 2, 4, 8, 1, 1, 2]


def test_what_is_left_alone_is_forgotten_and_nothing_else(clock: VirtualClock) -> None:
    pace = Pace(clock)
    pace.was_read([A])
    clock.sleep(2)
    pace.was_read([B])
    clock.sleep(1)
    pace.forget()
    assert pace.__dict__["_rests"].keys() == {B}
    pace.was_read([A, B])
    assert (pace.rest_left(A), pace.rest_left(B)) == (SHORTEST, 2 * SHORTEST)


def test_a_clock_that_is_put_back_makes_nobody_wait(clock: VirtualClock) -> None:
    pace = Pace(clock)
    pace.was_read([A])
    clock.sleep(-3600)
    assert not pace.rest_left(A)
    pace.was_read([A])
    assert pace.rest_left(A) == SHORTEST


def test_a_steady_stream_costs_few_reads_and_nothing_told_stays_unread(
        clock: VirtualClock) -> None:
    pace, reads = Pace(clock), 0
    told: dict[Named, datetime] = {}
    late = timedelta()
    for tick in range(80 * 20):
        if tick < 60 * 20:
            for n in range(tick * 8, tick * 8 + 8):
                told.setdefault(("customer", "crm", str(n % 100)), clock.now())
        free = [record for record in told if not pace.rest_left(record)]
        late = max([late, *(clock.now() - told.pop(record) for record in free)])
        pace.was_read(free)
        reads += len(free)
        clock.sleep(0.05)
    assert not told
    assert late <= LONGEST
    assert 100 < reads <= 800  # of 9600
