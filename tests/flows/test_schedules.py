"""Schedules that a real Prefect server keeps, and what happens where there is none."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import requests

from connector.domain.ledger import RunState
from connector.native.serving import free_port
from tests.flows.conftest import answers
from tests.integration.conftest import Pair
from tests.integration.test_serve import Served, eventually, register, serving, told

__all__ = ["told"]


def scheduled(pair: Pair, serve: str) -> Path:
    """The pair's config with two schedules, and the settings of `serve`."""
    text = pair.config.read_text(encoding="utf-8")
    text = text.replace("pairs:\n  main:\n", f"serve: {serve}\npairs:\n  main:\n    schedules:\n"
                        "      - {every: 10s, entities: [customer]}\n"
                        "      - {cron: '0 3 * * *', timezone: Europe/Paris, reconcile: true}\n")
    pair.config.write_text(text, encoding="utf-8")
    return pair.config


def runs(pair: Pair) -> list[tuple[str, RunState]]:
    with pair.connector.store.begin() as uow:
        return [(run.trigger, run.state) for run in uow.runs("main", 99)]


async def deployments(api: str) -> dict[str, Any]:
    from prefect.client.orchestration import PrefectClient

    async with PrefectClient(api) as client:
        return {d.name: d for d in await client.read_deployments()}


@pytest.mark.slow
def test_schedules_fire_and_nothing_is_left_running(
        told: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    config = scheduled(told, f"{{prefect_port: {port}}}")
    told.crm("POST", "accounts", {"name": "Aurora"})  # nobody tells: only a pull finds it
    with serving(config) as served:
        register(told, served.url)
        eventually(lambda: told.in_erp("customers"), 240)
        eventually(lambda: ("prefect", RunState.COMPLETED) in runs(told), 60)
        kept = asyncio.run(deployments(f"http://127.0.0.1:{port}/api"))
        assert set(kept) == {"main-1", "main-2"}
        assert not any(d.paused for d in kept.values())
        assert {s.schedule.timezone for s in kept["main-2"].schedules} == {"Europe/Paris"}
        assert kept["main-2"].entrypoint == "flows.sync.reconcile_flow"
        assert kept["main-1"].parameters["entities"] == ["customer"]
        left_over = asyncio.run(begun(f"http://127.0.0.1:{port}/api", kept["main-2"].id))
        eventually(lambda: asyncio.run(under_way(f"http://127.0.0.1:{port}/api",
                                                 kept["main-1"].id)), 60)
        assert served.end() == 0
    assert "Traceback" not in capfd.readouterr().err  # although it was stopped in mid-run
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{port}/api/health", timeout=9)

    # The next start puts away what nobody works on, and schedules that are gone.
    text = config.read_text(encoding="utf-8")
    config.write_text("".join(line for line in text.splitlines(keepends=True)
                              if "cron" not in line), encoding="utf-8")
    with serving(config) as served:
        eventually(lambda: answers(f"http://127.0.0.1:{port}/api"), 120)
        eventually(lambda: set(asyncio.run(deployments(f"http://127.0.0.1:{port}/api")))
                   == {"main-1"}, 120)
        state = asyncio.run(state_of(f"http://127.0.0.1:{port}/api", left_over))
        assert state in ("Crashed", "deleted")  # it goes with its deployment
        assert served.end() == 0


async def begun(api: str, deployment: Any) -> Any:
    """A flow run of a deployment that somebody seems to work on."""
    from prefect.client.orchestration import PrefectClient
    from prefect.states import Running

    async with PrefectClient(api) as client:
        run = await client.create_flow_run_from_deployment(deployment)
        await client.set_flow_run_state(run.id, Running(), force=True)
        return run.id


async def under_way(api: str, deployment: Any) -> bool:
    """Whether a flow run of a deployment is being worked on."""
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId

    async with PrefectClient(api) as client:
        found = await client.read_flow_runs(flow_run_filter=FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[deployment])))
    return any(run.state is not None and run.state.is_running() for run in found)


async def state_of(api: str, run: Any) -> str:
    from prefect.client.orchestration import PrefectClient
    from prefect.exceptions import ObjectNotFound

    async with PrefectClient(api) as client:
        try:
            found = await client.read_flow_run(run)
        except ObjectNotFound:
            return "deleted"
        return found.state.name if found.state else ""


def works_without(served: Served, pair: Pair) -> None:
    """Webhooks are taken and worked off."""
    register(pair, served.url)
    pair.crm("POST", "accounts", {"name": "Aurora"})
    eventually(lambda: pair.in_erp("customers"))


def test_without_prefect_schedules_pause_and_webhooks_go_on(
        told: Pair, capfd: pytest.CaptureFixture[str]) -> None:
    gone = f"http://127.0.0.1:{free_port()}/api"
    with serving(scheduled(told, f"{{prefect: '{gone}'}}")) as served:
        works_without(served, told)
        assert served.end() == 0
    assert f"paused: Prefect can't be reached at {gone}" in capfd.readouterr().err
    assert {trigger for trigger, _ in runs(told)} == {"webhook"}
