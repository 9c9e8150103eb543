"""An inbox worked off in partitions ends as one worked off as a whole, in the order that counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest
from sqlalchemy import select

from connector.bootstrap import open_connector
from connector.config import read_config
from connector.domain.actions import OutcomeKind
from connector.domain.ledger import Run, RunState
from connector.domain.partitions import Partition, PartitionState
from connector.engine.fan_out import Division
from connector.engine.partition import drain_partition
from connector.engine.phases import Phase, at_once
from connector.engine.run import Engine
from connector.errors import (
    ConfigInvalid,
    LeaseHeld,
    LeaseLost,
    RunCancelled,
    SystemUnreachable,
)
from connector.ports import Store
from connector.store.tables import inbox
from connector.testing.alone import Alone
from tests.integration.conftest import Pair, dying
from tests.integration.trade import goods
from tests.slow import slow_but

CUSTOMERS = 7
T = TypeVar("T")


class Watched(Alone):
    """Lets a test look at the partitions when they are begun."""

    def __init__(self, look: Callable[[Sequence[Partition]], None]) -> None:
        self.look = look

    def begin(self, partitions: Sequence[Partition], /) -> None:
        """See the port."""
        self.look(partitions)


def engine(pair: Pair, spread: Alone | None = None, partitions: int = 3, at_least: int = 1,
           crash: Callable[[str], None] = lambda _point: None, phase: Phase = at_once) -> Engine:
    """The pair's engine, working in partitions."""
    return Engine(pair.engine.pair, pair.connector.store, pair.connector.clock, crash=crash,
                  phase=phase, division=Division(lambda: spread or Alone(), partitions, at_least))


def customers(pair: Pair) -> list[str]:
    """Customers in the CRM; their IDs there."""
    return [pair.crm("POST", "accounts", {"name": f"Company {n}",
                                          "vatNumber": f"DE{136695976 + n}"})["id"]
            for n in range(CUSTOMERS)]


def company(pair: Pair) -> None:
    """Customers with people and quotes at them, all in the CRM."""
    product, _ = goods(pair)
    for n, account in enumerate(customers(pair)):
        for k in range(2):
            pair.crm("POST", "contacts", {"accountId": account, "lastName": f"Person {n}-{k}",
                                          "email": f"p{n}.{k}@company{n}.example"})
        for k in range(2):
            pair.crm("POST", "quotes", {
                "accountId": account, "currency": "EUR", "status": "Accepted" if k else "Sent",
                "warehouse": "MAIN", "lines": [
                    {"lineNo": 10, "productId": product, "quantity": 1 + n,
                     "unitPriceMicros": 9_990_000, "taxPercent": 19}]})


def done(run: Run) -> dict[str, Any]:
    """What a completed run says of itself."""
    assert run.state is RunState.COMPLETED, run.message
    return {"tallies": {key: (tally.read, {k: n for k, n in tally.outcomes.items() if n})
                        for key, tally in run.tallies.items() if tally.read},
            "writes": {key: n for key, n in run.writes.items() if n}}


def in_erp(pair: Pair) -> dict[str, list[Any]]:
    """What the ERP holds, without the numbers that it counts up itself."""
    name = {c["id"]: c["display_name"] for c in pair.in_erp("customers")}
    return {"customers": sorted(name.values()),
            "contacts": sorted((name[c["customer_id"]], c["mail"]) for c in
                               pair.in_erp("contact_persons")),
            "orders": sorted((name[o["customer_id"]], o["state"], o["gross"]) for o in
                             pair.in_erp("sales_orders"))}


def test_it_ends_as_in_one_process(pair: Pair) -> None:
    company(pair)
    run = engine(pair).sync()
    told = done(run)
    assert told["writes"]["customer", "erp", "create"] == CUSTOMERS
    assert told["writes"]["contact", "erp", "create"] == 2 * CUSTOMERS
    held = in_erp(pair)
    assert len(held["orders"]) == CUSTOMERS  # each accepted quote is one
    pair.sound()
    assert all(tally.accounted for tally in run.tallies.values())
    assert not any(engine(pair).sync().writes.values())
    pair.quiet()
    assert in_erp(pair) == held


def test_what_hangs_on_one_customer_is_in_one_partition(pair: Pair) -> None:
    company(pair)
    homes: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    divided: dict[str, int] = {}

    def look(partitions: Sequence[Partition]) -> None:
        entity = partitions[0].entity
        divided[entity] = max(divided.get(entity, 0), len(partitions))
        with pair.connector.store.engine.connect() as connection:  # type: ignore[attr-defined]
            rows = connection.execute(select(inbox.c.slot, inbox.c.payload).where(
                inbox.c.entity == entity, inbox.c.system == "crm")).all()
        for slot, payload in rows:
            account = orjson.loads(payload).get("accountId")
            if account:
                homes[entity][account].add(slot)

    engine(pair, Watched(look)).sync()
    assert divided["contact"] == divided["quote"] == 3
    for entity in ("contact", "quote"):
        assert len(homes[entity]) >= CUSTOMERS
        assert all(len(slots) == 1 for slots in homes[entity].values()), entity


