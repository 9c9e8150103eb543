"""Invoices, payments, credit notes, and what a customer owes."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from connector.native import amounts
from connector.native.database import Entry, Transaction
from connector.native.erp.rows import add, sums
from connector.native.erp.words import Refused, dmy, money, number, today

TERMS = {"14D": 14, "30D": 30, "60D": 60, "COD": 0, "ADV": 0}
"""Days until an invoice is due."""


def customer_of(transaction: Transaction, document: Entry) -> Entry:
    """The customer of an order or invoice."""
    customer = transaction.get("customers", document.data["customer_id"])
    if customer is None:
        raise Refused("E404", f"there is no customer {document.data['customer_id']}")
    return customer


def move(transaction: Transaction, customer: Entry, *, balance: Decimal = Decimal(0),
         open_orders: Decimal = Decimal(0)) -> None:
    """Move what a customer owes and has ordered."""
    finance = customer.data["finance"]
    finance["balance"] = money(number(finance["balance"]) + balance)
    finance["open_orders"] = money(number(finance["open_orders"]) + open_orders)
    transaction.touch(customer)


def weight(order: Entry) -> Decimal:
    """What an order weighs in its customer's `open_orders`: the gross of what isn't invoiced."""
    if order.data["state"] not in ("confirmed", "part_delivered", "delivered"):
        return Decimal(0)
    return amounts.document(
        (amounts.line_net(number(line["qty"]) - number(line["qty_invoiced"]),
                          number(line["price"]), number(line["disc_pct"])),
         number(line["tax_pct"])) for line in order.data["lines"]).total


def add_invoice(transaction: Transaction, order: Entry, lines: list[dict[str, Any]]) -> Entry:
    """An invoice for lines of an order, due by the customer's terms."""
    issued = today(transaction.now)
    terms = customer_of(transaction, order).data["terms"]
    data: dict[str, Any] = {
        "kind": "invoice", "customer_id": order.data["customer_id"], "sales_order_id": order.id,
        "issued_on": dmy(issued), "due_on": dmy(issued + timedelta(days=TERMS[terms])),
        "currency_code": order.data["currency_code"], "state": "open", "lines": lines,
        "dispute": False, "promised_on": None}
    sums(data)
    data["open_amount"] = data["gross"]
    (id,) = transaction.next_ids("invoices", 1)
    return add(transaction, "invoices", id, data)


def pay(transaction: Transaction, row: dict[str, Any]) -> None:
    """Book a payment on its invoice. Raises `Refused` where it is more than is open."""
    row["paid_on"] = row["paid_on"] or dmy(today(transaction.now))
    invoice = transaction.get("invoices", row["invoice_id"])
    assert invoice is not None
    amount, still = number(row["amount"]), number(invoice.data["open_amount"])
    if not 0 < amount <= still:
        raise Refused("E422-AMOUNT", f"{amount} can't be paid on invoice "
                      f"{invoice.data['invoice_no']}, {still} is open",
                      {"amount": "is more than is open"})
    invoice.data["open_amount"] = money(still - amount)
    invoice.data["state"] = "paid" if still == amount else "part_paid"
    transaction.touch(invoice)
    move(transaction, customer_of(transaction, invoice), balance=-amount)
    settle_order(transaction, invoice)


def settle_order(transaction: Transaction, invoice: Entry) -> None:
    """An order that is invoiced whole and paid is settled."""
    order = transaction.get("sales_orders", invoice.data["sales_order_id"])
    if order is None or order.data["state"] != "invoiced" or invoice.data["state"] != "paid":
        return
    natural = transaction.database.rows.c.natural
    others = [e for e in transaction.every("invoices", [natural == invoice.natural])
              if e.data["kind"] == "invoice"]
    if all(e.data["state"] in ("paid", "credited") for e in others):
        order.data["state"] = "settled"
        transaction.touch(order)


def credit(transaction: Transaction, invoice_id: int) -> Entry:
    """A credit note over a whole invoice; returns it. Raises `Refused`."""
    invoice = transaction.get("invoices", invoice_id)
    if invoice is None:
        raise Refused("E404", f"there is no invoice {invoice_id}")
    if invoice.data["kind"] != "invoice" or invoice.data["state"] == "credited":
        raise Refused("E409-STATE", f"{invoice.data['invoice_no']} can't be credited")
    still = number(invoice.data["open_amount"])
    (id,) = transaction.next_ids("invoices", 1)
    note = add(transaction, "invoices", id, {
        **{k: invoice.data[k] for k in ("customer_id", "sales_order_id", "currency_code", "lines",
                                        "net", "tax", "gross")},
        "kind": "credit_note", "issued_on": dmy(today(transaction.now)),
        "due_on": dmy(today(transaction.now)), "state": "credited", "open_amount": "0.00",
        "dispute": False, "promised_on": None})
    invoice.data.update(state="credited", open_amount="0.00", dispute=False)
    transaction.touch(invoice)
    move(transaction, customer_of(transaction, invoice), balance=-still)
    return note
