"""First load of customers CRM → ERP, against a bare script that pages and posts.

    python benchmarks/first_load.py [customers] [runs]

Both native systems run as processes of their own, on SQLite. The bare script reads pages of the
size the connector reads and writes batches of the size the connector writes, one after the other,
and keeps no state.

Four first syncs are measured, each against a script that does the same to the systems. `load` goes
CRM → ERP: its CRM mapping leaves out what the ERP assigns. `both ways` also writes the ERP's
number, credit limit, balance, terms and hold back into every account of the CRM, as many writes
again; it is the example config, but that no record is told how it stands (`sync_state`). In `load,
told` and `both ways, told` they are: the first one takes a write of its own for every account, the
second one does it in the writes that it makes anyhow. All link, keep what was seen on each side,
record every outcome, and read their own echoes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import requests

from connector.bootstrap import open_connector, shipped
from connector.native.serving import free_port

CRM, ERP = {"Authorization": "Bearer bench"}, {"X-Api-Key": "bench"}
PAGE, BULK, BATCH = 500, 500, 100


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


def bare(crm: str, erp: str, *, back: bool) -> int:
    """Page every account out of the CRM and post it into the ERP; `back` also writes what the
    ERP assigned into the account."""
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
            made = [row["row"] for row in answer["rows"] if row["ok"]]
            moved += len(made)
            if back:
                write_back(reading, crm, made)
        if not page["nextCursor"]:
            return moved
        query["cursor"] = page["nextCursor"]


def write_back(session: requests.Session, crm: str, made: list[dict[str, Any]]) -> None:
    """Write what the ERP assigned into the accounts."""
    operations = [{"method": "update", "id": c["external_ref"].removeprefix("crm:"), "body": {
        "erpNumber": c["customer_no"], "creditHold": c["finance"]["on_hold"],
        "creditLimitMicros": micros(c["finance"]["credit_limit"]),
        "balanceMicros": micros(c["finance"]["balance"])}} for c in made]
    for start in range(0, len(operations), BATCH):
        answer = session.post(f"{crm}/api/accounts/batch", timeout=60, json={
            "operations": operations[start:start + BATCH]}).json()
        assert all(row["status"] == 200 for row in answer["results"]), answer


def micros(amount: str | None) -> int | None:
    """An amount as the CRM writes it."""
    return None if amount is None else int(Decimal(amount) * 1_000_000)


ASSIGNED = ("number", "credit_limit", "balance", "payment_terms", "on_hold")


def without_assigned(folder: Path) -> Path:
    """A folder with the CRM's customer mapping, less the fields that the ERP assigns: a load that
    carries nothing into the CRM."""
    lines = (shipped("mappings") / "native_crm" / "customer.yaml").read_text(encoding="utf-8")
    kept, skipping = [], False
    for line in lines.splitlines():
        if not line.startswith("   "):
            skipping = line.startswith("  ") and line.strip().split(":")[0] in ASSIGNED
        if not skipping:
            kept.append(line)
    path = folder / "mappings" / "native_crm" / "customer.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")
    return folder / "mappings"


def synced(folder: Path, customers: int, mappings: Path | None, *,
           told: bool) -> tuple[float, float]:
    """Seconds of a first sync into an empty ERP, and of a second one; accounts may be `told` how
    they stand."""
    with ExitStack() as stack:
        crm = stack.enter_context(native("crm", folder / "crm.db", customers))
        erp = stack.enter_context(native("erp", folder / "erp.db", None))
        text = shipped("config.example.yaml").read_text(encoding="utf-8")
        text = text.replace("http://127.0.0.1:8801", crm).replace("http://127.0.0.1:8802", erp)
        if mappings is not None:
            text = text.replace("# mappings: [my-mappings]", f"mappings: [{mappings}]")
        if not told:
            text = text.replace("    sync_state: [crm]\n", "")
        (folder / "config.yaml").write_text(text, encoding="utf-8")
        connector = open_connector(folder / "config.yaml")
        stack.callback(connector.close)
        engine = connector.engine("main")
        start = time.perf_counter()
        run = engine.sync(["customer"])
        first = time.perf_counter() - start
        assert run.writes["customer", "erp", "create"] == customers, run
        back = run.writes.get(("customer", "crm", "update"), 0)
        assert back == (0 if mappings else customers), back
        own = run.told.get(("customer", "crm"), 0)
        assert own == (customers if told and mappings else 0), own
        start = time.perf_counter()
        again = engine.sync(["customer"])
        second = time.perf_counter() - start
        assert not any((*again.writes.values(), *again.told.values())), again
    return first, second


def main() -> None:
    """Measure and print."""
    customers = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    os.environ.update(NATIVE_CRM_TOKEN="bench", NATIVE_ERP_KEY="bench")
    print(f"{customers} customers, seconds")
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            narrow = without_assigned(folder)
            for what, mappings, told in (
                    ("load", narrow, False), ("load, told", narrow, True),
                    ("both ways", None, False), ("both ways, told", None, True)):
                (folder / what).mkdir()
                with native("crm", folder / what / "bare-crm.db", customers) as crm, \
                        native("erp", folder / what / "bare-erp.db", None) as erp:
                    start = time.perf_counter()
                    assert bare(crm, erp, back=mappings is None or told) == customers
                    seconds = time.perf_counter() - start
                first, second = synced(folder / what, customers, mappings, told=told)
                print(f"  {what:15s}  bare script {seconds:5.2f}; first sync {first:5.2f}, "
                      f"{first / seconds:4.2f} x bare; second sync {second:5.2f}, "
                      f"{second / first:.3f} of the first")


if __name__ == "__main__":
    main()
