"""What documents come to, with figures that can be followed by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from connector.domain.amounts import Amounts, PricedLine, Rounding, of_document, spread, work_out

LINE, DOCUMENT = Rounding(), Rounding("document")


def lines(*priced: str) -> list[PricedLine]:
    """`quantity price tax [discount]` each."""
    found = []
    for text in priced:
        quantity, price, tax, discount = map(Decimal, [*text.split(), "0"][:4])
        found.append(PricedLine(quantity, price, discount, tax))
    return found


def shown(amounts: Amounts) -> str:
    return f"{' '.join(map(str, amounts.lines))} | {amounts.net} {amounts.tax} {amounts.total}"


# three times 0.335 is 1.005, but three times 0.34 is 1.02
THIRDS = lines("1 0.335 19", "1 0.335 19", "1 0.335 19")


@pytest.mark.parametrize(("rule", "expected"), [
    (LINE, "0.34 0.34 0.34 | 1.02 0.19 1.21"),
    (DOCUMENT, "0.34 0.34 0.33 | 1.01 0.19 1.20"),
    (Rounding("line", "line"), "0.34 0.34 0.34 | 1.02 0.18 1.20"),
    (Rounding("document", "rate", "even"), "0.34 0.33 0.33 | 1.00 0.19 1.19")])
def test_the_declared_level_decides(rule: Rounding, expected: str) -> None:
    assert shown(work_out(THIRDS, "EUR", rule)) == expected


@pytest.mark.parametrize(("currency", "expected"), [
    ("JPY", "334 | 334 33 367"), ("EUR", "333.50 | 333.50 33.35 366.85"),
    ("BHD", "333.500 | 333.500 33.350 366.850")])
def test_each_currency_has_its_minor_unit(currency: str, expected: str) -> None:
    assert shown(work_out(lines("1 333.5 10"), currency)) == expected


@pytest.mark.parametrize(("discount", "expected"), [
    # 10.00 in equal thirds: the first one takes the cent that is left over
    ({"discount_percent": Decimal(10)}, "29.99 30.00 30.00 | 89.99 17.10 107.09"),
    ({"discount_amount": Decimal(10)}, "29.99 30.00 30.00 | 89.99 17.10 107.09"),
    ({"discount_percent": Decimal(10), "discount_amount": Decimal("0.01")},
     "29.99 29.99 30.00 | 89.98 17.10 107.08")])
def test_a_discount_on_the_document_is_spread_to_the_cent(discount: dict[str, Any],
                                                          expected: str) -> None:
    three = lines("1 33.33 19", "1 33.33 19", "1 33.33 19")
    assert shown(work_out(three, "EUR", LINE, **discount)) == expected


@pytest.mark.parametrize(("rule", "expected"), [
    (LINE, "8.41 8.40 | 16.81 3.19 20.00"),
    (Rounding("line", "line"), "8.40 8.40 | 16.80 3.20 20.00")])
def test_prices_may_include_tax(rule: Rounding, expected: str) -> None:
    """10.00 with 19 % in it is 8.403361… without."""
    both = lines("1 10 19", "2 5 19")
    assert shown(work_out(both, "EUR", rule, tax_included=True)) == expected


def test_a_large_product_is_not_rounded_twice() -> None:
    """Thirty digits: the usual twenty-eight would make …4999999 a half, and then a cent."""
    worked = work_out(lines("10000000.000001 100000.004999 0"), "EUR")
    assert worked.net == Decimal("1000000049990.10")


def test_a_canonical_document_is_worked_out_by_its_fields() -> None:
    record = {"currency": "KWD", "discount_percent": None, "tax_included": None, "lines": [
        {"line_no": 10, "quantity": Decimal(3), "unit_price": Decimal("0.3335")},
        {"line_no": 20, "quantity": Decimal(1), "unit_price": None, "tax_percent": Decimal(5)}]}
    assert shown(of_document(record, DOCUMENT)) == "1.001 0.000 | 1.001 0.000 1.001"


def test_nothing_comes_to_nought() -> None:
    worked = work_out([], "EUR", LINE, discount_amount=Decimal(5))
    assert shown(worked) == " | 0.00 0.00 0.00"


def test_there_has_to_be_something_to_spread_over() -> None:
    assert spread(Decimal(0), []) == []
    with pytest.raises(ValueError, match="nothing to spread"):
        spread(Decimal(1), [])
