"""Everything is asked for in bulk: ten times the records, the same number of statements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event

from connector.domain.actions import FieldConflict, Outcome, OutcomeKind
from connector.domain.records import Batch, Change, Intent, Link, Operation, Snapshot
from connector.store.open import open_store
from connector.store.unit_of_work import SqlStore, SqlUnitOfWork
from connector.testing.clock import VirtualClock

P, E = "main", "customer"
AT = VirtualClock().now()
Ask = Callable[[SqlUnitOfWork, list[str]], object]


def change(id: int, name: str) -> Change:
    return Change(id, E, "crm", name, "1", {"name": name}, match_key=name)


def ids(uow: SqlUnitOfWork, names: list[str]) -> list[int]:
    return [c.id for c in uow.inbox_by_external(P, E, "crm", names).values()]


def batch(names: list[str]) -> Batch:
    return Batch("b", "customers", Operation.CREATE, tuple(
        Intent(n, E, n, "erp", Operation.CREATE, {}, {}, n) for n in names))


ASKED: dict[str, Ask] = {
    "receive": lambda uow, names: uow.receive(P, [change(0, n) for n in names]),
    "pending": lambda uow, names: uow.pending(P, E, 0, len(names)),
    "inbox_by_external": lambda uow, names: uow.inbox_by_external(P, E, "crm", names),
    "inbox_versions": lambda uow, names: uow.inbox_versions(P, E, "crm", names),
    "inbox_by_match_key": lambda uow, names: uow.inbox_by_match_key(P, E, "crm", names, {}),
    "wait": lambda uow, names: uow.wait(P, dict(zip(ids(uow, names), names, strict=True))),
    "release": lambda uow, names: uow.release(P, names),
    "settle": lambda uow, names: uow.settle(ids(uow, names)),
    "save_links": lambda uow, names: uow.save_links(P, [Link(E, n, "crm", n, "1", {})
                                                        for n in names]),
    "links_by_external": lambda uow, names: uow.links_by_external(P, E, "crm", names),
    "links_by_canonical": lambda uow, names: uow.links_by_canonical(P, E, names),
    "versions": lambda uow, names: uow.versions(P, E, "crm", names),
    "canonical_ids": lambda uow, names: uow.canonical_ids(P, E, "crm", names),
    "external_ids": lambda uow, names: uow.external_ids(P, E, "crm", names),
    "replaced": lambda uow, names: uow.replaced(P, E, "crm", names),
    "referring": lambda uow, names: uow.referring(P, E, "crm", names),
    "remove_links": lambda uow, names: uow.remove_links(P, E, "crm", names),
    "save_snapshots": lambda uow, names: uow.save_snapshots(P, [Snapshot(E, n, {})
                                                                for n in names]),
    "snapshots": lambda uow, names: uow.snapshots(P, E, names),
    "claim": lambda uow, names: uow.claim(P, E, {n: n for n in names}),
    "claims": lambda uow, names: uow.claims(P, E, names),
    "record_batch": lambda uow, names: uow.record_batch(P, "r", batch(names)),
    "settle_batches": lambda uow, names: uow.settle_batches(P, names),
    "add_outcomes": lambda uow, names: uow.add_outcomes(
        P, "r", AT, [Outcome(OutcomeKind.CREATED, E, "crm", n, n) for n in names]),
    "open_conflicts": lambda uow, names: uow.open_conflicts(
        P, E, "r", AT, [(n, n, FieldConflict("q", 0, 1, 2)) for n in names]),
    "move_conflicts": lambda uow, names: uow.open_conflicts(
        P, E, "r", AT, [(n, n, FieldConflict("p", 0, 1, 3)) for n in names]),
    "conflicts": lambda uow, names: uow.conflicts(P, canonical_ids=names),
    "settle_conflicts": lambda uow, names: uow.settle_conflicts(
        P, E, {c.id: "x" for c in uow.conflicts(P, canonical_ids=names)}),
    "bury": lambda uow, names: uow.bury(P, "r", AT, [
        (change(i, n), "write", "E", "no") for i, n in enumerate(names, 1)]),
    "dead_versions": lambda uow, names: uow.dead_versions(P, E, "crm", names),
    "resolve_dead_letters": lambda uow, names: uow.resolve_dead_letters(P, names),
}


@pytest.fixture
def store() -> Iterator[SqlStore]:
    opened = open_store("sqlite://", VirtualClock())
    names = [str(i) for i in range(40)]
    with opened.begin() as uow:
        uow.receive(P, [change(0, n) for n in names])
        uow.save_links(P, [Link(E, n, "crm", n, "1", {}) for n in names])
        uow.open_conflicts(P, E, "r", AT, [(n, n, FieldConflict("p", 0, 1, 2)) for n in names])
    yield opened
    opened.close()


def statements(store: SqlStore, ask: Ask, names: list[str]) -> int:
    """How many statements are executed; many rows for one statement count as one."""
    seen: list[Any] = []
    with store.begin() as uow:
        event.listen(uow.connection, "before_cursor_execute", lambda *said: seen.append(said[2]))
        ask(uow, names)
    return len(seen)


@pytest.mark.parametrize("name", ASKED)
def test_no_method_runs_one_query_for_each_record(store: SqlStore, name: str) -> None:
    few = statements(store, ASKED[name], [str(i) for i in range(3)])
    many = statements(store, ASKED[name], [str(i) for i in range(3, 40)])
    assert 1 <= few == many
