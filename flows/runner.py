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
from prefect.states import Crashed

from connector.config import read_config
from flows.deployments import deployment, scheduled
from flows.words import TAG

LATE = timedelta(minutes=1)
RUNNING = ("RUNNING", "PENDING", "CANCELLING")


def deployments(path: Path) -> list[RunnerDeployment]:
    """A deployment for each schedule of a config."""
    config, _ = read_config(path)
    return [deployment(found.flow, f"{found.pair}-{found.number}", path, found.pair,
                       found.schedule, paused=False) for found in scheduled(config)]


async def put_away(path: Path, names: Collection[str]) -> None:
    """Put away what an earlier process of this config left with the server."""
    async with get_client() as client:
        mine = [d for d in await client.read_deployments(
            deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG])))
            if d.parameters.get("config") == str(path) and not d.work_pool_name]
        for kept in mine:
            await _put_away_runs(client, kept.id)
            if kept.name not in names:
                await client.delete_deployment(kept.id)


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