@pytest.mark.parametrize("point", slow_but(["results not kept"], [
    "intents recorded", "after write", "results not kept", "results kept"]))
def test_what_a_dead_process_leaves_is_taken_up(pair: Pair, point: str) -> None:
    company(pair)
    with pytest.raises(KeyboardInterrupt):
        engine(pair, partitions=2, crash=dying(point, 4)).sync()
    pair.connector.clock.sleep(120)  # the leases of the dead one run out
    done(engine(pair, partitions=2).sync())
    pair.quiet()
    pair.sound()
    held = in_erp(pair)
    assert held["customers"] == [f"Company {n}" for n in range(CUSTOMERS)]
    assert len(held["contacts"]) == 2 * CUSTOMERS
    assert len(held["orders"]) == CUSTOMERS


def worker(pair: Pair, crash: Callable[[str], None]) -> Callable[[Sequence[Partition]], None]:
    """A worker that takes the first partition up, before the run does."""
    def work(partitions: Sequence[Partition]) -> None:
        with pytest.raises(KeyboardInterrupt):
            drain_partition(pair.engine.pair, pair.connector.store, pair.connector.clock,
                            partitions[0], crash=crash, in_flight=0)
    return work


@pytest.mark.parametrize("point", ["intents recorded", "after write", "results not kept",
                                   "results kept"])
def test_a_worker_that_dies_is_counted_for_exactly_once(pair: Pair, point: str) -> None:
    accounts = customers(pair)
    pair.sync()
    for account in accounts:
        pair.crm("PATCH", f"accounts/{account}", {"city": "Bonn"})
    run = engine(pair, Watched(worker(pair, dying(point, 1)))).sync(["customer"])
    told = done(run)
    assert told["tallies"]["customer", "crm"][0] >= CUSTOMERS
    assert all(tally.accounted for tally in run.tallies.values())
    assert {c["address"]["town"] for c in pair.in_erp("customers")} == {"Bonn"}
    pair.quiet()
    pair.sound()


def test_a_worker_whose_run_has_ended_writes_nothing(pair: Pair) -> None:
    customers(pair)
    kept: list[Partition] = []
    engine(pair, Watched(kept.extend)).sync()
    for account in pair.in_crm("accounts"):
        pair.crm("PATCH", f"accounts/{account['id']}", {"city": "Bonn"})
    pair.engine.plan()  # reads that into the inbox
    before = in_erp(pair), pair.in_erp("customers")
    for late in kept:
        with pytest.raises(LeaseLost):
            drain_partition(pair.engine.pair, pair.connector.store, pair.connector.clock, late)
    assert (in_erp(pair), pair.in_erp("customers")) == before


def test_two_never_work_on_one_partition(pair: Pair) -> None:
    customers(pair)
    found = []

    def look(partitions: Sequence[Partition]) -> None:
        store: Store = pair.connector.store
        token = store.acquire_lease(partitions[0].lease, "elsewhere:1", 60)
        found.append(drain_partition(pair.engine.pair, store, pair.connector.clock,
                                     partitions[0]))
        store.release_lease(partitions[0].lease, token)

    engine(pair, Watched(look)).sync(["customer"])
    assert found[0] is False


def test_the_run_meets_the_error_of_its_workers(pair: Pair) -> None:
    customers(pair)
    pair.session.post(f"{pair.erp_url}/_faults", timeout=9, json=[
        {"kind": "fail_before", "match": {"method": "POST", "path": "/v1/customers"},
         "times": 999, "status": 503}])
    with pytest.raises(SystemUnreachable):
        engine(pair).sync()
    pair.session.delete(f"{pair.erp_url}/_faults", timeout=9)
    done(engine(pair).sync())
    pair.quiet()
    assert len(in_erp(pair)["customers"]) == CUSTOMERS


def test_who_begins_late_has_nothing_to_do_with_what_is_divided_by_then(pair: Pair) -> None:
    account = customers(pair)[0]
    pair.crm("POST", "contacts", {"accountId": account, "lastName": "Person",
                                  "email": "p@company.example"})
    first: list[Partition] = []
    found = []

    def look(partitions: Sequence[Partition]) -> None:
        first[:] = first or partitions[:1]
        if partitions[0].entity == "contact" and not found:
            found.append(drain_partition(pair.engine.pair, pair.connector.store,
                                         pair.connector.clock, first[0]))
            with pair.connector.store.begin() as uow:
                found.append(uow.partition_states("main"))

    run = engine(pair, Watched(look)).sync()
    assert first[0].entity == "customer"
    assert found == [False, {0: PartitionState.OPEN}]
    assert run.tallies["contact", "crm"].outcomes[OutcomeKind.CREATED] == 1
    pair.sound()


