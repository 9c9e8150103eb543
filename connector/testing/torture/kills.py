"""`python -m connector.testing.torture.kills`: real processes, killed with -9 while people work in
both systems; then all comes to rest, and nothing is lost or doubled."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import structlog
from sqlalchemy import MetaData, create_engine, func, select, text

from connector.bootstrap import Connector, open_connector, shipped
from connector.domain.ledger import ConflictState, RunState
from connector.domain.policies import CRM, ERP, Role
from connector.errors import ConnectorError
from connector.store.open import open_store
from connector.testing.clock import VirtualClock
from connector.testing.torture.natives import FIELDS, KEY, TOKEN, Clerks, System, at
from connector.testing.torture.swarm import emptied

POINTS = ("page read", "intents recorded", "before write", "after write", "results not kept",
          "results kept")
"""Where a run tells that it may be killed."""
SHARED = {"name": (("name",), ("display_name",)), "street": (("street",), ("address", "line1")),
          "city": (("city",), ("address", "town"))}
"""Where each system holds what both edit or show, by canonical field."""
MOST_ROUNDS = 10
_Fork = multiprocessing.get_context("fork")


class Plant:
    """Both systems, their users, and the connector's config."""

    def __init__(self, folder: Path, store: str, chance: Random) -> None:
        self.folder, self.chance = folder, chance
        self.store = store or f"sqlite:///{folder}/connector.db"
        self.systems: dict[Role, System] = {role: System(role, folder) for role in (CRM, ERP)}
        self.config = self._write_config()
        self.clerks = Clerks(self.systems, chance)
        self.killed: Counter[str] = Counter()
        self.seconds = 1.0  # that a run takes

    def _write_config(self) -> Path:
        text = shipped("config.example.yaml").read_text(encoding="utf-8")
        text = text.replace("store: sqlite:///connector.db", f"store: {self.store}")
        for port, role in ((8801, CRM), (8802, ERP)):
            text = text.replace(f"http://127.0.0.1:{port}", self.systems[role].url)
        path = self.folder / "config.yaml"
        path.write_text(text.replace("level: warning", "level: error"), encoding="utf-8")
        return path

    def wait(self) -> None:
        """Until both systems take calls."""
        for system in self.systems.values():
            system.wait()

    def stop(self) -> None:
        """End both systems."""
        for system in self.systems.values():
            system.stop()

    def cycle(self) -> None:
        """Users work, a run begins, users go on working, and somebody is killed."""
        self.clerks.work(self.chance.randint(2, 5))
        dies_at = (self.chance.choice(POINTS), self.chance.randint(1, 6)) \
            if self.chance.random() < 0.5 else ("", 0)
        victim = self.chance.choice(("worker", "worker", "worker", CRM, ERP))
        worker = _Fork.Process(target=work, args=(self.config, *dies_at))
        worker.start()
        worker.join(self.chance.uniform(0, 1.2) * self.seconds)
        if victim == "worker" or dies_at[0]:
            self.clerks.work(self.chance.randint(0, 2))
            worker.kill()
            worker.join()
        else:
            role: Role = CRM if victim == CRM else ERP
            self.systems[role].kill()
            self.killed[role] += 1
            self.systems[role].wait()
            worker.join()
        if worker.exitcode == -signal.SIGKILL:
            self.killed[dies_at[0] or "at random"] += 1

    @contextmanager
    def connector(self) -> Iterator[Connector]:
        """The connector, in this process."""
        connector = open_connector(self.config)
        try:
            yield connector
        finally:
            connector.close()

    def rest(self) -> list[str]:
        """Sync until nothing is written; says where that never comes, or a full pass still finds
        something to write."""
        started = time.monotonic()
        with self.connector() as connector:
            engine = connector.engine("main")
            for _ in range(MOST_ROUNDS):
                if not any(engine.sync(safety_stop=False).writes.values()):
                    break
                self.seconds = time.monotonic() - started
                started = time.monotonic()
            else:
                return [f"it does not come to rest within {MOST_ROUNDS} syncs"]
            writes = engine.reconcile(safety_stop=False)[0].writes
        return [f"a full pass still writes {dict(writes)}"] if any(writes.values()) else []


def work(config: Path, point: str, nth: int) -> None:
    """One run of the connector in a process of its own; it kills itself at the `nth` time that it
    comes by `point`."""
    passed = Counter[str]()

    def crash(here: str) -> None:
        passed[here] += 1
        if here == point and passed[here] == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    connector = open_connector(config)
    with suppress(ConnectorError):
        connector.engine("main", crash).sync(safety_stop=False)
    connector.close()


# ---- what has to hold

