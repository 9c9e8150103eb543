"""What of a config becomes a deployment of Prefect's, and when it runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron, Interval, Schedule
from prefect.types.entrypoint import EntrypointType

from connector.config import Config, ScheduleConfig
from flows.sync import FLOWS
from flows.words import TAG


class Scheduled(NamedTuple):
    """A schedule of a pair: `number` is its place in the config, `flow` is `sync` or
    `reconcile`."""

    pair: str
    number: int
    flow: str
    schedule: ScheduleConfig


def scheduled(config: Config) -> Iterator[Scheduled]:
    """Every schedule of a config."""
    for pair, rules in config.pairs.items():
        for number, schedule in enumerate(rules.schedules, 1):
            yield Scheduled(pair, number, "reconcile" if schedule.reconcile else "sync", schedule)


def deployment(flow: str, name: str, path: Path, pair: str,
               schedule: ScheduleConfig | None = None, **more: Any) -> RunnerDeployment:
    """A deployment of a flow for a pair; runs of it are told the config's path and names."""
    made: Any = FLOWS[flow]
    entities = {"entities": schedule.entities} if schedule and schedule.entities else {}
    deployed: RunnerDeployment = made.to_deployment(
        name, schedules=[when(schedule)] if schedule else [], tags=[TAG, pair],
        entrypoint_type=EntrypointType.MODULE_PATH,
        parameters={"config": str(path), "pair": pair, **entities}, **more)
    return deployed


def when(schedule: ScheduleConfig) -> Schedule:
    """A schedule as Prefect has it."""
    if schedule.cron is not None:
        return Cron(schedule.cron, timezone=schedule.timezone)
    return Interval(timedelta(seconds=schedule.every or 0), timezone=schedule.timezone)


def name_of(schedule: ScheduleConfig) -> str:
    """A name that says when, and what: it stays when other schedules come and go."""
    if schedule.cron is not None:
        zone = "" if schedule.timezone == "UTC" else schedule.timezone
        words = ["cron", schedule.cron.replace("*", "any").replace("/", " by "), zone]
    else:
        words = ["every", _span(schedule.every or 0)]
    return re.sub(r"[^a-z0-9]+", "-", "-".join([*words, *schedule.entities]).lower()).strip("-")


def _span(seconds: int) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
