"""How many minor units are lost between a CRM and an ERP: documents over every kind of rounding.

    python benchmarks/money.py [lines] [seed]

Orders are made up over currencies with no, two, three and four decimals, both rounding levels, tax
for each rate and each line, both halves, discounts on lines and documents, prices with and without
tax, and exchange rates. Each goes the way it goes in a sync, JSON and all: the CRM checks it and
works it out, the mapping reads it, the other mapping writes it, the ERP checks it and works it out,
and the same way back. What each of the three (CRM, ERP, connector) comes to, for each line and the
document, is compared with arithmetic in fractions that shares no code with them, and what was read
at the end with what was read at the beginning.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from math import floor
from random import Random
from typing import Any

from connector.bootstrap import shipped
from connector.domain.amounts import Rounding, of_document
from connector.mapping.compile import Mapping as FieldMap
from connector.mapping.load import load_mappings
from connector.mapping.transforms import REGISTRY
from connector.native.amounts import Company, Rule
from connector.native.crm.documents import checked_lines, work_out
from connector.native.crm.objects import OBJECTS as CRM_OBJECTS
from connector.native.database import dumps, loads
from connector.native.erp.objects import OBJECTS as ERP_OBJECTS
from connector.native.erp.sums import sums
from connector.native.fields import check

DECIMALS = {"JPY": 0, "KRW": 0, "ISK": 0, "EUR": 2, "USD": 2, "GBP": 2, "CHF": 2, "MXN": 2,
            "BHD": 3, "KWD": 3, "TND": 3, "CLF": 4}
RATES = ("0", "5", "5.5", "7", "7.7", "8.875", "10", "19", "20", "21")
BOOKS = "EUR"
ADDED_UP = ("net", "tax", "total")


@dataclass(slots=True)
class Report:
    """What was compared: documents, lines, figures, and by how many minor units they were off."""

    documents: int = 0
    lines: int = 0
    figures: int = 0
    off: Fraction = Fraction(0)
    currencies: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    def compare(self, what: str, currency: str, found: Decimal | None, exact: Fraction) -> None:
        """Count a figure, and what it is off by in minor units of its currency."""
        self.figures += 1
        if found is None or Fraction(found) != exact:
            self.off += abs(Fraction(found or 0) - exact) * 10**DECIMALS[currency]
            self.examples.append(f"{what}: {found}, not {float(exact)} {currency}")

    def same(self, what: str, found: Any, meant: Any) -> None:
        """Count a field that has to come back as it went."""
        self.figures += 1
        if found != meant:
            self.off += 1
            self.examples.append(f"{what}: {found!r}, not {meant!r}")


# ---- made-up documents


def number(random: Random, most: int, decimals: int) -> Decimal:
    """A number with a few decimals, more than nought."""
    return Decimal(random.randint(1, most * 10**decimals)).scaleb(-decimals)


def rule(random: Random) -> Rule:
    """A company's rule."""
    return Rule(random.choice(("line", "document")), random.choice(("rate", "line")),
                random.choice(("up", "even")))


def order(random: Random) -> dict[str, Any]:
    """An order as the CRM's users enter it."""
    currency = random.choice(list(DECIMALS))
    lines = [{
        "lineNo": (i + 1) * 10, "description": f"line {i}",
        "quantity": number(random, 200, random.choice((0, 0, 0, 1, 3, 6))),
        "unitPriceMicros": int(number(random, 20_000 if DECIMALS[currency] == 0 else 500,
                                      random.choice((0, 2, 2, 3, 4, 6))) * 1_000_000),
        "discountPercent": random.choice((0, 0, 5, Decimal("2.5"), Decimal("33.33"), 100)),
        "taxPercent": Decimal(random.choice(RATES[:4] if i % 2 else RATES)),
    } for i in range(random.randint(1, 12))]
    body: dict[str, Any] = {"accountId": "acc_1", "currency": currency, "lines": lines,
                            "taxIncluded": random.random() < 0.4}
    if random.random() < 0.4:
        body["discountPercent"] = random.choice((3, Decimal("7.5"), Decimal("12.34"), 50))
    if random.random() < 0.4:
        body["discountMicros"] = int(discount(random, body) * 1_000_000)
    if currency != BOOKS:
        body["exchangeRate"] = str(number(random, 2000, 4))
        body["rateDate"] = "2026-03-01"
    return body


def discount(random: Random, body: Mapping[str, Any]) -> Decimal:
    """An amount off, of whole minor units and at most half of what the lines cost."""
    decimals = DECIMALS[body["currency"]]
    whole = sum(Fraction(line["quantity"]) * line["unitPriceMicros"] / 1_000_000
                * (100 - Fraction(line["discountPercent"])) / 100 for line in body["lines"])
    return Decimal(random.randint(0, floor(whole * 10**decimals / 2))).scaleb(-decimals)


