"""The flows, the reports and the deployments, against a real Prefect server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from connector.domain.ledger import Run, RunState
from connector.errors import AccessDenied, ConfigInvalid
from flows.deploy import deploy
from flows.progress import EVERY as LOOKS_EVERY
from flows.sync import run
from tests.flows.conftest import artifacts, ask, configure, flow_runs, working
from tests.integration.conftest import KEY, TOKEN, Pair
from tests.integration.test_serve import eventually

pytestmark = [pytest.mark.prefect, pytest.mark.slow]


def carry_out(pair: Pair, kind: str = "sync", **more: Any) -> Any:
    return run(kind, pair.config, None, {"safety_stop": True, "entities": ["customer"], **more})


def task_runs(api: str, flow_run: dict[str, Any]) -> dict[str, str]:
    found = ask(api, "task_runs/filter", flow_runs={"id": {"any_": [flow_run["id"]]}})
    return {task["name"]: task["state"]["name"] for task in found}


def logged(api: str, flow_run: dict[str, Any]) -> list[str]:
    """What a flow run of this process has logged. Prefect sends it every other second, or when the
    process ends: all of it, before the server is asked."""
    from prefect.logging.handlers import APILogHandler

    APILogHandler().flush()
    return [line["message"] for line in ask(
        api, "logs/filter", sort="TIMESTAMP_ASC",
        logs={"flow_run_id": {"any_": [flow_run["id"]]}})]


def test_a_sync_runs_as_a_flow(pair: Pair, server: str) -> None:
    pair.crm("POST", "accounts", {"name": "Acme", "vatNumber": "DE1"})
    done, drift = carry_out(pair)
    assert done.writes["customer", "erp", "create"] == 1
    assert drift is None
    assert [c["display_name"] for c in pair.in_erp("customers")] == ["Acme"]
    (flow_run,) = flow_runs(server, pair)
    assert (flow_run["name"], flow_run["state"]["name"]) == ("sync-main", "Completed")
    assert {"connector", "main"} <= set(flow_run["tags"])
    assert flow_run["parameters"] == {
        "config": str(pair.config), "pair": "main", "entities": ["customer"], "safety_stop": True,
        "busy": None, "patience": None}
    assert done.id == flow_run["id"].replace("-", "")[:12]
    shown = artifacts(server, flow_run)
    assert set(shown) - {"sync-main-progress"} == {"sync-main"}  # the machine may be slow
    assert '"created": 1' in shown["sync-main"]["data"]
    eventually(lambda: task_runs(server, flow_run) == {
        "read 1": "Completed", "work off 1": "Completed", "read 2": "Completed",
        "work off 2": "Completed", "tell 1": "Completed"})


def test_a_reconcile_shows_what_drifted(pair: Pair, server: str) -> None:
    pair.crm("POST", "accounts", {"name": "Acme", "vatNumber": "DE1"})
    _, drift = carry_out(pair, "reconcile", report_only=True)
    assert drift is not None
    assert pair.in_erp("customers") == []
    carry_out(pair, "reconcile")
    assert len(pair.in_erp("customers")) == 1
    _, flow_run = flow_runs(server, pair)
    assert {"reconcile-main", "reconcile-main-drift"} <= set(artifacts(server, flow_run))


def test_what_an_error_says_is_not_told_to_prefect(pair: Pair, server: str,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATIVE_CRM_TOKEN", "wrong-one")
    with pytest.raises(AccessDenied) as raised:
        carry_out(pair)
    (flow_run,) = flow_runs(server, pair)
    assert flow_run["state"]["name"] == "Failed"
    assert flow_run["state"]["message"].startswith("ReauthRequired; see `connector status`, run ")
    logs = logged(server, flow_run)
    assert "Finished in state Failed" in logs[-1]
    assert any(line.startswith("ReauthRequired") for line in logs), logs
    assert raised.value.message not in str(logs)
    assert len(task_runs(server, flow_run)) == 1  # a user's mistake is not tried again


def test_a_run_that_another_one_takes_up_is_shown_so(pair: Pair, server: str) -> None:
    store = pair.connector.store
    token = store.acquire_lease("main", "elsewhere:1", 60)
    with store.begin() as uow:
        uow.offer("main", token, "r1")
    done, _ = carry_out(pair, "drain", busy="merge")
    assert done.state is RunState.MERGED
    (flow_run,) = flow_runs(server, pair)
    assert flow_run["state"]["name"] == "Merged"
    assert "drain-main" not in artifacts(server, flow_run)


def test_a_long_run_tells_how_far_it_is(pair: Pair, server: str) -> None:
    for number in range(30):
        pair.crm("POST", "accounts", {"name": f"Company {number}"})
    pair.session.post(f"{pair.erp_url}/_faults", timeout=9, json=[
        {"kind": "delay_commit", "seconds": 1.5 * LOOKS_EVERY, "match": {"method": "POST"}}
    ]).raise_for_status()
    carry_out(pair)
    (flow_run,) = flow_runs(server, pair)
    told = artifacts(server, flow_run)["sync-main-progress"]
    assert (told["type"], told["data"]) == ("progress", 100.0)
    assert told["description"].endswith("60 written, done"), told["description"]


def cli(pair: Pair, *words: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "connector.cli", "--config", str(pair.config), *words], text=True,
        capture_output=True, check=False,
        env={**os.environ, "NATIVE_CRM_TOKEN": token, "NATIVE_ERP_KEY": KEY})


def alike(output: str) -> Any:
    """A run as JSON, without what differs from run to run."""
    told = json.loads(output)
    return {**told, "id": "", "trigger": "", "started_at": "", "ended_at": ""}


@pytest.mark.slow
def test_the_command_line_says_the_same_however_it_runs(pair: Pair, server: str) -> None:
    pair.sync()
    here, flow = (cli(pair, "sync", "--json", *how) for how in (["--no-prefect"], ["--prefect"]))
    assert (here.returncode, flow.returncode) == (0, 0), flow.stderr
    assert alike(here.stdout) == alike(flow.stdout)
    (only_the_flow,) = flow_runs(server, pair)
    assert "run" not in only_the_flow["parameters"]
    here, flow = (cli(pair, "sync", *how, token="wrong") for how in ([], ["--prefect"]))
    assert (here.returncode, flow.returncode) == (4, 4)
    assert here.stdout == flow.stdout == ""
    assert here.stderr.splitlines()[-2:] == flow.stderr.splitlines()[-2:]
    reported, flown = flow_runs(server, pair)[1:]
    assert "run" in reported["parameters"]
    assert reported["state"]["name"] == flown["state"]["name"] == "Failed"


def test_what_a_dead_process_left_running_is_closed_by_the_next_run(pair: Pair,
                                                                    server: str) -> None:
    flow = ask(server, "flows/", name="sync")["id"]
    # One that reported its run, and one that worked on a partition of it.
    begun = [ask(server, "flow_runs/", flow_id=flow, name="sync-main", tags=["connector", "main"],
                 parameters={"config": str(pair.config), "pair": "main", by: "r1"},
                 state={"type": "RUNNING", "name": "Running"})["id"] for by in ("run", "run_id")]
    with pair.connector.store.begin() as uow:
        uow.save_run(Run("r1", "main", "cli", RunState.RUNNING, pair.connector.clock.now()))
    token = pair.connector.store.acquire_lease("main", "elsewhere:1", 60)
    deploy(pair.connector, "pool", remove=True)

    def states() -> list[str]:
        return [r["state"]["name"] for r in flow_runs(server, pair) if r["id"] in begun]

    assert states() == ["Running"] * 2  # somebody works on the pair
    pair.connector.store.release_lease("main", token)
    carry_out(pair)
    assert states() == ["Crashed"] * 2
    with pair.connector.store.begin() as uow:
        assert [r.state for r in uow.runs("main", 9)][-1] is RunState.ABANDONED


def deployments(api: str) -> dict[str, dict[str, Any]]:
    return {d["name"]: d for d in ask(api, "deployments/filter") if d["work_pool_name"]}


BY_HAND = {"sync/main", "reconcile/main", "drain/main"}
EVERY, NIGHTLY = "sync/main-every-15m-customer", "reconcile/main-cron-0-3-any-any-any-europe-paris"


@pytest.mark.slow
def test_what_the_config_says_is_deployed_and_nothing_is_done_twice(pair: Pair,
                                                                    server: str) -> None:
    night = "{cron: '0 3 * * *', timezone: Europe/Paris, reconcile: true}"
    configure(pair, f"{{every: 15m, entities: [customer]}}, {night}")
    done = cli(pair, "deploy", "--pool", "one", "--json")
    assert done.returncode == 0, done.stderr
    did = json.loads(done.stdout)
    assert (did["pool_created"], set(did["created"])) == (True, {*BY_HAND, EVERY, NIGHTLY})
    there = deployments(server)["main-every-15m-customer"]
    assert (there["work_pool_name"], there["entrypoint"]) == ("one", "flows.sync.sync_flow")
    assert there["parameters"] == {"config": str(pair.config), "pair": "main",
                                   "entities": ["customer"]}
    assert [s["schedule"]["interval"] for s in there["schedules"]] == [900.0]
    nightly = deployments(server)["main-cron-0-3-any-any-any-europe-paris"]
    assert [s["schedule"]["timezone"] for s in nightly["schedules"]] == ["Europe/Paris"]

    pair.reconfigure("timezone: Europe/Paris", "timezone: Europe/Paris ")
    again = deploy(pair.connector, "one")
    assert (again["pool_created"], again["created"], again["changed"], again["removed"]) \
        == (False, [], [], [])
    assert len(again["unchanged"]) == 5

    pair.reconfigure("{every: 15m, entities: [customer]}, ", "{every: 1h}, ")
    changed = deploy(pair.connector, "two")  # all move to the other pool
    assert changed["created"] == ["sync/main-every-1h"]
    assert set(changed["changed"]) == {*BY_HAND, NIGHTLY}
    assert changed["removed"] == [EVERY]
    assert {d["work_pool_name"] for d in deployments(server).values()} == {"two"}

    gone = deploy(pair.connector, "two", remove=True)
    assert set(gone["removed"]) == {*BY_HAND, NIGHTLY, "sync/main-every-1h"}
    assert deployments(server) == {}
    assert "nothing" not in cli(pair, "deploy", "--remove").stdout


def test_a_server_that_is_not_there_is_said(pair: Pair, server: str,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    away = cli(pair, "deploy")
    assert (away.returncode, "can't be reached at http://127.0.0.1:9" in away.stderr) == (5, True)
    monkeypatch.delenv("PREFECT_API_URL")
    with pytest.raises(ConfigInvalid, match="no Prefect server is named"):
        deploy(pair.connector, "one")


@pytest.mark.slow
def test_a_schedule_fires(pair: Pair, server: str, tmp_path: Path) -> None:
    pair.crm("POST", "accounts", {"name": "Aurora"})
    configure(pair, "{every: 10s, entities: [customer]}")
    pool = f"firing-{tmp_path.parent.name}"
    with working(pool, tmp_path / "worker.log"):
        assert cli(pair, "deploy", "--pool", pool).returncode == 0
        try:
            eventually(lambda: pair.in_erp("customers"), 240)
            eventually(lambda: "Completed" in {r["state"]["name"] for r in flow_runs(server, pair)
                                               if r["auto_scheduled"]}, 240)
        finally:
            deploy(pair.connector, pool, remove=True)
    assert [c["display_name"] for c in pair.in_erp("customers")] == ["Aurora"]
