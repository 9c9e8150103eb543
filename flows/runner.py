"""The process that starts scheduled runs: `python -m flows.runner CONFIG`.

Each schedule of the config is a Prefect deployment; its runs are processes of their own. What an
earlier process left (runs that nobody works on any more, late ones, deployments of schedules that
are gone) is put away first.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prefect import serve
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
)
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron, Interval, Schedule
from prefect.states import Crashed
from prefect.types.entrypoint import EntrypointType

from connector.config import ScheduleConfig, read_config
from flows.sync import sync_flow

PATIENCE = 900
"""Seconds that a scheduled run waits for another one of its pair."""
LATE = timedelta(minutes=1)
RUNNING = ("RUNNING", "PENDING", "CANCELLING")


def deployments(path: Path) -> list[RunnerDeployment]:
    """A deployment for each schedule of a config."""
    config, _ = read_config(path)
    made: list[Any] = []
    for pair, rules in config.pairs.items():
        for number, schedule in enumerate(rules.schedules, 1):
            made.append(sync_flow.to_deployment(
                f"{pair}-{number}", schedules=[_when(schedule)], tags=["connector", pair],
                entrypoint_type=EntrypointType.MODULE_PATH, paused=False,
                parameters={"config": str(path), "pair": pair, "entities": schedule.entities,
                            "reconcile": schedule.reconcile, "patience": PATIENCE}))
    return made


def _when(schedule: ScheduleConfig) -> Schedule:
    if schedule.cron is not None:
        return Cron(schedule.cron, timezone=schedule.timezone)
    return Interval(timedelta(seconds=schedule.every or 0), timezone=schedule.timezone)


async def put_away(path: Path, names: Collection[str]) -> None:
    """Put away what an earlier process of this config left with the server."""
    async with get_client() as client:
        mine = [d for d in await client.read_deployments(
            deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=["connector"])))
            if d.parameters.get("config") == str(path)]
        for deployment in mine:
            await _put_away_runs(client, deployment.id)
            if deployment.name not in names:
                await client.delete_deployment(deployment.id)


async def _put_away_runs(client: PrefectClient, deployment_id: Any) -> None:
    runs = await client.read_flow_runs(flow_run_filter=FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[deployment_id])))
    for run in runs:
        state = run.state.type.value if run.state is not None else ""
        if state in RUNNING:
            await client.set_flow_run_state(
                run.id, Crashed(message="The process that worked on it has ended."), force=True)
        elif state == "SCHEDULED" and run.expected_start_time is not None \
                and run.expected_start_time < datetime.now(UTC) - LATE:
            await client.delete_flow_run(run.id)


def main(config: str) -> None:
    """Start runs as the schedules say, until told to stop; schedules are paused then."""
    path = Path(config)
    wanted = deployments(path)
    asyncio.run(put_away(path, {d.name for d in wanted if d.name}))
    serve(*wanted, pause_on_shutdown=True, print_starting_message=False)


if __name__ == "__main__":
    main(sys.argv[1])
