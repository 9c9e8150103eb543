"""Products, and what the warehouses hold of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from connector.adapters.tryton.kind import Found, Kind, OneForOne, Source, Unfit, Values, by, each
from connector.adapters.tryton.rpc import Row, Rpc
from connector.domain.records import Intent, ObjectSchema, Payload, RemoteRecord

_MOVED = (Source("product.product"), Source("product.template", "products"),
          Source("stock.move", "product"))


def percent(taxes: Sequence[Row]) -> Decimal:
    """What a line's taxes come to, in percent."""
    return sum((tax["rate"] * 100 for tax in taxes if tax.get("rate")), Decimal(0)).normalize() + 0


def quantity(value: Any, digits: int) -> Decimal:
    """A quantity without what its float adds to it."""
    return round(Decimal(str(value or 0)), digits)


def warehouses(rpc: Rpc) -> list[Row]:
    """All warehouses, the oldest first."""
    return rpc.read("stock.location", [["type", "=", "warehouse"]], ["code", "name"],
                    order=[["id", "ASC"]])


class Categories:
    """The accounting categories: which taxes a product bears comes from its category."""

    def __init__(self, rpc: Rpc) -> None:
        self._default = rpc.settings.account_category
        self._rows = by(rpc.read("product.category", [["accounting", "=", True]], [
            "name", "parent", "taxes_parent", "customer_taxes.rate", "customer_taxes.type"],
            order=[["id", "ASC"]]), "id")

    def taxes(self, id: int | None) -> list[Row]:
        """A category's taxes, or those of its parent where it takes them over."""
        row = self._rows.get(id)
        while row is not None and row["taxes_parent"] and row["parent"] in self._rows:
            row = self._rows[row["parent"]]
        return list(row["customer_taxes."]) if row else []

    def default(self) -> int:
        """The category of products whose tax is not given. Raises `Unfit`."""
        for id, row in self._rows.items():
            if self._default in (None, row["name"]):
                return int(id)
        raise Unfit(f"Tryton has no accounting category {self._default or ''}; add it there.")

    def with_percent(self, wanted: Any) -> int:
        """The oldest category with taxes of so many percent. Raises `Unfit`."""
        for id in self._rows:
            if percent(self.taxes(id)) == Decimal(str(wanted)):
                return int(id)
        raise Unfit(f"Tryton has no accounting category with {wanted} % tax; add it there.")


class Products(OneForOne):
    """Variants, each with what it has from its template."""

    object = "products"
    model = "product.product"
    fields = ("code", "suffix_code", "description", "active", "list_price", "type", "quantity",
              "forecast_quantity", "account_category", "name", "_timestamp",
              *(f"default_uom.{f}" for f in ("symbol", "digits")),
              *(f"template.{f}" for f in ("code", "active", "list_price", "_timestamp")),
              *(f"identifiers.{f}" for f in ("code", "type", "_timestamp")))
    locks: ClassVar[Mapping[str, str]] = {"template": "product.template",
                                          "identifiers": "product.identifier"}
    sources = _MOVED
    at_once = 25  # with more, Tryton's check that codes are unique is too long for SQLite
    schema = ObjectSchema(frozenset({
        "id", "code", "name", "description", "active", "type", "unit", "list_price", "currency",
        "tax_percent", "quantity", "forecast_quantity"}))

    def context(self) -> Mapping[str, Any]:
        return {"locations": [row["id"] for row in warehouses(self.rpc)], "with_childs": True}

    def referenced(self, references: Sequence[str]) -> dict[str, int]:
        rows = self.rpc.read("product.identifier", [
            ["code", "in", list(references)], ["type", "=", None]], ["code", "product"])
        found: dict[str, int] = {}
        for row in rows:
            found[row["code"]] = min(row["product"], found.get(row["code"], row["product"]))
        return found

    def records(self, rows: Sequence[Row]) -> list[RemoteRecord]:
        if not rows:
            return []
        categories = Categories(self.rpc)
        codes = {i["code"]: row["id"] for row in rows for i in row["identifiers."]
                 if i["type"] is None and ":" in i["code"]}
        ours = {id: code for code, id in self.referenced(list(codes)).items()} if codes else {}
        return [self.record(row, {**self._payload(row, categories),
                                  "currency": self.rpc.currency["code"]}, ours.get(row["id"]))
                for row in rows]

    def _payload(self, row: Row, categories: Categories) -> Values:
        digits, template = row["default_uom."]["digits"], row["template."]
        own = row.get("list_price")
        return {
            "id": row["id"], "code": row["code"], "name": row["name"],
            "description": row["description"], "type": row["type"],
            "active": bool(row["active"] and template["active"]),
            "unit": row["default_uom."]["symbol"],
            "list_price": template["list_price"] if own is None else own,
            "tax_percent": percent(categories.taxes(row["account_category"])),
            "quantity": quantity(row["quantity"], digits),
            "forecast_quantity": quantity(row["forecast_quantity"], digits)}

    def timestamps(self, row: Row) -> dict[str, str]:
        stamps = super().timestamps(row)
        return {name: stamp for name, stamp in stamps.items() if stamp is not None}

    @property
    def written(self) -> str:
        return "product.template"

    def target(self, row: Row) -> int:
        return int(row["template."]["id"])

    def made(self, ids: Sequence[int]) -> list[int]:
        rows = by(self.rpc.read("product.template", [["id", "in", list(ids)]], ["products"]), "id")
        return [rows[id]["products"][0] for id in ids]

    def creations(self, intents: Sequence[Intent]) -> list[Values | Unfit]:
        known = self._known([i.payload for i in intents], new=True)

        def make(intent: Intent) -> Values:
            payload = {"type": "goods", "active": True, **intent.payload}
            payload["unit"] = payload.get("unit") or "u"
            values = self._values(payload, None, known)
            if "account_category" not in values:
                values["account_category"] = known["categories"].default()
            (variant,) = values.pop("products", [["create", [{}]]])
            variant[1][0]["identifiers"] = [["create", [{"code": intent.reference}]]]
            return {"salable": True, "sale_uom": values["default_uom"], **values,
                    "products": [variant]}
        return each(make, intents)

    def changes(self, pairs: Sequence[tuple[Intent, Found]]) -> list[Values | Unfit]:
        known = self._known([intent.payload for intent, _ in pairs], new=False)
        return each(lambda pair: self._values(pair[0].payload, pair[1], known), pairs)

    def _known(self, payloads: Sequence[Payload], *, new: bool) -> dict[str, Any]:
        units = {p["unit"] for p in payloads if p.get("unit")} | ({"u"} if new else set())
        taxed = new or any("tax_percent" in p for p in payloads)
        return {"units": by(self.rpc.read("product.uom", [["symbol", "in", sorted(units)]],
                                          ["symbol"]), "symbol") if units else {},
                "categories": Categories(self.rpc) if taxed else None}

    def _values(self, payload: Payload, found: Found | None, known: Mapping[str, Any]) -> Values:
        """What to write to the template so that the variant is as the payload says."""
        row, now = (found[0], found[1].payload) if found else ({}, {})
        changed = {name: value for name, value in payload.items()
                   if name not in now or now[name] != value}
        values: Values = {name: changed[name] for name in ("name", "type") if name in changed}
        variant: Values = {name: changed[name] for name in ("description", "active")
                           if name in changed}
        variant |= self.extra(payload)
        if "list_price" in changed:
            own = row.get("list_price") is not None
            (variant if own else values)["list_price"] = _amount(changed["list_price"])
        if changed.get("active"):
            values["active"] = True
        if changed.get("unit"):
            values["default_uom"] = _unit(changed["unit"], known["units"])
        if changed.get("tax_percent") is not None:
            values["account_category"] = known["categories"].with_percent(changed["tax_percent"])
        if "code" in changed:
            variant["suffix_code"] = _suffix(changed["code"], (row.get("template.") or {}))
        if variant or not found:
            values["products"] = [["write", [row["id"]], variant] if found
                                  else ["create", [variant]]]
        return values


