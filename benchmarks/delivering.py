"""What the benchmarks of webhooks share: `connector serve` in a process, and senders of its own."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from connector.bootstrap import shipped

CRM_SECRET, ERP_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "a secret of the ERP"
os.environ.update(NATIVE_CRM_TOKEN="bench", NATIVE_ERP_KEY="bench", CRM_HOOKS=CRM_SECRET,
                  ERP_HOOKS=ERP_SECRET)
CONNECTIONS = 16


def write_config(folder: Path, crm_url: str, erp_url: str, store: str = "",
                 schedules: str = "") -> Path:
    """The example config between two systems, with their webhooks' secrets."""
    text = shipped("config.example.yaml").read_text(encoding="utf-8")
    for old, new in (
            ("http://127.0.0.1:8801", crm_url), ("http://127.0.0.1:8802", erp_url),
            ("TOKEN\n", "TOKEN\n    webhooks: {secrets: [env:CRM_HOOKS]}\n"),
            ("NATIVE_ERP_KEY\n", "NATIVE_ERP_KEY\n    webhooks: {secrets: [env:ERP_HOOKS]}\n"),
            ("systems:\n", "serve: {deliveries_per_second: 100000}\nsystems:\n"),
            ("pairs:\n  main:\n", f"pairs:\n  main:\n    schedules: [{schedules}]\n"),
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


def send_steadily(url: str, each: float, start: float, seconds: float, ids: Sequence[int],
                  results: Any) -> None:
    """One process of senders: a delivery about one of `ids` every `each` seconds, from the instant
    `start` on, over its lines; `results` gets how long each took since it was due, and the
    statuses."""
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
            body = about("customers", random.choice(ids))
            statuses[line.send(body, signed(body))] += 1
            took.append(time.time() - due)

    together(work)
    results.put((took, statuses))


def together(work: Callable[[], None]) -> None:
    """Do something over all lines at once, and wait for the last."""
    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def told(name: str, values: Sequence[float]) -> None:
    """Print milliseconds."""
    ms = [value * 1000 for value in values]
    print(f"{name}: n {len(ms)}, p50 {statistics.median(ms):.0f} ms, "
          f"p95 {percentile(ms, 0.95):.0f} ms, p99 {percentile(ms, 0.99):.0f} ms, "
          f"max {max(ms):.0f} ms, load average {os.getloadavg()[0]:.1f}", flush=True)
