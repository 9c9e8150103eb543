"""Orders through their whole life, step by step: statuses and amounts on both sides."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from connector.domain.ledger import ConflictState
from tests.integration.conftest import Pair
from tests.integration.trade import MICRO, Trade, open_trade
from tests.slow import slow_but

Step = tuple[Callable[[Trade], None], str, list[tuple[int, int, int]], list[tuple[str, str]], str]
"""What is done, and then: the order's status, (quantity, shipped, invoiced) of its lines, (status,
balance) of the invoices, and what the customer owes."""


@pytest.fixture
def trade(pair: Pair) -> Trade:
    return open_trade(pair)


STORIES: dict[str, tuple[list[int], list[Step]]] = {
    # 10 x 10.00 and 4 x 10.00, with 19 % tax: 119.00 and 47.60
    "delivered, billed and paid in parts": ([10, 4], [
        (lambda t: t.ship(1, (10, "6")), "PartiallyShipped", [(10, 6, 0), (4, 0, 0)], [], "0"),
        (lambda t: t.bill(1), "PartiallyShipped", [(10, 6, 6), (4, 0, 0)],
         [("Open", "71.40")], "71.40"),
        (lambda t: t.pay(1, "70.00"), "PartiallyShipped", [(10, 6, 6), (4, 0, 0)],
         [("PartiallyPaid", "1.40")], "1.40"),
        (lambda t: t.ship(1, (20, "4")), "PartiallyShipped", [(10, 6, 6), (4, 4, 0)],
         [("PartiallyPaid", "1.40")], "1.40"),
        (lambda t: t.ship(1), "Shipped", [(10, 10, 6), (4, 4, 0)],
         [("PartiallyPaid", "1.40")], "1.40"),
        (lambda t: t.bill(1, (20, "3")), "Shipped", [(10, 10, 6), (4, 4, 3)],
         [("PartiallyPaid", "1.40"), ("Open", "35.70")], "37.10"),
        (lambda t: t.bill(1), "Invoiced", [(10, 10, 10), (4, 4, 4)],
         [("PartiallyPaid", "1.40"), ("Open", "35.70"), ("Open", "59.50")], "96.60"),
        (lambda t: t.pay(2, "35.70"), "Invoiced", [(10, 10, 10), (4, 4, 4)],
         [("PartiallyPaid", "1.40"), ("Paid", "0"), ("Open", "59.50")], "60.90"),
        (lambda t: (t.pay(3, "59.50"), t.pay(1, "1.40"))[0], "Paid", [(10, 10, 10), (4, 4, 4)],
         [("Paid", "0"), ("Paid", "0"), ("Paid", "0")], "0"),
        # the bank takes one of the payments back
        (lambda t: t.pay(2, "-35.70"), "Invoiced", [(10, 10, 10), (4, 4, 4)],
         [("Paid", "0"), ("Open", "35.70"), ("Paid", "0")], "35.70"),
    ]),
    "credited in parts, paid back and paid too much": ([10], [
        (lambda t: (t.ship(1), t.bill(1))[0], "Invoiced", [(10, 10, 10)],
         [("Open", "119.00")], "119.00"),
        (lambda t: t.credit(1, (10, "2")), "Invoiced", [(10, 10, 10)],
         [("Open", "95.20"), ("Paid", "0")], "95.20"),
        (lambda t: t.pay(1, "100.00", on_account=True), "Paid", [(10, 10, 10)],
         [("Paid", "-4.80"), ("Paid", "0")], "-4.80"),
        (lambda t: t.credit(1), "Invoiced", [(10, 10, 10)],
         [("Credited", "-4.80"), ("Paid", "0"), ("Open", "-95.20")], "-100.00"),
        (lambda t: t.pay(3, "-50.00"), "Invoiced", [(10, 10, 10)],
         [("Credited", "-4.80"), ("Paid", "0"), ("PartiallyPaid", "-45.20")], "-50.00"),
        (lambda t: t.pay(3, "-45.20"), "Invoiced", [(10, 10, 10)],
         [("Credited", "-4.80"), ("Paid", "0"), ("Paid", "0")], "-4.80"),
    ]),
    "cancelled before anything is shipped": ([10], [
        (lambda t: t.do("cancel", 1), "Cancelled", [(10, 0, 0)], [], "0"),
    ]),
    "closed after a part is shipped": ([10, 4], [
        (lambda t: t.ship(1, (10, "6")), "PartiallyShipped", [(10, 6, 0), (4, 0, 0)], [], "0"),
        (lambda t: t.do("close", 1), "Shipped", [(6, 6, 0)], [], "0"),
        (lambda t: t.bill(1), "Invoiced", [(6, 6, 6)], [("Open", "71.40")], "71.40"),
        (lambda t: t.pay(1, "71.40"), "Paid", [(6, 6, 6)], [("Paid", "0")], "0"),
    ]),
    "a delivery that comes back": ([10], [
        (lambda t: (t.ship(1, (10, "4")), t.ship(1))[0], "Shipped", [(10, 10, 0)], [], "0"),
        (lambda t: t.bill(1, (10, "4")), "Shipped", [(10, 10, 4)], [("Open", "47.60")], "47.60"),
        (lambda t: t.pair.erp("POST", "deliveries/2/cancel"), "PartiallyShipped", [(10, 4, 4)],
         [("Open", "47.60")], "47.60"),
        (lambda t: t.do("close", 1), "Invoiced", [(4, 4, 4)], [("Open", "47.60")], "47.60"),
    ]),
    "a delivery that comes back whole": ([10], [
        (lambda t: t.ship(1), "Shipped", [(10, 10, 0)], [], "0"),
        (lambda t: t.pair.erp("POST", "deliveries/1/cancel"), "Confirmed", [(10, 0, 0)], [], "0"),
        (lambda t: t.do("cancel", 1), "Cancelled", [(10, 0, 0)], [], "0"),
    ]),
}


@pytest.mark.parametrize("story", slow_but(
    ["delivered, billed and paid in parts", "a delivery that comes back"], STORIES))
def test_an_order_through_its_life(trade: Trade, story: str) -> None:
    quantities, steps = STORIES[story]
    assert trade.order(*quantities) == 1
    trade.settled()
    for number, (step, status, lines, invoices, owed) in enumerate(steps):
        step(trade)
        trade.settled()
        (order,) = trade.pair.in_crm("orders")
        shown = sorted(trade.pair.in_crm("invoices"), key=lambda i: str(i["number"]))
        assert (number, order["status"]) == (number, status)
        assert [(ln["quantity"], ln["quantityShipped"], ln["quantityInvoiced"])
                for ln in order["lines"]] == lines
        assert [(i["status"], i["balanceMicros"] / MICRO) for i in shown] \
            == [(state, Decimal(balance)) for state, balance in invoices]
        assert _account(trade)["balanceMicros"] / MICRO == Decimal(owed)
    assert trade.pair.conflicts(*ConflictState) == []  # the ERP may take a step back


def _account(trade: Trade) -> Any:
    return trade.pair.crm("GET", f"accounts/{trade.account}")


def test_deliveries_invoices_credit_notes_and_payments_stand_in_the_crm(trade: Trade) -> None:
    trade.order(10)
    trade.ship(1, (10, "4"))
    trade.ship(1, (10, "6"))
    trade.bill(1)
    trade.pay(1, "100.00")
    trade.credit(1, (10, "3"))
    trade.settled()
    pair, (order,) = trade.pair, trade.pair.in_crm("orders")
    assert [(d["number"], d["orderId"], d["lines"][0]["quantity"], d["status"])
            for d in sorted(pair.in_crm("shipments"), key=lambda d: str(d["number"]))] \
        == [("D10001", order["id"], 4, "Shipped"), ("D10002", order["id"], 6, "Shipped")]
    invoice, note = sorted(pair.in_crm("invoices"), key=lambda i: str(i["number"]))
    assert (note["kind"], note["creditsInvoiceId"], note["totalMicros"], note["balanceMicros"]) \
        == ("credit_note", invoice["id"], 35_700_000, -16_700_000)
    (payment,) = pair.in_crm("payments")
    assert (payment["number"], payment["invoiceId"], payment["accountId"], payment["amountMicros"],
            payment["currency"], payment["reference"]) \
        == ("P10001", invoice["id"], trade.account, 100_000_000, "EUR", "BANK-1")
    assert _account(trade)["balanceMicros"] == -16_700_000


def test_the_credit_limit_counts_what_is_owed_and_what_is_ordered(pair: Pair) -> None:
    trade = open_trade(pair, credit_limit="200.00")
    trade.order(10)
    trade.ship(1)
    trade.bill(1)
    trade.order(10, status="Draft")
    assert pair.act("confirm", 2)["error"]["code"] == "E422-CREDIT"
    trade.settled()
    held = {o["erpOrderNumber"]: (o["status"], o["remark"]) for o in pair.in_crm("orders")}
    assert held == {"SO10001": ("Invoiced", None),
                    "SO10002": ("Draft", "credit limit 200.00 exceeded by 38.00")}
    assert _account(trade)["creditHold"] is True
    trade.pay(1, "119.00")
    pair.edit_erp("customers", 1, finance={"on_hold": False})
    trade.do("confirm", 2)
    trade.settled()
    assert {o["erpOrderNumber"]: (o["status"], o["remark"]) for o in pair.in_crm("orders")} \
        == {"SO10001": ("Paid", None), "SO10002": ("Confirmed", None)}
    assert (_account(trade)["creditHold"], _account(trade)["balanceMicros"]) == (False, 0)
