"""What quotations and orders share: Tryton keeps both as sales, a header with lines."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, ClassVar

from connector.adapters.tryton.kind import (
    Found,
    OneForOne,
    Unfit,
    Values,
    by,
    each,
    iso_day,
    line_numbers,
)
from connector.adapters.tryton.marks import Marked, marked
from connector.adapters.tryton.opportunities import Opportunities
from connector.adapters.tryton.products import Categories, percent, quantity, warehouses
from connector.adapters.tryton.rpc import Row, number
from connector.domain.records import Intent, Payload, RemoteRecord

_PRICE = Decimal("0.0001")
ALWAYS = frozenset({"reference"})
"""What may be changed in a sale that is no draft any more."""
OPEN = frozenset({"draft", "quotation"})
"""The states of a sale that nobody has confirmed."""
HEADER = frozenset({"id", "number", "reference", "state", "progress", "party", "currency",
                    "sale_date", "warehouse", "comment", "untaxed_amount", "tax_amount",
                    "total_amount", "lines"})
LINE = frozenset({"id", "line_no", "product", "description", "quantity", "unit", "unit_price",
                  "base_price", "discount_percent", "tax_percent", "quantity_shipped"})


class AnySale(OneForOne):
    """Sales of the company; `word` is what its records are marked as."""

    model = "sale.sale"
    fields = ("number", "reference", "description", "origin", "state", "shipment_state",
              "invoice_state", "party", "currency.code", "sale_date", "warehouse.code",
              "warehouse.name", "comment", "untaxed_amount", "tax_amount", "total_amount",
              "_timestamp",
              *(f"lines.{f}" for f in (
                  "type", "sequence", "product", "description", "quantity", "unit.symbol",
                  "unit.digits", "unit_price", "base_price", "taxes.rate", "moves.state",
                  "moves.quantity", "_timestamp")))
    locks: ClassVar[Mapping[str, str]] = {"lines": "sale.line"}
    actions = ("draft", "quote", "confirm", "process", "cancel")
    word: ClassVar[str]

    def of_the_company(self) -> list[Any]:
        """The sales there are, quotations and orders."""
        return [["company", "=", self.rpc.context["company"]]]

    def whatever(self, ids: Sequence[int]) -> dict[int, Found]:
        """The sales with these IDs, whatever state they are in."""
        if not ids:
            return {}
        rows = self.rpc.read(self.model, [["id", "in", sorted(ids)], *self.of_the_company()],
                             self._asked())
        return {row["id"]: (row, record)
                for row, record in zip(rows, self.records(rows), strict=True)}

    @property
    def marked(self) -> Marked:
        """Those that were made for a record of the other side."""
        return Marked(self.rpc, self.model, self.of_the_company())

    def referenced(self, references: Sequence[str]) -> dict[str, int]:
        return self.marked.oldest(self.word, references)

    def _asked(self) -> set[str]:
        known = self.described("sale.line")
        return {f for f in super()._asked() if f != "lines.base_price" or "base_price" in known}

    def records(self, rows: Sequence[Row]) -> list[RemoteRecord]:
        own = self.marked.own(rows)
        return [self.record(row, self.payload(row, own.get(row["id"], {})),
                            own.get(row["id"], {}).get(self.word)) for row in rows]

    @abstractmethod
    def payload(self, row: Row, marks: Mapping[str, str]) -> Values:
        """A sale as it is given to the engine; `marks` are its own, by word."""

    # ---- writing

    def creations(self, intents: Sequence[Intent]) -> list[Values | Unfit]:
        known = self._known([i.payload for i in intents])

        def make(intent: Intent) -> Values:
            payload = intent.payload
            party = known["parties"].get(_id(payload.get("party")))
            if party is None:
                raise Unfit(f"Tryton has no party {payload.get('party')!r}.")
            values = self._header({"warehouse": None, **payload}, known)
            values.setdefault("currency", known["currency"])
            lines = [self._line(line, None, known) for line in payload.get("lines") or ()]
            return {**values, "company": self.rpc.context["company"],
                    "payment_term": party["customer_payment_term"],
                    "invoice_address": _address(party, "invoice"),
                    "shipment_address": _address(party, "delivery"),
                    "description": marked(None, self.word, intent.reference),
                    "lines": [["create", lines]] if lines else []}
        return each(make, intents)

    def changes(self, pairs: Sequence[tuple[Intent, Found]]) -> list[Values | Unfit]:
        known = self._known([intent.payload for intent, _ in pairs])

        def make(pair: tuple[Intent, Found]) -> Values:
            (intent, (row, record)) = pair
            now = record.payload
            values = self._header({name: value for name, value in intent.payload.items()
                                   if now.get(name) != value}, known)
            if "lines" in intent.payload:
                steps = self._line_steps(intent.payload["lines"] or (), row, record, known)
                values |= {"lines": steps} if steps else {}
            if set(values) - ALWAYS - set(self.more) and row["state"] not in OPEN:
                raise Unfit(f"The sale {now['number']} is {now['state']}: only its reference can "
                            "still be changed.")
            return values
        return each(make, pairs)

    def _known(self, payloads: Sequence[Payload]) -> dict[str, Any]:
        """What the payloads name: parties, products with their prices and taxes, warehouses."""
        parties = {_id(p.get("party")) for p in payloads} - {None}
        lines = [line for p in payloads for line in p.get("lines") or ()]
        products = {_id(line.get("product")) for line in lines} - {None}
        codes = {p.get("currency") for p in payloads} - {None}
        return {
            "currency": self.rpc.currency["id"],
            "currencies": by(self.rpc.read("currency.currency", [["code", "in", sorted(codes)]],
                                           ["code"]), "code") if codes else {},
            "warehouses": warehouses(self.rpc),
            "parties": by(self.rpc.read(
                "party.party", [["id", "in", sorted(parties)]],
                ["customer_payment_term", "addresses.active", "addresses.sequence",
                 "addresses.invoice", "addresses.delivery"]), "id") if parties else {},
            "products": by(self.rpc.read(
                "product.product", [["id", "in", sorted(products)]],
                ["default_uom.digits", "list_price", "template.list_price", "account_category",
                 "name"]), "id") if products else {},
            "categories": Categories(self.rpc) if lines else None,
            "taxes": self.rpc.read("account.tax", [
                ["company", "=", self.rpc.context["company"]], ["type", "=", "percentage"],
                ["parent", "=", None], ["active", "=", True]], ["rate", "group.kind"],
                order=[["id", "ASC"]]) if lines else ()}

    def _header(self, payload: Payload, known: Mapping[str, Any]) -> Values:
        values: Values = {name: payload[name] for name in ("reference", "comment")
                          if name in payload}
        values |= self.extra(payload)
        if "party" in payload:
            values["party"] = _id(payload["party"])
        if "opportunity" in payload:
            values["origin"] = payload["opportunity"] and (
                f"{Opportunities.model},{_id(payload['opportunity'])}")
        if "sale_date" in payload:
            values["sale_date"] = iso_day("sale_date", payload["sale_date"])
        if payload.get("currency"):
            if payload["currency"] not in known["currencies"]:
                raise Unfit(f"Tryton has no currency {payload['currency']!r}; add it there.")
            values["currency"] = known["currencies"][payload["currency"]]["id"]
        if "warehouse" in payload:
            values["warehouse"] = _warehouse(payload["warehouse"], known["warehouses"])
        return values

    def _line_steps(self, lines: Sequence[Payload], row: Row, record: RemoteRecord,
                    known: Mapping[str, Any]) -> list[Any]:
        """What to do to a sale's lines so that they are those of a payload."""
        steps: list[Any] = []
        now = {line["line_no"]: line for line in record.payload["lines"]}
        rows = {line["id"]: line for line in row["lines."]}
        for line in lines:
            there = now.pop(line["line_no"], None)
            if there is None:
                steps.append(["create", [self._line(line, None, known)]])
            elif any(there.get(name) != value for name, value in line.items()
                     if name != "quantity_shipped"):
                merged = self._line({**there, **line}, (rows[there["id"]], there), known)
                steps.append(["write", [there["id"]], merged])
        if now:
            steps.append(["delete", [line["id"] for line in now.values()]])
        return steps

    def _line(self, line: Payload, there: tuple[Row, Payload] | None,
              known: Mapping[str, Any]) -> Values:
        """A line's values; of a line that is there, only those that differ."""
        product = known["products"].get(_id(line.get("product")))
        if product is None and line.get("product") is not None:
            raise Unfit(f"Line {line['line_no']}: Tryton has no product {line['product']!r}.")
        before = there[1] if there else {}
        values: Values = {}
        if there is None:
            values = {"type": "line", "sequence": line["line_no"],
                      "unit": product and product["default_uom."]["id"]}
        changed = {name for name in line if name not in before
                   or before[name] != line[name]}
        if "product" in changed:
            values |= {"product": product and product["id"],
                       "unit": product and product["default_uom."]["id"]}
        if "description" in changed:
            values["description"] = line["description"]
        if "quantity" in changed:
            values["quantity"] = number(line["quantity"])
        if there is None or changed & {"base_price", "discount_percent", "unit_price"}:
            values |= self._price(line, product)
        if there is None or changed & {"product", "tax_percent"}:
            taxes = _taxes(line.get("tax_percent"), product, known)
            old = [tax["id"] for tax in there[0]["taxes."]] if there else []
            if taxes != old:
                values["taxes"] = [["remove", old], ["add", taxes]]
        return values

    def _price(self, line: Payload, product: Row | None) -> Values:
        """The price before and after the discount; the product's own where none is given."""
        base = line.get("base_price")
        if base is None:
            base = line.get("unit_price")
        if base is None and product:
            base = product.get("list_price") or product["template."]["list_price"]
        price = Decimal(str(base or 0))
        discount = Decimal(str(line.get("discount_percent") or 0))
        if "base_price" not in self.described("sale.line"):
            return {"unit_price": _discounted(price, discount)}
        return {"base_price": price, "unit_price": _discounted(price, discount)}


