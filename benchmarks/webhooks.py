"""Webhooks, measured: between both native systems over real HTTP, `connector serve` in a process.

    python benchmarks/webhooks.py latency [edits]                   an edit, until it is over there
    python benchmarks/webhooks.py load [a second] [seconds] [url]   signed deliveries, answered
    python benchmarks/webhooks.py kills [times]                     kill -9: is one lost?
    python benchmarks/webhooks.py coalesce [deliveries] [records]   reads and writes they cause
    python benchmarks/webhooks.py statuses                          what wrong ones are answered

`load` sends at a steady pace and counts from the moment a delivery was due, so that a receiver that
stalls can't hide it. The store is SQLite, unless `load` is given another URL.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import multiprocessing
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from first_load import CRM, ERP, native

from connector.bootstrap import Connector, open_connector, shipped
from connector.native.serving import free_port, running
from connector.store.tables import deliveries, hints
from connector.store.unit_of_work import SqlStore
from connector.web.draining import Drain
from connector.web.receiver import LARGEST_BODY, create_app, open_receiver

CRM_SECRET, ERP_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "a secret of the ERP"
os.environ.update(NATIVE_CRM_TOKEN="bench", NATIVE_ERP_KEY="bench", CRM_HOOKS=CRM_SECRET,
                  ERP_HOOKS=ERP_SECRET)
CONNECTIONS = 16


def write_config(folder: Path, crm_url: str, erp_url: str, store: str = "") -> Path:
    """The example config between two systems, with their webhooks' secrets."""
    text = shipped("config.example.yaml").read_text(encoding="utf-8")
    for old, new in (
            ("http://127.0.0.1:8801", crm_url), ("http://127.0.0.1:8802", erp_url),
            ("TOKEN\n", "TOKEN\n    webhooks: {secrets: [env:CRM_HOOKS]}\n"),
            ("NATIVE_ERP_KEY\n", "NATIVE_ERP_KEY\n    webhooks: {secrets: [env:ERP_HOOKS]}\n"),
            ("systems:\n", "serve: {deliveries_per_second: 100000}\nsystems:\n"),
            ("sqlite:///connector.db", store or "sqlite:///connector.db")):
        text = text.replace(old, new)
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@contextmanager
def serving(config: Path, *options: str, port: int = 0) -> Iterator[tuple[str, Any]]:
    """`connector serve`: its URL and its process."""
    process = subprocess.Popen([sys.executable, "-m", "connector.cli", "--config", str(config),
                                "serve", "--json", "--port", str(port), *options],
                               stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"], process
    finally:
        process.terminate()
        process.wait(60)


def about(topic: str, id: int) -> bytes:
    """What the ERP says of a record."""
    return json.dumps({"topic": topic, "event": "changed", "id": id, "rev": 1}).encode()


def signed(body: bytes, id: str = "", at: float | None = None) -> dict[str, str]:
    """The headers of the ERP's delivery."""
    stamp = str(int(at or time.time()))
    digest = hmac.new(ERP_SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256)
    return {"X-Erp-Signature": f"t={stamp},v1={digest.hexdigest()}",
            "X-Erp-Delivery": id or uuid.uuid4().hex}


class Line:
    """A connection to the receiver that is kept open."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port or 80))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def send(self, body: bytes, headers: dict[str, str]) -> int:
        """Deliver; the status."""
        lines = [b"POST /webhooks/erp HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body),
                 *(f"{name}: {value}".encode() for name, value in headers.items())]
        self.socket.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        while b"\r\n\r\n" not in self.rest:
            self._more()
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n")
                      if line.startswith(b"content-length"))
        while len(self.rest) < length:
            self._more()
        self.rest = self.rest[length:]
        return int(head.split(b" ", 2)[1])

    def _more(self) -> None:
        got = self.socket.recv(1 << 16)
        if not got:
            raise ConnectionError("closed")
        self.rest += got


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def told(name: str, values: Sequence[float]) -> None:
    """Print milliseconds."""
    ms = [value * 1000 for value in values]
    print(f"{name}: n {len(ms)}, p50 {statistics.median(ms):.0f} ms, "
          f"p95 {percentile(ms, 0.95):.0f} ms, p99 {percentile(ms, 0.99):.0f} ms, "
          f"max {max(ms):.0f} ms", flush=True)


def latency(edits: str = "200") -> None:
    """An edit in one system, by webhook and drain, until it stands in the other one."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        base = Path(folder)
        crm = stack.enter_context(native("crm", base / "crm.db", None))
        erp = stack.enter_context(native("erp", base / "erp.db", None))
        config = write_config(base, crm, erp)
        http = requests.Session()
        made = http.post(f"{crm}/api/accounts/batch", headers=CRM, json={"operations": [
            {"method": "create", "body": {"name": f"Company {n}"}} for n in range(50)]}).json()
        accounts = [row["body"]["id"] for row in made["results"]]
        connector = open_connector(config)
        for _ in range(2):
            connector.engine("main").sync()
        connector.close()
        rows = http.get(f"{erp}/v1/customers?limit=500", headers=ERP).json()["rows"]
        customers = {row["display_name"]: row["id"] for row in rows}
        url, _ = stack.enter_context(serving(config))
        register(http, crm, erp, url)

        def in_crm(n: int, name: str) -> Callable[[], bool]:
            http.patch(f"{crm}/api/accounts/{accounts[n]}", headers=CRM,
                       json={"name": name}).raise_for_status()
            at = f"{erp}/v1/customers/{customers[f'Company {n}']}"
            return lambda: http.get(at, headers=ERP).json()["display_name"] == name

        def in_erp(n: int, name: str) -> Callable[[], bool]:
            at = f"{erp}/v1/customers/{customers[f'Company {n}']}"
            rev = http.get(at, headers=ERP).json()["rev"]
            http.patch(at, headers=ERP, json={"rev": rev, "display_name": name}
                       ).raise_for_status()
            theirs = f"{crm}/api/accounts/{accounts[n]}"
            return lambda: http.get(theirs, headers=CRM).json()["name"] == name

        for way, edit in (("CRM to ERP", in_crm), ("ERP to CRM", in_erp)):
            took = []
            for i in range(int(edits)):
                arrived = edit(i % 50, f"{way} {i}")
                began = time.perf_counter()
                while not arrived():
                    time.sleep(0.005)
                took.append(time.perf_counter() - began)
            told(way, took)


def register(http: requests.Session, crm: str, erp: str, url: str) -> None:
    """Let both systems send to the receiver."""
    http.post(f"{crm}/api/webhooks", headers=CRM, json={
        "url": f"{url}/webhooks/crm", "secret": CRM_SECRET}).raise_for_status()
    http.post(f"{erp}/v1/hooks", headers=ERP, json={
        "url": f"{url}/webhooks/erp", "secret": ERP_SECRET}).raise_for_status()


def send_steadily(url: str, each: float, start: float, seconds: float,
                  results: Any) -> None:
    """One process of senders: a delivery every `each` seconds over its lines."""
    took, statuses = list[float](), Counter[int]()
    turn, number = threading.Lock(), iter(range(1 << 60))

    def work() -> None:
        line = Line(url)
        while True:
            with turn:
                due = start + next(number) * each
            if due > start + seconds:
                return
            time.sleep(max(0.0, due - time.time()))
            body = about("customers", random.randrange(10_000))
            statuses[line.send(body, signed(body))] += 1
            took.append(time.time() - due)

    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put((took, statuses))


def load(per_second: str = "600", seconds: str = "60", store: str = "") -> None:
    """Signed deliveries at a steady pace, each with an ID of its own."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        config = write_config(Path(folder), "http://127.0.0.1:1", "http://127.0.0.1:2", store)
        url, _ = stack.enter_context(serving(config, "--no-drain"))
        results: Any = multiprocessing.Queue()
        start, senders = time.time() + 1, 2
        processes = [multiprocessing.Process(target=send_steadily, args=(
            url, senders / float(per_second), start, float(seconds), results))
            for _ in range(senders)]
        for process in processes:
            process.start()
        got = [results.get() for _ in processes]
        took = [t for some, _ in got for t in some]
        statuses = sum((s for _, s in got), Counter[int]())
        ended = time.time()
        print(f"asked for {per_second} a second: {len(took) / (ended - start):.0f} a second over "
              f"{ended - start:.0f} s, statuses {dict(statuses)}, "
              f"load average {os.getloadavg()[0]:.1f}")
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
            except (OSError, StopIteration):
                return

        for _ in range(int(times)):
            with serving(config, "--no-drain", port=port) as (url, process):
                threads = [threading.Thread(target=work, args=(url,)) for _ in range(CONNECTIONS)]
                for thread in threads:
                    thread.start()
                time.sleep(random.uniform(0.2, 1.2))
                process.send_signal(signal.SIGKILL)
                for thread in threads:
                    thread.join()
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


def coalesce(number: str = "10000", records: str = "100") -> None:
    """Many deliveries about a few records, each of which was edited once."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        base, few = Path(folder), int(records)
        crm = stack.enter_context(native("crm", base / "crm.db", None))
        erp = stack.enter_context(native("erp", base / "erp.db", few))
        connector: Connector = open_connector(write_config(base, crm, erp))
        counted = {name: Counted(connector.adapter(name)) for name in ("crm", "erp")}
        connector.adapters.update(counted)  # type: ignore[arg-type]
        engine = connector.engine("main")
        for _ in range(2):
            engine.sync()
        rows = requests.get(f"{erp}/v1/customers?limit=1000", headers=ERP).json()["rows"][:few]
        answer = requests.post(f"{erp}/v1/customers/bulk", headers=ERP, json={"rows": [
            {"id": row["id"], "rev": row["rev"], "display_name": f"Edited {row['id']}"}
            for row in rows]})
        answer.raise_for_status()
        for each in counted.values():
            each.read = each.calls = each.written = 0
        drain = Drain(engine)
        receiver = open_receiver(connector, lambda _: drain.wake(), 100_000)
        drain.start()
        url = stack.enter_context(running(create_app(receiver)))
        began = time.time()
        ids = [rows[n % few]["id"] for n in range(int(number))]

        def work(mine: Sequence[int]) -> None:
            line = Line(url)
            for id in mine:
                body = about("customers", id)
                assert line.send(body, signed(body)) == 202

        threads = [threading.Thread(target=work, args=(ids[n::CONNECTIONS],))
                   for n in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        receiver.close()
        drain.stop()
        engine.drain()
        print(f"{number} deliveries about {few} records in {time.time() - began:.1f} s: "
              f"{drain.done.drains} drains; " + "; ".join(
                  f"{name}: {each.read} records read in {each.calls} calls, "
                  f"{each.written} written" for name, each in counted.items()))
        connector.close()


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
    measures = {"latency": latency, "load": load, "kills": kills, "coalesce": coalesce,
                "statuses": statuses}
    if len(sys.argv) < 2 or sys.argv[1] not in measures:
        raise SystemExit(__doc__)
    measures[sys.argv[1]](*sys.argv[2:])
