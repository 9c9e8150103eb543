"""An amount has the decimals that ISO 4217 gives its currency."""

from __future__ import annotations

from decimal import Decimal

import pytest

from connector.domain.currencies import CURRENCIES, PLACES, Half, places, rounded


def test_every_currency_has_its_minor_unit() -> None:
    assert set(PLACES) == CURRENCIES
    assert {code for code in CURRENCIES if places(code) == 3} \
        == {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"}
    assert [places(code) for code in ("JPY", "KRW", "EUR", "USD", "ITL", "CLF")] \
        == [0, 0, 2, 2, 0, 4]


@pytest.mark.parametrize(("amount", "currency", "half", "expected"), [
    ("10.005", "EUR", "up", "10.01"), ("10.005", "EUR", "even", "10.00"),
    ("10.015", "EUR", "even", "10.02"), ("-10.005", "EUR", "up", "-10.01"),
    ("99.5", "JPY", "up", "100"), ("98.5", "JPY", "even", "98"), ("1E+3", "JPY", "up", "1000"),
    ("1.0005", "BHD", "up", "1.001"), ("1.2345", "KWD", "even", "1.234"),
    ("1", "TND", "up", "1.000"),
    ("12345678901234567890123456789012345.675", "EUR", "up",
     "12345678901234567890123456789012345.68")])
def test_an_amount_is_rounded_to_its_minor_unit(amount: str, currency: str, half: Half,
                                                expected: str) -> None:
    assert str(rounded(Decimal(amount), currency, half)) == expected


def test_an_unknown_currency_has_none() -> None:
    for ask in (places, lambda code: rounded(Decimal(1), code)):
        with pytest.raises(ValueError, match="'EURO' is no ISO 4217 currency"):
            ask("EURO")
