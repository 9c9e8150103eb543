"""A store that the first release made is brought up to date with all that is in it, on SQLite and
on PostgreSQL, and ends as the code knows the tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, MetaData, create_engine, select

from connector.domain.actions import OutcomeKind
from connector.domain.ledger import ConflictState, RunState
from connector.domain.policies import CRM
from connector.domain.records import Operation
from connector.errors import LeaseHeld
from connector.store.open import migrate, open_store, revisions
from connector.store.tables import metadata
from connector.testing.clock import VirtualClock

ACME, BRAVO, ORDER = "a" * 32, "b" * 32, "c" * 32
LATER = datetime(2026, 1, 5, 9, tzinfo=UTC).timestamp()
AT = "2026-01-05T07:00:00.000000+00:00"

FIRST: dict[str, list[dict[str, Any]]] = {
    "links": [
        {"id": 3, "pair": "main", "entity": "customer", "system": "crm", "external_id": "acc_1",
         "canonical_id": ACME, "version": "etag-7", "seen": b'{"name":"Acme"}'},
        {"id": 5, "pair": "main", "entity": "customer", "system": "erp", "external_id": "1001",
         "canonical_id": ACME, "version": "4", "seen": b'{"name":"Acme"}'},
        {"id": 9, "pair": "main", "entity": "customer", "system": "erp", "external_id": "1002",
         "canonical_id": BRAVO, "version": "", "seen": None}],
    "snapshots": [{"pair": "main", "entity": "customer", "canonical_id": ACME,
                   "record": '{"name":"Acme","city":"Zürich"}'.encode()}],
    "cursors": [{"pair": "main", "entity": "customer", "system": "crm", "cursor": "2026|acc_1"}],
    "inbox": [
        {"id": 4, "pair": "main", "entity": "customer", "system": "crm", "external_id": "acc_1",
         "state": "pending", "version": "etag-8", "payload": b'{"name":"Acme AG"}',
         "deleted": False, "reference": None, "match_key": "de1", "hint": False,
         "derived_from": "", "wanted": None},
        {"id": 6, "pair": "main", "entity": "contact", "system": "crm", "external_id": "con_1",
         "state": "waiting", "version": "1", "payload": b'{"account":"acc_2"}',
         "deleted": False, "reference": "erp:77", "match_key": "", "hint": False,
         "derived_from": "", "wanted": "customer:crm:acc_2"},
        {"id": 8, "pair": "main", "entity": "order", "system": "crm",
         "external_id": "quote:quo_1", "state": "pending", "version": "2", "payload": b"{}",
         "deleted": True, "reference": None, "match_key": "", "hint": True,
         "derived_from": ORDER, "wanted": None}],
    "outbox": [{"id": 2, "pair": "main", "key": "k" * 40, "run_id": "run1", "object": "customers",
                "operation": "create", "intents":
                b'[["create:x","customer","' + BRAVO.encode() + b'","erp",{"limit":1.50},'
                b'{"name":"Bravo"},"crm:acc_2",null,null]]'}],
    "claims": [{"pair": "main", "entity": "customer", "match_key": "de1", "canonical_id": ACME}],
    "runs": [{"id": "run1", "pair": "main", "trigger": "cli", "state": "completed",
              "started_at": AT, "ended_at": AT, "message": "",
              "account": b'{"tallies":[["customer","crm",2,{"created":1,"unchanged":1}]],'
                         b'"writes":[["customer","erp","create",1]]}'}],
    "outcomes": [{"id": 11, "pair": "main", "run_id": "run1", "at": AT, "entity": "customer",
                  "canonical_id": ACME, "kind": "updated", "side": "crm", "external_id": "acc_1",
                  "target": "erp", "changes": b'[["city","Bern","Z\xc3\xbcrich","changed"]]',
                  "reason": "", "counted": True}],
    "conflicts": [
        {"id": 21, "pair": "main", "entity": "customer", "canonical_id": ACME, "path": "phone",
         "kind": "both_changed", "title": "Acme",
         "sides": b'{"base":"1","crm":"2","erp":"3"}', "state": "open", "settled_by": "",
         "decision": None, "run_id": "run1", "opened_at": AT},
        {"id": 22, "pair": "main", "entity": "customer", "canonical_id": ACME, "path": "city",
         "kind": "both_changed", "title": "Acme",
         "sides": b'{"base":null,"crm":"A","erp":"B"}', "state": "decided", "settled_by": "",
         "decision": b'{"take":"erp"}', "run_id": "run1", "opened_at": AT}],
    "dead_letters": [{"id": 31, "pair": "main", "trace_key": "customer/erp/1003",
                      "entity": "customer", "system": "erp", "external_id": "1003",
                      "version": "9", "stage": "decode", "error": "DecodeFailed",
                      "message": "terms is no choice", "payload": b'{"terms":"?"}',
                      "attempts": 3, "match_key": "de3", "run_id": "run1", "at": AT}],
    "leases": [{"pair": "main", "holder": "elsewhere:1", "token": 41, "until": LATER}],
}
"""What a first release in the middle of its work has in its store, by table."""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database in which there is nothing yet."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/store.db"
        return
    server = request.getfixturevalue("postgres")
    yield server
    engine = _engine(server)
    everything = MetaData()
    everything.reflect(engine)
    everything.drop_all(engine)
    engine.dispose()


def _engine(url: str) -> Engine:
    return create_engine(url.replace("postgresql://", "postgresql+psycopg://"))


@pytest.fixture
def first(url: str) -> Iterator[Callable[[], dict[str, list[dict[str, Any]]]]]:
    """A store of the first release; gives what its tables hold now, in the columns they had."""
    engine, tables = _engine(url), MetaData()
    with engine.begin() as connection:
        migrate(connection, "0001")
    tables.reflect(engine)
    assert set(tables.tables) == {*FIRST, "alembic_version"}
    with engine.begin() as connection:
        for name, rows in FIRST.items():
            connection.execute(tables.tables[name].insert(), rows)

    def held() -> dict[str, list[dict[str, Any]]]:
        with engine.connect() as connection:
            return {name: [dict(row) for row in connection.execute(select(tables.tables[name])
                    .order_by(*tables.tables[name].primary_key)).mappings()] for name in FIRST}

    yield held
    engine.dispose()


def test_every_row_of_the_first_release_is_kept(
        url: str, first: Callable[[], dict[str, list[dict[str, Any]]]]) -> None:
    assert first() == FIRST
    open_store(url, VirtualClock()).close()
    assert first() == FIRST


def test_the_new_release_goes_on_where_the_first_one_stood(url: str, first: object) -> None:
    store = open_store(url, VirtualClock())
    with store.begin() as uow:
        links = uow.links_by_canonical("main", "customer", [ACME, BRAVO])
        assert [(k.external_id, k.version, k.seen) for k in links[ACME]] == [
            ("acc_1", "etag-7", {"name": "Acme"}), ("1001", "4", {"name": "Acme"})]
        assert links[BRAVO][0].seen is None
        assert uow.snapshots("main", "customer", [ACME])[ACME].record == {
            "name": "Acme", "city": "Zürich"}
        assert uow.cursors("main", "crm").get("customer") == "2026|acc_1"
        (pending,) = uow.pending("main", "customer", 0, 10)
        assert (pending.id, pending.version, pending.match_key, pending.payload) == (
            4, "etag-8", "de1", {"name": "Acme AG"})
        assert uow.inbox_counts("main") == {
            ("customer", "crm", "pending"): 1, ("contact", "crm", "waiting"): 1,
            ("order", "crm", "pending"): 1}
        assert uow.release("main", ["customer:crm:acc_2"]) == 1
        (batch,) = uow.unsettled_batches("main")
        assert (batch.operation, batch.intents[0].reference) == (Operation.CREATE, "crm:acc_2")
        assert str(batch.intents[0].payload["limit"]) == "1.50"
        assert uow.claims("main", "customer", ["de1"]) == {"de1": ACME}
        (run,) = uow.runs("main", 5)
        assert (run.state, run.tallies["customer", CRM].read) == (RunState.COMPLETED, 2)
        (told,) = uow.history("main", "customer", ACME)
        assert (told.kind, told.changes[0].after) == (OutcomeKind.UPDATED, "Zürich")
        asked, decided = uow.conflicts("main", states=(ConflictState.OPEN,
                                                       ConflictState.DECIDED))
        assert (asked.id, asked.crm, decided.decision) == (21, "2", {"take": "erp"})
        (letter,) = uow.dead_letters("main")
        assert (letter.trace_key, letter.attempts) == ("customer/erp/1003", 3)
        assert uow.dead_by_match_key("main", "customer", "erp", ["de3"]) == {"de3": "1003"}
    with pytest.raises(LeaseHeld, match="elsewhere:1"):
        store.acquire_lease("main", "here:2", 60)
    store.close()


def test_the_migrations_make_the_tables_that_the_code_knows(url: str) -> None:
    store = open_store(url, VirtualClock())
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    store.close()


def test_each_revision_follows_from_the_one_before(url: str) -> None:
    engine = _engine(url)
    for revision in revisions():
        with engine.begin() as connection:
            migrate(connection, revision)
            assert MigrationContext.configure(connection).get_current_revision() == revision
    engine.dispose()
