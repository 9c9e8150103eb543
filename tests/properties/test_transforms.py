"""Each transform is the inverse of itself: what was written reads as what was meant."""

from __future__ import annotations

import string
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from connector.domain import values
from connector.domain.currencies import CURRENCIES, rounded
from connector.domain.entities import ENTITIES
from connector.errors import RecordFailed
from connector.mapping.codes import COUNTRIES, UNITS
from connector.mapping.compile import compile_mapping
from connector.mapping.document import MappingDocument
from connector.mapping.transforms import REGISTRY

unhurried = settings(deadline=None)
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40).map(
    str.strip).filter(bool)
WORD = st.text(string.ascii_letters + string.digits, min_size=1, max_size=20)


def _decimals(places: int) -> SearchStrategy[Decimal]:
    return st.decimals(-10**12, 10**12, allow_nan=False, allow_infinity=False,
                       places=places).map(values.plain)


CENTS = _decimals(2).map(lambda v: v.quantize(Decimal("0.01")))
AMOUNTS = st.builds(rounded, _decimals(6), st.sampled_from(sorted(CURRENCIES)),
                    st.sampled_from(["up", "even"]))
RATES = st.decimals(Decimal("0.000001"), 10**6, places=6).map(values.plain)
# those that are exact the other way round, too
EVEN_RATES = st.builds(lambda twos, fives: values.plain(Decimal(2)**twos * Decimal(5)**fives),
                       st.integers(-4, 4), st.integers(-4, 4))
INSTANTS = st.datetimes(
    datetime(1, 1, 3),  # noqa: DTZ001 - bounds are given without a zone
    datetime(9999, 12, 29),  # noqa: DTZ001
    timezones=st.just(UTC))
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))

CANONICAL: dict[str, SearchStrategy[Any]] = {
    "text": TEXT, "upper": WORD.map(str.upper), "lower": WORD.map(str.lower),
    "decimal": _decimals(6), "decimal_string": _decimals(5), "decimal_2": CENTS,
    "money": AMOUNTS, "rate": RATES, "inverse_rate": EVEN_RATES,
    "micros": _decimals(6), "integer": st.integers(-2**53, 2**53), "boolean": st.booleans(),
    "not": st.booleans(), "utc": INSTANTS, "zoned": INSTANTS,
    "date_iso": st.dates(), "date_dmy": st.dates(),
    "vat_number": TEXT, "iso_4217": st.sampled_from(sorted(CURRENCIES)),
    "iso_3166": st.sampled_from(sorted(COUNTRIES)),
    "email": st.builds(lambda a, b: f"{a}@{b}.example.org", WORD, WORD),
    "phone": st.one_of(TEXT, st.from_regex(r"\A\+[1-9][0-9 ()/-]{5,18}\Z")),
    "unit": st.one_of(TEXT, st.sampled_from([*UNITS, *UNITS.values()])),
    "unit_code": st.one_of(TEXT, st.sampled_from([*UNITS, *UNITS.values()])),
}
NORMALISING = ("vat_number", "email", "phone", "unit", "unit_code")


def test_every_transform_is_tested() -> None:
    both_ways = {name for name, transform in REGISTRY.items() if transform.encode is not None}
    assert set(CANONICAL) == both_ways
    assert set(REGISTRY) - both_ways == {"midnight"}


@given(st.dates())
def test_midnight_begins_the_day(day: date) -> None:
    assert REGISTRY["midnight"].decode(day.isoformat()) \
        == datetime(day.year, day.month, day.day, tzinfo=UTC)


@pytest.mark.parametrize("name", sorted(CANONICAL))
def test_what_was_written_reads_as_what_was_meant(name: str) -> None:
    transform = REGISTRY[name]
    encode = transform.encode
    assert encode is not None

    @unhurried
    @given(CANONICAL[name])
    def there_and_back(value: Any) -> None:
        if name in NORMALISING:
            value = transform.decode(value)
        assert transform.decode(encode(value)) == value

    there_and_back()


@unhurried
@given(INSTANTS, OFFSETS)
def test_an_instant_is_the_same_in_every_zone(instant: datetime, offset: timezone) -> None:
    elsewhere = instant.astimezone(offset).isoformat()
    assert REGISTRY["zoned"].decode(elsewhere) == instant
    assert REGISTRY["utc"].decode(elsewhere) == instant


@unhurried
@given(st.integers(-10**17, 10**17))
def test_micros_lose_nothing(micros: int) -> None:
    encode = REGISTRY["micros"].encode
    assert encode is not None
    assert encode(REGISTRY["micros"].decode(micros)) == micros


_ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20)
    | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner,
                                                                max_size=3), max_leaves=6)


@unhurried
@given(_ANY_JSON)
def test_whatever_a_system_sends_is_read_or_refused_never_a_crash(raw: Any) -> None:
    payload = {"company": raw, "cur": raw, "state": raw, "valid": raw, "rows": raw, "sum": raw}
    for given_payload in (payload, {**payload, "company": "7", "cur": "EUR", "state": "open",
                                    "valid": None, "sum": None}):
        QUOTE.references(given_payload)
        try:
            QUOTE.decode(given_payload, lambda _, ext: ext)
        except RecordFailed as refused:
            assert refused.field  # noqa: PT017 - either way out is right


STATUS = ENTITIES["quote"].fields["status"].choices
QUOTE = compile_mapping(MappingDocument.model_validate({
    "system": "shop", "entity": "quote", "object": "offers", "fields": {
        "customer": {"path": "company", "link": "customer"}, "currency": "cur",
        "status": {"path": "state", "values": {"sent": "open", "draft": "open"}},
        "valid_until": {"path": "valid", "transform": "date_iso"},
        "net": {"path": "sum", "direction": "pull"}},
    "lines": {"path": "rows", "fields": {"line_no": "no", "quantity": "qty"}},
}), ENTITIES["quote"])


def _table(words: Callable[[], SearchStrategy[str]]) -> SearchStrategy[dict[str, str]]:
    return st.dictionaries(st.sampled_from(STATUS), words(), min_size=1)


@unhurried
@given(_table(lambda: st.sampled_from(["a", "b", "c"])), st.data())
def test_the_value_last_agreed_stays_where_several_look_alike(table: dict[str, str],
                                                              data: st.DataObject) -> None:
    document = MappingDocument.model_validate({
        "system": "shop", "entity": "quote", "object": "offers", "fields": {
            "customer": {"path": "company", "link": "customer"}, "currency": "cur",
            "status": {"path": "state", "values": table}},
        "lines": {"path": "rows", "fields": {
            "line_no": "no", "quantity": "qty", "description": {"path": "d", "values": table}}}})
    mapping = compile_mapping(document, ENTITIES["quote"])
    agreed = data.draw(st.sampled_from(sorted(table)))
    raw = data.draw(st.sampled_from(sorted(set(table.values()))))
    before = {"status": agreed, "lines": [{"line_no": 1, "description": agreed}]}
    decoded = mapping.decode(
        {"company": "7", "cur": "EUR", "state": raw,
         "rows": [{"no": 1, "qty": 1, "d": raw}]}, lambda _, ext: ext, before)
    first = next(ours for ours, theirs in table.items() if theirs == raw)
    expected = agreed if table[agreed] == raw else first
    assert (decoded["status"], decoded["lines"][0]["description"]) == (expected, expected)
    assert mapping.encode({"status": expected}, lambda _, key: key) == {"state": raw}


@unhurried
@given(st.dates())
def test_dates_are_written_with_four_digit_years(day: date) -> None:
    encode = REGISTRY["date_dmy"].encode
    assert encode is not None
    assert len(encode(day)) == 10
