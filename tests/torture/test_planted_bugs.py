"""The torture test bites: every planted bug is caught."""

from __future__ import annotations

import pytest

from tests.torture import planted
from tests.torture.planting import BUGS, caught, caught_crashing

pytestmark = pytest.mark.slow
BUDGET = 300
"""Seeds that a bug may take."""

IN_SCENARIOS = {
    "lines_by_position": "line_removed_before_one_that_was_edited",
    "cursor_moved_first": "created_in_the_crm",
    "settled_before_the_write": "updated_in_the_crm",
    "parked_not_held_back": "parked_on_first_contact_and_mended",
    "refused_not_linked": "refused_on_first_contact_and_deleted",
    "max_seen_cursor": "committed_late_while_a_pull_goes_on",
    "pages_by_offset": "read_in_between_pages",
}
"""By bug, the scenario of the crash test that catches it: what else mends it in most seeds doesn't
there."""


def test_enough_bugs_are_planted() -> None:
    assert planted.FILES
    assert len(BUGS) >= 20
    assert IN_SCENARIOS.keys() <= BUGS.keys()


@pytest.mark.parametrize("name", sorted(BUGS.keys() - IN_SCENARIOS.keys()))
def test_seeds_catch_it(name: str) -> None:
    assert caught(name, range(BUDGET)) is not None


@pytest.mark.parametrize("name", IN_SCENARIOS)
def test_a_scenario_catches_it(name: str) -> None:
    found = caught_crashing(name, [IN_SCENARIOS[name]])
    assert found is not None
    assert found.violation.partition(":")[0] in ("I1", "I2", "I3")
