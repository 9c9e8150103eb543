"""Opportunities, of the module sale_opportunity: what may be sold, and how much of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from connector.adapters.tryton.kind import (
    Found,
    OneForOne,
    Source,
    Unfit,
    Values,
    by,
    each,
    iso_day,
    line_numbers,
)
from connector.adapters.tryton.products import quantity
from connector.adapters.tryton.rpc import Row, number
from connector.domain.records import Intent, ObjectSchema, Payload, RemoteRecord

_PLAIN = ("description", "comment", "amount")
_DATES = ("start_date", "end_date")
_SHOWN = {"converted": "opportunity", "cancelled": "lost"}
"""States that are told as another one: a sale was made of it; it is off."""
_FROZEN = ("amount", "end_date", "comment", "lines")
"""What Tryton lets nobody change once a sale was made of it: not told from then on, so that the
other side's stands there."""
_CLOSED = ("won", "lost", "cancelled")
_WON = " [won]"
"""Stands behind the reference of one that was won, and that Tryton has sold nothing of yet: it is
won there by a confirmed sale, and by nothing else."""


class Opportunities(OneForOne):
    """Leads and opportunities of the company. The reference that a create keeps stands in
    `reference`, which a copy does not take over."""

    object = "opportunities"
    model = "sale.opportunity"
    fields = ("number", "reference", "description", "state", "party", "currency.code", "amount",
              "conversion_probability", "start_date", "end_date", "comment", "_timestamp",
              *(f"lines.{f}" for f in ("sequence", "product", "description", "quantity",
                                       "unit.symbol", "unit.digits", "_timestamp")))
    locks: ClassVar[Mapping[str, str]] = {"lines": "sale.opportunity.line"}
    sources = (Source("sale.opportunity"), Source("sale.opportunity.line", "opportunity"))
    schema = ObjectSchema(
        frozenset({"id", "number", "state", "progress", "party", "currency", "probability",
                   "lines", *_PLAIN, *_DATES}),
        frozenset({"id", "line_no", "product", "description", "quantity", "unit"}))
    steps: ClassVar[Mapping[str, Mapping[str, Sequence[str]]]] = {
        "lead": dict.fromkeys(("opportunity", "lost", "cancelled"), ("lead",)),
        "opportunity": {"lead": ("opportunity",), "lost": ("lead", "opportunity"),
                        "cancelled": ("lead", "opportunity")},
        "won": dict.fromkeys(("lost", "cancelled"), ("lead", "opportunity")),
        "lost": dict.fromkeys(("lead", "opportunity", "converted"), ("lost",))}
    actions = ("lead", "opportunity", "lost")

    def domain(self) -> list[Any]:
        return [["company", "=", self.rpc.context["company"]]]

    def referenced(self, references: Sequence[str]) -> dict[str, int]:
        kept = [text for reference in references for text in (reference, reference + _WON)]
        rows = self.rpc.read(self.model, [["reference", "in", kept], *self.domain()],
                             ["reference"], order=[["id", "ASC"]])
        return {text.removesuffix(_WON): row["id"]
                for text, row in reversed(by(rows, "reference").items())}

    def records(self, rows: Sequence[Row]) -> list[RemoteRecord]:
        return [self.record(row, _payload(row), (row["reference"] or "").removesuffix(_WON) or None)
                for row in rows]

    # ---- writing

    def creations(self, intents: Sequence[Intent]) -> list[Values | Unfit]:
        known = self._known([i.payload for i in intents])

        def make(intent: Intent) -> Values:
            values = self._header(intent.payload, known)
            values.setdefault("currency", self.rpc.currency["id"])
            lines = [self._line(line, None, known) for line in intent.payload.get("lines") or ()]
            return {**values, "company": self.rpc.context["company"],
                    "reference": _reference(intent.reference, intent.payload.get("progress")),
                    "lines": [["create", lines]] if lines else []}
        return each(make, intents)

    def changes(self, pairs: Sequence[tuple[Intent, Found]]) -> list[Values | Unfit]:
        known = self._known([intent.payload for intent, _ in pairs])

        def make(pair: tuple[Intent, Found]) -> Values:
            intent, (row, record) = pair
            late = sorted({*intent.payload} & {*_FROZEN} - {*record.payload})
            if late:
                raise Unfit(f"Tryton keeps {', '.join(late)} of an opportunity that is "
                            f"{row['state']}.")
            values = self._header({name: value for name, value in intent.payload.items()
                                   if record.payload.get(name) != value}, known)
            if "lines" in intent.payload:
                steps = self._line_steps(intent.payload["lines"] or (), record, known)
                values |= {"lines": steps} if steps else {}
            reference = _reference(record.reference, intent.payload.get("progress"))
            if "progress" in intent.payload and row["state"] != "won" \
                    and reference != row["reference"]:
                values["reference"] = reference
            return values
        return each(make, pairs)

    def _known(self, payloads: Sequence[Payload]) -> dict[str, Any]:
        """What the payloads name: currencies, and products with their units."""
        codes = {p.get("currency") for p in payloads} - {None}
        products = {int(line["product"]) for p in payloads for line in p.get("lines") or ()
                    if line.get("product") is not None}
        return {
            "currencies": by(self.rpc.read("currency.currency", [["code", "in", sorted(codes)]],
                                           ["code"]), "code") if codes else {},
            "products": by(self.rpc.read("product.product", [["id", "in", sorted(products)]],
                                         ["default_uom"]), "id") if products else {}}

    def _header(self, payload: Payload, known: Mapping[str, Any]) -> Values:
        values: Values = {name: payload[name] for name in _PLAIN if name in payload}
        values |= {name: iso_day(name, payload[name]) for name in _DATES if name in payload}
        values |= self.extra(payload)
        if "party" in payload:
            values["party"] = payload["party"] and int(payload["party"])
        if payload.get("probability") is not None:
            values["conversion_probability"] = number(Decimal(str(payload["probability"])) / 100)
        if payload.get("currency"):
            if payload["currency"] not in known["currencies"]:
                raise Unfit(f"Tryton has no currency {payload['currency']!r}; add it there.")
            values["currency"] = known["currencies"][payload["currency"]]["id"]
        return values

    def _line_steps(self, lines: Sequence[Payload], record: RemoteRecord,
                    known: Mapping[str, Any]) -> list[Any]:
        """What to do to an opportunity's lines so that they are those of a payload."""
        steps: list[Any] = []
        now = {line["line_no"]: line for line in record.payload["lines"]}
        for line in lines:
            there = now.pop(line["line_no"], None)
            values = self._line(line, there, known)
            if there is None:
                steps.append(["create", [values]])
            elif values:
                steps.append(["write", [there["id"]], values])
        if now:
            steps.append(["delete", [line["id"] for line in now.values()]])
        return steps

    def _line(self, line: Payload, there: Payload | None, known: Mapping[str, Any]) -> Values:
        """A line's values; of a line that is there, only those that differ."""
        values: Values = {} if there else {"sequence": line["line_no"]}
        changed = {name for name in line if there is None or there.get(name) != line[name]}
        if "product" in changed:
            product = line["product"] and known["products"].get(int(line["product"]))
            if product is None and line["product"] is not None:
                raise Unfit(f"Line {line['line_no']}: Tryton has no product {line['product']!r}.")
            values |= {"product": product and product["id"],
                       "unit": product and product["default_uom"]}
        if "description" in changed:
            values["description"] = line["description"]
        if "quantity" in changed:
            values["quantity"] = number(line["quantity"])
        return values


