"""First load of customers CRM → ERP, against a bare script that pages and posts.

    python benchmarks/first_load.py [customers] [runs]

Both native systems run as processes of their own, on SQLite. The bare script reads pages of the
size the connector reads and posts bulks of the size the connector writes, and keeps no state. The
connector also links, keeps what it saw, writes what the ERP assigned (number, limit, terms) back
into the CRM, and reads its own echoes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests

from connector.bootstrap import open_connector, shipped
from connector.native.serving import free_port

CRM, ERP = {"Authorization": "Bearer bench"}, {"X-Api-Key": "bench"}
PAGE, BULK = 500, 500


@contextmanager
def native(kind: str, database: Path, seed: int | None) -> Iterator[str]:
    """A native system in a process of its own."""
    port = free_port()
    command = [sys.executable, "-m", "connector.cli", "native", kind, "--port", str(port),
               "--database", f"sqlite:///{database}"]
    process = subprocess.Popen(command + (["--seed", str(seed)] if seed else []),
                               stdout=subprocess.DEVNULL, env={
        **os.environ, "NATIVE_CRM_TOKEN": "bench", "NATIVE_ERP_KEY": "bench"})
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            if process.poll() is not None:
                raise SystemExit(f"{kind} did not start")
            try:
                requests.get(f"{url}/openapi.json", timeout=5)
                break
            except requests.ConnectionError:
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def bare(crm: str, erp: str) -> int:
    """Page every account out of the CRM and post it into the ERP."""
    reading, writing = requests.Session(), requests.Session()
    reading.headers.update(CRM)
    writing.headers.update(ERP)
    query, moved = {"limit": str(PAGE)}, 0
    while True:
        page = reading.get(f"{crm}/api/accounts", params=query, timeout=60).json()
        rows = [{"display_name": a["name"], "tax": {"vat_no": a["vatNumber"]}, "tel": a["phone"],
                 "mail": a["email"], "external_ref": f"crm:{a['id']}",
                 "address": {"line1": a["street"], "town": a["city"], "zip": a["postalCode"],
                             "country_code": a["country"]}} for a in page["data"]]
        for start in range(0, len(rows), BULK):
            answer = writing.post(f"{erp}/v1/customers/bulk",
                                  json={"rows": rows[start:start + BULK]}, timeout=60).json()
            moved += sum(row["ok"] for row in answer["rows"])
        if not page["nextCursor"]:
            return moved
        query["cursor"] = page["nextCursor"]


def measured(customers: int) -> tuple[float, float, float]:
    """Seconds of the bare script, of the first sync, and of a second sync."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        crm = stack.enter_context(native("crm", folder / "crm.db", customers))
        erp_bare = stack.enter_context(native("erp", folder / "bare.db", None))
        start = time.perf_counter()
        moved = bare(crm, erp_bare)
        bare_seconds = time.perf_counter() - start
        assert moved == customers, moved
        erp = stack.enter_context(native("erp", folder / "erp.db", None))
        text = shipped("config.example.yaml").read_text(encoding="utf-8")
        text = text.replace("http://127.0.0.1:8801", crm).replace("http://127.0.0.1:8802", erp)
        (folder / "config.yaml").write_text(text, encoding="utf-8")
        os.environ.update(NATIVE_CRM_TOKEN="bench", NATIVE_ERP_KEY="bench")
        connector = open_connector(folder / "config.yaml")
        engine = connector.engine("main")
        start = time.perf_counter()
        run = engine.sync(["customer"])
        first = time.perf_counter() - start
        assert run.writes["customer", "erp", "create"] == customers, run
        start = time.perf_counter()
        again = engine.sync(["customer"])
        second = time.perf_counter() - start
        assert not any(again.writes.values()), again
        connector.close()
    return bare_seconds, first, second


def main() -> None:
    """Measure and print, worst ratio last."""
    customers = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    print(f"{customers} customers; bare script, first sync, second sync, in seconds")
    for _ in range(runs):
        bare_seconds, first, second = measured(customers)
        print(f"  {bare_seconds:6.2f}  {first:6.2f} ({first / bare_seconds:.2f} x bare)  "
              f"{second:6.2f} ({second / first:.3f} of the first)")


if __name__ == "__main__":
    main()
