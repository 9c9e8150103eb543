"""Laws of amounts: what is spread adds up, what is rounded is next to what is exact."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from connector.domain.amounts import Amounts, PricedLine, Rounding, of_document, spread, work_out
from connector.domain.currencies import CURRENCIES, places, rounded
from connector.domain.entities import ENTITIES, pack, unpack

unhurried = settings(deadline=None)
CURRENCY = st.sampled_from(sorted(CURRENCIES))
HALF = st.sampled_from(["up", "even"])
ROUNDING = st.builds(Rounding, st.sampled_from(["line", "document"]),
                     st.sampled_from(["rate", "line"]), HALF)


def decimals(low: int, high: int, digits: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(low, high, allow_nan=False, allow_infinity=False, places=digits)


RATE = st.sampled_from([Decimal(r) for r in ("0", "7", "19", "5.5", "8.875", "20")])
LINES = st.lists(st.builds(PricedLine, decimals(-1000, 10**6, 3), decimals(0, 10**6, 4),
                           decimals(0, 100, 2), RATE), min_size=1, max_size=8)
PERCENT, AMOUNT = decimals(0, 100, 2), decimals(0, 10**4, 2)


@unhurried
@given(st.integers(-10**9, 10**9), st.lists(decimals(-10**6, 10**6, 5), min_size=1, max_size=12),
       st.integers(1, 10**4))
def test_what_is_spread_adds_up(total: int, shares: list[Decimal], divisor: int) -> None:
    assert sum(spread(Decimal(total), shares, Decimal(divisor))) == total


@unhurried
@given(st.lists(decimals(-10**6, 10**6, 5), min_size=1, max_size=12), st.integers(1, 10**4))
def test_each_gets_its_share_to_the_next_whole_one(shares: list[Decimal], divisor: int) -> None:
    exact = [Fraction(share) / divisor for share in shares]
    total = round(sum(exact))
    found = spread(Decimal(total), shares, Decimal(divisor))
    assert all(abs(Fraction(got) - wanted) < 1
               for got, wanted in zip(found, exact, strict=True))


@unhurried
@given(decimals(-10**12, 10**12, 6), CURRENCY, HALF)
def test_what_is_rounded_is_the_next_minor_unit(amount: Decimal, currency: str,
                                                half: str) -> None:
    found = rounded(amount, currency, half)  # type: ignore[arg-type]
    assert -int(found.as_tuple().exponent) == places(currency)
    off = abs(Fraction(found) - Fraction(amount)) * 10**places(currency)
    assert off <= Fraction(1, 2)
    assert rounded(found, currency, half) == found  # type: ignore[arg-type]
    if off == Fraction(1, 2):
        assert abs(found) > abs(amount) if half == "up" \
            else found.scaleb(places(currency)) % 2 == 0
    assert rounded(-amount, currency, half) == -found  # type: ignore[arg-type]


@unhurried
@given(LINES, CURRENCY, ROUNDING, PERCENT, AMOUNT, st.booleans())
def test_the_lines_add_up_to_the_document(lines: list[PricedLine], currency: str, rule: Rounding,
                                          percent: Decimal, amount: Decimal,
                                          included: bool) -> None:
    worked = work_out(lines, currency, rule, discount_percent=percent, discount_amount=amount,
                      tax_included=included)
    assert sum(worked.lines) == worked.net
    assert worked.net + worked.tax == worked.total
    assert all(rounded(figure, currency) == figure
               for figure in (*worked.lines, worked.net, worked.tax))


@unhurried
@given(LINES, CURRENCY, HALF, st.booleans())
def test_both_levels_are_within_half_a_unit_a_line(lines: list[PricedLine], currency: str,
                                                   half: str, included: bool) -> None:
    exact = sum(Fraction(n.quantity) * Fraction(n.unit_price)
                * (100 - Fraction(n.discount_percent)) / 100 for n in lines)
    for level, most in (("line", len(lines)), ("document", 1)):
        worked = work_out(lines, currency, Rounding(level, "rate", half),  # type: ignore[arg-type]
                          tax_included=included)
        gross = worked.total if included else worked.net
        assert abs(Fraction(gross) - exact) * 10**places(currency) <= Fraction(most, 2)


@unhurried
@given(LINES, CURRENCY, ROUNDING, PERCENT, AMOUNT, st.booleans())
def test_a_document_keeps_its_amounts_in_the_store(lines: list[PricedLine], currency: str,
                                                   rule: Rounding, percent: Decimal,
                                                   amount: Decimal, included: bool) -> None:
    record = {"currency": currency, "discount_percent": percent, "tax_included": included,
              "discount_amount": rounded(amount, currency), "lines": [
                  {"line_no": i, **line._asdict()} for i, line in enumerate(lines)]}
    order = ENTITIES["order"]
    kept = unpack(order, pack(order, record))
    assert kept == record
    worked: Amounts = of_document(record, rule)
    assert of_document(kept, rule) == worked
