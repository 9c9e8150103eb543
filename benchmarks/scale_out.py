"""One load, CRM → ERP, by one process, by the workers of a Prefect work pool, and by Dask.

    python benchmarks/scale_out.py [records] [rows a call] [variant ...]

A fifth of the records are customers, the others contacts at them. Both native systems run as
processes of their own and answer each call 20 ms late; their adapters send few rows a call, as to a
system without bulk calls, so that it is the waiting that is shared and not the machine's cores. The
store is a PostgreSQL server of this script's own. Variants: `alone`; `pool-1`, `pool-2`, `pool-4`
(Prefect workers, one flow run each at a time); `dask-2` (worker processes); `killed`: two Prefect
workers and four partitions, one worker killed with -9, with its flow run, while it writes.

Printed are the seconds of `connector sync` from start to end, a hash of what both systems hold in
the end (without the numbers that they count up themselves), and how often the order within a
customer was broken: a contact written before its customer, or before a contact that the CRM had
earlier.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import create_engine, text

from connector.bootstrap import SystemClock, shipped
from connector.native import crm, erp
from connector.native.crm.load import load
from connector.native.serving import free_port, serve
from connector.store.open import open_store
from tests.postgres import server

LATE = 0.020
CONTACTS = 4
SECRETS = {"NATIVE_CRM_TOKEN": "bench", "NATIVE_ERP_KEY": "bench"}
CRM, ERP = {"Authorization": "Bearer bench"}, {"X-Api-Key": "bench"}
PREFECT = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1",
           "PREFECT_LOGGING_LEVEL": "WARNING", "PREFECT_WORKER_QUERY_SECONDS": "1",
           "PREFECT_API_DATABASE_TIMEOUT": "120", "PREFECT_API_DATABASE_CONNECTION_TIMEOUT": "120"}
VARIANTS = {
    "alone": "{by: process}",
    "pool-1": "{by: prefect, work_pool: bench, partitions: 1, at_least: 1}",
    "pool-2": "{by: prefect, work_pool: bench, partitions: 2, at_least: 1}",
    "pool-4": "{by: prefect, work_pool: bench, partitions: 4, at_least: 1}",
    "dask-2": "{by: dask, workers: 2, partitions: 2, at_least: 1}",
    "killed": "{by: prefect, work_pool: bench, partitions: 4, at_least: 1}",
}
WORKERS = {"pool-1": 1, "pool-2": 2, "pool-4": 4, "killed": 2}

CONFIG = """store: {store}
mappings: [mappings]
scale: {scale}
log: {{format: console, level: warning}}
systems:
  crm: {{adapter: few_crm, url: "{crm}", token: env:NATIVE_CRM_TOKEN}}
  erp: {{adapter: few_erp, url: "{erp}", api_key: env:NATIVE_ERP_KEY}}
pairs:
  main:
    crm: crm
    erp: erp
    entities:
      customer: {{match: [vat_number], conflict: {{prefer: erp}}}}
      contact: {{match: [email], conflict: {{prefer: erp}}}}
"""
ADAPTERS = """from dataclasses import replace
from connector.adapters.native_crm import NativeCrm
from connector.adapters.native_erp import NativeErp
class FewCrm(NativeCrm):
    capabilities = replace(NativeCrm.capabilities, write_batch={rows})
class FewErp(NativeErp):
    capabilities = replace(NativeErp.capabilities, write_batch={rows})
"""


class Late:
    """Answers every call a little later; other calls go on meanwhile."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await asyncio.sleep(LATE)
        await self.app(scope, receive, send)


@contextmanager
def process(command: list[str], env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[Any]]:
    """A process in a group of its own, which ends with the block."""
    with log.open("ab") as out:
        started = subprocess.Popen(command, env=env, stdout=out, stderr=out,
                                   start_new_session=True)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()


