"""The pair of the integration tests, and a Prefect server that the tests of a file share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from connector.native.serving import free_port
from flows.schedules import QUIET
from tests.integration.conftest import Pair, pair
from tests.integration.test_serve import eventually

__all__ = ["pair"]


def answers(api: str) -> bool:
    """Whether a server is there."""
    try:
        return requests.get(f"{api}/health", timeout=9).ok
    except requests.RequestException:
        return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API of a server of our own, with which this process and those that it starts work;
    $CONNECTOR_TEST_PREFECT names one that runs already, for whoever works on a test."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    home = tmp_path_factory.mktemp("prefect")
    with ExitStack() as stack:
        api = os.environ.get("CONNECTOR_TEST_PREFECT") or stack.enter_context(starting(home))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("PREFECT_API_URL", api)
        patch.setenv("PREFECT_HOME", str(home))
        stack.enter_context(temporary_settings({PREFECT_API_URL: api}))
        yield api


@contextmanager
def starting(home: Path) -> Iterator[str]:
    """The API of a server that is started, and stopped after the block."""
    port = free_port()
    api = f"http://127.0.0.1:{port}/api"
    env = {**os.environ, **QUIET, "PREFECT_HOME": str(home)}
    env.pop("PREFECT_API_URL", None)
    with subprocess.Popen([sys.executable, "-m", "prefect", "server", "start", "--host",
                           "127.0.0.1", "--port", str(port)], env=env,
                          stdout=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: answers(api), 240)
            yield api
        finally:
            process.terminate()
            process.wait(60)


def ask(api: str, path: str, **body: Any) -> Any:
    """What the server says."""
    answers: list[requests.Response] = []

    def answered() -> bool:
        answers.append(requests.post(f"{api}/{path}", json=body, timeout=60))
        return answers[-1].status_code != 503  # its database was busy

    eventually(answered)
    assert answers[-1].ok, answers[-1].text
    return answers[-1].json()


def flow_runs(api: str, pair: Pair) -> list[dict[str, Any]]:
    """The flow runs of a pair's config, the oldest first."""
    found = ask(api, "flow_runs/filter", sort="EXPECTED_START_TIME_ASC")
    return [run for run in found if run["parameters"].get("config") == str(pair.config)]


def artifacts(api: str, flow_run: dict[str, Any]) -> dict[str, Any]:
    """A flow run's artifacts, by key."""
    return {found["key"]: found for found in ask(api, "artifacts/filter", artifacts={
        "flow_run_id": {"any_": [flow_run["id"]]}})}


def configure(pair: Pair, schedules: str) -> None:
    """Give the pair these schedules."""
    lines = [line for line in pair.config.read_text(encoding="utf-8").splitlines()
             if not line.startswith("    schedules:")]
    at = lines.index("  main:")
    lines[at + 1:at + 1] = [f"    schedules: [{schedules}]"] if schedules else []
    pair.config.write_text("\n".join(lines) + "\n", encoding="utf-8")


@contextmanager
def working(pool: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of a pool, until the end of the block."""
    with log.open("ab") as out, subprocess.Popen(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool,
             "--type", "process", "--limit", "1"],
            env={**os.environ, "PREFECT_WORKER_QUERY_SECONDS": "1"}, stdout=out, stderr=out,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) as process:
        try:
            eventually(lambda: "started!" in log.read_text(encoding="utf-8"), 240)
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
