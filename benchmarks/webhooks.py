"""Webhooks, measured: between both native systems over real HTTP, `connector serve` in a process.

    python benchmarks/webhooks.py latency [edits]                   an edit, until it is over there
    python benchmarks/webhooks.py schedule [edits] [every]          the same without webhooks
    python benchmarks/webhooks.py load [a second] [seconds] [url]   signed deliveries, answered
    python benchmarks/webhooks.py busy [a second] [seconds] [records]   the same while it drains
    python benchmarks/webhooks.py kills [times]                     kill -9: is one lost?
    python benchmarks/webhooks.py coalesce [deliveries] [records] [seconds]   reads they cause
    python benchmarks/webhooks.py statuses                          what wrong ones are answered

`load` and `busy` send at a steady pace and count from the moment a delivery was due, so that a
receiver that stalls can't hide it. The store is SQLite, unless `load` is given another URL.
"""

from __future__ import annotations

import multiprocessing
import random
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from delivering import (
    CRM_SECRET,
    ERP_SECRET,
    Line,
    about,
    send_steadily,
    serving,
    signed,
    together,
    told,
    write_config,
)
from first_load import CRM, ERP, native

from connector.bootstrap import Connector, open_connector
from connector.native.serving import free_port, running
from connector.store.tables import deliveries, hints
from connector.store.unit_of_work import SqlStore
from connector.web.draining import Drain
from connector.web.receiver import LARGEST_BODY, create_app, open_receiver

SENDERS = 2


@dataclass(slots=True)
class Joined:
    """Both native systems, joined: the same companies stand in both."""

    crm: str
    erp: str
    config: Path
    accounts: list[str] = field(default_factory=list)
    customers: list[int] = field(default_factory=list)
    http: requests.Session = field(default_factory=requests.Session)

    def register(self, url: str) -> None:
        """Let both systems send to the receiver."""
        self.http.post(f"{self.crm}/api/webhooks", headers=CRM, json={
            "url": f"{url}/webhooks/crm", "secret": CRM_SECRET}).raise_for_status()
        self.http.post(f"{self.erp}/v1/hooks", headers=ERP, json={
            "url": f"{url}/webhooks/erp", "secret": ERP_SECRET}).raise_for_status()

    def in_crm(self, n: int, name: str) -> Callable[[], bool]:
        """Give a company another name in the CRM; whether it stands in the ERP."""
        self.http.patch(f"{self.crm}/api/accounts/{self.accounts[n]}", headers=CRM,
                        json={"name": name}).raise_for_status()
        at = f"{self.erp}/v1/customers/{self.customers[n]}"
        return lambda: bool(self.http.get(at, headers=ERP).json()["display_name"] == name)

    def in_erp(self, n: int, name: str) -> Callable[[], bool]:
        """Give a company another name in the ERP; whether it stands in the CRM."""
        at = f"{self.erp}/v1/customers/{self.customers[n]}"
        rev = self.http.get(at, headers=ERP).json()["rev"]
        self.http.patch(at, headers=ERP,
                        json={"rev": rev, "display_name": name}).raise_for_status()
        theirs = f"{self.crm}/api/accounts/{self.accounts[n]}"
        return lambda: bool(self.http.get(theirs, headers=CRM).json()["name"] == name)