def answering(url: str, log: Path) -> str:
    """The URL, once somebody answers there."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        try:
            requests.get(url, timeout=5)
            return url
        except requests.RequestException:
            time.sleep(0.1)
    raise SystemExit(f"nobody answers at {url}:\n{log.read_text()[-2000:]}")


@contextmanager
def native(kind: str, database: Path) -> Iterator[str]:
    """A native system, each call of which is answered late."""
    port, log = free_port(), database.with_suffix(".log")
    command = [sys.executable, __file__, "serve", kind, str(port), f"sqlite:///{database}"]
    with process(command, {**os.environ, **SECRETS}, log):
        yield answering(f"http://127.0.0.1:{port}/openapi.json", log).removesuffix("/openapi.json")


def seeded(database: Path, records: int) -> None:
    """A CRM with so many records."""
    customers = records // (CONTACTS + 1)
    load(f"sqlite:///{database}", {
        "accounts": [{"id": f"acc_{n:06d}", "name": f"Company {n}", "country": "DE",
                      "vatNumber": f"DE{900_000_000 + n}", "city": "Berlin",
                      "street": f"Street {n}", "postalCode": "10115"} for n in range(customers)],
        "contacts": [{"id": f"con_{n:06d}{k}", "accountId": f"acc_{n:06d}",
                      "lastName": f"Person {n}-{k}", "email": f"person{n}-{k}@company{n}.example"}
                     for n in range(customers) for k in range(CONTACTS)]})


def written(folder: Path, store: str, scale: str, systems: tuple[str, str], rows: int) -> Path:
    """A config, mappings for it, and a package with adapters that send few rows a call."""
    for kind in ("crm", "erp"):
        (folder / "mappings" / f"few_{kind}").mkdir(parents=True)
        for entity in ("customer", "contact"):
            mapping = (shipped("mappings") / f"native_{kind}" / f"{entity}.yaml").read_text()
            (folder / "mappings" / f"few_{kind}" / f"{entity}.yaml").write_text(
                mapping.replace(f"system: native_{kind}", f"system: few_{kind}"))
    told = folder / "site" / "few-1.dist-info"
    told.mkdir(parents=True)
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: few\nVersion: 1\n")
    (told / "entry_points.txt").write_text(
        "[connector.adapters]\nfew_crm = few:FewCrm\nfew_erp = few:FewErp\n")
    (folder / "site" / "few.py").write_text(ADAPTERS.format(rows=rows))
    config = folder / "config.yaml"
    config.write_text(CONFIG.format(store=store, scale=scale, crm=systems[0], erp=systems[1]))
    return config


@contextmanager
def prefect(folder: Path) -> Iterator[dict[str, str]]:
    """A Prefect server with a work pool; gives the environment of who works with it."""
    port, log = free_port(), folder / "prefect.log"
    env = {**os.environ, **PREFECT, **SECRETS, "PREFECT_HOME": str(folder / "prefect")}
    command = [sys.executable, "-m", "prefect"]
    with process([*command, "server", "start", "--host", "127.0.0.1", "--port", str(port)], env,
                 log):
        env["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
        answering(f"{env['PREFECT_API_URL']}/health", log)
        subprocess.run([*command, "work-pool", "create", "bench", "--type", "process"], env=env,
                       check=True, stdout=subprocess.DEVNULL)
        yield env


def kill(worker: subprocess.Popen[Any], store: str, sync: subprocess.Popen[Any]) -> str:
    """Kill a worker and its flow run with -9 while it writes contacts; says when, counted from
    the start of the sync."""
    started, engine = time.monotonic(), create_engine(_by_psycopg(store))
    while True:
        if sync.poll() is not None:
            return "; it ended before a worker could be killed"
        with engine.connect() as connection:
            holders = connection.execute(text(
                "select holder from partitions p join leases l on l.pair = p.pair || '#' || slot "
                "where state = 'begun' and entity = 'contact' and exists "
                "(select 1 from outbox where outbox.slot = p.slot)"
            )).scalars().all()
        family = children(worker.pid)
        if {int(holder.rpartition(":")[2]) for holder in holders if holder} & set(family):
            break
        time.sleep(0.2)
    engine.dispose()
    for pid in (worker.pid, *family):
        os.kill(pid, signal.SIGKILL)
    return f"; worker killed after {time.monotonic() - started:.0f} s"


def children(pid: int) -> list[int]:
    """The processes that a process has started, and those that these have."""
    told = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True,
                          check=False).stdout.split()
    return [int(p) for p in told] + [below for p in told for below in children(int(p))]


def ended(store: str, crm_url: str, erp_url: str) -> tuple[str, int, int]:
    """A hash of what both systems hold in the end, how many records the ERP has, and how often the
    order within a customer is broken."""
    accounts = {a["id"]: a for a in everything(f"{crm_url}/api/accounts", CRM, "data")}
    customers = {c["id"]: c for c in everything(f"{erp_url}/v1/customers", ERP, "rows")}
    people = sorted(everything(f"{erp_url}/v1/contact_persons", ERP, "rows"),
                    key=lambda person: int(person["id"]))
    number = {a["vatNumber"]: a["erpNumber"] for a in accounts.values()}
    assert all(number[c["tax"]["vat_no"]] == c["customer_no"] for c in customers.values())
    held = [sorted((a["vatNumber"], a["name"], a["creditLimitMicros"]) for a in accounts.values()),
            sorted((c["tax"]["vat_no"], c["display_name"], c["address"]["line1"],
                    c["external_ref"]) for c in customers.values()),
            sorted((p["mail"], customers[p["customer_id"]]["tax"]["vat_no"], p["external_ref"])
                   for p in people)]
    broken, last = 0, defaultdict[Any, int](lambda: -1)
    for person in people:
        nth = int(person["mail"].split("@")[0].split("-")[1])
        broken += nth < last[person["customer_id"]]
        broken += person["created"] < customers[person["customer_id"]]["created"]
        last[person["customer_id"]] = nth
    engine = create_engine(_by_psycopg(store))
    with engine.connect() as connection:
        left = [connection.execute(text(f"select count(*) from {table}")).scalar_one()
                for table in ("inbox", "outbox", "dead_letters", "conflicts")]
        links = connection.execute(text("select count(*) from links")).scalar_one()
    engine.dispose()
    assert left == [0, 0, 0, 0], left
    assert links == 2 * (len(customers) + len(people)), links
    return hashlib.sha256(json.dumps(held).encode()).hexdigest()[:12], \
        len(customers) + len(people), broken


def _by_psycopg(url: str) -> str:
    return url.replace("postgresql:", "postgresql+psycopg:")


def everything(url: str, headers: dict[str, str], rows: str) -> Iterator[dict[str, Any]]:
    """Every record at a URL."""
    query: dict[str, str] = {"limit": "500"}
    while True:
        answer = requests.get(url, params=query, headers=headers, timeout=60).json()
        yield from answer[rows]
        if answer.get("nextCursor"):
            query["cursor"] = answer["nextCursor"]
        elif answer.get("more"):
            last = answer[rows][-1]
            query.update(after_modified=last["modified"], after_id=str(last["id"]))
        else:
            return


def measured(variant: str, folder: Path, seed: Path, store: str, rows: int,
             env: dict[str, str]) -> str:
    """One load; what came of it, in a line."""
    folder.mkdir()
    shutil.copy(seed, folder / "crm.db")
    with ExitStack() as stack:
        systems = (stack.enter_context(native("crm", folder / "crm.db")),
                   stack.enter_context(native("erp", folder / "erp.db")))
        config = written(folder, store, VARIANTS[variant], systems, rows)
        env = {**env, "PYTHONPATH": os.pathsep.join([str(folder / "site"), str(Path.cwd())])}
        workers = [stack.enter_context(process(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", "bench", "--type",
             "process", "--limit", "1", "--name", f"{variant}-{n}"], env,
            folder / f"worker-{n}.log")) for n in range(WORKERS.get(variant, 0))]
        open_store(store, SystemClock()).close()
        start = time.perf_counter()
        sync = subprocess.Popen([sys.executable, "-m", "connector.cli", "-c", str(config), "sync",
                                 "--json"], env=env, stdout=subprocess.PIPE, text=True)
        note = kill(workers[0], store, sync) if variant == "killed" else ""
        told = sync.communicate()[0]
        seconds = time.perf_counter() - start
        if sync.returncode:
            raise SystemExit(f"{variant}: the sync failed\n{told}")
        run = json.loads(told)
        hashed, records, broken = ended(store, *systems)
        return (f"{variant:8s} {seconds:7.1f} s  {records} records  {sum(run['writes'].values())} "
                f"writes  state {hashed}  order broken {broken} times{note}")


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["serve"]:
        _, _, kind, port, database = sys.argv
        app = crm.create_app(database, token="bench") if kind == "crm" \
            else erp.create_app(database, api_key="bench")
        serve(Late(app), "127.0.0.1", int(port))
        return
    numbers = [int(given) for given in sys.argv[1:] if given.isdecimal()]
    records, rows = (*numbers, 50_000, 5)[:2] if len(numbers) != 1 else (numbers[0], 5)
    variants = [given for given in sys.argv[1:] if not given.isdecimal()] or list(VARIANTS)
    print(f"{records} records, {rows} rows a call, each call {LATE * 1000:.0f} ms late, load "
          f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    with tempfile.TemporaryDirectory(prefix="scale-") as name, ExitStack() as stack:
        folder = Path(name)
        seeded(folder / "seed.db", records)
        url = stack.enter_context(server(folder / "postgres"))
        env = stack.enter_context(prefect(folder))
        engine = create_engine(_by_psycopg(url),
                               isolation_level="AUTOCOMMIT")
        for variant in variants:
            database = variant.replace("-", "_")
            with engine.connect() as connection:
                connection.execute(text(f"create database {database}"))
            store = url.replace("/postgres?", f"/{database}?")
            print(measured(variant, folder / variant, folder / "seed.db", store, rows, env),
                  flush=True)
        engine.dispose()


if __name__ == "__main__":
    main()
