"""A connection with a budget: it waits its turn, stops when a day's calls are used up, and heeds
what the system told another process."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import responses
from pydantic import SecretStr

from connector.adapters.auth import Bearer
from connector.adapters.http import Connection, HttpSettings
from connector.errors import BudgetSpent, RateLimited
from connector.ports import INTERACTIVE
from connector.store.open import open_store
from connector.store.unit_of_work import SqlStore
from connector.testing.clock import VirtualClock

URL = "http://127.0.0.1:8/base"
START = datetime(2026, 1, 5, 8, 20, tzinfo=UTC)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


@pytest.fixture
def store(clock: VirtualClock) -> Iterator[SqlStore]:
    opened = open_store("sqlite://", clock)
    yield opened
    opened.close()


@pytest.fixture
def system() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def connected(clock: VirtualClock, store: SqlStore | None = None, **budget: Any) -> Connection:
    """A connection with a budget; its calls are counted by the store, where one is given."""
    settings = HttpSettings.model_validate({"name": "shop", "url": URL, "budget": budget})
    return Connection(settings if store is None else settings.counted_by(store),
                      Bearer(SecretStr("t")), clock)


def test_calls_wait_for_their_turn(clock: VirtualClock, system: responses.RequestsMock) -> None:
    system.get(f"{URL}/things", json={})
    shop = connected(clock, per_second=2)
    for _ in range(5):
        shop.call("GET", "/things")
    assert clock.now() - START == timedelta(seconds=2)


def test_every_try_counts(clock: VirtualClock, system: responses.RequestsMock) -> None:
    system.get(f"{URL}/things", status=503)
    with pytest.raises(BudgetSpent):
        connected(clock, per_day=3).call("GET", "/things")
    assert len(system.calls) == 3


def test_a_day_that_is_used_up_says_until_when(clock: VirtualClock,
                                               system: responses.RequestsMock) -> None:
    system.get(f"{URL}/things", json={})
    shop = connected(clock, per_day=10, reserve_percent=20)
    for _ in range(8):
        shop.call("GET", "/things")
    with pytest.raises(BudgetSpent) as told:
        shop.call("GET", "/things")
    assert told.value.message == ("shop: the 10 calls of a day (of these, 20 % are kept for "
                                  "people) are used up until 2026-01-06 09:00 UTC.")
    assert told.value.after == timedelta(hours=24, minutes=40).total_seconds()
    assert (told.value.exit_code, clock.now(), len(system.calls)) == (9, START, 8)
    person = INTERACTIVE.set(True)
    try:
        assert shop.in_parallel(lambda _: shop.call("GET", "/things").status, [1, 2]) == [200, 200]
        with pytest.raises(BudgetSpent):
            shop.call("GET", "/things")
    finally:
        INTERACTIVE.reset(person)


def test_two_processes_share_what_the_store_counts(clock: VirtualClock, store: SqlStore,
                                                   system: responses.RequestsMock) -> None:
    system.get(f"{URL}/things", json={})
    one, two = (connected(clock, store, per_day=3) for _ in range(2))
    one.call("GET", "/things")
    two.call("GET", "/things")
    one.call("GET", "/things")
    for each in (one, two):
        with pytest.raises(BudgetSpent):
            each.call("GET", "/things")


def test_what_the_system_told_one_process_the_other_heeds(
        clock: VirtualClock, store: SqlStore, system: responses.RequestsMock) -> None:
    one, two = (connected(clock, store) for _ in range(2))
    system.get(f"{URL}/things", status=429, headers={"Retry-After": "600"})
    with pytest.raises(RateLimited):
        one.call("GET", "/things")
    with pytest.raises(RateLimited, match="shop wants no call until 2026-01-05 08:30:00 UTC"):
        two.call("GET", "/things")
    assert len(system.calls) == 1
    clock.sleep(590)
    system.reset()
    system.get(f"{URL}/things", json={})
    two.call("GET", "/things")
    assert clock.now() == START + timedelta(seconds=600)


def test_without_a_budget_no_call_is_counted(clock: VirtualClock, store: SqlStore,
                                             system: responses.RequestsMock) -> None:
    system.get(f"{URL}/things", json={})
    settings = HttpSettings(name="shop", url=URL).counted_by(store)
    Connection(settings, Bearer(SecretStr("t")), clock).call("GET", "/things")
    with store.begin() as uow:
        assert uow.connections(clock.now()) == {}
