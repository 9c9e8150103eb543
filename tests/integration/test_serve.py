"""`connector serve` in a process of its own, between both native systems over real HTTP."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from connector.domain.ledger import RunState
from tests.integration.conftest import CRM_SECRET, ERP_SECRET, Pair, expect_webhooks
from tests.integration.test_cli import cli


def eventually(holds: Callable[[], Any], seconds: float = 60) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.02)


@dataclass(slots=True)
class Served:
    """A `connector serve` at work."""

    url: str
    process: subprocess.Popen[str]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Tell it to stop, and wait for that."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def serving(config: Path, *options: str) -> Iterator[Served]:
    """`connector serve` until the end of the block."""
    with subprocess.Popen(
            [sys.executable, "-m", "connector.cli", "--config", str(config), "serve", "--json",
             *(options or ("--port", "0"))], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            yield Served(told["url"], process)
        finally:
            with suppress(ProcessLookupError):
                process.kill()


@pytest.fixture
def told(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Pair:
    """A pair whose config knows its systems' webhook secrets."""
    expect_webhooks(pair, monkeypatch)
    return pair


def register(pair: Pair, url: str) -> None:
    pair.crm("POST", "webhooks", {"url": f"{url}/webhooks/crm", "secret": CRM_SECRET})
    pair.erp("POST", "hooks", {"url": f"{url}/webhooks/erp", "secret": ERP_SECRET})


def test_edits_go_both_ways_without_a_sync_and_stopping_is_clean(told: Pair) -> None:
    with serving(told.config) as served:
        register(told, served.url)
        account = told.crm("POST", "accounts", {"name": "Aurora", "phone": "1"})
        eventually(lambda: told.in_erp("customers"))
        (customer,) = told.in_erp("customers")
        told.crm("PATCH", f"accounts/{account['id']}", {"phone": "2"})
        eventually(lambda: told.in_erp("customers")[0]["tel"] == "2")
        told.edit_erp("customers", customer["id"], display_name="Aurora SE")
        eventually(lambda: told.crm("GET", f"accounts/{account['id']}")["name"] == "Aurora SE")

        figures = requests.get(f"{served.url}/metrics", timeout=30).text
        assert 'connector_webhook_deliveries_total{status="202",system="crm"}' in figures
        assert 'connector_drains_total{pair="main"}' in figures
        assert 'connector_dead_letters{pair="main"} 0.0' in figures
        assert served.end() == 0
    with told.connector.store.begin() as uow:
        assert {run.state for run in uow.runs("main", 99)} == {RunState.COMPLETED}
    told.quiet()


def test_what_came_before_a_kill_is_worked_off_after_the_next_start(told: Pair) -> None:
    with serving(told.config, "--port", "0", "--no-drain") as served:
        register(told, served.url)
        told.crm("POST", "accounts", {"name": "Aurora"})

        def hinted() -> bool:
            with told.connector.store.begin() as uow:
                return ("customer", "crm", "hinted") in uow.inbox_counts("main")

        eventually(hinted)
        assert served.end(signal.SIGKILL) == -signal.SIGKILL
    assert told.in_erp("customers") == []
    with serving(told.config) as served:
        eventually(lambda: told.in_erp("customers"))
        assert served.end() == 0


def test_webhooks_are_taken_while_a_run_holds_the_pair(told: Pair) -> None:
    lease = told.connector.store.acquire_lease("main", "elsewhere:1", 300)
    with ExitStack() as stack:
        served = stack.enter_context(serving(told.config))
        register(told, served.url)
        account = told.crm("POST", "accounts", {"name": "Aurora"})

        def taken() -> bool:
            with told.connector.store.begin() as uow:
                return ("customer", "crm", "hinted") in uow.inbox_counts("main")

        eventually(taken)
        assert told.in_erp("customers") == []
        told.connector.store.release_lease("main", lease)
        eventually(lambda: told.in_erp("customers"))
        assert told.crm("GET", f"accounts/{account['id']}")
        assert served.end() == 0


def test_a_system_that_is_away_delays_but_loses_nothing(told: Pair) -> None:
    with serving(told.config) as served:
        register(told, served.url)
        requests.post(f"{told.erp_url}/_faults", timeout=9, json=[
            {"kind": "fail_before", "match": {"method": "POST", "path": "/v1/customers/bulk"},
             "status": 503, "times": 12}]).raise_for_status()
        told.crm("POST", "accounts", {"name": "Aurora"})
        eventually(lambda: not requests.get(f"{told.erp_url}/_faults", timeout=9).json(), 120)
        eventually(lambda: told.in_erp("customers"), 120)
        assert len(told.in_erp("customers")) == 1
        assert served.end() == 0


def run(pair: Pair, *words: str) -> Any:
    """A command's exit code and what it printed."""
    done = cli(pair, "webhooks", *words)
    return done.returncode, done.stdout, done.stderr


def test_webhooks_are_registered_tested_and_removed(told: Pair) -> None:
    with serving(told.config) as served:
        assert run(told, "test", "crm", served.url)[0] == 1
        for system in ("crm", "crm", "erp"):  # twice is once
            code, said, _ = run(told, "register", system, served.url)
            assert (code, f"{served.url}/webhooks/{system}" in said.replace("\n", "")) == (0, True)
        for system in ("crm", "erp"):
            assert run(told, "test", system, served.url)[0] == 0
            _, said, _ = run(told, "list", system, "--json")
            (endpoint,) = json.loads(said)
            assert endpoint["url"] == f"{served.url}/webhooks/{system}"
            assert ("accounts" if system == "crm" else "customers") in endpoint["objects"]
            assert not set(endpoint) & {"secret"}
        account = told.crm("POST", "accounts", {"name": "Aurora"})
        eventually(lambda: told.in_erp("customers"))
        told.edit_erp("customers", told.in_erp("customers")[0]["id"], display_name="Aurora SE")
        eventually(lambda: told.crm("GET", f"accounts/{account['id']}")["name"] == "Aurora SE")
        assert run(told, "remove", "crm", told.crm("GET", "webhooks")[0]["id"])[0] == 0
        assert told.crm("GET", "webhooks") == []
        assert run(told, "test", "crm", served.url)[0] == 1


def test_what_can_not_be_registered_is_said(told: Pair) -> None:
    code, _, said = run(told, "list", "nobody")
    assert (code, "There is no system 'nobody'" in said) == (3, True)
    text = told.config.read_text(encoding="utf-8")
    told.config.write_text(text.replace("webhooks: {secrets: [env:CRM_HOOKS]}", ""),
                           encoding="utf-8")
    code, _, said = run(told, "register", "crm", "https://hooks.example.org")
    assert (code, "No secret is known" in said) == (3, True)
    assert told.crm("GET", "webhooks") == []