def broken(plant: Plant) -> list[str]:
    """What does not hold at rest."""
    rows = {CRM: plant.systems[CRM].every("accounts"), ERP: plant.systems[ERP].every("customers")}
    with plant.connector() as connector, connector.store.begin() as uow:
        conflicts = uow.conflicts("main", states=tuple(ConflictState))
        found = [f"{letter.trace_key} stays parked: {letter.message}"
                 for letter in uow.dead_letters("main")]
        found += [f"{n} {entity} changes of the {system} are {state}" for
                  (entity, system, state), n in uow.inbox_counts("main").items()]
        if uow.unsettled_batches("main"):
            found.append("the outbox is not empty")
        found += [f"run {run.id} still runs" for run in uow.runs("main", 10_000)
                  if run.state is RunState.RUNNING]
        tied = uow.canonical_ids("main", "customer", CRM, [row["id"] for row in rows[CRM]])
    kept = {str(value) for c in conflicts for value in (c.base, c.crm, c.erp)}
    asked = {(c.canonical_id, c.path) for c in conflicts if c.state is ConflictState.OPEN}
    found += _twins(plant, rows, {(ext, path) for ext, canonical_id in tied.items()
                                  for path in SHARED if (canonical_id, path) in asked})
    final = {str(at(row, where)) for role in (CRM, ERP) for row in rows[role]
             for where in (*FIELDS[role], ("name",), ("street",), ("display_name",))}
    found += [f"{token} is lost" for token in sorted(plant.clerks.given - plant.clerks.seen
                                                     - final - kept)]
    return found + _orders(plant) + whole(plant.store) + [
        told for system in plant.systems.values()
        for told in whole(f"sqlite:///{system.database}")]


def _twins(plant: Plant, rows: dict[Role, list[dict[str, Any]]],
           asked: set[tuple[str, str]]) -> Iterator[str]:
    """Every company stands once on each side, with the same values unless a person is `asked`
    about one (external ID in the CRM, field)."""
    by_number = {CRM: _by(rows[CRM], ("vatNumber",)), ERP: _by(rows[ERP], ("tax", "vat_no"))}
    for role, found in by_number.items():
        yield from (f"{number} stands {len(same)} times in the {role}"
                    for number, same in found.items() if len(same) > 1)
        yield from (f"{number} is missing in the {role}"
                    for number in plant.clerks.companies if number not in found)
    for number in plant.clerks.companies:
        for account in by_number[CRM].get(number, ()):
            for customer in by_number[ERP].get(number, ()):
                for field, (mine, theirs) in SHARED.items():
                    values = at(account, mine), at(customer, theirs)
                    if values[0] != values[1] and (account["id"], field) not in asked:
                        yield f"{field} of {number} is {values[0]} and {values[1]}"


def _by(rows: list[dict[str, Any]], where: tuple[str, ...]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(str(at(row, where)), []).append(row)
    return found


def _orders(plant: Plant) -> list[str]:
    """Every accepted quote has become exactly one order, on both sides."""
    made = Counter(row["external_ref"] for row in plant.systems[ERP].every("sales_orders"))
    shown = plant.systems[CRM].every("orders")
    told = [f"quote {quote} became {made[f'crm:quote:{quote}']} orders"
            for quote in plant.clerks.accepted if made[f"crm:quote:{quote}"] != 1]
    if len(shown) != sum(made.values()):
        told.append(f"{sum(made.values())} orders in the ERP, {len(shown)} in the CRM")
    return told


def whole(url: str) -> list[str]:
    """What is damaged in a database: SQLite checks itself; in PostgreSQL every table has to hold
    the same rows whether it is read through its indexes or not."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                said = connection.execute(text("PRAGMA integrity_check")).scalar_one()
                return [] if said == "ok" else [f"{url}: {said}"]
            tables, found = MetaData(), []
            tables.reflect(connection)
            for table in tables.sorted_tables:
                counts = []
                for index in ("off", "on"):
                    connection.execute(text(f"set enable_seqscan = {index}"))
                    connection.execute(text(
                        f"set enable_indexonlyscan = {'on' if index == 'off' else 'off'}"))
                    counts.append(connection.execute(
                        select(func.count()).select_from(table)).scalar_one())
                if len(set(counts)) > 1:
                    found.append(f"{table.name}: {counts[0]} rows by index, {counts[1]} in all")
            return found
    finally:
        engine.dispose()


# ---- the command

def main() -> int:
    """Kill, let all come to rest, and say what does not hold."""
    asked = _parser().parse_args()
    os.environ.update(NATIVE_CRM_TOKEN=TOKEN, NATIVE_ERP_KEY=KEY)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        plant = Plant(Path(folder), _emptied(asked.store), Random(asked.seed))
        try:
            found = kills(plant, asked.cycles)
        finally:
            plant.stop()
    print(f"{asked.cycles} cycles in {time.monotonic() - started:.0f} s on "
          f"{'PostgreSQL' if asked.store else 'SQLite'}: {plant.clerks.edits} edits, killed: "
          f"{', '.join(f'{n} {where}' for where, n in plant.killed.most_common())}; "
          f"{len(found)} broken")
    print(*found, sep="\n")
    return 1 if found else 0


def kills(plant: Plant, cycles: int) -> list[str]:
    """So many cycles, then rest; returns what does not hold."""
    plant.wait()
    plant.clerks.open_shop()
    plant.clerks.work(5)
    found = plant.rest()
    for _ in range(cycles):
        plant.cycle()
    plant.wait()
    return [*found, *plant.rest(), *broken(plant)]


def _emptied(url: str) -> str:
    """The store at a URL, without a row."""
    if url:
        store = open_store(url, VirtualClock())
        emptied(store)
        store.close()
    return url


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m connector.testing.torture.kills",
                                     description=__doc__)
    parser.add_argument("--cycles", type=int, default=20, help="how many are killed")
    parser.add_argument("--seed", type=int, default=0, help="what chance begins with")
    parser.add_argument("--store", default="", help="a PostgreSQL URL; it is emptied first")
    return parser


if __name__ == "__main__":
    sys.exit(main())
