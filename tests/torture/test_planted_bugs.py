"""The torture test bites: every planted bug is caught."""

from __future__ import annotations

import pytest

from tests.torture import planted
from tests.torture.planting import BUGS, caught, caught_crashing

pytestmark = pytest.mark.slow
BUDGET = 300
"""Seeds that a bug may take, counted from the one that caught it."""

CAUGHT = {
    "last_writer_wins": (2, "I3"),
    "put_back_not_recorded": (3, "I3"),
    "blank_says_nothing": (29, "I3"),
    "removed_lines_come_back": (23, "I3"),
    "totals_not_compared": (1, "I4"),
    "update_against_delete_carried": (123, "I3"),
    "deletions_ignored": (0, "I5"),
    "conflict_not_recorded": (0, "I1"),
    "conflict_after_the_write": (47, "I3"),
    "snapshot_before_the_write": (2, "I3"),
    "new_reference_per_retry": (7, "I2"),
    "recovery_drops_the_outbox": (30, "I2"),
    "blind_create": (54, "I2"),
    "wrong_base_on_adoption": (7, "I3"),
    "unknown_taken_for_made": (11, "I4"),
    "retry_taken_for_made": (2, "I4"),
    "unknown_taken_for_not_made": (13, "I2"),
    "stale_repeated": (2, "I3"),
    "returned_not_kept": (0, "I4"),
    "match_keys_ignored": (0, "I2"),
    "claims_ignored": (0, "I2"),
    "child_does_not_wait": (5, "I8"),
    "waiting_never_released": (10, "I5"),
    "failed_dropped": (11, "I4"),
    "moved_record_forgotten": (0, "I6"),
    "no_look_back": (134, "I6"),
    "expired_cursor_goes_on_from_now": (18, "I2"),
    "version_not_checked": (2, "I3"),
    "echoes_told_by_time": (7, "I1"),
    "links_not_saved": (0, "I1"),
    "snapshots_not_saved": (0, "I3"),
    "outbox_not_kept": (13, "I2"),
    "conflict_not_told": (2, "I12"),
    "alias_says_what_it_was_told": (60, "I12"),
}
"""By bug, the first seed from 0 that catches it, and the invariant that breaks."""

IN_SCENARIOS = {
    "tied_on_one_side": "answer_lost_on_first_contact_and_spoiled",
    "landed_in_turn": "line_removed_where_it_came_from_after_two_lost_answers",
    "landed_forgotten": "line_removed_where_it_came_from_after_a_lost_answer",
    "survivor_claims_nothing": "merged_into_one_that_was_to_be_matched_in_the_crm",
    "merged_without_a_word": "merged_where_a_match_waits_for_it_in_the_crm",
    "tied_without_a_word": "tied_to_one_that_something_waits_for_in_the_crm",
    "survivor_unread": "merged_by_a_hint_into_one_that_was_to_be_matched_in_the_crm",
    "parted_alone": "tied_and_parted_by_hand_in_the_crm",
    "merge_told_by_a_hint_dropped": "merged_and_asked_about_before_that_was_known_in_the_crm",
    "answer_unheard_before_the_tie": "conflict_decided_before_it_was_tied_in_the_crm",
    "answer_outlives_what_was_seen": "deletion_decided_and_edited_since_in_the_crm",
    "tie_answers_every_question": "back_beside_one_that_is_asked_about_in_the_crm",
    "made_in_part_without_a_base": "blanked_after_first_contact_was_made_in_part",
    "claim_of_one_that_is_none": "merged_into_one_that_was_to_be_matched_and_merged_in_the_crm",
    "place_not_offered": "deleted_where_another_one_waits_for_its_place_in_the_crm",
    "met_without_a_word": "waited_for_before_first_contact_was_not_kept",
    "met_in_vain": "blanked_after_first_contact_was_not_kept",
    "landed_without_a_base": "blanked_after_first_contact_lost_its_answers",
    "deleted_and_forgotten": "parted_and_deleted_with_a_contact_in_the_erp",
    "orphaned_by_the_rules": "parted_and_deleted_with_a_quote_in_the_crm",
    "back_overlooked": "back_beside_a_new_one_with_its_number_in_the_crm",
    "parted_with_what_refers_to_it": "parted_with_a_contact_in_the_crm",
    "replaced_not_taken_up": "replaced_where_a_contact_names_it_in_the_crm",
    "added_overlooked": "found_again_added_to_and_taken_back",
    "deletion_known_by_an_undo": "taken_back_once_the_other_was_deleted_in_the_crm",
    "found_again_untold": "found_again_edited_and_taken_back",
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
    assert BUGS.keys() == {*CAUGHT, *IN_SCENARIOS}


@pytest.mark.parametrize("name", CAUGHT)
def test_seeds_catch_it(name: str) -> None:
    first, invariant = CAUGHT[name]
    found = caught(name, range(first, first + BUDGET), invariant)
    assert found is not None
    assert found.invariant == invariant


@pytest.mark.parametrize("name", IN_SCENARIOS)
def test_a_scenario_catches_it(name: str) -> None:
    found = caught_crashing(name, [IN_SCENARIOS[name]])
    assert found is not None
    assert found.violation.partition(":")[0] in ("I1", "I2", "I3", "I5", "I6")
