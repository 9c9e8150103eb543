"""The crash test in small: every boundary of a few scenarios, and that it bites."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connector.ports import UnitOfWork
from connector.store.open import open_store
from connector.store.unit_of_work import SqlStore
from connector.testing.clock import VirtualClock
from connector.testing.torture.crashes import crash_everywhere, crashes, play
from connector.testing.torture.scenarios import SCENARIOS
from connector.testing.torture.watched import READING
from tests.torture import planted
from tests.torture.planting import BUGS


@pytest.fixture(scope="module")
def store() -> Iterator[SqlStore]:
    opened = open_store("sqlite://", VirtualClock())
    yield opened
    opened.close()


@pytest.mark.parametrize("name", ["lost_answer_creating", "conflict_decided_in_the_crm",
                                  "deleted_and_deactivated_in_the_erp"])
def test_it_recovers_from_a_crash_at_every_boundary(name: str, store: SqlStore) -> None:
    crashed = crash_everywhere(name, store)
    assert crashed.failed == []
    assert crashed.boundaries > 20
    assert len(crashed.crashes) == 2 * crashed.boundaries + 1


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_ends_well_where_nothing_dies(name: str, store: SqlStore) -> None:
    boundaries, _, violations = play(name, store)
    assert violations == []
    assert boundaries >= 5


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
        assert any(crash.violations for crash in crashes(scenario, store))
