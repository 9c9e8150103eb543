"""Real workers of a Prefect work pool and of a Dask cluster share one pair's work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from connector.bootstrap import SystemClock
from connector.domain.ledger import RunState
from connector.domain.partitions import PartitionState
from connector.store.open import open_store
from tests import postgres
from tests.integration.conftest import Pair
from tests.integration.test_serve import eventually

pytestmark = pytest.mark.slow
CUSTOMERS = 60


@pytest.fixture
def store(tmp_path: Path) -> Iterator[str]:
    """A PostgreSQL store of its own."""
    with postgres.server(tmp_path / "postgres") as url:
        yield url


def scaled(pair: Pair, store: str, scale: str) -> None:
    """Let the pair keep its state there, and be worked off by others, for whom the run waits by the
    machine's clock."""
    pair.connector.clock = SystemClock()
    pair.reconfigure("store: sqlite:///connector.db", f"store: {store}\nscale: {scale}")
    pair.reconfigure("level: warning", "level: info")


def company(pair: Pair) -> None:
    """Customers with people, in the CRM."""
    for n in range(CUSTOMERS):
        account = pair.crm("POST", "accounts", {"name": f"Company {n}",
                                                "vatNumber": f"DE{136695976 + n}"})["id"]
        for k in range(2):
            pair.crm("POST", "contacts", {"accountId": account, "lastName": f"Person {n}-{k}",
                                          "email": f"p{n}.{k}@company{n}.example"})


def all_there(pair: Pair) -> None:
    """The ERP has everything once, and nothing is left to do."""
    name = {c["id"]: c["display_name"] for c in pair.in_erp("customers")}
    assert sorted(name.values()) == sorted(f"Company {n}" for n in range(CUSTOMERS))
    people = sorted((name[c["customer_id"]], c["mail"]) for c in pair.in_erp("contact_persons"))
    assert people == sorted((f"Company {n}", f"p{n}.{k}@company{n}.example")
                            for n in range(CUSTOMERS) for k in range(2))
    pair.quiet()
    pair.sound()


@contextmanager
def pool_worker(name: str, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of the work pool, for one partition at a time."""
    started = subprocess.Popen(
        [sys.executable, "-m", "prefect", "worker", "start", "--pool", "connector", "--type",
         "process", "--limit", "1", "--name", name], env=env, start_new_session=True)
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


@pytest.fixture
def env(server: str, tmp_path: Path) -> dict[str, str]:
    """The environment of whoever works with the Prefect server."""
    return {**os.environ, "PREFECT_API_URL": server, "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_HOME": str(tmp_path / "prefect"), "PYTHONPATH": str(Path.cwd())}


def by_the_run_itself(log: list[Any]) -> list[int]:
    """The partitions that no worker has worked off to the end."""
    return [entry["partition"] for entry in log
            if entry["event"] == "partition worked off by the run itself"]


def test_workers_of_a_work_pool_share_the_work(pair: Pair, store: str,
                                               env: dict[str, str]) -> None:
    scaled(pair, store, "{by: prefect, work_pool: connector, partitions: 2, at_least: 10}")
    company(pair)
    with pool_worker("one", env), pool_worker("two", env), capture_logs() as log:
        eventually_a_pool(env)
        run = pair.sync()
    assert run.writes["contact", "erp", "create"] == 2 * CUSTOMERS
    assert by_the_run_itself(log) == []
    assert [e["partitions"] for e in log if e["event"] == "inbox divided"][:2] == [2, 2]
    all_there(pair)


@pytest.mark.timeout(600)
def test_what_a_killed_worker_leaves_the_run_takes_up(pair: Pair, store: str,
                                                      env: dict[str, str]) -> None:
    scaled(pair, store, "{by: prefect, work_pool: connector, partitions: 2, at_least: 10, "
                        "patience: 60s}")
    company(pair)
    with pool_worker("one", env) as worker, capture_logs() as log:
        eventually_a_pool(env)
        killing = threading.Thread(target=kill_once_begun, args=(worker, store, pair))
        killing.start()
        run = pair.sync()
        killing.join()
    assert run.state is RunState.COMPLETED
    assert by_the_run_itself(log)
    all_there(pair)


def test_without_a_worker_the_run_works_alone(pair: Pair, store: str, env: dict[str, str]) -> None:
    scaled(pair, store, "{by: prefect, work_pool: empty, partitions: 2, at_least: 10, "
                        "patience: 1s}")
    company(pair)
    subprocess.run([sys.executable, "-m", "prefect", "work-pool", "create", "empty", "--type",
                    "process"], env=env, check=True)
    with capture_logs() as log:
        pair.sync()
    assert sorted(by_the_run_itself(log)[:2]) == [0, 1]
    all_there(pair)


def test_workers_of_a_dask_cluster_share_the_work(pair: Pair, store: str,
                                                  server: str) -> None:
    pytest.importorskip("prefect_dask")
    scaled(pair, store, "{by: dask, workers: 2, partitions: 2, at_least: 10}")
    company(pair)
    with capture_logs() as log:
        run = pair.sync()
    assert run.writes["contact", "erp", "create"] == 2 * CUSTOMERS
    assert by_the_run_itself(log) == []
    all_there(pair)


def kill_once_begun(worker: subprocess.Popen[bytes], store: str, pair: Pair) -> None:
    """Kill a worker and its flow run as soon as it works on a partition."""
    kept = open_store(store, pair.connector.clock)

    def begun() -> bool:
        with kept.begin() as uow:
            return PartitionState.BEGUN in uow.partition_states("main").values()

    eventually(begun, 240)
    kept.close()
    family = subprocess.run(["ps", "-o", "pid=", "--ppid", str(worker.pid)], capture_output=True,
                            text=True, check=False).stdout.split()
    for pid in (worker.pid, *map(int, family)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def eventually_a_pool(env: dict[str, str]) -> None:
    """Wait until a worker has made the work pool."""
    eventually(lambda: subprocess.run(
        [sys.executable, "-m", "prefect", "work-pool", "inspect", "connector"], env=env,
        capture_output=True, check=False).returncode == 0, 240)