def test_the_run_holds_its_lease_while_it_works_on_a_partition(pair: Pair) -> None:
    customers(pair)
    slow = {"intents recorded": 40, "after write": 40}
    asked = []

    def crash(point: str) -> None:
        pair.connector.clock.sleep(slow.get(point, 0))
        if point == "results not kept":
            with pytest.raises(LeaseHeld):
                pair.connector.store.acquire_lease("main", "elsewhere:1", 60)
            asked.append(point)

    done(engine(pair, partitions=1, crash=crash).sync())
    assert asked
    pair.sound()


def test_a_run_is_stopped_while_it_works_on_a_partition(pair: Pair) -> None:
    customers(pair)

    def crash(point: str) -> None:
        if point == "intents recorded":
            stopped.cancel()

    stopped = engine(pair, crash=crash)
    with pytest.raises(RunCancelled):
        stopped.sync()
    assert pair.in_erp("customers") == []
    pair.connector.clock.sleep(120)
    pair.sync()
    assert len(pair.in_erp("customers")) == CUSTOMERS


def test_a_phase_is_tried_again_when_no_worker_is_at_work_any_more(pair: Pair) -> None:
    customers(pair)
    parts: list[Partition] = []
    late: list[bool] = []

    def a_worker_begins(partitions: Sequence[Partition]) -> None:
        if not parts:
            parts.extend(partitions)
            store: Store = pair.connector.store
            store.acquire_lease(partitions[1].lease, "elsewhere:1", 60)
            with store.begin() as uow:
                uow.save_partition(partitions[1], PartitionState.BEGUN)

    def patient(_name: str, work: Callable[[], T]) -> T:
        try:
            return work()
        except SystemUnreachable:
            pair.session.delete(f"{pair.erp_url}/_faults", timeout=9)
            assert pair.connector.clock.now() - begun > timedelta(seconds=60)
            late.extend(drain_partition(pair.engine.pair, pair.connector.store,
                                        pair.connector.clock, part) for part in parts)
            return work()

    pair.session.post(f"{pair.erp_url}/_faults", timeout=9, json=[
        {"kind": "fail_before", "match": {"method": "POST", "path": "/v1/customers"},
         "times": 999, "status": 503}])
    begun = pair.connector.clock.now()
    run = engine(pair, Watched(a_worker_begins), phase=patient).sync()
    assert late == [False] * 3
    assert done(run)["tallies"]["customer", "crm"][0] == CUSTOMERS
    assert all(tally.accounted for tally in run.tallies.values())
    assert len(pair.in_erp("customers")) == CUSTOMERS
    pair.sound()


class Hopeful(Watched):
    """Workers that may still begin, and never do."""

    def awaits(self, _partition: Partition, /) -> bool:
        """See the port."""
        return True


def test_the_run_waits_once_for_workers_that_never_begin(pair: Pair) -> None:
    customers(pair)
    divided: list[int] = []
    spread = Hopeful(lambda partitions: divided.append(len(partitions)))
    patient = Engine(pair.engine.pair, pair.connector.store, pair.connector.clock,
                     division=Division(lambda: spread, 3, patience=100))
    begun = pair.connector.clock.now()
    done(patient.sync(["customer"]))
    assert divided == [3]
    waited = pair.connector.clock.now() - begun
    assert timedelta(seconds=100) < waited < timedelta(seconds=200)


def test_little_is_not_divided(pair: Pair) -> None:
    customers(pair)
    divided: list[Partition] = []
    engine(pair, Watched(divided.extend), at_least=1000).sync()
    assert divided == []


def test_several_processes_need_a_store_that_they_can_share(pair: Pair) -> None:
    text = pair.config.read_text(encoding="utf-8")
    pair.config.write_text("scale: {by: prefect, work_pool: sync}\n" + text, encoding="utf-8")
    connector = open_connector(pair.config)
    with pytest.raises(ConfigInvalid, match=r"config.yaml:1: scale.by: prefect .* PostgreSQL"):
        connector.engine("main")
    connector.close()


@pytest.mark.parametrize(("scale", "message"), [
    ("{by: prefect}", "`by: prefect` and `work_pool` go together"),
    ("{work_pool: sync}", "`by: prefect` and `work_pool` go together"),
    ("{by: dask}", "`by: dask` goes together with `cluster` or `workers`"),
    ("{workers: 2}", "`by: dask` goes together with `cluster` or `workers`"),
    ("{by: dask, workers: 2, cluster: 'tcp://h:8786'}", "one of `cluster` and `workers`"),
    ("{by: celery}", "'process', 'prefect' or 'dask'"),
    ("{by: prefect, work_pool: sync, partitions: 0}", "greater than or equal to 1"),
])
def test_a_scale_that_says_too_little_or_too_much_is_refused(
        pair: Pair, tmp_path: Path, scale: str, message: str) -> None:
    config = tmp_path / "scaled.yaml"
    config.write_text(f"scale: {scale}\n" + pair.config.read_text(encoding="utf-8"),
                      encoding="utf-8")
    with pytest.raises(ConfigInvalid) as refused:
        read_config(config)
    assert message in str(refused.value)
