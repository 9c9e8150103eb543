"""The arithmetic of documents: what lines come to, by the company's rule, in minor units.

Written for these two systems alone; whoever reads their documents has to come to the same figures
by arithmetic of his own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, localcontext
from typing import Literal, NamedTuple

NONE, ONE, HUNDRED = Decimal(0), Decimal(1), Decimal(100)
EXACT = Context(prec=120)
_BY_PLACES = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW"}
_OTHER_PLACES = {code: places for places, codes in _BY_PLACES.items() for code in codes.split()}
"""The currencies of ISO 4217 (list one of 2026-01-01) whose amounts have not two decimals."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Where a company rounds to the minor unit: each `line`, or the sum of the `document`; tax for
    each `rate` or each `line`; half a unit `up`, away from nought, or to the `even` one."""

    level: Literal["line", "document"] = "line"
    tax: Literal["rate", "line"] = "rate"
    half: Literal["up", "even"] = "up"

    def whole(self, exact: Decimal) -> Decimal:
        """`exact` as a whole number."""
        return exact.to_integral_value(ROUND_HALF_UP if self.half == "up" else ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True)
class Company:
    """Whose system this is: the currency of its books, and how it rounds."""

    currency: str = "EUR"
    rule: Rule = field(default_factory=Rule)


class Line(NamedTuple):
    """What a line's amount depends on."""

    quantity: Decimal
    price: Decimal
    discount_percent: Decimal
    tax_percent: Decimal


class Terms(NamedTuple):
    """What of a document's header its amounts depend on."""

    currency: str
    discount_percent: Decimal = NONE
    discount: Decimal = NONE
    tax_included: bool = False


@dataclass(frozen=True, slots=True)
class Amounts:
    """A document's sums, and each line's share of the net."""

    lines: list[Decimal]
    net: Decimal
    tax: Decimal

    @property
    def total(self) -> Decimal:
        """Net and tax."""
        return self.net + self.tax


def places(currency: str) -> int:
    """The decimals of an amount in a currency."""
    return _OTHER_PLACES.get(currency, 2)


def is_amount(exact: Decimal, currency: str) -> bool:
    """Whether a number is a whole number of minor units."""
    return exact.scaleb(places(currency), EXACT) % 1 == 0


def rounded(exact: Decimal, currency: str, rule: Rule) -> Decimal:
    """An amount in whole minor units."""
    with localcontext(EXACT):
        decimals = places(currency)
        return _back(rule.whole(exact.scaleb(decimals)), decimals)


def gross(lines: Iterable[Line]) -> Decimal:
    """What lines cost before the document's discount, exactly."""
    with localcontext(EXACT):
        return sum(map(_cost, lines), NONE)


def _cost(line: Line) -> Decimal:
    return line.quantity * line.price * (HUNDRED - line.discount_percent) / HUNDRED


def work_out(lines: Sequence[Line], terms: Terms, rule: Rule) -> Amounts:
    """A document's sums. Raises `ArithmeticError` for figures that are no amounts."""
    decimals = places(terms.currency)
    with localcontext(EXACT):
        each = [_cost(line).scaleb(decimals) for line in lines]
        if rule.level == "line":
            each = [rule.whole(amount) for amount in each]
        each = _less_percent(each, terms.discount_percent, rule)
        each = _less(each, terms.discount.scaleb(decimals))
        whole = each if rule.level == "line" else _shared(rule.whole(sum(each, NONE)), each, ONE)
        nets, tax = _tax_taken_out(lines, each, whole, rule) if terms.tax_included \
            else (whole, sum((t for _, _, t in _taxes(lines, each, NONE, rule)), NONE))
        return Amounts([_back(net, decimals) for net in nets], _back(sum(nets, NONE), decimals),
                       _back(tax, decimals))


def _back(minor: Decimal, decimals: int) -> Decimal:
    return minor.quantize(ONE).scaleb(-decimals)


def _less_percent(each: list[Decimal], percent: Decimal, rule: Rule) -> list[Decimal]:
    """A percentage off the document: of each line, or rounded and shared out among them."""
    if not percent:
        return each
    if rule.level == "document":
        return [amount * (HUNDRED - percent) / HUNDRED for amount in each]
    off = rule.whole(sum(each, NONE) * percent / HUNDRED)
    shares = _shared(off, [amount * percent for amount in each], HUNDRED)
    return [amount - share for amount, share in zip(each, shares, strict=True)]


def _less(each: list[Decimal], off: Decimal) -> list[Decimal]:
    """An amount off the document, shared out among its lines by their weight."""
    if not off or not each:
        return each
    weights = [abs(amount) for amount in each] if any(each) else [ONE] * len(each)
    shares = _shared(off, [off * weight for weight in weights], sum(weights, NONE))
    return [amount - share for amount, share in zip(each, shares, strict=True)]


def _shared(total: Decimal, parts: Sequence[Decimal], of: Decimal) -> list[Decimal]:
    """`total` as whole numbers next to `parts / of`: rounded down, then the largest remainders get
    one more each, the first lines first."""
    if not parts:
        return []
    down = [(part - part % of if part % of >= 0 else part - part % of - of) / of for part in parts]
    more, left = divmod(int(total) - int(sum(down)), len(parts))
    lost = [part - whole * of for part, whole in zip(parts, down, strict=True)]
    by_loss = sorted(range(len(parts)), key=lambda i: (-lost[i], i))
    favoured = set(by_loss[:left])
    return [whole + more + (i in favoured) for i, whole in enumerate(down)]


def _taxes(lines: Sequence[Line], each: Sequence[Decimal], within: Decimal,
           rule: Rule) -> list[tuple[list[int], Decimal, Decimal]]:
    """(lines, rate, tax) of every rate, or of every line; `within` is the rate's own share of the
    base: 1 where prices include tax."""
    groups: dict[object, list[int]] = {}
    for i, line in enumerate(lines):
        groups.setdefault(line.tax_percent if rule.tax == "rate" else i, []).append(i)
    found = []
    for at in groups.values():
        rate = lines[at[0]].tax_percent
        base = sum((each[i] for i in at), NONE)
        found.append((at, rate, rule.whole(base * rate / (HUNDRED + within * rate))))
    return found


def _tax_taken_out(lines: Sequence[Line], each: Sequence[Decimal], whole: Sequence[Decimal],
                   rule: Rule) -> tuple[list[Decimal], Decimal]:
    """The lines' nets and the tax, where prices include it."""
    nets, tax = list(whole), NONE
    for at, rate, amount in _taxes(lines, each, ONE, rule):
        net = sum((whole[i] for i in at), NONE) - amount
        shares = _shared(net, [whole[i] * HUNDRED for i in at], HUNDRED + rate)
        for i, share in zip(at, shares, strict=True):
            nets[i] = share
        tax += amount
    return nets, tax
