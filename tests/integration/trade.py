"""A company that sells: what its people do with orders in the ERP, and what each side shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tests.integration.conftest import Pair

Shown = dict[str, Any]
MICRO = Decimal(1_000_000)
ORDER = {"Draft": "entered", "Confirmed": "confirmed", "PartiallyShipped": "part_delivered",
         "Shipped": "delivered", "Invoiced": "invoiced", "Paid": "settled", "Cancelled": "void"}
INVOICE = {"Open": "open", "PartiallyPaid": "part_paid", "Paid": "paid", "Credited": "credited"}


@dataclass(slots=True)
class Trade:
    """One customer, one product in stock, and orders for it; `pair` is in agreement."""

    pair: Pair
    account: str
    product: str

    def order(self, *quantities: int, price: str = "10.00", **more: Any) -> int:
        """An order that was born in the CRM and confirmed; its ID in the ERP."""
        made = self.pair.crm("POST", "orders", {
            "accountId": self.account, "currency": "EUR", "status": "Confirmed",
            "warehouse": "MAIN", "lines": [
                {"lineNo": 10 * n, "productId": self.product, "quantity": quantity,
                 "unitPriceMicros": int(Decimal(price) * MICRO), "taxPercent": 19}
                for n, quantity in enumerate(quantities, start=1)], **more})
        self.pair.sync()
        return next(int(o["id"]) for o in self.pair.in_erp("sales_orders")
                    if o["external_ref"] == f"crm:{made['id']}")

    def do(self, action: str, order: int, **more: Any) -> None:
        """An action of the ERP's people that goes well."""
        done = self.pair.act(action, order, **more)
        assert done["ok"], done

    def ship(self, order: int, *parts: tuple[int, str]) -> None:
        """Ship some quantities by line, or all that is open."""
        self._part("ship", order, parts)

    def bill(self, order: int, *parts: tuple[int, str]) -> None:
        """Invoice some quantities by line, or all that is shipped."""
        self._part("invoice", order, parts)

    def _part(self, action: str, order: int, parts: tuple[tuple[int, str], ...]) -> None:
        lines = [{"line_no": n, "qty": quantity} for n, quantity in parts]
        self.do(action, order, **({"lines": lines} if lines else {}))

    def pay(self, invoice: int, amount: str, **more: Any) -> None:
        """A payment on an invoice."""
        number = len(self.pair.in_erp("payments")) + 1
        self.pair.erp("POST", "payments", {"invoice_id": invoice, "amount": amount,
                                           "reference": f"BANK-{number}", **more})

    def credit(self, invoice: int, *parts: tuple[int, str]) -> None:
        """Credit some quantities of an invoice, or all of it."""
        lines = [{"line_no": n, "qty": quantity} for n, quantity in parts]
        self.pair.erp("POST", f"invoices/{invoice}/credit", {"lines": lines} if lines else {})

    def settled(self) -> None:
        """Sync; nothing is left to write, both sides show the same, and no one is asked."""
        self.pair.sync()
        run = self.pair.sync()
        assert not any(run.writes.values()), run.writes
        self.pair.sound()
        in_crm, in_erp = shown_in_crm(self.pair), shown_in_erp(self.pair)
        for name, theirs in in_erp.items():
            assert in_crm[name] == theirs, name
        assert in_crm.keys() == in_erp.keys()
        _check_sums(self.pair)


def goods(pair: Pair, on_hand: str = "100", base_price: str = "12.50") -> tuple[str, int]:
    """A product in stock on both sides: its CRM ID and its ERP ID."""
    pair.erp("POST", "warehouses", {"code": "MAIN", "name": "Main"})
    item = pair.erp("POST", "items", {"item_code": "BOLT", "label": "Bolt", "tax_pct": "19",
                                      "base_price": base_price})
    pair.erp("POST", "stock_levels", {"item_id": item["id"], "warehouse": "MAIN",
                                      "on_hand": on_hand})
    pair.sync()
    return pair.in_crm("products")[0]["id"], item["id"]


def open_trade(pair: Pair, *, on_hand: str = "100", credit_limit: str = "5000.00") -> Trade:
    """A customer and a product on both sides."""
    account = pair.crm("POST", "accounts", {"name": "Acme", "vatNumber": "DE136695976"})
    product, _ = goods(pair, on_hand, "10.00")
    pair.edit_erp("customers", 1, finance={"credit_limit": credit_limit})
    pair.sync()
    return Trade(pair, account["id"], product)


