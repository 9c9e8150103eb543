"""A watch over a real store: told once, told again when it is over, and never lost or doubled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from connector.alerts.watch import LEASE, Undelivered, Watch
from connector.domain.alerts import Alert, AlertRules
from connector.domain.records import Change
from connector.errors import LeaseHeld
from connector.ports import Store
from connector.store.open import open_store
from connector.testing.clock import VirtualClock

LETTERS = AlertRules(dead_letters=0)


class Heard:
    """A channel that keeps what it was told; while `deaf`, nothing reaches it."""

    def __init__(self, name: str) -> None:
        self.name, self.deaf = name, False
        self.said: list[str] = []

    def send(self, alert: Alert, at: datetime) -> None:
        if self.deaf:
            raise Undelivered("nobody at home")
        self.said.append(f"{alert.state.value} {alert.finding.rule}")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def store(clock: VirtualClock) -> Iterator[Store]:
    opened = open_store("sqlite://", clock)
    yield opened
    opened.close()


def watch(store: Store, clock: VirtualClock, *channels: Heard,
          rules: AlertRules = LETTERS) -> Watch:
    """A watch over one pair."""
    return Watch(store, clock, rules, {"main": ("crm", "erp")}, channels)


def park(store: Store, clock: VirtualClock, *names: str) -> None:
    """Park records."""
    with store.begin() as uow:
        uow.bury("main", "r", clock.now(), [
            (Change(0, "customer", "crm", name, "1"), "write", "E", "no") for name in names])


def mend(store: Store) -> None:
    """Nothing is parked any more."""
    with store.begin() as uow:
        for letter in uow.dead_letters("main"):
            uow.remove_dead_letter(letter.id)


def kept(store: Store) -> list[Alert]:
    """The alerts in the store."""
    with store.begin() as uow:
        return uow.alerts()


def test_an_alert_is_told_once_and_once_when_it_is_over(store: Store,
                                                        clock: VirtualClock) -> None:
    channel = Heard("a")
    look = watch(store, clock, channel)
    assert look.check().raised == []
    park(store, clock, "1")
    began = clock.now()
    (raised,) = look.check().raised
    assert raised.finding.message.startswith("main: 1 records have failed")
    clock.sleep(3600)
    park(store, clock, "2")
    assert look.check().raised == []
    (alert,) = kept(store)
    assert alert.finding.message.startswith("main: 2 records have failed")
    assert alert.since == began
    assert channel.said == ["raised dead_letters"]
    mend(store)
    assert len(look.check().recovered) == 1
    assert kept(store) == []
    look.check()
    assert channel.said == ["raised dead_letters", "recovered dead_letters"]


def test_a_channel_that_was_away_is_told_later_and_alone(store: Store,
                                                         clock: VirtualClock) -> None:
    near, far = Heard("near"), Heard("far")
    far.deaf = True
    look = watch(store, clock, near, far)
    park(store, clock, "1")
    assert look.check().undelivered == {"far": "nobody at home"}
    far.deaf = False
    assert look.check().undelivered == {}
    assert (near.said, far.said) == (["raised dead_letters"],) * 2
    mend(store)
    far.deaf = True
    look.check()
    assert [alert.state.value for alert in kept(store)] == ["recovered"]
    far.deaf = False
    look.check()
    assert kept(store) == []
    assert near.said == far.said == ["raised dead_letters", "recovered dead_letters"]


def test_who_never_knew_is_not_told_that_it_is_over(store: Store, clock: VirtualClock) -> None:
    channel = Heard("a")
    channel.deaf = True
    look = watch(store, clock, channel)
    park(store, clock, "1")
    look.check()
    mend(store)
    channel.deaf = False
    look.check()
    assert (channel.said, kept(store)) == ([], [])


def test_what_comes_back_before_all_knew_it_was_over_is_news_to_those_who_did(
        store: Store, clock: VirtualClock) -> None:
    near, far = Heard("near"), Heard("far")
    look = watch(store, clock, near, far)
    park(store, clock, "1")
    look.check()
    mend(store)
    far.deaf = True
    look.check()
    far.deaf = False
    park(store, clock, "2")
    look.check()
    assert near.said == ["raised dead_letters", "recovered dead_letters", "raised dead_letters"]
    assert far.said == ["raised dead_letters"]


def test_a_process_that_dies_after_telling_one_tells_only_the_other(
        store: Store, clock: VirtualClock) -> None:
    class Dying(Heard):
        def send(self, alert: Alert, at: datetime) -> None:
            raise KeyboardInterrupt

    near = Heard("near")
    park(store, clock, "1")
    with pytest.raises(KeyboardInterrupt):
        watch(store, clock, near, Dying("far")).check()
    far = Heard("far")
    assert watch(store, clock, near, far).check().raised == []
    assert near.said == far.said == ["raised dead_letters"]


def test_two_processes_do_not_look_at_once(store: Store, clock: VirtualClock) -> None:
    channel = Heard("a")
    park(store, clock, "1")
    held = store.acquire_lease(LEASE, "elsewhere:1", 60)
    with pytest.raises(LeaseHeld):
        watch(store, clock, channel).check()
    assert channel.said == []
    store.release_lease(LEASE, held)
    watch(store, clock, channel).check()
    assert channel.said == ["raised dead_letters"]


def test_refused_credentials_and_an_old_change_are_found_in_the_store(
        store: Store, clock: VirtualClock) -> None:
    rules = AlertRules(unsettled=timedelta(minutes=10))
    look = watch(store, clock, rules=rules)
    with store.begin() as uow:
        uow.receive("main", [Change(0, "customer", "crm", "1", "1")])
    clock.sleep(300)
    with store.begin() as uow:
        uow.receive("main", [Change(0, "customer", "crm", "2", "1")])
        uow.deny("erp", "no", clock.now())
        uow.deny("shop", "of another pair", clock.now())
    assert [(a.finding.rule, a.finding.subject) for a in look.check().raised] \
        == [("credentials", "erp")]
    clock.sleep(301)
    assert [a.finding.rule for a in look.check().raised] == ["unsettled"]
    with store.begin() as uow:
        uow.settle([change.id for change in uow.pending("main", "customer", 0, 1)])
        uow.admit(["erp"])
    assert len(look.check().recovered) == 2


def test_a_store_gives_alerts_back_as_they_were(store: Store, clock: VirtualClock) -> None:
    park(store, clock, "1")
    watch(store, clock, Heard("a")).check()
    (alert,) = kept(store)
    changed = replace(alert, knew=frozenset({"x", "y"}), told=frozenset())
    with store.begin() as uow:
        uow.save_alerts([changed])
    assert kept(store) == [changed]