@contextmanager
def joined(companies: int, schedules: str = "") -> Iterator[Joined]:
    """Two native systems in processes of their own, with so many companies in both."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        base = Path(folder)
        crm = stack.enter_context(native("crm", base / "crm.db", None))
        erp = stack.enter_context(native("erp", base / "erp.db", None))
        both = Joined(crm, erp, write_config(base, crm, erp, schedules=schedules))
        for start in range(0, companies, 50):
            made = both.http.post(f"{crm}/api/accounts/batch", headers=CRM, json={"operations": [
                {"method": "create", "body": {"name": f"Company {n}"}}
                for n in range(start, min(start + 50, companies))]}).json()
            both.accounts += [row["body"]["id"] for row in made["results"]]
        connector = open_connector(both.config)
        for _ in range(2):
            connector.engine("main").sync()
        connector.close()
        rows = both.http.get(f"{erp}/v1/customers?limit=1000", headers=ERP).json()["rows"]
        ids = {row["display_name"]: row["id"] for row in rows}
        both.customers = [ids[f"Company {n}"] for n in range(companies)]
        yield both


def latency(edits: str = "200") -> None:
    """An edit in one system, by webhook and drain, until it stands in the other one."""
    with joined(50) as both, serving(both.config) as (url, _):
        both.register(url)
        for way, edit in (("CRM to ERP", both.in_crm), ("ERP to CRM", both.in_erp)):
            told(way, [until_there(edit(i % 50, f"{way} {i}")) for i in range(int(edits))])


def until_there(arrived: Callable[[], bool], look: float = 0.005) -> float:
    """Seconds until an edit has arrived; it is looked for every `look` seconds."""
    began = time.perf_counter()
    while not arrived():
        time.sleep(look)
    return time.perf_counter() - began


def schedule(edits: str = "200", every: str = "10s") -> None:
    """The same with webhooks off: edits at instants of no pattern, carried over by the pair's
    schedule alone."""
    with joined(int(edits), f"{{every: {every}}}") as both, serving(both.config):
        until_there(both.in_crm(0, "The first"), 0.2)  # Prefect's server takes a while to start
        for way, edit in (("CRM to ERP", both.in_crm), ("ERP to CRM", both.in_erp)):
            with ThreadPoolExecutor(int(edits)) as looking:
                looks = []
                for i in range(int(edits)):
                    time.sleep(random.expovariate(4))
                    looks.append(looking.submit(until_there, edit(i, f"{way} {i}"), 0.2))
            told(f"{way}, synced every {every}", [look.result() for look in looks])


def load(per_second: str = "600", seconds: str = "60", store: str = "") -> None:
    """Signed deliveries at a steady pace, each with an ID of its own."""
    with tempfile.TemporaryDirectory() as folder:
        config = write_config(Path(folder), "http://127.0.0.1:1", "http://127.0.0.1:2", store)
        with serving(config, "--no-drain") as (url, _):
            deliver(url, float(per_second), float(seconds), range(10_000))


def busy(per_second: str = "500", seconds: str = "60", records: str = "1000") -> None:
    """Deliveries about records that are there, and drained; now and then one is edited."""
    with joined(int(records)) as both, serving(both.config) as (url, _):
        both.register(url)
        took, done = list[float](), threading.Event()

        def edit() -> None:
            for i in range(1 << 30):
                if done.wait(0.5):
                    return
                took.append(until_there(both.in_crm(i % len(both.accounts), f"Edited {i}")))

        editing = threading.Thread(target=edit)
        editing.start()
        deliver(url, float(per_second), float(seconds), both.customers)
        done.set()
        editing.join()
        told("meanwhile, CRM to ERP", took)
        figures = requests.get(f"{url}/metrics", timeout=30).text
        print("\n".join(line for line in figures.splitlines() if line.startswith(
            ("connector_drains", "connector_drain_seconds_total"))))


def deliver(url: str, per_second: float, seconds: float, ids: Sequence[int]) -> None:
    """Send about some records of the ERP at a steady pace, and tell how it was answered."""
    results: Any = multiprocessing.Queue()
    start = time.time() + 1
    processes = [multiprocessing.Process(target=send_steadily, args=(
        url, SENDERS / per_second, start, seconds, ids, results)) for _ in range(SENDERS)]
    for process in processes:
        process.start()
    got = [results.get() for _ in processes]
    took = [t for some, _ in got for t in some]
    statuses = sum((s for _, s in got), Counter[int]())
    ended = time.time()
    print(f"asked for {per_second:.0f} a second: {len(took) / (ended - start):.0f} a second over "
          f"{ended - start:.0f} s, statuses {dict(statuses)}")
    told("answered", took)


def kills(times: str = "20") -> None:
    """Kill -9 the receiver under load; afterwards every delivery that was answered has to be
    there, with its hint."""
    with tempfile.TemporaryDirectory() as folder:
        config = write_config(Path(folder), "http://127.0.0.1:1", "http://127.0.0.1:2")
        answered, numbers, port = list[tuple[str, int]](), iter(range(1 << 60)), free_port()

        def work(url: str) -> None:
            try:
                line = Line(url)
                while True:
                    record, id = next(numbers), uuid.uuid4().hex
                    body = about("customers", record)
                    if line.send(body, signed(body, id)) == 202:
                        answered.append((id, record))
            except OSError:
                return

        for _ in range(int(times)):
            with serving(config, "--no-drain", port=port) as (url, process):
                killing = threading.Timer(random.uniform(0.2, 1.2), process.send_signal,
                                          (signal.SIGKILL,))
                killing.start()
                together(lambda to=url: work(to))
        connector = open_connector(config)
        assert isinstance(connector.store, SqlStore)
        with connector.store.engine.connect() as connection:
            known = {row.delivery_id for row in connection.execute(deliveries.select())}
            hinted = {row.external_id for row in connection.execute(hints.select())}
        connector.close()
        lost = [id for id, record in answered if id not in known or str(record) not in hinted]
        print(f"{times} kills: {len(answered)} deliveries answered with 202, {len(lost)} lost")
        if lost:
            raise SystemExit(1)


class Counted:
    """An adapter whose reads and writes are counted."""

    def __init__(self, adapter: Any) -> None:
        self.adapter, self.read, self.calls, self.written = adapter, 0, 0, 0

    def get(self, object: str, external_ids: Sequence[str]) -> Any:
        self.read += len(external_ids)
        self.calls += 1
        return self.adapter.get(object, external_ids)

    def write(self, batch: Any) -> Any:
        self.written += len(batch.intents)
        return self.adapter.write(batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.adapter, name)


def coalesce(number: str = "10000", records: str = "100", seconds: str = "60") -> None:
    """Many deliveries about a few records, each of which was edited once."""
    with joined(int(records)) as both, ExitStack() as stack:
        connector = open_connector(both.config)
        stack.callback(connector.close)
        counted = {name: Counted(connector.adapter(name)) for name in ("crm", "erp")}
        connector.adapters.update(counted)  # type: ignore[arg-type]
        drain = Drain(connector.engine("main"))
        receiver = open_receiver(connector, lambda _: drain.wake(), 100_000)
        drain.start()
        url = stack.enter_context(running(create_app(receiver)))
        for n, id in enumerate(both.customers):
            both.in_erp(n, f"Edited {id}")
        deliver(url, int(number) / float(seconds), float(seconds), both.customers)
        sent = drain.done.drains
        while left(connector):
            time.sleep(0.5)
        receiver.close()
        drain.stop()
        print(f"{drain.done.drains} drains, {drain.done.drains - sent} of them after the last; "
              + "; ".join(f"{name}: {each.read} records read in {each.calls} calls, "
                          f"{each.written} written" for name, each in counted.items()))


def left(connector: Connector) -> bool:
    """Whether a hint is yet to be followed."""
    with connector.store.begin() as uow:
        return any(uow.hinted("main", system, 0, 1) for system in ("crm", "erp"))


def statuses() -> None:
    """What wrong deliveries are answered."""
    with tempfile.TemporaryDirectory() as folder:
        config = write_config(Path(folder), "http://127.0.0.1:1", "http://127.0.0.1:2")
        with serving(config, "--no-drain") as (url, _):
            body, large = about("customers", 7), b"x" * (LARGEST_BODY + 1)
            once = signed(body)
            for name, sent, headers in (
                    ("true", body, once), ("replayed", body, once),
                    ("forged", about("customers", 8), once), ("unsigned", body, {}),
                    ("stale", body, signed(body, at=time.time() - 301)),
                    ("malformed", b"[", signed(b"[")), ("oversized", large, signed(large))):
                answer = requests.post(f"{url}/webhooks/erp", data=sent, headers=headers)
                print(f"{name}: {answer.status_code} {answer.text}")
            answer = requests.post(f"{url}/webhooks/nobody", data=body, headers=once)
            print(f"unknown system: {answer.status_code} {answer.text}")


if __name__ == "__main__":
    measures = {"latency": latency, "schedule": schedule, "load": load, "busy": busy,
                "kills": kills, "coalesce": coalesce, "statuses": statuses}
    if len(sys.argv) < 2 or sys.argv[1] not in measures:
        raise SystemExit(__doc__)
    measures[sys.argv[1]](*sys.argv[2:])
