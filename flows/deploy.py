"""`connector deploy`: the pairs and schedules of a config as deployments in a work pool.

What stands on the server is compared with what the config says, and only what differs is changed:
done twice, it changes nothing the second time, and a schedule paused by hand stays paused.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import requests

from connector import __version__
from connector.bootstrap import Connector
from connector.config import Config
from connector.errors import ConfigInvalid, RequestRefused, SystemUnreachable

PATIENCE = 5.0
"""Seconds for the server to say that it is there."""


def deploy(connector: Connector, pool: str, *, remove: bool = False) -> dict[str, Any]:
    """Bring the server into line with the config; with `remove`, as if it had no pair. Says what
    was `created`, `changed`, `removed` and left `unchanged`, and which flow runs of dead processes
    were `closed`.

    Raises `ConfigInvalid` where no server is named, and `SystemUnreachable` where it is away.
    """
    api = connector.config.serve.prefect or os.environ.get("PREFECT_API_URL")
    if not api:
        raise ConfigInvalid(
            f"{connector.file.path}: no Prefect server is named to deploy to.",
            hint="Set `serve: {prefect: http://HOST:4200/api}`, or PREFECT_API_URL.")
    _see_that_it_is_there(api)
    os.environ["PREFECT_API_URL"] = api
    wanted = {} if remove else dict(
        _wanted(connector.config, connector.file.path.resolve(), pool))
    return {"api": api, "pool": pool, **asyncio.run(_deploy(connector, pool, wanted))}


def _see_that_it_is_there(api: str) -> None:
    try:
        with requests.Session() as http:
            http.trust_env = False
            http.get(f"{api.rstrip('/')}/health", timeout=PATIENCE).raise_for_status()
    except requests.RequestException as error:
        raise SystemUnreachable(
            f"Prefect can't be reached at {api} ({type(error).__name__}).",
            hint="See that its server runs and that the address is right.") from None


async def _deploy(connector: Connector, pool: str,
                  wanted: Mapping[str, Any]) -> dict[str, Any]:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError

    from flows.zombies import close_zombies

    path = connector.file.path.resolve()
    did: dict[str, Any] = {"created": [], "changed": [], "removed": [], "unchanged": []}
    try:
        async with get_client() as client:
            made = await _pool(client, pool) if wanted else False
            there = await _there(client, path)
            for name, deployment in wanted.items():
                known = there.pop(name, None)
                if known is not None and _alike(known, deployment):
                    did["unchanged"].append(name)
                    continue
                await deployment.aapply()
                did["created" if known is None else "changed"].append(name)
            for name, gone in there.items():
                await client.delete_deployment(gone.id)
                did["removed"].append(name)
    except PrefectHTTPStatusError as error:
        raise RequestRefused(f"Prefect refused a call: {error.response.status_code}.",
                             hint="See its server's log.") from error
    closed = await close_zombies(connector, path, list(connector.config.pairs))
    return {"pool_created": made, **did, "closed": closed}


def _wanted(config: Config, path: Path, pool: str) -> Iterator[tuple[str, Any]]:
    """The deployments that the config calls for, by their full name: one for each schedule, and
    for each pair a sync, a reconcile and a drain that somebody or something else starts."""
    from flows.deployments import deployment, name_of, scheduled

    # A worker that is killed would else take its runs along: they write into its pipe.
    more: dict[str, Any] = {"work_pool_name": pool, "version": __version__,
                            "job_variables": {"stream_output": False}}
    for pair in config.pairs:
        for flow in ("sync", "reconcile", "drain"):
            yield f"{flow}/{pair}", deployment(flow, pair, path, pair, **more)
    for found in scheduled(config):
        name = f"{found.pair}-{name_of(found.schedule)}"
        yield f"{found.flow}/{name}", deployment(found.flow, name, path, found.pair,
                                                 found.schedule, **more)


async def _pool(client: Any, name: str) -> bool:
    """Make the work pool, of processes, unless there is one; whether it was made."""
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound
    from prefect.workers.process import ProcessWorker

    try:
        await client.read_work_pool(name)
    except ObjectNotFound:
        await client.create_work_pool(WorkPoolCreate(
            name=name, type="process",
            base_job_template=ProcessWorker.get_default_base_job_template()))
        return True
    return False


async def _there(client: Any, path: Path) -> dict[str, Any]:
    """This config's deployments in work pools, by their full name; those that `serve` keeps are in
    none."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags

    from flows.words import TAG

    flows = {flow.id: flow.name for flow in await client.read_flows()}
    return {f"{flows[d.flow_id]}/{d.name}": d for d in await client.read_deployments(
        deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG])))
        if d.work_pool_name and d.parameters.get("config") == str(path)}


def _alike(there: Any, wanted: Any) -> bool:
    """Whether a deployment is what it should be; who has paused it is not asked."""
    return bool(
        (there.work_pool_name, there.entrypoint, there.parameters, set(there.tags), there.version,
         there.job_variables)
        == (wanted.work_pool_name, wanted.entrypoint, wanted.parameters, set(wanted.tags),
            wanted.version, wanted.job_variables)
        and [_told(s.schedule) for s in there.schedules]
        == [_told(s.schedule) for s in wanted.schedules or []])


def _told(schedule: Any) -> tuple[Any, ...]:
    return (getattr(schedule, "interval", None), getattr(schedule, "cron", None),
            schedule.timezone)