# ---- arithmetic in fractions, of its own


@dataclass(frozen=True, slots=True)
class Exact:
    """What a document comes to, in whole minor units."""

    lines: list[int]
    net: int
    tax: int


def nearest(exact: Fraction, half: str) -> int:
    """The next whole number."""
    low = floor(exact)
    rest = exact - low
    if rest != Fraction(1, 2):
        return low + (rest > Fraction(1, 2))
    if half == "even":
        return low + low % 2
    return low + (exact > 0)


def dealt(total: int, ideal: list[Fraction]) -> list[int]:
    """`total` dealt out by largest remainder."""
    hand = [floor(part) for part in ideal]
    order = sorted(range(len(ideal)), key=lambda i: (hand[i] - ideal[i], i))
    left = total - sum(hand)
    for turn in range(abs(left)):
        hand[order[turn % len(order)] if left > 0 else order[-1 - turn % len(order)]] += \
            1 if left > 0 else -1
    return hand


def exactly(body: Mapping[str, Any], by: Rule) -> Exact:
    """What an order comes to."""
    unit = 10**DECIMALS[body["currency"]]
    cost = [Fraction(line["quantity"]) * Fraction(line["unitPriceMicros"], 1_000_000) * unit
            * (1 - Fraction(line["discountPercent"]) / 100) for line in body["lines"]]
    share = Fraction(body.get("discountPercent", 0)) / 100
    if by.level == "line":
        cost = [Fraction(nearest(part, by.half)) for part in cost]
        off = dealt(nearest(sum(cost, Fraction()) * share, by.half), [c * share for c in cost])
        cost = [part - less for part, less in zip(cost, off, strict=True)]
    else:
        cost = [part * (1 - share) for part in cost]
    amount = Fraction(body.get("discountMicros", 0), 1_000_000) * unit
    if amount:
        weight = sum(map(abs, cost))
        ideal = [amount * abs(part) / weight for part in cost] if weight \
            else [amount / len(cost)] * len(cost)
        cost = [part - less for part, less in zip(cost, dealt(int(amount), ideal), strict=True)]
    whole = dealt(nearest(sum(cost, Fraction()), by.half), cost)
    return taxed(body, by, cost, whole)


def taxed(body: Mapping[str, Any], by: Rule, cost: list[Fraction], whole: list[int]) -> Exact:
    """Tax on top, or taken out."""
    nets, tax = list(whole), 0
    together: dict[Any, list[int]] = {}
    for i, line in enumerate(body["lines"]):
        together.setdefault(i if by.tax == "line" else line["taxPercent"], []).append(i)
    for members in together.values():
        percent = Fraction(body["lines"][members[0]]["taxPercent"])
        base = 100 + percent if body["taxIncluded"] else Fraction(100)
        part = nearest(sum((cost[i] for i in members), Fraction()) * percent / base, by.half)
        tax += part
        if body["taxIncluded"]:
            left = dealt(sum(whole[i] for i in members) - part,
                         [Fraction(whole[i]) * 100 / base for i in members])
            for i, net in zip(members, left, strict=True):
                nets[i] = net
    return Exact(nets, sum(nets), tax)


# ---- the way of a sync


class Way:
    """The two systems and the two mappings between them."""

    def __init__(self) -> None:
        self.crm: FieldMap = load_mappings(shipped("mappings"), "native_crm", REGISTRY)["order"]
        self.erp: FieldMap = load_mappings(shipped("mappings"), "native_erp", REGISTRY)["order"]

    def in_crm(self, body: Mapping[str, Any], by: Rule) -> dict[str, Any]:
        """The CRM takes an order; what it answers."""
        errors: dict[str, str] = {}
        spec = {n: f for n, f in CRM_OBJECTS["orders"].items() if n != "lines"}
        given = loads(dumps({n: v for n, v in body.items() if n not in ("lines", "number")}))
        data = check(spec, given, partial=False, errors=errors)
        data["lines"] = checked_lines("orders", loads(dumps(body["lines"])), errors)
        work_out("orders", data, Company(rule=by), errors)
        if errors:
            raise ValueError(f"the CRM refuses {body}: {errors}")
        answer: dict[str, Any] = loads(dumps(data))
        return answer

    def in_erp(self, row: Mapping[str, Any], by: Rule) -> dict[str, Any]:
        """The ERP takes an order; what it answers."""
        errors: dict[str, str] = {}
        spec = dict(ERP_OBJECTS["sales_orders"])
        of_line = spec.pop("lines").nested
        given = loads(dumps({n: v for n, v in row.items() if n not in ("lines", "state")}))
        data = check(spec, given, partial=False, errors=errors)
        data["lines"] = [check(of_line, line, partial=False, errors=errors)
                         for line in loads(dumps(row["lines"]))]
        if errors:
            raise ValueError(f"the ERP refuses {row}: {errors}")
        sums(data, Company(BOOKS, by))
        answer: dict[str, Any] = loads(dumps(data))
        return answer


