"""Invoices, payments, credit notes, and what a customer owes."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal, localcontext
from typing import Any

from connector.native import amounts
from connector.native.amounts import Company
from connector.native.database import Entry, Transaction
from connector.native.erp.objects import TERMS
from connector.native.erp.rows import Row, add, in_books, priced, sums
from connector.native.erp.words import Refused, dmy, money, number, quantity, today

DUE = {"14D": 14, "30D": 30, "60D": 60, "COD": 0, "ADV": 0}
"""Days until an invoice is due."""


def customer_of(transaction: Transaction, document: Row) -> Entry:
    """The customer of an order or invoice."""
    customer = transaction.get("customers", document["customer_id"])
    if customer is None:
        raise Refused("E404", f"there is no customer {document['customer_id']}")
    return customer


def in_account(transaction: Transaction, document: Row, amount: Decimal) -> Decimal:
    """An amount of a document in the currency of its customer's account. Raises `Refused` where
    that is another one and no rate leads there."""
    customer = customer_of(transaction, document)
    company = transaction.database.company
    account = customer.data["finance"]["currency_code"]
    if document["currency_code"] == account:
        return amount
    booked = in_books(document, amount, company) if account == company.currency else None
    if booked is None:
        raise Refused("E422-RATE", f"the document is in {document['currency_code']}, the "
                      f"customer's account in {account}, and there is no rate between them",
                      {"rate": f"what one {document['currency_code']} is worth in {account}"})
    return number(booked)


def move(transaction: Transaction, customer: Entry, *, balance: Decimal = Decimal(0),
         open_orders: Decimal = Decimal(0)) -> None:
    """Move what a customer owes and has ordered."""
    finance = customer.data["finance"]
    for name, by in (("balance", balance), ("open_orders", open_orders)):
        finance[name] = money(number(finance[name]) + by, finance["currency_code"])
    transaction.touch(customer)


def weight(order: Entry, company: Company) -> Decimal:
    """What an order weighs in its customer's `open_orders`: the gross of what isn't invoiced."""
    if order.data["state"] not in ("confirmed", "part_delivered", "delivered"):
        return Decimal(0)
    data = order.data
    left = {**data, "lines": [{**line, "qty": number(line["qty"]) - number(line["qty_invoiced"])}
                              for line in data["lines"]],
            "disc_amount": number(data.get("disc_amount")) - discount_invoiced(order, company)}
    sums(left, company)
    return number(left["gross"])


def discount_invoiced(order: Entry, company: Company) -> Decimal:
    """What of the order's own discount is on its invoices: the share of the lines that are."""
    data = order.data
    discount = number(data.get("disc_amount"))
    whole = amounts.gross(priced(data["lines"])) if discount else None
    if not whole:
        return Decimal(0)
    done = amounts.gross(priced({**line, "qty": line["qty_invoiced"]} for line in data["lines"]))
    with localcontext(amounts.EXACT):
        return amounts.rounded(discount * done / whole, data["currency_code"], company.rule)


def add_invoice(transaction: Transaction, order: Entry, lines: list[dict[str, Any]],
                discount: Decimal) -> Entry:
    """An invoice for lines of an order, less `discount`, due by the customer's terms."""
    issued = today(transaction.now)
    terms = customer_of(transaction, order.data).data["terms"]
    data: dict[str, Any] = {
        "kind": "invoice", "customer_id": order.data["customer_id"], "sales_order_id": order.id,
        "issued_on": dmy(issued), "due_on": dmy(issued + timedelta(days=DUE[terms])),
        "currency_code": order.data["currency_code"], "state": "open", "lines": lines,
        "dispute": False, "promised_on": None,
        **{name: order.data.get(name) for name in TERMS},
        "disc_amount": quantity(discount)}
    sums(data, transaction.database.company)
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
    code = invoice.data["currency_code"]
    if not amounts.is_amount(amount, code):
        raise Refused("E422-AMOUNT", f"{amount} is no amount in {code}",
                      {"amount": f"{code} has {amounts.places(code)} decimals"})
    invoice.data["open_amount"] = money(still - amount, code)
    invoice.data["state"] = "paid" if still == amount else "part_paid"
    transaction.touch(invoice)
    _owe(transaction, invoice, still, still - amount)
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
    none = money(Decimal(0), invoice.data["currency_code"])
    note = add(transaction, "invoices", id, {
        **{k: invoice.data.get(k) for k in (
            "customer_id", "sales_order_id", "currency_code", "lines", *TERMS, "net", "tax",
            "gross", "base_currency", "gross_base")},
        "kind": "credit_note", "issued_on": dmy(today(transaction.now)),
        "due_on": dmy(today(transaction.now)), "state": "credited", "open_amount": none,
        "dispute": False, "promised_on": None})
    invoice.data.update(state="credited", open_amount=none, dispute=False)
    transaction.touch(invoice)
    _owe(transaction, invoice, still, Decimal(0))
    return note


def _owe(transaction: Transaction, invoice: Entry, before: Decimal, after: Decimal) -> None:
    """Move the customer's balance from one open amount of an invoice to another."""
    move(transaction, customer_of(transaction, invoice.data),
         balance=in_account(transaction, invoice.data, after)
         - in_account(transaction, invoice.data, before))
