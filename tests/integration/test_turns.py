"""One run at a time on a pair: what a second one does, and what a stopped or broken one leaves."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import TypeVar

import pytest
import requests

from connector.domain.ledger import Request, Run, RunState
from connector.engine.run import Engine
from connector.engine.turns import Busy
from connector.errors import LeaseHeld, RetryLater, RunCancelled, SystemUnreachable
from tests.integration.conftest import Pair, dying
from tests.integration.test_serve import eventually, register, serving, told

__all__ = ["told"]

MERGE = Busy(merge=True)
T = TypeVar("T")


def at(point: str, act: Callable[[], object]) -> Callable[[str], None]:
    """Does something when a named point is reached for the first time."""
    done = []

    def reach(here: str) -> None:
        if here == point and not done:
            done.append(act)
            act()

    return reach


def engine(pair: Pair, busy: Busy = MERGE) -> Engine:
    return pair.connector.engine("main", busy=busy)


def runs(pair: Pair) -> list[RunState]:
    """The states of all runs, newest first."""
    with pair.connector.store.begin() as uow:
        return [run.state for run in uow.runs("main", 99)]


def requested(pair: Pair) -> list[Request]:
    with pair.connector.store.begin() as uow:
        return uow.requests("main")


def names(pair: Pair) -> list[str]:
    return sorted(customer["display_name"] for customer in pair.in_erp("customers"))


@pytest.mark.parametrize("kind", ["sync", "reconcile"])
def test_a_run_at_work_takes_up_what_a_second_one_was_to_do(pair: Pair, kind: str) -> None:
    second: list[Run] = []

    def meanwhile() -> None:
        pair.crm("POST", "accounts", {"name": "Late"})
        second.append(engine(pair).sync())
        second.append(engine(pair).drain(["customer"]))

    pair.crm("POST", "accounts", {"name": "Early"})
    store = pair.connector.store
    release = store.release_unless_asked
    asked: list[bool] = []

    def releasing(name: str, token: int) -> bool:
        """By now its passes are over: it would not read once more by itself."""
        if not asked:
            meanwhile()
        asked.append(release(name, token))
        return asked[-1]

    store.release_unless_asked = releasing  # type: ignore[method-assign]
    first = pair.sync() if kind == "sync" else pair.engine.reconcile()[0]
    assert [run.state for run in second] == [RunState.MERGED] * 2
    assert f"Run {first.id} is at work" in second[0].message
    assert first.message == "took up what 2 more runs were to do"
    assert first.state is RunState.COMPLETED
    assert asked == [False, True]
    assert names(pair) == ["Early", "Late"]
    assert requested(pair) == []
    pair.quiet()


def test_what_was_left_with_a_run_that_dies_is_done_by_the_next_one(pair: Pair) -> None:
    def meanwhile() -> None:
        pair.crm("POST", "accounts", {"name": "Late"})
        assert engine(pair).sync().state is RunState.MERGED
        raise KeyboardInterrupt

    pair.crm("POST", "accounts", {"name": "Early"})
    with pytest.raises(KeyboardInterrupt):
        pair.connector.engine("main", at("before write", meanwhile)).sync()
    assert [request.kind for request in requested(pair)] == ["sync"]
    assert pair.engine.drain().message == "took up what 1 more run was to do"
    assert names(pair) == ["Early", "Late"]
    assert requested(pair) == []
    pair.quiet()


def test_what_the_next_run_does_anyway_it_does_once(pair: Pair) -> None:
    def meanwhile() -> None:
        engine(pair).sync(["customer"])
        raise KeyboardInterrupt

    pair.crm("POST", "accounts", {"name": "Acme"})
    with pytest.raises(KeyboardInterrupt):
        pair.connector.engine("main", at("before write", meanwhile)).sync()
    assert pair.sync().message == ""
    assert requested(pair) == []


def test_what_can_not_be_merged_waits(pair: Pair) -> None:
    def meanwhile() -> None:
        with pytest.raises(LeaseHeld):  # nobody else may decide that for it
            engine(pair).sync(safety_stop=False)
        with pytest.raises(LeaseHeld):  # it has a report to make
            engine(pair).reconcile()
        with pytest.raises(LeaseHeld):
            engine(pair, Busy(patience=1)).sync()

    pair.crm("POST", "accounts", {"name": "Acme"})
    pair.connector.engine("main", at("before write", meanwhile)).sync()
    token = pair.connector.store.acquire_lease("main", "elsewhere:1", 60)
    with pytest.raises(LeaseHeld):  # a plan, an undo or a decision carries out nothing else
        engine(pair).sync()
    pair.connector.store.release_lease("main", token)
    assert names(pair) == ["Acme"]
    assert requested(pair) == []


@pytest.mark.parametrize("point", ["page read", "before write", "results kept"])
def test_a_run_that_is_cancelled_leaves_the_rest_to_the_next_one(pair: Pair, point: str) -> None:
    for number in range(3):
        account = pair.crm("POST", "accounts", {"name": f"Company {number}"})
        pair.crm("POST", "contacts", {"lastName": f"Person {number}", "accountId": account["id"],
                                      "email": f"p{number}@example.org"})
    stopped = pair.connector.engine("main", at(point, lambda: stopped.cancel()))
    with pytest.raises(RunCancelled, match="next run goes on"):
        stopped.sync()
    assert runs(pair) == [RunState.CANCELLED]
    assert len(pair.in_erp("contact_persons")) == 0
    pair.sync()  # the lease is free at once
    assert len(pair.in_erp("customers")) == len(pair.in_erp("contact_persons")) == 3
    pair.sound()
    pair.quiet()


def test_a_run_that_waits_can_be_cancelled(pair: Pair) -> None:
    pair.connector.store.acquire_lease("main", "elsewhere:1", 60)
    waiting = engine(pair, Busy(patience=30))
    waiting.cancel()
    with pytest.raises(RunCancelled):
        waiting.sync()
    assert runs(pair) == []


def test_a_run_that_the_keyboard_stops_is_kept_so(pair: Pair) -> None:
    pair.crm("POST", "accounts", {"name": "Acme"})
    with pytest.raises(KeyboardInterrupt):
        pair.connector.engine("main", dying("after write", 1)).sync()
    assert runs(pair) == [RunState.CANCELLED]
    pair.sync()
    assert names(pair) == ["Acme"]


def test_runs_that_a_dead_process_left_are_closed(pair: Pair) -> None:
    store = pair.connector.store
    started = pair.connector.clock.now()
    with store.begin() as uow:
        uow.save_run(Run("r1", "main", "prefect", RunState.RUNNING, started))
    token = store.acquire_lease("main", "elsewhere:1", 60)
    pair.connector.close_abandoned("main")
    assert runs(pair) == [RunState.RUNNING]  # somebody works on the pair
    store.release_lease("main", token)
    pair.connector.close_abandoned("main")
    assert runs(pair) == [RunState.ABANDONED]
    store.release_lease("main", store.acquire_lease("main", "elsewhere:2", 60))


class Patient:
    """Tries a phase again while it raises `RetryLater`, and tells what it saw."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.seen: list[str] = []
        self._then = then

    def __call__(self, name: str, work: Callable[[], T]) -> T:
        for _ in range(5):
            try:
                result = work()
            except RetryLater as error:
                self.seen.append(f"{name}: {type(error).__name__}")
                self._then()
            else:
                self.seen.append(name)
                return result
        raise AssertionError(self.seen)