def payload(row: Row) -> Values:
    """What quotations and orders show alike."""
    warehouse = row["warehouse."]
    lines = [line for line in row["lines."] if line["type"] == "line"]
    numbers = line_numbers(lines)
    return {
        **{name: row[name] for name in (
            "id", "number", "reference", "state", "party", "sale_date", "comment",
            "untaxed_amount", "tax_amount", "total_amount")},
        "currency": (row["currency."] or {}).get("code"),
        "warehouse": warehouse and (warehouse["code"] or warehouse["name"]),
        "lines": sorted((_line_payload(line, numbers[line["id"]]) for line in lines),
                        key=lambda line: line["line_no"])}


def _line_payload(line: Row, line_no: int) -> Values:
    unit = line["unit."] or {"symbol": None, "digits": 2}
    price = line["unit_price"] if line["unit_price"] is not None else Decimal(0)
    base = line.get("base_price")
    if base is None:
        base = price
    done = [move["quantity"] for move in line["moves."] if move["state"] == "done"]
    return {
        "id": line["id"], "line_no": line_no, "product": line["product"],
        "description": line["description"], "unit": unit["symbol"],
        "quantity": quantity(line["quantity"], unit["digits"]), "unit_price": price,
        "base_price": base, "discount_percent": _discount(base, price),
        "tax_percent": percent(line["taxes."]),
        "quantity_shipped": quantity(sum(done, Decimal(0)), unit["digits"])}


