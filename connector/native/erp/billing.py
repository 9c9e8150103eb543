"""Invoices, payments, credit notes, and what a customer owes."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal, localcontext
from typing import Any

from connector.native import amounts
from connector.native.amounts import Company
from connector.native.database import Entry, Transaction
from connector.native.erp.objects import TERMS
from connector.native.erp.rows import add
from connector.native.erp.sums import in_books, priced, sums
from connector.native.erp.words import (
    Refused,
    Row,
    decimal,
    dmy,
    money,
    number,
    quantity,
    today,
)
from connector.native.fields import Errors, F, Spec, check
from connector.native.fields import whole as whole_number

DUE = {"14D": 14, "30D": 30, "60D": 60, "COD": 0, "ADV": 0}
"""Days until an invoice is due."""
_PART: Spec = {"line_no": F(whole_number, required=True), "qty": F(decimal(0), required=True)}


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
            "disc_amount": number(data.get("disc_amount"))
            - discount_share(data, "qty_invoiced", company)}
    sums(left, company)
    return number(left["gross"])


def discount_share(data: Row, done: str, company: Company) -> Decimal:
    """What of a document's own discount falls on the quantities `done` of its lines."""
    discount = number(data.get("disc_amount"))
    whole = amounts.gross(priced(data["lines"])) if discount else None
    if not whole:
        return Decimal(0)
    part = amounts.gross(priced({**line, "qty": line[done]} for line in data["lines"]))
    with localcontext(amounts.EXACT):
        return amounts.rounded(discount * part / whole, data["currency_code"], company.rule)


def wanted(still: dict[int, Decimal], given: Any, of: str) -> dict[int, Decimal]:
    """The quantities of some lines, by line: those given, or all that is `still` open. Raises
    `Refused` where more than that is given; `of` says what it is open for."""
    if given is None:
        return {n: amount for n, amount in still.items() if amount > 0}
    errors: Errors = {}
    asked: dict[int, Decimal] = {}
    for i, line in enumerate(given if isinstance(given, list) else [given]):
        clean = check(_PART, line, partial=False, errors=errors, prefix=f"lines[{i}].")
        line_no, amount = clean.get("line_no") or 0, number(clean.get("qty"))
        if line_no not in still or line_no in asked:
            errors.setdefault(f"lines[{i}].line_no", "is no line of it, or given twice")
        elif not 0 < amount <= still[line_no]:
            errors.setdefault(f"lines[{i}].qty", f"{quantity(still[line_no])} is open")
        asked[line_no] = amount
    if errors or not asked:
        raise Refused("E422-QTY", f"this can't be {of}",
                      errors or {"lines": "nothing is given"})
    return asked


def part(line: Row, amount: Decimal) -> dict[str, Any]:
    """A line of an invoice or credit note over a quantity of another one."""
    return {**{k: line[k] for k in ("line_no", "item_id", "text", "price", "disc_pct",
                                    "tax_pct")},
            "qty": quantity(amount), "qty_credited": "0"}


def add_invoice(transaction: Transaction, source: Entry, lines: list[dict[str, Any]],
                discount: Decimal) -> Entry:
    """An invoice for lines of an order, less `discount`, due by the customer's terms; or a credit
    note over lines of an invoice, due at once."""
    issued, of = today(transaction.now), source.data
    credits = source.object == "invoices"
    terms = "COD" if credits else customer_of(transaction, of).data["terms"]
    data: dict[str, Any] = {
        "kind": "credit_note" if credits else "invoice",
        "credits_id": source.id if credits else None, "customer_id": of["customer_id"],
        "sales_order_id": of["sales_order_id"] if credits else source.id,
        "issued_on": dmy(issued), "due_on": dmy(issued + timedelta(days=DUE[terms])),
        "currency_code": of["currency_code"], "lines": lines, "paid_amount": "0",
        "set_off": "0", "dispute": False, "promised_on": None,
        **{name: of.get(name) for name in TERMS}, "disc_amount": quantity(discount)}
    sums(data, transaction.database.company)
    _restate(data)
    (id,) = transaction.next_ids("invoices", 1)
    return add(transaction, "invoices", id, data)


def _restate(data: dict[str, Any]) -> None:
    """What is open on an invoice (on a credit note: less than nothing), and its state."""
    paid, set_off = number(data["paid_amount"]), number(data["set_off"])
    rest = number(data["gross"]) - set_off
    note = data["kind"] == "credit_note"
    still = (-rest if note else rest) - paid
    for name, amount in (("open_amount", still), ("paid_amount", paid), ("set_off", set_off)):
        data[name] = money(amount, data["currency_code"])
    if not note and _credited(data):
        data["state"] = "credited"
    elif still == 0 or (still < 0 and not note):
        data["state"] = "paid"
    else:
        data["state"] = "part_paid" if paid else "open"


def _credited(data: dict[str, Any]) -> bool:
    """Whether an invoice is credited whole."""
    return all(number(line["qty_credited"]) >= number(line["qty"]) for line in data["lines"])


