"""What `serve` is made of, part by part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from connector.bootstrap import shipped
from connector.config import ScheduleConfig, read_config
from connector.engine.run import Engine
from connector.engine.turns import Busy
from connector.errors import ConfigInvalid, LeaseHeld
from connector.store.open import open_store
from connector.testing.clock import VirtualClock
from connector.web.rates import Rate


def test_a_rate_lets_so_many_in_and_then_as_they_come() -> None:
    at = [0.0]
    rate = Rate(10, lambda: at[0])
    assert [rate.admit() for _ in range(12)] == [True] * 10 + [False] * 2
    at[0] = 0.25
    assert [rate.admit() for _ in range(4)] == [True, True, False, False]
    at[0] = 1000.0
    assert sum(rate.admit() for _ in range(99)) == 10


def schedule(folder: Path, text: str) -> ScheduleConfig:
    path = folder / "config.yaml"
    example = shipped("config.example.yaml").read_text(encoding="utf-8")
    path.write_text(example.replace("pairs:\n  main:\n",
                                    f"pairs:\n  main:\n    schedules: [{{{text}}}]\n"))
    return read_config(path)[0].pairs["main"].schedules[0]


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7200),
                                               ("1d", 86_400), ("10s", 10)])
def test_an_interval_is_a_number_with_its_unit(tmp_path: Path, text: str, seconds: int) -> None:
    made = schedule(tmp_path, f"every: {text}")
    assert (made.every, made.cron, made.timezone) == (seconds, None, "UTC")


def test_a_cron_has_a_time_zone(tmp_path: Path) -> None:
    made = schedule(tmp_path, "cron: '0 3 * * 1-5', timezone: Europe/Paris, entities: [order]")
    assert (made.cron, made.timezone, made.entities) == ("0 3 * * 1-5", "Europe/Paris", ["order"])


@pytest.mark.parametrize(("text", "said"), [
    ("every: 15", "90s, 15m"), ("every: 5s", "greater than or equal to 10"),
    ("every: m", "90s, 15m"), ("reconcile: true", "one of `every` and `cron`"),
    ("every: 1m, cron: '* * * * *'", "one of `every` and `cron`"),
    ("cron: daily", "five fields"), ("cron: '0 3 * * *', timezone: Mars", "no time zone 'Mars'"),
    ("every: 1m, timezone: ../x", "no time zone"), ("every: 1m, entities: [pump]", "'pump'")])
def test_a_schedule_that_means_nothing_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigInvalid, match=said):
        schedule(tmp_path, text)


def test_a_patient_run_waits_for_the_pair_and_then_gives_up(example_pair: Any) -> None:
    clock = VirtualClock()
    store = open_store("sqlite://", clock)
    store.acquire_lease("main", "elsewhere:1", 50)
    with pytest.raises(LeaseHeld):
        Engine(example_pair, store, clock, busy=Busy(40)).drain()
    began = clock.now()
    run = Engine(example_pair, store, clock, busy=Busy(40), in_flight=0).drain()
    assert run.trigger == "webhook"
    assert 9 < (clock.now() - began).total_seconds() < 11
    store.close()
