"""After whatever users did: an undo of the run that carried it over restores every field that the
run wrote, and a sync after it writes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from connector.domain.policies import CRM, ERP, Role
from connector.store.open import open_store
from connector.store.tables import metadata
from connector.store.unit_of_work import SqlStore
from connector.testing.clock import VirtualClock
from connector.testing.torture.company import OBJECTS, PARENTS
from connector.testing.torture.faults import Faults, Rates
from connector.testing.torture.users import Crowded
from connector.testing.torture.world import World

State = dict[tuple[Role, str, str], dict[str, Any]]
WORKED_OUT = ("total",)
FORWARD = ("stage", "state")  # a status never goes back


@pytest.fixture(scope="module")
def store() -> Iterator[SqlStore]:
    opened = open_store("sqlite://", VirtualClock())
    yield opened
    opened.close()


def company(store: SqlStore, seed: int) -> World:
    """Two systems without faults, whose users have been at work, and which agree."""
    with store.engine.begin() as connection:
        for table in metadata.sorted_tables:
            connection.execute(delete(table))
    chance = Random(seed)
    world = Crowded(chance, Faults(chance, Rates()), store)
    for _ in range(chance.randint(2, 8)):
        world.act()
    sync_until_quiet(world)
    for _ in range(chance.randint(1, 8)):
        world.act()
    world.mend()
    for system in world.systems.values():
        system.unlock_all()
    return world


def sync_until_quiet(world: World) -> None:
    """Bring both sides into agreement."""
    for _ in range(10):
        world.clock.sleep(90)
        if not any(world.engine().sync(safety_stop=False).writes.values()):
            return
    raise AssertionError("it never comes to rest")


def state(world: World) -> State:
    """All living records, less their status and what systems work out by themselves; prices as the
    ERP rounds them whenever it is given lines, and what is empty as blank."""
    return {(role, object, row.external_id): world.systems[ERP].taken(object, {
        name: None if value == "" else value for name, value in row.payload.items()
        if name not in (*WORKED_OUT, *FORWARD)}, new=False)
        for role in (CRM, ERP) for object in OBJECTS[role].values()
        for row in world.systems[role].objects.get(object, {}).values() if not row.deleted}


def of_customers(world: World, records: State, *, deleted: bool) -> State:
    """The records, with the canonical ID of their customer in place of the external one; where
    `deleted`, of those alone whose customer is none any more, for another one took its place."""
    told = dict(records)
    for (role, object, ext), record in records.items():
        if object in PARENTS:
            named = record[PARENTS[object][0]]
            with world.store.begin() as uow:
                link = uow.links_by_external(world.pair.name, "customer",
                                             world.pair.side(role).system, [named]).get(named)
            if link is not None and (not deleted or (link.alias and link.seen is None)):
                told[role, object, ext] = {**record, PARENTS[object][0]: link.canonical_id}
    return told


def customer_of(records: State, place: tuple[Role, str, str]) -> tuple[Role, str, str]:
    """Where the customer of a record stands."""
    role, object, _ = place
    return role, OBJECTS[role]["customer"], records[place][PARENTS[object][0]]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6))
def test_an_undo_restores_all_that_a_run_wrote(store: SqlStore, seed: int) -> None:
    restores_all(store, seed)


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10**6))
def test_an_undo_restores_all_in_many_companies(store: SqlStore, seed: int) -> None:
    restores_all(store, seed)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6))
def test_the_undo_of_an_undo_leads_back(store: SqlStore, seed: int) -> None:
    leads_back(store, seed)


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(st.integers(0, 10**6))
def test_the_undo_of_an_undo_leads_back_in_many_companies(store: SqlStore, seed: int) -> None:
    leads_back(store, seed)


def restores_all(store: SqlStore, seed: int) -> None:
    """A run and its undo, in one company."""
    world = company(store, seed)
    before = state(world)
    world.clock.sleep(90)
    run = world.engine().sync(safety_stop=False)
    with store.begin() as uow:
        assume(not uow.inbox_counts(world.pair.name))  # else the next sync goes on with that
    written = state(world)
    undone, left = world.engine().undo(run.id)
    after = state(world)
    assert all("only goes forward" in action.reason for action in left), left
    deleted = {place for place in before if place not in written}
    # The run writes to whoever names a deleted customer which one took its place: that stays.
    renamed = {place for place, record in of_customers(world, before, deleted=True).items()
               if record != before[place] and after.get(place) != before[place]}
    assert {p: v for p, v in after.items() if p in before and p not in renamed} == {
        p: v for p, v in before.items() if p not in deleted and p not in renamed}
    was, now = (of_customers(world, s, deleted=False) for s in (before, after))
    assert [now[place] for place in renamed] == [was[place] for place in renamed]
    again = [place for place in after if place not in before]
    assert all(customer_of(after, place) in after for place in (*renamed, *again)
               if place[1] in PARENTS)
    assert len(again) == len(deleted)  # made again, under an ID of its own
    assert all(any(now[place] == was[gone] for gone in deleted) for place in again)
    assert not undone.tallies or all(t.accounted for t in undone.tallies.values())
    for _ in range(2):
        world.clock.sleep(90)
        assert not any(world.engine().sync(safety_stop=False).writes.values())
    assert state(world) == after


def leads_back(store: SqlStore, seed: int) -> None:
    """A run, its undo, and the undo of that, in one company."""
    world = company(store, seed)
    world.clock.sleep(90)
    run = world.engine().sync(safety_stop=False)
    written = state(world)
    first, _ = world.engine().undo(run.id)
    world.engine().undo(first.id)
    after = state(world)
    assert {p: v for p, v in after.items() if p in written} == {
        p: v for p, v in written.items() if p in after}
    assert len(after) == len(written)  # what was made again has another ID
