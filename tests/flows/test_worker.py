"""Flow runs that a worker makes: cancelled, killed, and left behind; and the state after."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from connector.domain.ledger import RunState
from flows.deploy import deploy
from tests.flows.conftest import artifacts, ask, flow_runs, working
from tests.integration.conftest import Pair
from tests.integration.test_serve import eventually

pytestmark = [pytest.mark.slow, pytest.mark.prefect]


def begun(api: str, pair: Pair) -> dict[str, Any]:
    """A flow run of the pair's sync that a worker will make."""
    (found,) = ask(api, "deployments/filter", flows={"name": {"any_": ["sync"]}},
                   deployments={"name": {"any_": ["main"]}})
    assert found["parameters"]["config"] == str(pair.config)
    made: dict[str, Any] = ask(api, f"deployments/{found['id']}/create_flow_run")
    return made


def state(api: str, pair: Pair, flow_run: dict[str, Any]) -> str:
    (found,) = [run for run in flow_runs(api, pair) if run["id"] == flow_run["id"]]
    return str(found["state"]["name"])


def runs(pair: Pair) -> dict[str, RunState]:
    with pair.connector.store.begin() as uow:
        return {run.id: run.state for run in uow.runs("main", 9)}


def own(pair: Pair, flow_run: dict[str, Any]) -> RunState | None:
    """The state of a flow run's run."""
    return runs(pair).get(flow_run["id"].replace("-", "")[:12])


def many(pair: Pair, number: int) -> None:
    for count in range(number):
        pair.crm("POST", "accounts", {"name": f"Company {count}"})


def process_of(pair: Pair) -> int:
    """The process that holds the pair's lease."""
    from connector.errors import LeaseHeld

    with pytest.raises(LeaseHeld) as held:
        pair.connector.store.acquire_lease("main", "elsewhere:1", 1)
    holder = str(held.value).partition(" is being worked on by ")[2].split()[0]
    return int(holder.rpartition(":")[2])


def test_cancelled_killed_and_left_behind(pair: Pair, server: str, tmp_path: Path) -> None:
    pair.reconfigure("    api_key: env:NATIVE_ERP_KEY",
                     "    api_key: env:NATIVE_ERP_KEY\n    budget: {per_second: 2}")
    deploy(pair.connector, "cancelling")
    many(pair, 30)
    with working("cancelling", tmp_path / "worker.log") as worker:
        # Cancelled through the API, it ends by itself; what it had not done is left to the next.
        cancelled = begun(server, pair)
        eventually(lambda: own(pair, cancelled) is RunState.RUNNING, 120)
        ask(server, f"flow_runs/{cancelled['id']}/set_state",
            state={"type": "CANCELLING", "name": "Cancelling"})
        eventually(lambda: state(server, pair, cancelled) == "Cancelled", 120)
        assert own(pair, cancelled) is RunState.CANCELLED
        assert pair.in_erp("customers") == []

        # Killed with -9: the lease is taken over at once, and its run is closed.
        killed = begun(server, pair)
        eventually(lambda: own(pair, killed) is RunState.RUNNING, 120)
        os.kill(process_of(pair), signal.SIGKILL)
        eventually(lambda: state(server, pair, killed) == "Crashed", 120)

        # The worker is told to end: it kills its run, which Prefect shows as running for ever.
        left = begun(server, pair)
        eventually(lambda: own(pair, left) is RunState.RUNNING, 120)
        assert own(pair, killed) is RunState.ABANDONED
        process = process_of(pair)
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
        eventually(lambda: not Path(f"/proc/{process}").exists(), 60)
    pair.reconfigure("    budget: {per_second: 2}\n", "")
    with working("cancelling", tmp_path / "worker.log"):
        last = begun(server, pair)
        eventually(lambda: state(server, pair, last) == "Completed", 120)
    assert state(server, pair, left) in ("Crashed", "Cancelled")
    assert own(pair, left) in (RunState.ABANDONED, RunState.CANCELLED)
    assert own(pair, last) is RunState.COMPLETED
    assert "sync-main" in artifacts(server, last)
    assert len(pair.in_erp("customers")) == 30
    pair.sound()
    pair.quiet()
