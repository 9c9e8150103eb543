"""The arithmetic of documents: lines rounded half up to cents, tax per rate on the document."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")
HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True)
class Amounts:
    """A document's sums."""

    net: Decimal
    tax: Decimal

    @property
    def total(self) -> Decimal:
        """Net and tax."""
        return self.net + self.tax


def cents(exact: Decimal) -> Decimal:
    """Rounded half up to cents."""
    return exact.quantize(CENT, rounding=ROUND_HALF_UP)


def line_net(quantity: Decimal, price: Decimal, discount_percent: Decimal) -> Decimal:
    """What a line costs before tax."""
    return cents(quantity * price * (HUNDRED - discount_percent) / HUNDRED)


def document(lines: Iterable[tuple[Decimal, Decimal]]) -> Amounts:
    """The sums of a document from its lines' (net, tax percent)."""
    by_rate: dict[Decimal, Decimal] = {}
    for net, rate in lines:
        by_rate[rate] = by_rate.get(rate, Decimal(0)) + net
    return Amounts(sum(by_rate.values(), Decimal("0.00")),
                   sum((cents(net * rate / HUNDRED) for rate, net in by_rate.items()),
                       Decimal("0.00")))