def _book(transaction: Transaction, *invoices: Entry) -> None:
    """Work out anew what is open on invoices, and move what their customer owes by that."""
    moved, owner = Decimal(0), customer_of(transaction, invoices[0].data)
    for invoice in invoices:
        data = invoice.data
        before = Decimal(0) if invoice.new else number(data["open_amount"])
        _restate(data)
        moved += in_account(transaction, data, number(data["open_amount"])) \
            - in_account(transaction, data, before)
        transaction.touch(invoice)
    move(transaction, owner, balance=moved)
    order = transaction.get("sales_orders", invoices[0].data["sales_order_id"])
    if order is not None:
        progress(transaction, order)


def pay(transaction: Transaction, row: dict[str, Any]) -> None:
    """Book a payment on its invoice; less than nothing is a payment taken back, or one made on a
    credit note. Raises `Refused` where it is more than is open, unless the rest of it shall stay
    on the customer's account."""
    invoice = transaction.get("invoices", row["invoice_id"])
    assert invoice is not None
    row["paid_on"] = row["paid_on"] or dmy(today(transaction.now))
    row.update(customer_id=invoice.data["customer_id"],
               currency_code=invoice.data["currency_code"])
    amount = number(row["amount"])
    lowest, highest = _payable(invoice.data, on_account=bool(row["on_account"]))
    if not lowest <= amount <= highest or amount == 0:
        raise Refused("E422-AMOUNT", f"{amount} can't be paid on {invoice.data['invoice_no']}, "
                      f"{invoice.data['open_amount']} is open",
                      {"amount": "is more than is open"})
    code = invoice.data["currency_code"]
    if not amounts.is_amount(amount, code):
        raise Refused("E422-AMOUNT", f"{amount} is no amount in {code}",
                      {"amount": f"{code} has {amounts.places(code)} decimals"})
    invoice.data["paid_amount"] = money(number(invoice.data["paid_amount"]) + amount, code)
    _book(transaction, invoice)


def _payable(data: dict[str, Any], *, on_account: bool) -> tuple[Decimal, Decimal]:
    """The least and the most that can be paid."""
    still, paid = number(data["open_amount"]), number(data["paid_amount"])
    if data["state"] == "credited":
        return Decimal(0), Decimal(0)
    if data["kind"] == "credit_note":
        return still, -paid
    return -paid, Decimal("Infinity") if on_account else max(still, Decimal(0))


def progress(transaction: Transaction, order: Entry) -> None:
    """Put an order into the state that its deliveries, invoices and payments make; one that is
    not confirmed or was cancelled stays as it is."""
    if order.data["state"] in ("entered", "void"):
        return
    lines = [{k: number(line[k]) for k in ("qty", "qty_delivered", "qty_invoiced")}
             for line in order.data["lines"]]
    state = "confirmed"
    if any(line["qty_delivered"] > 0 for line in lines):
        state = "part_delivered"
    if all(line["qty_delivered"] >= line["qty"] for line in lines):
        state = "delivered"
        if all(line["qty_invoiced"] >= line["qty_delivered"] for line in lines):
            state = "settled" if _all_paid(transaction, order) else "invoiced"
    if state != order.data["state"]:
        order.data["state"] = state
        transaction.touch(order)


def _all_paid(transaction: Transaction, order: Entry) -> bool:
    """Whether nothing is to be paid any more for what was invoiced, and something was paid."""
    natural = transaction.database.rows.c.natural
    states = {e.data["state"] for e in (
        *transaction.every("invoices", [natural == f"order {order.id}"]),
        *(e for e in transaction.changed() if e.object == "invoices"
          and e.data["sales_order_id"] == order.id)) if e.data["kind"] == "invoice"}
    return "paid" in states and states <= {"paid", "credited"}


def credit(transaction: Transaction, invoice_id: int, given: Any = None) -> Entry:
    """A credit note over lines of an invoice, or over all that was not credited yet; returns it.
    What is still open on the invoice is set off first. Raises `Refused`."""
    invoice = transaction.get("invoices", invoice_id)
    if invoice is None:
        raise Refused("E404", f"there is no invoice {invoice_id}")
    if invoice.data["kind"] != "invoice" or invoice.data["state"] == "credited":
        raise Refused("E409-STATE", f"{invoice.data['invoice_no']} can't be credited")
    by_number = {line["line_no"]: line for line in invoice.data["lines"]}
    asked = wanted({n: number(line["qty"]) - number(line["qty_credited"])
                    for n, line in by_number.items()}, given, "credited")
    lines = [part(by_number[n], amount) for n, amount in asked.items()]
    company = transaction.database.company
    discount = discount_share(invoice.data, "qty_credited", company)
    for n, amount in asked.items():
        by_number[n]["qty_credited"] = quantity(number(by_number[n]["qty_credited"]) + amount)
    note = add_invoice(transaction, invoice, lines,
                       discount_share(invoice.data, "qty_credited", company) - discount)
    _set_off(invoice.data, note.data)
    _book(transaction, invoice, note)
    return note


def _set_off(invoice: dict[str, Any], note: dict[str, Any]) -> None:
    """Set a new credit note off against what is open on its invoice. Once an invoice is credited
    whole, a cent that rounding left over goes as well."""
    still = max(number(invoice["open_amount"]), Decimal(0))
    by = min(number(note["gross"]), still)
    note["set_off"] = quantity(by)
    whole = _credited(invoice)
    invoice["set_off"] = quantity(number(invoice["set_off"]) + (still if whole else by))
    if whole:
        invoice["dispute"] = False
