"""Sales orders on their way: credit, reservation, delivery, invoice, payment, credit note."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from test_erp_access import ErpClient, code, served


@dataclass
class Shop:
    erp: ErpClient
    customer: Any
    lamp: Any
    level: Any

    def order(self, *quantities: str, price: str = "10.00", **more: Any) -> Any:
        return self.erp.create("sales_orders", **{
            "customer_id": self.customer["id"], "currency_code": "EUR",
            "lines": [{"item_id": self.lamp["id"], "qty": qty, "price": price, "tax_pct": "19"}
                      for qty in quantities], **more})

    def confirmed(self, *quantities: str, price: str = "10.00") -> Any:
        done = self.erp.act("confirm", self.order(*quantities, price=price))
        assert done["ok"], done
        return done["row"]

    def invoiced(self, *quantities: str, price: str = "10.00") -> tuple[Any, Any]:
        order = self.confirmed(*quantities, price=price)
        self.erp.act("ship", order)
        return self.erp.act("invoice", order)["row"], self.erp.last("invoices")

    def money(self) -> tuple[str, str, bool]:
        finance = self.erp.again("customers", self.customer)["finance"]
        return finance["balance"], finance["open_orders"], finance["on_hold"]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    noon = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    with served(tmp_path, clock=lambda: noon) as erp:
        erp.create("warehouses", code="BER", name="Berlin")
        lamp = erp.create("items", item_code="L", label="Lamp", base_price="10.00")
        customer = erp.create("customers", display_name="Aurora", terms="14D",
                              finance={"credit_limit": "200.00"})
        yield Shop(erp, customer, lamp, erp.create(
            "stock_levels", item_id=lamp["id"], warehouse="BER", on_hand="10"))


def test_confirming_reserves_and_weighs_on_the_customer(shop: Shop) -> None:
    confirmed = shop.confirmed("4")
    assert (confirmed["state"], confirmed["rev"]) == ("confirmed", 2)
    assert shop.erp.stock(shop.level) == ("10", "4", "6")
    assert shop.money() == ("0.00", "47.60", False)
    again = shop.erp.act("confirm", confirmed)
    assert again == {"ok": True, "created": False, "row": confirmed}
    assert shop.erp.stock(shop.level) == ("10", "4", "6")


def test_reservations_may_go_beyond_what_is_on_hand(shop: Shop) -> None:
    shop.confirmed("12")
    assert shop.erp.stock(shop.level) == ("10", "12", "-2")


def test_an_order_beyond_the_credit_limit_is_blocked_and_the_customer_held(shop: Shop) -> None:
    order = shop.order("20")
    refused = shop.erp.act("confirm", order)
    assert (refused["ok"], refused["error"]["code"]) == (False, "E422-CREDIT")
    assert refused["error"]["msg"].endswith("credit limit 200.00 exceeded by 38.00")
    blocked = shop.erp.again("sales_orders", order)
    assert refused["row"] == blocked
    assert (blocked["state"], blocked["block"]) == (
        "entered", "credit limit 200.00 exceeded by 38.00")
    assert shop.money() == ("0.00", "0.00", True)
    assert shop.erp.stock(shop.level) == ("10", "0", "10")
    held = shop.erp.again("customers", shop.customer)
    shop.erp.act("confirm", order)
    assert shop.erp.again("sales_orders", order) == blocked
    assert shop.erp.again("customers", shop.customer) == held


def test_a_hold_is_lifted_by_hand_only(shop: Shop) -> None:
    order = shop.order("20")
    shop.erp.act("confirm", order)
    raised = shop.erp.patch("customers", shop.erp.again("customers", shop.customer),
                            finance={"credit_limit": "500.00"})
    refused = shop.erp.act("confirm", order)
    assert refused["row"]["block"] == "customer is on hold"
    shop.erp.patch("customers", raised, finance={"on_hold": False})
    done = shop.erp.act("confirm", order)
    assert (done["row"]["state"], done["row"]["block"]) == ("confirmed", None)


def test_orders_confirmed_in_one_call_add_up(shop: Shop) -> None:
    orders = [shop.order("8") for _ in range(3)]
    rows = shop.erp.bulk_action("confirm", *({"id": o["id"]} for o in orders))
    assert [r["ok"] for r in rows] == [True, True, False]
    assert shop.money() == ("0.00", "190.40", True)


def test_an_order_exactly_at_the_limit_is_confirmed(shop: Shop) -> None:
    assert shop.confirmed("1", price="168.0672")["gross"] == "200.00"


@pytest.mark.parametrize("qty", ["0", "-1"])
def test_a_delivery_carries_more_than_nothing(shop: Shop, qty: str) -> None:
    order = shop.confirmed("4")
    refused = shop.erp.act("ship", order, lines=[{"line_no": 1, "qty": qty}])
    assert refused["error"]["code"] == "E422-QTY"
    assert refused["error"]["fields"] == {"lines[0].qty": "4 is open"}
    assert refused["row"] == order
    assert shop.erp.stock(shop.level) == ("10", "4", "6")
    assert shop.erp.get("deliveries")["rows"] == []


def test_shipping_delivers_all_that_is_open(shop: Shop) -> None:
    done = shop.erp.act("ship", shop.confirmed("4", "1"), carrier="DHL", tracking="T1",
                        shipped_at="2026-11-24T08:00:00Z")
    assert done["row"]["state"] == "delivered"
    assert [line["qty_delivered"] for line in done["row"]["lines"]] == ["4", "1"]
    delivery = shop.erp.last("deliveries")
    assert (delivery["delivery_no"], delivery["carrier"]) == ("D10001", "DHL")
    assert delivery["sales_order_id"] == done["row"]["id"]
    assert delivery["shipped_at"] == "2026-11-24T09:00:00.000000+01:00"
    assert [(line["line_no"], line["qty"]) for line in delivery["lines"]] == [(1, "4"), (2, "1")]
    assert shop.erp.again("deliveries", delivery) == delivery
    assert shop.erp.stock(shop.level) == ("5", "0", "5")
    assert shop.money()[:2] == ("0.00", "59.50")


def test_shipping_in_parts(shop: Shop) -> None:
    order = shop.confirmed("4", "2")
    first = shop.erp.act("ship", order, lines=[{"line_no": 1, "qty": "1.5"}])
    assert first["row"]["state"] == "part_delivered"
    assert shop.erp.stock(shop.level) == ("8.5", "4.5", "4")
    over = shop.erp.act("ship", order, lines=[{"line_no": 1, "qty": "3"},
                                              {"line_no": 9, "qty": "1"}, {"line_no": 2}])
    assert set(over["error"]["fields"]) == {"lines[0].qty", "lines[1].line_no", "lines[2].qty"}
    assert not shop.erp.act("ship", order, lines=5)["ok"]
    assert shop.erp.stock(shop.level) == ("8.5", "4.5", "4")
    second = shop.erp.act("ship", order, lines=[{"line_no": 2, "qty": "2"}])
    assert second["row"]["state"] == "part_delivered"
    third = shop.erp.act("ship", order)
    assert third["row"]["state"] == "delivered"
    assert [line["qty"] for line in shop.erp.last("deliveries")["lines"]] == ["2.5"]
    assert shop.erp.act("ship", order)["error"]["code"] == "E409-STATE"


def test_an_unconfirmed_order_goes_nowhere(shop: Shop) -> None:
    order = shop.order("1")
    for action in ("ship", "invoice"):
        assert shop.erp.act(action, order)["error"]["code"] == "E409-STATE"
    assert shop.erp.act("invoice", shop.confirmed("1"))["error"]["code"] == "E409-STATE"


def test_actions_name_what_is_wrong_with_their_rows(shop: Shop) -> None:
    order = shop.order("1")
    rows = shop.erp.bulk_action("confirm", {"id": 99}, {}, 5, {"id": order["id"], "carrier": "x"},
                                {"id": order["id"], "rev": 7}, {"id": order["id"], "rev": 1})
    assert [r["error"]["code"] for r in rows[:-1]] == [
        "E404", "E422-FIELD", "E422-FIELD", "E422-FIELD", "E409-REV"]
    assert rows[-1]["ok"]


def test_an_invoice_moves_the_weight_from_orders_to_balance(shop: Shop) -> None:
    order, invoice = shop.invoiced("4")
    assert order["state"] == "invoiced"
    assert (invoice["invoice_no"], invoice["kind"], invoice["state"]) \
        == ("IN10001", "invoice", "open")
    assert (invoice["issued_on"], invoice["due_on"]) == ("24.11.2026", "08.12.2026")
    assert (invoice["net"], invoice["tax"], invoice["gross"], invoice["open_amount"]) \
        == ("40.00", "7.60", "47.60", "47.60")
    assert shop.money() == ("47.60", "0.00", False)
    assert shop.erp.act("invoice", order)["error"]["code"] == "E409-STATE"


def test_partial_invoices_leave_nothing_of_open_orders_behind(shop: Shop) -> None:
    order = shop.confirmed("3", price="0.335")
    assert shop.money()[1] == order["gross"] == "1.20"
    total = []
    for _ in range(3):
        shop.erp.act("ship", order, lines=[{"line_no": 1, "qty": "1"}])
        done = shop.erp.act("invoice", order)
        total.append(shop.erp.last("invoices")["gross"])
    assert total == ["0.40", "0.40", "0.40"]
    assert done["row"]["state"] == "invoiced"
    assert shop.money()[:2] == ("1.20", "0.00")


def test_payments_settle_invoice_customer_and_order(shop: Shop) -> None:
    order, invoice = shop.invoiced("4")
    paid = shop.erp.create("payments", invoice_id=invoice["id"], amount="40.00", reference="B1")
    assert paid["paid_on"] == "24.11.2026"
    part = shop.erp.again("invoices", invoice)
    assert (part["state"], part["open_amount"]) == ("part_paid", "7.60")
    assert shop.money()[0] == "7.60"
    shop.erp.call("POST", "/v1/payments", {"invoice_id": invoice["id"], "amount": "40.00",
                                           "reference": "B1"})
    assert code(shop.erp) == (409, "E409-UNIQUE")
    shop.erp.call("POST", "/v1/payments", {"invoice_id": invoice["id"], "amount": "7.61",
                                           "reference": "B2"})
    assert code(shop.erp) == (422, "E422-AMOUNT")
    assert shop.erp.again("sales_orders", order)["state"] == "invoiced"
    shop.erp.create("payments", invoice_id=invoice["id"], amount="7.60", reference="B2")
    assert shop.erp.again("invoices", invoice)["state"] == "paid"
    assert shop.erp.again("sales_orders", order)["state"] == "settled"
    assert shop.money() == ("0.00", "0.00", False)
    shop.erp.call("POST", "/v1/payments", {"invoice_id": invoice["id"], "amount": "1.00"})
    assert code(shop.erp) == (422, "E422-AMOUNT")
    assert len(shop.erp.get("payments")["rows"]) == 2
    shop.erp.patch("payments", paid, amount="1.00")
    assert code(shop.erp) == (405, "E405-OBJECT")


def test_a_refused_payment_leaves_its_reference_free(shop: Shop) -> None:
    _, invoice = shop.invoiced("4")
    much, right = shop.erp.bulk(
        "payments", {"invoice_id": invoice["id"], "amount": "99.00", "reference": "B1"},
        {"invoice_id": invoice["id"], "amount": "47.60", "reference": "B2"})
    assert (much["ok"], right["ok"]) == (False, True)
    assert shop.erp.again("invoices", invoice)["state"] == "paid"
    assert [p["reference"] for p in shop.erp.get("payments")["rows"]] == ["B2"]


def test_an_order_is_settled_when_all_its_invoices_are_paid(shop: Shop) -> None:
    order = shop.confirmed("4")
    invoices = []
    for quantity in ("1", "3"):
        shop.erp.act("ship", order, lines=[{"line_no": 1, "qty": quantity}])
        shop.erp.act("invoice", order)
        invoices.append(shop.erp.last("invoices"))
    first, second = ({"invoice_id": i["id"], "amount": i["gross"]} for i in invoices)
    shop.erp.bulk("payments", first)
    assert shop.erp.again("sales_orders", order)["state"] == "invoiced"
    shop.erp.bulk("payments", second)
    assert shop.erp.again("sales_orders", order)["state"] == "settled"


def test_a_credit_note_takes_an_invoice_back(shop: Shop) -> None:
    _, invoice = shop.invoiced("4")
    note = shop.erp.call("POST", f"/v1/invoices/{invoice['id']}/credit", {})
    assert shop.erp.seen.status_code == 201
    assert (note["kind"], note["gross"], note["open_amount"], note["state"]) \
        == ("credit_note", "47.60", "0.00", "paid")
    assert note["credits_id"] == invoice["id"]
    assert note["lines"] == invoice["lines"]
    credited = shop.erp.again("invoices", invoice)
    assert (credited["state"], credited["open_amount"]) == ("credited", "0.00")
    assert shop.money()[0] == "0.00"
    for row in (invoice, note):
        shop.erp.call("POST", f"/v1/invoices/{row['id']}/credit", {})
        assert code(shop.erp) == (409, "E409-STATE")
    shop.erp.call("POST", "/v1/invoices/99/credit", {})
    assert code(shop.erp) == (404, "E404")


def test_what_was_paid_before_a_credit_note_is_the_customers(shop: Shop) -> None:
    _, invoice = shop.invoiced("4")
    shop.erp.create("payments", invoice_id=invoice["id"], amount="40.00")
    note = shop.erp.call("POST", f"/v1/invoices/{invoice['id']}/credit", {})
    assert (note["open_amount"], note["state"]) == ("-40.00", "open")
    assert shop.money()[0] == "-40.00"
    shop.erp.call("POST", "/v1/payments", {"invoice_id": note["id"], "amount": "-40.01"})
    assert code(shop.erp) == (422, "E422-AMOUNT")
    shop.erp.create("payments", invoice_id=note["id"], amount="-40.00")
    paid = shop.erp.again("invoices", note)
    assert (paid["open_amount"], paid["state"], shop.money()[0]) == ("0.00", "paid", "0.00")


def test_only_dispute_and_promise_of_an_invoice_are_written(shop: Shop) -> None:
    _, invoice = shop.invoiced("1")
    changed = shop.erp.patch("invoices", invoice, dispute=True, promised_on="1.12.2026")
    assert (changed["dispute"], changed["promised_on"], changed["rev"]) == (True, "01.12.2026", 2)
    shop.erp.patch("invoices", changed, state="paid", open_amount="0.00", lines=[])
    assert set(shop.erp.seen.json()["error"]["fields"]) == {"state", "open_amount", "lines"}


def test_cancelling_frees_what_was_reserved(shop: Shop) -> None:
    order = shop.confirmed("4")
    assert shop.erp.act("cancel", order)["row"]["state"] == "void"
    assert shop.erp.stock(shop.level) == ("10", "0", "10")
    assert shop.money() == ("0.00", "0.00", False)
    assert shop.erp.act("cancel", order)["ok"]
    assert shop.erp.act("confirm", order)["error"]["code"] == "E409-STATE"
    assert shop.erp.act("cancel", shop.order("1"))["row"]["state"] == "void"
    shipped = shop.confirmed("2")
    shop.erp.act("ship", shipped, lines=[{"line_no": 1, "qty": "1"}])
    assert shop.erp.act("cancel", shipped)["error"]["code"] == "E409-STATE"


def test_every_row_that_moves_gets_a_new_rev(shop: Shop) -> None:
    revs = {name: shop.erp.get(name)["rows"][0]["rev"] for name in ("customers", "stock_levels")}
    shop.confirmed("1")
    for name, before in revs.items():
        assert shop.erp.get(name)["rows"][0]["rev"] == before + 1


def test_stock_of_an_item_without_a_level_is_kept_from_the_first_reservation(shop: Shop) -> None:
    chair = shop.erp.create("items", item_code="C", label="Chair")
    order = shop.order(lines=[{"item_id": chair["id"], "qty": "2", "price": "1.00"},
                              {"text": "assembly", "qty": "1", "price": "1.00"}])
    assert shop.erp.act("confirm", order)["ok"]
    level = shop.erp.get("stock_levels")["rows"][-1]
    assert (level["item_id"], level["on_hand"], level["reserved"], level["available"]) \
        == (chair["id"], "0", "2", "-2")


def test_a_count_is_posted_once(shop: Shop) -> None:
    count = {"qty": "7", "on": "23.11.2026"}
    counted = shop.erp.patch("stock_levels", shop.level, count=count)
    assert (counted["on_hand"], counted["available"], counted["count"]) == ("7", "7", count)
    shop.erp.act("ship", shop.confirmed("2"))
    now = shop.erp.again("stock_levels", shop.level)
    assert shop.erp.patch("stock_levels", now, count={"qty": "7.0", "on": "23.11.2026"}) == now
    other = shop.erp.patch("stock_levels", now, count={"qty": "6"})
    assert other["on_hand"] == "6"
    stale = shop.erp.patch("stock_levels", other, count=count)
    assert (stale["count"], stale["on_hand"]) == (count, "6")


def test_stock_moves_by_documents_and_counts_only(shop: Shop) -> None:
    shop.erp.patch("stock_levels", shop.level, on_hand="99", reserved="1", available="3")
    assert code(shop.erp) == (422, "E422-FIELD")
    assert set(shop.erp.seen.json()["error"]["fields"]) == {"on_hand", "reserved", "available"}
    changed = shop.erp.patch("stock_levels", shop.level, earmarked="5")
    assert (changed["earmarked"], changed["available"]) == ("5", "10")


def test_part_invoices_share_the_orders_discount_to_the_cent(shop: Shop) -> None:
    """10.00 off three lamps: 3.33, 3.34 and 3.33, as they are invoiced."""
    order = shop.order("3", disc_amount="10.00")
    assert (order["net"], order["tax"], order["gross"]) == ("20.00", "3.80", "23.80")
    shop.erp.act("confirm", order)
    told = []
    for _ in range(3):
        shop.erp.act("ship", order, lines=[{"line_no": 1, "qty": "1"}])
        assert shop.erp.act("invoice", order)["ok"]
        made = shop.erp.last("invoices")
        told.append((made["disc_amount"], made["net"], made["gross"]))
    assert told == [("3.33", "6.67", "7.94"), ("3.34", "6.66", "7.93"), ("3.33", "6.67", "7.94")]
    assert shop.money()[:2] == ("23.81", "0.00")


def test_an_order_in_another_currency_needs_a_rate_to_be_booked(shop: Shop) -> None:
    order = shop.order("2", currency_code="USD", rate="0.8")
    assert (order["gross"], order["base_currency"], order["gross_base"]) \
        == ("23.80", "EUR", "19.04")
    assert shop.erp.act("confirm", order)["ok"]
    assert shop.money()[:2] == ("0.00", "19.04")
    shop.erp.act("ship", order)
    shop.erp.act("invoice", order)
    invoice = shop.erp.last("invoices")
    assert (invoice["rate"], invoice["gross_base"]) == ("0.8", "19.04")
    assert shop.money()[:2] == ("19.04", "0.00")
    shop.erp.create("payments", invoice_id=invoice["id"], amount="0.03", reference="P1")
    assert shop.money()[0] == "19.02"  # 23.77 dollars are 19.016 euros
    shop.erp.create("payments", invoice_id=invoice["id"], amount="23.77", reference="P2")
    assert shop.money()[0] == "0.00"

    refused = shop.erp.act("confirm", shop.order("1", currency_code="USD"))
    assert refused["error"]["code"] == "E422-RATE"
    assert shop.erp.last("sales_orders")["state"] == "entered"


@pytest.mark.parametrize(("currency", "gross"), [("JPY", "12"), ("EUR", "11.90"),
                                                 ("KWD", "11.900")])
def test_sums_have_the_decimals_of_their_currency(shop: Shop, currency: str, gross: str) -> None:
    assert shop.order("1", currency_code=currency)["gross"] == gross


@pytest.mark.parametrize(("more", "field"), [
    ({"disc_pct": "100.5"}, "disc_pct"), ({"disc_amount": "10.01"}, "disc_amount"),
    ({"disc_amount": "0.005"}, "disc_amount"), ({"rate": "0"}, "rate")])
def test_what_can_be_no_discount_or_rate_is_refused(shop: Shop, more: dict[str, str],
                                                    field: str) -> None:
    shop.erp.call("POST", "/v1/sales_orders", {
        "customer_id": shop.customer["id"], "currency_code": "EUR", **more,
        "lines": [{"item_id": shop.lamp["id"], "qty": "1", "price": "10.00"}]})
    assert code(shop.erp) == (422, "E422-FIELD")
    assert field in shop.erp.seen.json()["error"]["fields"]
    assert shop.erp.get("sales_orders")["rows"] == []
