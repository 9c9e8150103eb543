"""What is kept as JSON comes back as it was."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import StoreUnusable
from connector.store.codec import (
    LONGEST_KEY,
    bounded,
    dump,
    dump_exact,
    load,
    load_exact,
    moment,
    readable,
)

PLAIN = st.none() | st.booleans() | st.integers() | st.text(st.characters())
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False)


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values as a payload holds them."""
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.text(st.characters()) | st.just("$decimal"), inner, max_size=3), max_leaves=12)


@given(nested(PLAIN))
def test_plain_values_come_back(value: Any) -> None:
    assert load(dump(value)) == value


@given(nested(PLAIN | NUMBERS))
def test_exact_values_come_back_to_the_digit(value: Any) -> None:
    assert repr(load_exact(dump_exact(value))) == repr(value)


@pytest.mark.parametrize("beside", [1, 2**70])
def test_decimals_and_times_become_text(beside: int) -> None:
    kept = {"d": Decimal("1.50"), "on": date(2026, 1, 5),
            "at": datetime(2026, 1, 5, 8, tzinfo=UTC), "n": beside}
    assert load(dump(kept)) == {"d": "1.50", "on": "2026-01-05",
                                "at": "2026-01-05T08:00:00+00:00", "n": beside}


@pytest.mark.parametrize("value", [object(), {"deep": [object()]}, {2**70: object()}])
def test_what_is_no_value_is_refused(value: Any) -> None:
    for write in (dump, dump_exact):
        with pytest.raises(TypeError, match="can't be kept"):
            write(value)


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), date(2026, 1, 5)])
def test_what_can_not_be_sent_as_it_is_is_not_kept_exactly(value: Any) -> None:
    with pytest.raises(TypeError, match="can't be kept"):
        dump_exact({"value": value})


@pytest.mark.parametrize("data", [b"", b"{", b" {", b"\xff"])
def test_a_damaged_row_is_said_plainly(data: bytes) -> None:
    for read in (load, load_exact):
        with pytest.raises(StoreUnusable, match="no JSON"):
            read(data)


def test_a_match_key_is_kept_as_it_is_unless_it_is_long_or_odd() -> None:
    for plain in ("", "de123456789", "müller|berlin", "x" * LONGEST_KEY):
        assert bounded(plain) == plain
    odd = ["x" * (LONGEST_KEY + 1), "y" * (LONGEST_KEY + 1), "a\0", "\ud83d"]
    digests = {bounded(key) for key in odd}
    assert len(digests) == len(odd)
    assert all(len(digest) < 80 and bounded(digest) == digest for digest in digests)


def test_text_for_people_holds_nothing_that_a_database_refuses() -> None:
    assert readable("Müller & Söhne: 3 × 日本") == "Müller & Söhne: 3 × 日本"
    assert readable("two\nlines") == "two\nlines"
    assert readable("a\0b\ud83d") == "a\ufffdb?"


def test_instants_sort_as_text() -> None:
    whole = datetime(2026, 1, 5, 8, tzinfo=UTC)
    later = whole.replace(microsecond=1)
    assert moment(whole) < moment(later)
    assert len(moment(whole)) == len(moment(later))
