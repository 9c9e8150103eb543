"""The currencies of ISO 4217, and how many decimals an amount in each has.

Source: ISO 4217 list one as published on 2026-01-01; its minor units are 2 unless `PLACES` says
otherwise. Former currencies stand here too, because old documents carry them: ANG, BGN, HRK and
those the euro replaced, of which some never had a minor unit in use.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from typing import Final, Literal

Half = Literal["up", "even"]
"""Where an amount of exactly half a minor unit goes: away from nought, or to the even one."""

HALVES: Final[Mapping[Half, str]] = {"up": ROUND_HALF_UP, "even": ROUND_HALF_EVEN}

CURRENCIES: Final = frozenset("""
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN
BZD CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP
GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF
KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR
MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK
SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU
UYW UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
ATS BEF CYP DEM EEK ESP FIM FRF GRD HRK IEP ITL LTL LUF LVL MTL NLG PTE SIT SKK
""".split())  # noqa: SIM905 - a thousand quotes would hide the codes

_BY_PLACES: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF "
       "BEF ESP GRD ITL LUF PTE",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
PLACES: Final[Mapping[str, int]] = {
    **dict.fromkeys(CURRENCIES, 2),
    **{code: places for places, codes in _BY_PLACES.items() for code in codes.split()}}
"""Currency → decimals of an amount in it."""

EXACT: Final = Context(prec=120)
"""Room for every product of prices, quantities and percentages that a document can hold: the
usual 28 digits would round a large one before it is rounded to the minor unit."""

_UNITS: Final = {code: Decimal(1).scaleb(-places) for code, places in PLACES.items()}


def places(currency: str) -> int:
    """The decimals of an amount in `currency`. Raises `ValueError` where ISO 4217 has no such."""
    try:
        return PLACES[currency]
    except KeyError:
        raise ValueError(f"{currency!r} is no ISO 4217 currency") from None


def rounded(amount: Decimal, currency: str, half: Half = "up") -> Decimal:
    """`amount` in whole minor units of `currency`, with just its decimals: 100, 1.50, 1.234.

    Raises `ValueError` where ISO 4217 has no such currency.
    """
    unit = _UNITS.get(currency)
    if unit is None:
        raise ValueError(f"{currency!r} is no ISO 4217 currency")
    return amount.quantize(unit, HALVES[half], EXACT)
