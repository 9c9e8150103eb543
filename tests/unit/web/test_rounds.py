"""When a pair is drained, by a clock that moves only when it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from connector.domain.actions import OutcomeKind, Tally
from connector.domain.ledger import Run, RunState
from connector.domain.records import Change
from connector.engine.pacing import LONGEST, Pace
from connector.engine.run import Engine
from connector.errors import LeaseHeld, RetryLater, SafetyStopped
from connector.store.open import open_store
from connector.store.unit_of_work import SqlStore
from connector.testing.clock import VirtualClock
from connector.web.rounds import BREATH, IDLE, LONGEST_BREATH, Pause, Rounds

E = "customer"


class Reading(Engine):
    """An engine whose drains take `seconds` and do nothing but read what hints name."""

    store: SqlStore
    clock: VirtualClock
    seconds = 0.1

    def __init__(self, pair: Any, store: SqlStore, clock: VirtualClock) -> None:
        super().__init__(pair, store, clock)
        self.read: list[list[str]] = []
        self.fails: list[Exception] = []

    def drain(self, *_: Any, pace: Pace | None = None, **__: Any) -> Run:
        began = self.clock.now()
        self.clock.sleep(self.seconds)
        if self.fails:
            raise self.fails.pop(0)
        assert pace is not None
        with self.store.begin() as uow:
            free = {id: ext for id, (entity, ext) in uow.hinted("main", "crm", 0, 999).items()
                    if not pace.rest_left((entity, "crm", ext))}
            uow.settle_hints(free)
        pace.was_read((E, "crm", ext) for ext in free.values())
        self.read.append(list(free.values()))
        tally = Tally(len(free), {OutcomeKind.UNCHANGED: len(free)})  # type: ignore[arg-type]
        return Run("1", "main", "webhook", RunState.COMPLETED, began,
                   tallies={(E, "crm"): tally}, writes={(E, "erp", "update"): 2})


@dataclass(slots=True)
class World:
    """A pair with something to tell now and then."""

    engine: Reading
    rounds: Rounds
    waited: list[Pause] = field(default_factory=list)

    @property
    def clock(self) -> VirtualClock:
        return self.engine.clock

    def hint(self, *external_ids: str, entity: str = E) -> None:
        with self.engine.store.begin() as uow:
            uow.hint("main", [(entity, "crm", ext) for ext in external_ids])

    def round(self) -> Pause:
        """A round; the time passes that it asks for in any case."""
        pause = self.rounds.round()
        self.clock.sleep(pause.least)
        return pause


@pytest.fixture
def world(example_pair: Any) -> Iterator[World]:
    clock = VirtualClock()
    store = open_store("sqlite://", clock)
    engine = Reading(example_pair, store, clock)
    yield World(engine, Rounds(engine))
    store.close()


@pytest.fixture
def settled(world: World) -> World:
    """A world whose first round, which drains in any case, is over."""
    world.round()
    assert world.engine.read == [[]]
    world.engine.read.clear()
    return world


def test_the_first_round_works_off_what_was_left(world: World) -> None:
    world.hint("a")
    world.round()
    assert world.engine.read == [["a"]]


def test_without_hints_nothing_is_done_until_somebody_calls(settled: World) -> None:
    assert settled.round() == Pause(BREATH, IDLE)
    assert settled.engine.read == []


def test_a_hint_is_followed_at_once_and_then_comes_a_pause_as_long_as_it_took(
        settled: World) -> None:
    for seconds, pause in ((0.3, 0.3), (0.001, BREATH), (9.0, LONGEST_BREATH)):
        settled.engine.seconds = seconds
        settled.hint(f"after {seconds}")
        assert settled.round() == Pause(pause, pause)
    assert settled.engine.read == [["after 0.3"], ["after 0.001"], ["after 9.0"]]


def test_what_was_read_just_now_rests_and_others_do_not_wait_for_it(settled: World) -> None:
    settled.hint("a")
    settled.round()
    settled.hint("a")
    pause = settled.rounds.round()
    assert settled.engine.read == [["a"]]
    assert pause.least == BREATH
    assert 0.5 < pause.most < 1
    settled.hint("b")
    settled.round()
    assert settled.engine.read == [["a"], ["b"]]
    settled.clock.sleep(pause.most)
    settled.round()
    assert settled.engine.read == [["a"], ["b"], ["a"]]


def test_a_hint_of_an_entity_that_is_no_more_shared_is_no_reason_to_drain(settled: World) -> None:
    settled.hint("a", entity="pump")
    assert settled.round() == Pause(BREATH, IDLE)
    assert settled.engine.read == []


def test_the_inbox_is_looked_at_each_half_minute(settled: World) -> None:
    with settled.engine.store.begin() as uow:
        uow.receive("main", [Change(0, E, "crm", "a", "1", {})])
    settled.round()
    assert settled.engine.read == []
    settled.clock.sleep(IDLE)
    settled.round()
    assert settled.engine.read == [[]]


def test_a_drain_that_breaks_off_is_tried_again_later_and_later(world: World) -> None:
    world.engine.fails = [ZeroDivisionError(), RetryLater("away"), RetryLater("away", after=7),
                          SafetyStopped("too much"), *(RetryLater("away") for _ in range(9))]
    pauses = [world.round() for _ in range(13)]
    assert [pause.least for pause in pauses] == [0.2, 0.4, 7, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2,
                                                 60, 60, 60, 60]
    assert all(pause.most == pause.least for pause in pauses)
    done = world.rounds.done
    assert (done.failures, done.drains, done.error) == (13, 0, "RetryLater: away")
    world.round()
    assert (done.failures, done.drains, done.error) == (13, 1, "")
    world.engine.fails = [RetryLater("away")]
    world.hint("a")
    assert world.round().least == 0.2


def test_another_run_is_waited_for(world: World) -> None:
    world.engine.fails = [LeaseHeld("busy") for _ in range(9)]
    assert [world.round().least for _ in range(9)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5, 5]
    assert world.rounds.done.failures == 0
    world.round()
    assert len(world.engine.read) == 1


def test_what_was_done_is_counted(settled: World) -> None:
    settled.hint("a", "b")
    settled.round()
    done = settled.rounds.done
    assert (done.drains, done.read, done.written) == (2, 2, 4)
    assert done.seconds == pytest.approx(0.2)
    assert done.last is not None


def stream(world: World, rate: int, seconds: int, record: Callable[[int], str]) -> float:
    """Hints at a steady pace; gives the seconds after their end until no hint is left."""
    began, sent = world.clock.now(), 0

    def passed() -> float:
        return (world.clock.now() - began).total_seconds()

    while True:
        due = min(int(passed() * rate), rate * seconds)
        if due > sent:
            world.hint(*{record(n) for n in range(sent, due)})
        sent = due
        pause = world.round()
        with world.engine.store.begin() as uow:
            left = uow.hinted("main", "crm", 0, 1)
        if sent == rate * seconds:
            if not left:
                return passed() - seconds
            world.clock.sleep(pause.most - pause.least)


def test_thousands_of_hints_of_a_hundred_records_cost_some_hundreds_of_reads(
        settled: World) -> None:
    late = stream(settled, 167, 20, lambda n: str(n % 100))
    assert 100 < sum(map(len, settled.engine.read)) <= 600  # of 3340
    assert late <= LONGEST.total_seconds() + 1


def test_under_a_steady_stream_of_new_records_half_of_the_time_is_left_to_others(
        settled: World) -> None:
    settled.engine.seconds = 0.5
    late = stream(settled, 50, 20, str)
    assert sum(map(len, settled.engine.read)) == 1000
    assert 19 <= settled.rounds.done.drains <= 25
    assert late <= 2