def shown_in_erp(pair: Pair) -> dict[str, Any]:
    """What the ERP shows of its documents, by number."""
    number = {o["id"]: o["order_no"] for o in pair.in_erp("sales_orders")}
    bill = {i["id"]: i["invoice_no"] for i in pair.in_erp("invoices")}
    found = {"owed": _dec(pair.in_erp("customers")[0]["finance"]["balance"]),
             "on hold": pair.in_erp("customers")[0]["finance"]["on_hold"]}
    for order in pair.in_erp("sales_orders"):
        found[order["order_no"]] = {
            "status": order["state"], "total": _dec(order["gross"]),
            "reference": order["your_ref"], "lines": _lines(order, _dec, (
                "line_no", "qty", "price", "qty_delivered", "qty_invoiced"))}
    for delivery in pair.in_erp("deliveries"):
        found[delivery["delivery_no"]] = {
            "order": number[delivery["sales_order_id"]], "status": delivery["state"],
            "lines": _lines(delivery, _dec, ("line_no", "qty"))}
    for invoice in pair.in_erp("invoices"):
        found[invoice["invoice_no"]] = {
            "kind": invoice["kind"], "order": number[invoice["sales_order_id"]],
            "credits": bill.get(invoice["credits_id"]), "status": invoice["state"],
            "total": _dec(invoice["gross"]), "balance": _dec(invoice["open_amount"]),
            "lines": _lines(invoice, _dec, ("line_no", "qty", "price"))}
    for payment in pair.in_erp("payments"):
        found[payment["payment_no"]] = {
            "invoice": bill[payment["invoice_id"]], "amount": _dec(payment["amount"]),
            "reference": payment["reference"]}
    return found


def shown_in_crm(pair: Pair) -> dict[str, Any]:
    """What the CRM shows of the same documents, in the ERP's words for statuses."""
    number = {o["id"]: o["erpOrderNumber"] for o in pair.in_crm("orders")}
    bill = {i["id"]: i["number"] for i in pair.in_crm("invoices")}
    (account,) = pair.in_crm("accounts")
    found = {"owed": account["balanceMicros"] / MICRO, "on hold": account["creditHold"]}
    for order in pair.in_crm("orders"):
        found[order["erpOrderNumber"]] = {
            "status": ORDER[order["status"]], "total": order["totalMicros"] / MICRO,
            "reference": order["customerReference"], "lines": _lines(order, _plain, (
                "lineNo", "quantity", "unitPriceMicros", "quantityShipped",
                "quantityInvoiced"))}
    for delivery in pair.in_crm("shipments"):
        found[delivery["number"]] = {
            "order": number[delivery["orderId"]], "status": delivery["status"].lower(),
            "lines": _lines(delivery, _plain, ("lineNo", "quantity"))}
    for invoice in pair.in_crm("invoices"):
        found[invoice["number"]] = {
            "kind": invoice["kind"], "order": number[invoice["orderId"]],
            "credits": bill.get(invoice["creditsInvoiceId"]), "status": INVOICE[invoice["status"]],
            "total": invoice["totalMicros"] / MICRO, "balance": invoice["balanceMicros"] / MICRO,
            "lines": _lines(invoice, _plain, ("lineNo", "quantity", "unitPriceMicros"))}
    for payment in pair.in_crm("payments"):
        found[payment["number"]] = {
            "invoice": bill[payment["invoiceId"]], "amount": payment["amountMicros"] / MICRO,
            "reference": payment["reference"]}
    return found


def _lines(document: Mapping[str, Any], value: Callable[[str, Any], Decimal],
           names: tuple[str, ...]) -> list[tuple[Decimal, ...]]:
    return sorted(tuple(value(name, line[name]) for name in names)
                  for line in document["lines"])


def _dec(name: Any, value: Any = None) -> Decimal:
    return Decimal(str(name if value is None else value))


def _plain(name: str, value: Any) -> Decimal:
    exact = Decimal(str(value))
    return exact / MICRO if name.endswith("Micros") else exact


def _check_sums(pair: Pair) -> None:
    """What has to hold in the books of either side."""
    for invoice in pair.in_erp("invoices"):
        assert Decimal(invoice["net"]) == sum(Decimal(ln["amount"]) for ln in invoice["lines"])
    for document in (*pair.in_crm("orders"), *pair.in_crm("invoices")):
        assert document["netMicros"] == sum(ln["netMicros"] for ln in document["lines"])
        assert document["totalMicros"] == document["netMicros"] + document["taxMicros"]
    (account,) = pair.in_crm("accounts")
    assert account["balanceMicros"] == sum(i["balanceMicros"] for i in pair.in_crm("invoices"))
    shipped = {o["id"]: {ln["lineNo"]: ln["quantityShipped"] for ln in o["lines"]}
               for o in pair.in_crm("orders")}
    for delivery in pair.in_crm("shipments"):
        for line in delivery["lines"] if delivery["status"] == "Shipped" else ():
            shipped[delivery["orderId"]][line["lineNo"]] -= line["quantity"]
    assert not any(any(left.values()) for left in shipped.values()), shipped
