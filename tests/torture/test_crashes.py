"""The crash test in small: every boundary of a few scenarios, and that it bites."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connector.domain.policies import CRM, ERP
from connector.engine.run import Engine
from connector.engine.session import LEASE_TTL
from connector.errors import LeaseLost
from connector.ports import UnitOfWork
from connector.store.open import open_store
from connector.store.unit_of_work import SqlStore
from connector.testing.clock import VirtualClock
from connector.testing.torture.crashes import crash_everywhere, play
from connector.testing.torture.scenarios import SCENARIOS
from connector.testing.torture.stage import Boundaries, Stage
from connector.testing.torture.swarm import emptied
from connector.testing.torture.watched import READING
from tests.torture import planted
from tests.torture.planting import BUGS


@pytest.fixture(scope="module")
def store() -> Iterator[SqlStore]:
    opened = open_store("sqlite://", VirtualClock())
    yield opened
    opened.close()


@pytest.mark.parametrize("name", ["lost_answer_creating", *(
    pytest.param(name, marks=pytest.mark.slow)
    for name in ("conflict_decided_in_the_crm", "deleted_and_deactivated_in_the_erp"))])
def test_it_recovers_from_a_crash_at_every_boundary(name: str, store: SqlStore) -> None:
    crashed = crash_everywhere(name, store)
    assert crashed.failed == []
    assert crashed.boundaries > 20
    assert len(crashed.crashes) == 2 * crashed.boundaries + 1


@pytest.mark.slow
def test_what_a_record_is_told_outlives_a_crash_at_every_boundary(store: SqlStore) -> None:
    assert crash_everywhere("conflict_decided_in_the_crm", store, tells=True).failed == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_ends_well_where_nothing_dies(name: str, store: SqlStore) -> None:
    end = play(name, store)
    assert end.violations == []
    assert end.boundaries >= 5


def test_what_only_reads_is_known_to_the_store() -> None:
    assert {name for name in READING if not hasattr(UnitOfWork, name)} == set()


def test_there_are_scenarios_enough() -> None:
    assert len(SCENARIOS) >= 25


@pytest.mark.parametrize(("bug", "scenario"), [
    ("settled_before_the_write", "updated_in_the_crm"),
    ("snapshot_before_the_write", "updated_in_the_crm"),
    ("cursor_moved_first", "created_in_the_crm")])
def test_a_planted_bug_does_not_recover(bug: str, scenario: str, store: SqlStore) -> None:
    assert planted.FILES
    with BUGS[bug].plant():
        assert crash_everywhere(scenario, store, until_one_fails=True).failed


def test_a_run_whose_lease_was_taken_over_keeps_nothing(store: SqlStore) -> None:
    stage = Stage(Boundaries(), emptied(store))
    stage.customer(CRM)

    def stalled(point: str) -> None:
        if point == "after write":
            stage.clock.sleep(LEASE_TTL + 1)
            store.acquire_lease(stage.pair.name, "elsewhere:1", LEASE_TTL)

    with pytest.raises(LeaseLost):
        Engine(stage.pair, store, stage.clock, crash=stalled, in_flight=0).sync()
    assert stage.living(ERP, "debtors") == ["deb-1"]
    with store.begin() as uow:
        assert uow.links_by_external(stage.pair.name, "customer", CRM, ["acc-1"]) == {}
        assert uow.links_by_external(stage.pair.name, "customer", ERP, ["deb-1"]) == {}
        (batch,) = uow.unsettled_batches(stage.pair.name)
        assert [intent.reference for intent in batch.intents] == ["crm:acc-1"]


def test_what_one_side_refused_is_no_edit_of_it(store: SqlStore) -> None:
    """The base moves with the side that was written; an older sight of the one that refused, which
    nobody can read by now, would differ from it and look like an edit."""
    stage = Stage(Boundaries(), emptied(store))
    mine = stage.customer(CRM)
    stage.agree()
    linked = stage.both(CRM, "customer", mine)
    stage.edit(CRM, "customer", linked[CRM], title="new")
    stage.edit(ERP, "customer", linked[ERP], place=stage.token())
    stage.boundaries.once["refused"] = 1
    stage.sync()
    stage.spoil(CRM, "accounts", linked[CRM])
    stage.edit(ERP, "customer", linked[ERP], e_mail=stage.token())
    stage.sync()
    assert stage.systems[ERP].objects["debtors"][linked[ERP]].payload["name1"] == "new"