def _discounted(price: Decimal, discount: Decimal) -> Decimal:
    return (price * (1 - discount / 100)).quantize(_PRICE, ROUND_HALF_EVEN)


def _discount(base: Decimal, price: Decimal) -> Decimal:
    """The roundest discount that makes the one price of the other: Tryton keeps only prices."""
    if not base or base == price:
        return Decimal(0)
    exact = (1 - price / base) * 100
    for places in (0, 1, 2, 3):
        rounded = round(exact, places)
        if _discounted(base, rounded) == price.quantize(_PRICE):
            return rounded
    return round(exact, 4)


def _id(value: Any) -> int | None:
    return int(value) if str(value).isdigit() else None


def _warehouse(code: str | None, rows: Sequence[Row]) -> int | None:
    if not code:
        return int(rows[0]["id"]) if rows else None
    for row in rows:
        if code in (row["code"], row["name"]):
            return int(row["id"])
    raise Unfit(f"Tryton has no warehouse {code!r}.")


def _address(party: Row, use: str) -> int | None:
    rows = sorted((a for a in party["addresses."] if a["active"]),
                  key=lambda a: (not a.get(use), a["sequence"] is not None, a["sequence"] or 0,
                                 a["id"]))
    return int(rows[0]["id"]) if rows else None


def _taxes(wanted: Any, product: Row | None, known: Mapping[str, Any]) -> list[int]:
    """The product's own taxes, if they come to what is wanted; else a single one that does."""
    own = known["categories"].taxes(product["account_category"]) if product else []
    if wanted is None or percent(own) == Decimal(str(wanted)):
        return [tax["id"] for tax in own]
    rate = Decimal(str(wanted)) / 100
    if not rate:
        return []
    for tax in known["taxes"]:
        if tax["rate"] == rate and (tax["group."] or {}).get("kind", "sale") in ("sale", "both"):
            return [tax["id"]]
    raise Unfit(f"Tryton has no tax of {wanted} %; add it there.")