Oracle = Callable[[Mapping[str, Any], Rule], Exact]
"""Says what an order comes to."""


def known(_entity: str, key: str) -> str:
    """A link: canonical and external IDs are alike here, and whole numbers for the ERP."""
    return "1" if key == "acc_1" else key


def there_and_back(way: Way, body: dict[str, Any], by: Rule, report: Report,
                   oracle: Oracle) -> None:
    """One order to the ERP and back, all figures compared with what the oracle says."""
    currency = body["currency"]
    exact = oracle(body, by)
    unit = 10**DECIMALS[currency]
    entered = way.in_crm(body, by)
    read = way.crm.decode(entered, known)
    taken = way.in_erp(way.erp.encode(read, known), by)
    of_erp = way.erp.decode(taken, known, read)
    back = way.in_crm(way.crm.encode(of_erp, known), by)
    of_crm = way.crm.decode(back, known, of_erp)
    own = of_document(read, Rounding(by.level, by.tax, by.half))
    wanted = {"net": Fraction(exact.net, unit), "tax": Fraction(exact.tax, unit),
              "total": Fraction(exact.net + exact.tax, unit)}
    for name, amount in wanted.items():
        for who, found in (("CRM", read[name]), ("ERP", of_erp[name]), ("CRM again", of_crm[name]),
                           ("connector", getattr(own, name))):
            report.compare(f"{who} {name}", currency, found, amount)
    for i, net in enumerate(exact.lines):
        amount = Fraction(net, unit)
        report.compare("CRM line", currency, micros(back["lines"][i]["netMicros"]), amount)
        report.compare("ERP line", currency, Decimal(taken["lines"][i]["amount"]), amount)
        report.compare("connector line", currency, own.lines[i], amount)
    in_books(taken, wanted["total"], body, by, report)
    for name, value in read.items():
        if name not in ("status", "rate_base", "total_base", "remark", "number"):
            report.same(name, of_crm.get(name), value)
    report.documents += 1
    report.lines += len(body["lines"])
    report.currencies[currency] = report.currencies.get(currency, 0) + len(body["lines"])


def micros(amount: int) -> Decimal:
    """An amount of the CRM's."""
    return Decimal(amount) / 1_000_000


def in_books(taken: Mapping[str, Any], total: Fraction, body: Mapping[str, Any], by: Rule,
             report: Report) -> None:
    """What the ERP books: the total by the rate turned over, to twelve digits."""
    if "exchangeRate" not in body:
        return
    turned = 1 / Fraction(body["exchangeRate"])
    digits = 12
    while turned * 10**digits < 10**11:
        digits += 1
    while turned * 10**digits >= 10**12:
        digits -= 1
    turned = Fraction(nearest(turned * Fraction(10)**digits, "up")) / Fraction(10)**digits
    booked = Fraction(nearest(total * turned * 10**DECIMALS[BOOKS], by.half), 10**DECIMALS[BOOKS])
    report.compare("booked", BOOKS, Decimal(taken["gross_base"]), booked)


def run(lines: int, seed: int, oracle: Oracle = exactly) -> Report:
    """As many orders as have `lines` lines together, all compared."""
    random, way, report = Random(seed), Way(), Report()
    while report.lines < lines:
        there_and_back(way, order(random), rule(random), report, oracle)
    return report


def main() -> int:
    """Run, print, and fail where anything was off."""
    lines, seed = (int(a) for a in [*sys.argv[1:3], *("1000000", "4217")[len(sys.argv) - 1:]])
    began = time.monotonic()
    report = run(lines, seed)
    print(f"{report.lines} lines of {report.documents} orders, seed {seed}, in "
          f"{time.monotonic() - began:.0f} s, {time.process_time():.0f} of them at work")
    print("by currency: " + ", ".join(f"{n} {c}" for c, n in sorted(report.currencies.items())))
    print(f"{report.figures} figures compared, {report.off} minor units off")
    for example in report.examples[:10]:
        print(f"  {example}")
    return 1 if report.off else 0


if __name__ == "__main__":
    sys.exit(main())
