"""The sync flow against a real Prefect server, started once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Pair

os.environ.update(PREFECT_SERVER_ANALYTICS_ENABLED="false", DO_NOT_TRACK="1")


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """The API of a server of our own; every flow of this session runs against it."""
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        yield str(PREFECT_API_URL.value())


async def kept(api: str) -> tuple[list[Any], list[Any]]:
    """The flow runs and artifacts that the server has."""
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        runs = await client.read_flow_runs()
        return list(runs), list(await client.read_artifacts())


def test_a_sync_runs_as_a_flow(pair: Pair, prefect_server: str) -> None:
    from flows.sync import run

    pair.crm("POST", "accounts", {"name": "Acme", "vatNumber": "DE1"})
    done = run(pair.config, None, ["customer"], safety_stop=True)
    assert done.writes["customer", "erp", "create"] == 1
    assert [c["display_name"] for c in pair.in_erp("customers")] == ["Acme"]
    flow_runs, artifacts = asyncio.run(kept(prefect_server))
    (flow_run,) = [r for r in flow_runs if r.name == "sync-main"]
    assert flow_run.state is not None
    assert flow_run.state.name == "Completed"
    assert {"connector", "main"} <= set(flow_run.tags)
    assert set(flow_run.parameters) == {"config", "pair", "entities", "reconcile",
                                        "safety_stop", "patience"}
    assert [a.key for a in artifacts] == ["sync-main"]


def test_a_sync_that_can_not_run_is_a_failed_flow_run(pair: Pair, prefect_server: str,
                                                      tmp_path: Path) -> None:
    from connector.errors import AccessDenied
    from flows.sync import run

    config = tmp_path / "wrong.yaml"
    config.write_text(pair.config.read_text(encoding="utf-8")
                      .replace("token: env:NATIVE_CRM_TOKEN", "token: wrong"), encoding="utf-8")
    with pytest.raises(AccessDenied):
        run(config, "main", [], safety_stop=True)
    flow_runs, _ = asyncio.run(kept(prefect_server))
    states = [r.state.name for r in flow_runs if r.state is not None
              and r.parameters["config"].endswith("wrong.yaml")]
    assert states == ["Failed"]


def test_the_command_line_does_not_import_prefect() -> None:
    import subprocess
    import sys

    code = ("import sys, connector.cli.app, connector.bootstrap, connector.engine.run; "
            "print([m for m in sys.modules if m.split('.')[0] == 'prefect'])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
