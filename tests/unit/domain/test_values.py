"""When two values are equal, and how a person reads them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.domain.values import MISSING, decimal, plain, shown, text, utc


@pytest.mark.parametrize(("value", "kept"), [
    (None, None), ("", None), (" \t\n", None), (" Aurora ", "Aurora"), ("a b", "a b"), (7, "7")])
def test_text_is_trimmed_and_blank_text_is_none(value: object, kept: str | None) -> None:
    assert text(value) == kept


@pytest.mark.parametrize(("value", "kept"), [
    (None, "None"), ("", "None"), ("1.50", "1.5"), (" 2 ", "2"), ("1E+2", "100"), ("-0.00", "-0"),
    (Decimal("3.000"), "3"), (3, "3"), ("1e40", "1" + 40 * "0"),
    ("123456789012345678901234567890.120", "123456789012345678901234567890.12")])
def test_a_number_is_exact_and_plain(value: object, kept: str) -> None:
    assert str(decimal(value)) == kept


@pytest.mark.parametrize(("value", "says"), [
    (1.5, "1.5 is not an exact decimal"), (True, "True is not an exact decimal"),
    ("abc", "'abc' is not a number"), ("NaN", "'NaN' is not a finite number"),
    ("Infinity", "'Infinity' is not a finite number"),
    (Decimal("-Infinity"), "Decimal('-Infinity') is not a finite number"),
    ([1, 2], "[1, 2] is not a number"), (" ", "' ' is not a number"),
    ("1e120", "1.000E+120 has more than 120 digits"),
    ("0." + 121 * "7", "7.778E-1 has more than 120 digits")])
def test_what_is_no_exact_number_is_refused(value: object, says: str) -> None:
    with pytest.raises(ValueError) as refused:
        decimal(value)
    assert str(refused.value) == says


@given(st.decimals(allow_nan=False, allow_infinity=False, places=9))
def test_a_number_is_the_same_however_it_is_written(number: Decimal) -> None:
    for written in (number, f"{number:f}", f"{number:E}", f"  {number}\n"):
        kept = decimal(written)
        assert kept == number
        assert kept.as_tuple().exponent <= 0
        assert str(kept) == str(decimal(number))


def test_a_number_may_have_120_digits() -> None:
    for digits in ("7" * 120, "0." + "7" * 120, "1" + "0" * 119):
        assert str(decimal(digits)) == digits


def test_plain_keeps_the_value() -> None:
    assert str(plain(Decimal("10.500"))) == "10.5"
    assert str(plain(Decimal("1E+3"))) == "1000"


def test_an_instant_is_put_into_utc() -> None:
    berlin = datetime(2026, 7, 1, 14, 30, tzinfo=timezone(timedelta(hours=2)))
    assert utc(berlin) == berlin
    assert utc(berlin).isoformat() == "2026-07-01T12:30:00+00:00"
    assert utc(berlin).tzinfo is UTC
    with pytest.raises(ValueError) as refused:
        utc(datetime(2026, 7, 1, 14, 30))  # noqa: DTZ001
    assert str(refused.value) == "2026-07-01T14:30:00 has no time zone"


@pytest.mark.parametrize(("value", "read"), [
    (MISSING, "(absent)"), (None, "(blank)"), (True, "yes"), (False, "no"), ("", ""),
    (Decimal("1.50"), "1.50"), (date(2026, 7, 1), "2026-07-01"),
    (datetime(2026, 7, 1, 12, 30, 5, 99, tzinfo=UTC), "2026-07-01 12:30:05Z")])
def test_as_a_person_reads_it(value: object, read: str) -> None:
    assert shown(value) == read
    assert repr(MISSING) == "MISSING"