def _reference(plain: str | None, asked: Any) -> str | None:
    return f"{plain or ''}{_WON if asked == 'won' else ''}" or None


def _progress(row: Row) -> str:
    """How far it is: Tryton's state, and `won` where the other side says so before Tryton does."""
    if row["state"] not in _CLOSED and (row["reference"] or "").endswith(_WON):
        return "won"
    return str(_SHOWN.get(row["state"], row["state"]))


def _payload(row: Row) -> Values:
    numbers = line_numbers(row["lines."])
    found = {
        **{name: row[name] for name in ("id", "number", "state", "party", *_PLAIN, *_DATES)},
        "progress": _progress(row),
        "probability": Decimal(str(row["conversion_probability"])) * 100,
        "currency": (row["currency."] or {}).get("code"),
        "lines": sorted((_line_payload(line, numbers[line["id"]]) for line in row["lines."]),
                        key=lambda line: line["line_no"])}
    frozen: set[str] = set() if row["state"] in ("lead", "opportunity") else {*_FROZEN}
    if row["state"] in _CLOSED:
        frozen.add("probability")
    return {name: value for name, value in found.items() if name not in frozen}


def _line_payload(line: Row, line_no: int) -> Values:
    unit = line["unit."] or {"symbol": None, "digits": 2}
    return {"id": line["id"], "line_no": line_no, "product": line["product"],
            "description": line["description"], "unit": unit["symbol"],
            "quantity": quantity(line["quantity"], unit["digits"])}