def faulty(pair: Pair, **fault: object) -> None:
    requests.post(f"{pair.erp_url}/_faults", timeout=9, json=[fault]).raise_for_status()


@pytest.mark.parametrize(("kind", "path", "phase"), [
    ("fail_before", "/v1/customers", "read"), ("fail_before", "/v1/customers/bulk", "work off"),
    ("drop_after", "/v1/contact_persons/bulk", "work off")])
def test_a_phase_is_tried_again_where_it_stood(pair: Pair, kind: str, path: str,
                                               phase: str) -> None:
    pair.reconfigure(f"    url: {pair.erp_url}", f"    url: {pair.erp_url}\n    max_attempts: 1")
    for number in range(3):
        account = pair.crm("POST", "accounts", {"name": f"Company {number}"})
        pair.crm("POST", "contacts", {"lastName": f"Person {number}", "accountId": account["id"],
                                      "email": f"p{number}@example.org"})
    method = "POST" if path.endswith("bulk") else "GET"
    faulty(pair, kind=kind, match={"method": method, "path": path}, status=503, times=2)
    patient = Patient()
    run = pair.connector.engine("main", phase=patient).sync()
    assert run.state is RunState.COMPLETED, run.message
    assert all(tally.accounted for tally in run.tallies.values())
    assert f"{phase}: {SystemUnreachable.__name__}" in patient.seen, patient.seen
    assert run.tallies["contact", "crm"].read == 3
    assert len(pair.in_erp("customers")) == len(pair.in_erp("contact_persons")) == 3
    pair.sound()
    pair.quiet()


def started(pair: Pair, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "connector.cli", "--config", str(pair.config),
                             "sync", "--json", *options], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("busy", ["queue", "merge"])
def test_two_syncs_at_once_do_no_harm(pair: Pair, busy: str) -> None:
    for number in range(20):
        pair.crm("POST", "accounts", {"name": f"Company {number}"})
    both = [started(pair, "--busy", busy) for _ in range(2)]
    told = [json.loads(process.communicate(timeout=60)[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert len(pair.in_erp("customers")) == 20
    created = [sum(n for key, n in run["writes"].items() if key.endswith("create"))
               for run in told]
    assert sorted(created) == [0, 20]
    states = {run["state"] for run in told}
    assert states <= {"completed", "merged"} if busy == "merge" else states == {"completed"}
    pair.sound()
    pair.quiet()


def test_a_sync_while_it_is_served(told: Pair) -> None:
    with serving(told.config) as served:
        register(told, served.url)
        for number in range(20):
            told.crm("POST", "accounts", {"name": f"Company {number}"})
            if number == 10:
                beside = started(told)
        assert beside.communicate(timeout=60)[0]
        assert beside.returncode == 0
        eventually(lambda: len(told.in_erp("customers")) >= 20)
        assert served.end() == 0
    assert len(told.in_erp("customers")) == 20
    assert set(runs(told)) == {RunState.COMPLETED}
    told.sound()
    told.quiet()