def _amount(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _unit(symbol: str | None, units: Mapping[str, Row]) -> int:
    if symbol is None or symbol not in units:
        raise Unfit(f"Tryton has no unit with the symbol {symbol!r}; add it there.")
    return int(units[symbol]["id"])


def _suffix(code: str | None, template: Row) -> str | None:
    """What a variant adds to its template's code."""
    prefix = template.get("code") or ""
    if not (code or "").startswith(prefix):
        raise Unfit(f"The code {code!r} does not begin with that of its product, {prefix!r}.")
    return (code or "").removeprefix(prefix) or None


class StockLevels(Kind):
    """What each warehouse holds of each product; the external ID is `product-warehouse`."""

    object = "stock_levels"
    model = "product.product"
    fields = ("code", "quantity", "forecast_quantity", "default_uom.digits", "default_uom.symbol",
              "_timestamp")
    sources = (Source("product.product"), Source("stock.move", "product"))
    schema = ObjectSchema(frozenset({
        "product", "code", "warehouse", "warehouse_name", "unit", "quantity",
        "forecast_quantity"}))
    cannot_write = "Stock moves by Tryton's own documents."

    def domain(self) -> list[Any]:
        return [["type", "in", ["goods", "assets"]]]

    def externals(self, id: int) -> list[str]:
        return [f"{id}-{warehouse['id']}" for warehouse in warehouses(self.rpc)]

    def internal(self, external_id: str) -> int | None:
        return super().internal(external_id.partition("-")[0])

    def find(self, ids: Sequence[int]) -> list[Found]:
        found: list[Found] = []
        for warehouse in warehouses(self.rpc) if ids else ():
            rows = self.rpc.read(
                self.model, [["id", "in", sorted(ids)], *self.domain()], self._asked(),
                context={"locations": [warehouse["id"]], "with_childs": True})
            found += [(row, self._level(row, warehouse)) for row in rows]
        return found

    def _level(self, row: Row, warehouse: Row) -> RemoteRecord:
        unit = row["default_uom."]
        payload = {
            "product": row["id"], "code": row["code"], "unit": unit["symbol"],
            "warehouse": warehouse["code"] or warehouse["name"],
            "warehouse_name": warehouse["name"],
            "quantity": quantity(row["quantity"], unit["digits"]),
            "forecast_quantity": quantity(row["forecast_quantity"], unit["digits"])}
        level = {"id": f"{row['id']}-{warehouse['id']}", "_timestamp": ""}
        return self.record(level, payload, None)
