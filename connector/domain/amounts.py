"""What a document comes to: net, tax and total from its lines, by a declared rule, exactly.

Everything is worked out in minor units of the document's currency and without any intermediate
rounding; what has to be whole is rounded once, and what is left over goes by largest remainder.
So the lines' nets always add up to the document's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any, Literal, NamedTuple

from connector.domain.currencies import EXACT, HALVES, Half, places
from connector.domain.values import Record

_NONE = Decimal(0)
_ONE = Decimal(1)
_HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True)
class Rounding:
    """Where a document is rounded to the minor unit.

    `level`: each `line`, or only the sum of the `document`. `tax`: once for each `rate` on the
    document, or on each `line`. `half`: where exactly half a minor unit goes.
    """

    level: Literal["line", "document"] = "line"
    tax: Literal["rate", "line"] = "rate"
    half: Half = "up"


class PricedLine(NamedTuple):
    """What of a line its amount depends on; percentages from 0 to 100."""

    quantity: Decimal
    unit_price: Decimal
    discount_percent: Decimal = _NONE
    tax_percent: Decimal = _NONE


@dataclass(frozen=True, slots=True)
class Amounts:
    """A document's amounts in its currency; `lines` holds each line's net, discounts taken off."""

    lines: tuple[Decimal, ...]
    net: Decimal
    tax: Decimal

    @property
    def total(self) -> Decimal:
        """Net and tax."""
        return self.net + self.tax


def of_document(record: Record, rounding: Rounding) -> Amounts:
    """The amounts of a canonical quote, order or invoice; what is blank counts as nought.

    Raises `ValueError` for a currency that ISO 4217 doesn't know, `ArithmeticError` for figures
    that no document has.
    """
    lines = [PricedLine(*(line.get(name) or _NONE for name in PricedLine._fields))
             for line in record.get("lines", ())]
    return work_out(lines, record["currency"], rounding,
                    discount_percent=record.get("discount_percent") or _NONE,
                    discount_amount=record.get("discount_amount") or _NONE,
                    tax_included=bool(record.get("tax_included")))


def work_out(lines: Sequence[PricedLine], currency: str, rounding: Rounding = Rounding(), *,
             discount_percent: Decimal = _NONE, discount_amount: Decimal = _NONE,
             tax_included: bool = False) -> Amounts:
    """The amounts of a document in `currency`.

    Its own discount, first the percentage and then the amount, is spread over its lines; with
    `tax_included` its prices and discounts include tax. Raises as `of_document` does.
    """
    decimals = places(currency)
    with localcontext(EXACT):
        parts = [(line.quantity * line.unit_price * (_HUNDRED - line.discount_percent)
                  / _HUNDRED).scaleb(decimals) for line in lines]
        if rounding.level == "line":
            parts = [_whole(part, rounding) for part in parts]
        parts = _discounted(parts, discount_percent,
                            _whole(discount_amount.scaleb(decimals), rounding), rounding)
        whole = parts if rounding.level == "line" \
            else spread(_whole(sum(parts, _NONE), rounding), parts)
        taxes = _taxes(parts, [line.tax_percent for line in lines], rounding, tax_included)
        nets = _without_tax(whole, taxes) if tax_included else whole
        return Amounts(tuple(_major(net, decimals) for net in nets),
                       _major(sum(nets, _NONE), decimals),
                       _major(sum((tax.tax for tax in taxes), _NONE), decimals))


def spread(total: Decimal, shares: Sequence[Decimal],
           divisor: Decimal = _ONE) -> list[Decimal]:
    """Whole numbers that add up to the whole number `total`, each next to its `shares / divisor`.

    By largest remainder: each share is rounded down, and what is left over goes one by one to
    those that lost most, the first ones first. Raises `ValueError` where there are none to take it.
    """
    floors, remainders = [], []
    for share in shares:
        floor, remainder = divmod(share, divisor)  # towards nought
        below = remainder < 0
        floors.append(floor - below)
        remainders.append(remainder + divisor if below else remainder)
    if not floors:
        if total:
            raise ValueError("there is nothing to spread an amount over")
        return []
    each, left = divmod(int(total - sum(floors)), len(floors))
    losers = sorted(range(len(floors)), key=lambda i: remainders[i], reverse=True)
    for i in losers[:left]:
        floors[i] += 1
    return [floor + each for floor in floors] if each else floors


def _whole(minor: Decimal, rounding: Rounding) -> Decimal:
    return minor.to_integral_value(HALVES[rounding.half])


def _major(minor: Decimal, decimals: int) -> Decimal:
    return minor.quantize(_ONE).scaleb(-decimals)


def _discounted(parts: list[Decimal], percent: Decimal, amount: Decimal,
                rounding: Rounding) -> list[Decimal]:
    """The lines with the document's own discount taken off."""
    if percent and rounding.level == "document":
        parts = [part * (_HUNDRED - percent) / _HUNDRED for part in parts]
    elif percent:
        off = _whole(sum(parts, _NONE) * percent / _HUNDRED, rounding)
        parts = _less(parts, spread(off, [part * percent for part in parts], _HUNDRED))
    if amount and parts:
        weights = [abs(part) for part in parts] if any(parts) else [_ONE] * len(parts)
        parts = _less(parts, spread(amount, [amount * weight for weight in weights],
                                    sum(weights, _NONE)))
    return parts


def _less(parts: Sequence[Decimal], off: Sequence[Decimal]) -> list[Decimal]:
    return [part - less for part, less in zip(parts, off, strict=True)]


class _Tax(NamedTuple):
    """The tax on some lines (by index) of one rate; `base` is the price that it is part of, or
    comes on top of, in percent."""

    lines: list[int]
    base: Decimal
    tax: Decimal


def _taxes(parts: Sequence[Decimal], rates: Sequence[Decimal], rounding: Rounding,
           included: bool) -> list[_Tax]:
    groups: dict[Any, list[int]] = {}
    for i, rate in enumerate(rates):
        groups.setdefault(rate if rounding.tax == "rate" else i, []).append(i)
    taxes = []
    for lines in groups.values():
        rate = rates[lines[0]]
        base = _HUNDRED + rate if included else _HUNDRED
        exact = sum((parts[i] for i in lines), _NONE) * rate / base
        taxes.append(_Tax(lines, base, _whole(exact, rounding)))
    return taxes


def _without_tax(whole: Sequence[Decimal], taxes: Sequence[_Tax]) -> list[Decimal]:
    """The lines' nets where prices include tax."""
    nets = list(whole)
    for lines, base, tax in taxes:
        gross = [whole[i] for i in lines]
        for i, net in zip(lines, spread(sum(gross, _NONE) - tax, [g * _HUNDRED for g in gross],
                                        base), strict=True):
            nets[i] = net
    return nets
