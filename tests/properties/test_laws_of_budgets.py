"""What a budget never lets happen, whoever asks and whenever."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from connector.domain.budget import HOUR, Account, Limits, take

START = 1_767_600_000.0
DAY = 24 * HOUR
GAPS = st.lists(st.floats(0, 3 * HOUR), min_size=1, max_size=80)


def made(limits: Limits, gaps: list[float], interactive: list[bool]) -> list[tuple[float, bool]]:
    """When calls go, each asked for so long after the one before was, and by whom."""
    account, now, calls = Account(), START, []
    for gap, person in zip(gaps, interactive, strict=False):
        now += gap
        account, turn = take(account, limits, now, interactive=person)
        if turn.given:
            calls.append((turn.at, person))
        else:
            assert turn.at > now
    return calls


@given(GAPS, st.lists(st.booleans(), min_size=80, max_size=80), st.integers(1, 30),
       st.integers(0, 90))
def test_no_24_hours_see_more_calls_than_a_day_has(
        gaps: list[float], people: list[bool], per_day: int, reserve: int) -> None:
    limits = Limits(per_day=per_day, reserve_percent=reserve)
    calls = made(limits, gaps, people)
    for i, (at, person) in enumerate(calls):
        within = sum(at - DAY < earlier <= at for earlier, _ in calls[:i + 1])
        allowed = per_day if person else per_day * (100 - reserve) // 100
        assert within <= allowed


@given(st.lists(st.floats(0, 2), min_size=1, max_size=60), st.floats(0.1, 50))
def test_no_second_sees_more_than_one_call_above_the_rate(gaps: list[float],
                                                          rate: float) -> None:
    calls = [at for at, _ in made(Limits(per_second=rate), gaps, [False] * 60)]
    assert calls == sorted(calls)
    for at in calls:
        assert sum(at <= other < at + 1 for other in calls) <= math.ceil(rate) + 1


@given(GAPS, st.integers(1, 10))
def test_a_spent_budget_is_free_again_when_it_says(gaps: list[float], per_day: int) -> None:
    limits = Limits(per_day=per_day)
    account, now = Account(), START
    for gap in gaps:
        now += gap
        account, turn = take(account, limits, now, interactive=False)
        if turn.given:
            continue
        assert turn.spent
        assert now < turn.at <= now + DAY + HOUR
        now = turn.at
        account, again = take(account, limits, now, interactive=False)
        assert again.given


def test_a_turn_given_out_by_a_wrong_clock_holds_nobody_up() -> None:
    ahead, _ = take(Account(), Limits(per_second=10), START + HOUR, interactive=False)
    _, turn = take(ahead, Limits(per_second=10), START, interactive=False)
    assert (turn.given, turn.at) == (True, START)


def test_where_everything_is_reserved_for_people_a_schedule_gets_nothing() -> None:
    limits = Limits(per_day=1, reserve_percent=90)
    assert take(Account(), limits, START, interactive=False)[1].spent
    assert take(Account(), limits, START, interactive=True)[1].given
