"""What the flows are made of, part by part; none of it needs a Prefect server."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
import responses
from responses.matchers import header_matcher
from structlog.testing import capture_logs

from connector.config import ScheduleConfig
from connector.domain.actions import OutcomeKind, Tally
from connector.domain.ledger import Run, RunState
from connector.errors import AccessDenied, BudgetSpent, RateLimited, RunCancelled, SystemUnreachable
from flows.report import Report
from flows.words import account, artifact_key

API = "http://prefect.example.org/api"
NOW = datetime(2026, 11, 29, tzinfo=UTC)
FLOW_RUN = "5e62d420-44b6-4dec-9a1d-f023009691fd"


def run(state: RunState = RunState.COMPLETED, ended: float = 0) -> Run:
    tally = Tally(read=2)
    tally.outcomes[OutcomeKind.CREATED] = 2
    return Run("r1", "main", "cli", state, NOW, None if state is RunState.RUNNING
               else NOW - timedelta(seconds=ended), "told", {("customer", "crm"): tally})


def test_the_command_line_does_not_import_prefect() -> None:
    code = ("import sys, connector.cli.app, connector.bootstrap, connector.engine.run, "
            "flows.report, flows.schedules; "
            "print([m for m in sys.modules if m.split('.')[0] == 'prefect'])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("error", "again"), [
    (SystemUnreachable("away"), True), (RateLimited("slow down", after=10), True),
    (RateLimited("slow down", after=600), False), (BudgetSpent("spent", after=1), False),
    (AccessDenied("no"), False), (RunCancelled("stopped"), False), (ValueError("a bug"), False),
    (None, False)])
def test_only_what_passes_by_itself_is_tried_again(error: Exception | None, again: bool) -> None:
    from flows.phases import worth_another_try

    assert worth_another_try(error) is again


@pytest.mark.parametrize(("state", "since", "own", "is_dead"), [
    ("RUNNING", 3600, run(RunState.RUNNING), False),  # the lease says that it is at work
    ("RUNNING", 1, run(RunState.ABANDONED), True),
    ("RUNNING", 3600, run(ended=10), False),  # it shows its account
    ("RUNNING", 3600, run(ended=300), True),
    ("RUNNING", 600, None, False),  # it may wait for its turn
    ("RUNNING", 1100, None, True),
    ("PENDING", 100, None, False), ("PENDING", 300, None, True),
    ("CANCELLING", 10, run(RunState.CANCELLED, ended=5), False),
    ("CANCELLING", 300, run(RunState.CANCELLED, ended=200), True)])
def test_a_flow_run_is_dead_when_its_run_is(state: str, since: float, own: Run | None,
                                            is_dead: bool) -> None:
    from prefect.client.schemas.objects import StateType

    from flows.zombies import dead

    assert dead(StateType(state), NOW - timedelta(seconds=since), own, 900, NOW) is is_dead


def test_a_run_has_the_id_of_its_flow_run() -> None:
    from flows.zombies import run_id_of

    assert run_id_of(FLOW_RUN, 1) == "5e62d42044b6"
    assert run_id_of(FLOW_RUN, 2) == "5e62d4204-2"


@pytest.mark.parametrize(("given", "name"), [
    ({"every": "15m"}, "every-15m"), ({"every": "90s"}, "every-90s"), ({"every": "1d"}, "every-1d"),
    ({"every": "120m", "entities": ["customer", "order"]}, "every-2h-customer-order"),
    ({"cron": "*/5 3 * * 1-5"}, "cron-any-by-5-3-any-any-1-5"),
    ({"cron": "0 3 * * *", "timezone": "Europe/Paris"}, "cron-0-3-any-any-any-europe-paris")])
def test_a_schedule_has_a_name_of_its_own(given: dict[str, Any], name: str) -> None:
    from flows.deployments import name_of

    assert name_of(ScheduleConfig.model_validate(given)) == name


def test_an_artifact_has_a_key_that_prefect_takes() -> None:
    assert artifact_key("sync", "Main_EU ", "progress") == "sync-main-eu-progress"


def told(mocked: responses.RequestsMock) -> list[tuple[str, Any]]:
    import json

    return [(call.request.url.removeprefix(API), json.loads(call.request.body))  # type: ignore
            for call in mocked.calls]


@pytest.fixture
def server() -> Any:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mocked:
        mocked.post(f"{API}/flows/", json={"id": "f1"})
        mocked.post(f"{API}/flow_runs/", json={"id": "fr1"})
        mocked.post(f"{API}/artifacts/", json={})
        mocked.post(f"{API}/logs/", status=201)
        mocked.post(f"{API}/flow_runs/fr1/set_state", json={})
        yield mocked


@pytest.mark.parametrize(("came", "error", "ends"), [
    (run(), None, ("COMPLETED", "Completed", "run r1")),
    (run(RunState.MERGED), None, ("COMPLETED", "Merged", "told")),
    (run(RunState.FAILED), None,
     ("FAILED", "Failed", "not every record read is accounted for; see `connector status`")),
    (run(RunState.FAILED), AccessDenied("Ms Doe's key is wrong"),
     ("FAILED", "Failed", "AccessDenied; see `connector status`")),
    (run(RunState.CANCELLED), KeyboardInterrupt(), ("CANCELLED", "Cancelled", "it was stopped")),
    (None, AccessDenied("Ms Doe's key is wrong"),
     ("FAILED", "Failed", "AccessDenied; see `connector status`"))])
def test_a_run_is_reported(server: responses.RequestsMock, came: Run | None,
                           error: BaseException | None, ends: tuple[str, str, str]) -> None:
    Report(API + "/", "sync", "main", "r1", "/etc/config.yaml").end(came, error)
    said = told(server)
    begun = dict(said)["/flow_runs/"]
    assert begun["parameters"] == {"config": "/etc/config.yaml", "pair": "main", "run": "r1"}
    assert (begun["name"], begun["tags"]) == ("sync-main", ["connector", "main", "cli"])
    assert begun["state"]["type"] == "RUNNING"
    (path, last) = said[-1]
    assert (path, tuple(last["state"].values())) == ("/flow_runs/fr1/set_state", ends)
    shown = [body for path, body in said if path == "/artifacts/"]
    assert len(shown) == (came is not None and came.state is not RunState.MERGED)
    assert all('"read":2' in body["data"] for body in shown)
    assert "Doe" not in str(said)


@pytest.mark.parametrize(("name", "value", "sent"), [
    ("KEY", "k1", "Bearer k1"), ("AUTH_STRING", "admin:pass", "Basic YWRtaW46cGFzcw==")])
def test_a_report_proves_who_it_is(server: responses.RequestsMock, name: str, value: str,
                                   sent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"PREFECT_API_{name}", value)
    Report(API, "sync", "main", "r1", "c").end(run(), None)
    assert {call.request.headers["Authorization"] for call in server.calls} == {sent}
    assert header_matcher({"Authorization": sent})(server.calls[0].request)[0]


def test_a_server_that_is_away_is_said_and_does_no_harm() -> None:
    with responses.RequestsMock() as mocked, capture_logs() as log:
        mocked.post(f"{API}/flows/", body=requests.ConnectionError("no"))
        Report(API, "sync", "main", "r1", "c").end(run(), None)
    assert [(entry["event"], entry["log_level"], entry["api"]) for entry in log] \
        == [("not shown in Prefect", "warning", API)]


def test_nobody_waits_for_a_server_that_hangs() -> None:
    over = threading.Event()

    def hang(_request: Any) -> tuple[int, dict[str, str], str]:
        over.wait(60)
        return 503, {}, ""

    with responses.RequestsMock() as mocked:
        mocked.add_callback(responses.POST, f"{API}/flows/", hang)
        report = Report(API, "sync", "main", "r1", "c")
        report.end(run(), None)
        assert not over.is_set()
        over.set()
        report._thread.join(60)


def test_an_account_has_a_row_for_what_was_read() -> None:
    (row,) = account(run())
    assert (row["entity"], row["read from"], row["read"], row["created"]) \
        == ("customer", "crm", 2, 2)
