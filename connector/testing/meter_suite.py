"""The promises of a store about connections: whose calls it counts, and who is denied."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from connector.domain.budget import Limits
from connector.ports import Store
from connector.testing.clock import VirtualClock


class MeterSuite:
    """One test for each promise; a part of `StoreSuite`."""

    def test_calls_are_counted_for_each_system(self, store: Store, clock: VirtualClock) -> None:
        limits = Limits(per_day=2)
        turns = [store.take_turn(system, limits, interactive=False)
                 for system in ("crm", "crm", "crm", "erp")]
        assert [turn.given for turn in turns] == [True, True, False, True]
        assert turns[2].spent
        with store.begin() as uow:
            assert {name: state.used for name, state in uow.connections(clock.now()).items()} \
                == {"crm": 2, "erp": 1}
        clock.sleep(25 * 3600)
        assert store.take_turn("crm", limits, interactive=False).given

    def test_a_reserve_is_for_people(self, store: Store) -> None:
        limits = Limits(per_day=10, reserve_percent=50)
        given = [store.take_turn("crm", limits, interactive=person).given
                 for person in [False] * 6 + [True] * 6]
        assert given == [True] * 5 + [False] + [True] * 5 + [False]

    def test_calls_are_spread_over_their_second(self, store: Store,
                                                clock: VirtualClock) -> None:
        now = clock.now().timestamp()
        ats = [store.take_turn("crm", Limits(per_second=4), interactive=False).at
               for _ in range(3)]
        assert ats == [now, now + 0.25, now + 0.5]

    def test_turns_asked_for_at_once_are_not_the_same(self, store: Store) -> None:
        limits = Limits(per_second=4, per_day=20)

        def ask(_number: int) -> float | None:
            turn = store.take_turn("crm", limits, interactive=False)
            return turn.at if turn.given else None

        with ThreadPoolExecutor(8) as threads:
            told = list(threads.map(ask, range(30)))
        given = [at for at in told if at is not None]
        assert len(given) == len(set(given)) == 20

    def test_a_wish_of_the_system_holds_for_all(self, store: Store, clock: VirtualClock) -> None:
        until = clock.now() + timedelta(seconds=30)
        store.hold_off("crm", until)
        store.hold_off("crm", until - timedelta(seconds=20))  # the earlier one stands
        assert store.take_turn("crm", Limits(), interactive=True).at == until.timestamp()
        store.hold_off("crm", clock.now() + timedelta(hours=2))
        turn = store.take_turn("crm", Limits(), interactive=True)
        assert (turn.given, turn.spent) == (False, False)
        with store.begin() as uow:
            assert uow.connections(clock.now())["crm"].not_before == clock.now() + timedelta(
                hours=2)

    def test_a_system_that_denies_us_is_known_until_it_no_longer_does(
            self, store: Store, clock: VirtualClock) -> None:
        store.take_turn("crm", Limits(per_day=1), interactive=False)
        with store.begin() as uow:
            uow.deny("crm", "the token was revoked", clock.now())
            uow.deny("erp", "no", clock.now())
        with store.begin() as uow:
            found = uow.connections(clock.now())
            assert found["crm"].denied == "the token was revoked"
            assert (found["crm"].denied_at, found["crm"].used) == (clock.now(), 1)
            uow.admit(["crm"])
        with store.begin() as uow:
            found = uow.connections(clock.now())
            assert (found["crm"].denied, found["crm"].denied_at, found["crm"].used) == ("", None, 1)
            assert found["erp"].denied_at == clock.now()
