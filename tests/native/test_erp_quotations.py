"""Quotations and the writing of sales orders: lines, sums, remarks, what may still change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from test_erp_access import ErpClient, code, served


@dataclass
class Shop:
    erp: ErpClient
    customer: Any
    lamp: Any
    chair: Any
    stock: Any

    def head(self, *lines: Any, **more: Any) -> dict[str, Any]:
        return {"customer_id": self.customer["id"], "currency_code": "EUR", "warehouse": "BER",
                "lines": list(lines), **more}

    def lamps(self, qty: str, price: str = "12.00", **more: Any) -> dict[str, Any]:
        return {"item_id": self.lamp["id"], "qty": qty, "price": price, **more}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with served(tmp_path) as erp:
        erp.create("warehouses", code="BER", name="Berlin")
        erp.create("warehouses", code="HAM", name="Hamburg")
        lamp = erp.create("items", item_code="L", label="Lamp", base_price="12.00")
        yield Shop(erp, erp.create("customers", display_name="Aurora"), lamp,
                   erp.create("items", item_code="C", label="Chair", base_price="80.00"),
                   erp.create("stock_levels", item_id=lamp["id"], warehouse="BER", on_hand="3"))


def test_lines_are_rounded_half_up_and_tax_per_rate_on_the_document(shop: Shop) -> None:
    made = shop.erp.create("quotations", **shop.head(
        shop.lamps("3", "0.335", tax_pct="19"), shop.lamps("1", "0.05", disc_pct="50", tax_pct="7"),
        shop.lamps("2.5", "10.01", disc_pct="12.5", tax_pct="19.00")))
    assert [line["amount"] for line in made["lines"]] == ["1.01", "0.03", "21.90"]
    assert [line["line_no"] for line in made["lines"]] == [1, 2, 3]
    assert (made["net"], made["tax"], made["gross"]) == ("22.94", "4.35", "27.29")
    assert (made["quotation_no"], made["state"]) == ("QT10001", "open")


def test_the_remark_tells_of_low_prices_and_short_stock(shop: Shop) -> None:
    made = shop.erp.create("quotations", **shop.head(
        {"line_no": 10, **shop.lamps("2", "9.50")}, {"line_no": 20, **shop.lamps("10")},
        {"line_no": 30, "item_id": shop.chair["id"], "qty": "1", "price": "80.00"},
        {"line_no": 40, "text": "assembly", "qty": "1", "price": "5.00"}))
    assert made["remark"] == "line 10: price 9.50 is below list 12.00; line 20: 3 available of 10"
    assert [line["stock_note"] for line in made["lines"]] == [None, "3 available of 10", None, None]
    changed = shop.erp.patch("quotations", made, lines=[shop.lamps("1")])
    assert changed["remark"] is None
    assert changed["lines"][0]["price_note"] is None


def test_lines_given_as_they_are_change_nothing(shop: Shop) -> None:
    made = shop.erp.create("quotations", **shop.head(shop.lamps("2.0", tax_pct="19")))
    assert shop.erp.patch("quotations", made, lines=[shop.lamps("2", tax_pct="19.00")]) == made
    assert shop.erp.patch("quotations", made, your_ref=None) == made


def test_absent_line_numbers_are_the_place_in_the_document(shop: Shop) -> None:
    made = shop.erp.create("quotations", **shop.head(
        shop.lamps("1"), {"line_no": 7, **shop.lamps("1")}, shop.lamps("1")))
    assert [line["line_no"] for line in made["lines"]] == [1, 7, 3]


def test_what_is_wrong_with_lines_is_named(shop: Shop) -> None:
    shop.erp.call("POST", "/v1/quotations", shop.head(
        {"line_no": 1, "item_id": 99, "qty": "1"}, {"line_no": 1, "qty": 1},
        {"price": "1.00", "amount": "1.00"}, 5))
    assert set(shop.erp.seen.json()["error"]["fields"]) == {
        "lines", "lines[0].item_id", "lines[1].qty", "lines[2].qty", "lines[2].amount", "lines[3]"}
    shop.erp.call("POST", "/v1/quotations", {**shop.head(), "lines": None})
    assert set(shop.erp.seen.json()["error"]["fields"]) == {"lines"}


@pytest.mark.parametrize("object", ["quotations", "sales_orders"])
@pytest.mark.parametrize("qty", ["0", "-1", "0.000000"])
def test_a_line_asks_for_more_than_nothing(shop: Shop, object: str, qty: str) -> None:
    shop.erp.call("POST", f"/v1/{object}", shop.head(shop.lamps("1"), shop.lamps(qty)))
    assert code(shop.erp) == (422, "E422-FIELD")
    assert shop.erp.seen.json()["error"]["fields"] == {"lines[1].qty": "more than 0 is expected"}
    made = shop.erp.create(object, **shop.head(shop.lamps("1")))
    shop.erp.patch(object, made, lines=[shop.lamps(qty)])
    assert code(shop.erp) == (422, "E422-FIELD")
    assert shop.erp.again(object, made) == made


@pytest.mark.parametrize("object", ["quotations", "sales_orders"])
def test_a_warehouse_is_one_that_there_is(shop: Shop, object: str) -> None:
    shop.erp.call("POST", f"/v1/{object}", shop.head(shop.lamps("1"), warehouse="MUC"))
    assert code(shop.erp) == (422, "E422-FIELD")
    assert shop.erp.seen.json()["error"]["fields"] == {"warehouse": "there is no warehouse MUC"}
    made = shop.erp.create(object, **shop.head(shop.lamps("1")))
    shop.erp.patch(object, made, warehouse="ber")
    assert code(shop.erp) == (422, "E422-FIELD")
    assert shop.erp.patch(object, made, warehouse="HAM")["warehouse"] == "HAM"
    rows = shop.erp.bulk("warehouses", {"code": "MUC", "name": "Munich"})
    assert rows[0]["ok"]
    there = shop.erp.create(object, **shop.head(shop.lamps("1"), warehouse="MUC"))
    assert there["warehouse"] == "MUC"


def test_a_stock_level_stands_in_a_warehouse_that_there_is(shop: Shop) -> None:
    shop.erp.call("POST", "/v1/stock_levels", {"item_id": shop.chair["id"], "warehouse": "MUC"})
    assert code(shop.erp) == (422, "E422-FIELD")
    assert set(shop.erp.seen.json()["error"]["fields"]) == {"warehouse"}


def test_a_lost_quotation_is_not_ordered(shop: Shop) -> None:
    made = shop.erp.create("quotations", **shop.head(shop.lamps("1")))
    lost = shop.erp.patch("quotations", made, state="lost")
    asked = shop.head(shop.lamps("1"), quotation_id=made["id"])
    shop.erp.call("POST", "/v1/sales_orders", asked)
    assert code(shop.erp) == (409, "E409-STATE")
    assert shop.erp.seen.json()["error"]["msg"] == "QT10001 is lost and can't be ordered"
    assert set(shop.erp.seen.json()["error"]["fields"]) == {"quotation_id"}
    assert shop.erp.get("sales_orders")["rows"] == []
    won = shop.erp.patch("quotations", lost, state="won")
    shop.erp.create("sales_orders", **asked)
    assert shop.erp.again("quotations", won)["state"] == "ordered"


def test_lines_of_a_quotation_are_fixed_once_it_is_decided(shop: Shop) -> None:
    made = shop.erp.create("quotations", **shop.head(shop.lamps("1")))
    won = shop.erp.patch("quotations", made, state="won")
    shop.erp.patch("quotations", won, lines=[shop.lamps("2")])
    assert code(shop.erp) == (409, "E409-STATE")
    assert shop.erp.patch("quotations", won, lines=[shop.lamps("1")], your_ref="B7")["rev"] == 3
    opened = shop.erp.patch("quotations", shop.erp.again("quotations", made), state="open")
    assert shop.erp.patch("quotations", opened, lines=[shop.lamps("2")])["net"] == "24.00"


def test_a_quotation_is_ordered_by_one_sales_order(shop: Shop) -> None:
    quotation = shop.erp.create("quotations", **shop.head(shop.lamps("1")))
    shop.erp.patch("quotations", quotation, state="ordered")
    assert code(shop.erp) == (409, "E409-STATE")
    shop.erp.call("POST", "/v1/quotations", shop.head(shop.lamps("1"), state="ordered"))
    assert code(shop.erp) == (422, "E422-FIELD")
    order = shop.erp.create("sales_orders", **shop.head(shop.lamps("1"),
                                                        quotation_id=quotation["id"]))
    ordered = shop.erp.again("quotations", quotation)
    assert (ordered["state"], ordered["sales_order_id"], ordered["rev"]) \
        == ("ordered", order["id"], 2)
    shop.erp.call("POST", "/v1/sales_orders", shop.head(shop.lamps("1"),
                                                        quotation_id=quotation["id"]))
    assert code(shop.erp) == (409, "E409-UNIQUE")
    shop.erp.patch("quotations", ordered, state="open")
    assert code(shop.erp) == (409, "E409-STATE")


def test_a_sales_order_is_completed(shop: Shop) -> None:
    made = shop.erp.create("sales_orders", customer_id=shop.customer["id"], currency_code="EUR",
                           lines=[shop.lamps("2", tax_pct="19")])
    assert (made["order_no"], made["state"], made["warehouse"], made["block"]) \
        == ("SO10001", "entered", "BER", None)
    assert made["gross"] == "28.56"
    assert (made["lines"][0]["qty_delivered"], made["lines"][0]["qty_invoiced"]) == ("0", "0")
    day, month, year = made["ordered_on"].split(".")
    assert made["modified"].startswith(f"{year}-{month}-{day}")


def test_an_order_changes_as_long_as_it_is_entered(shop: Shop) -> None:
    made = shop.erp.create("sales_orders", **shop.head(shop.lamps("1")))
    changed = shop.erp.patch("sales_orders", made, lines=[shop.lamps("2")], warehouse="HAM")
    assert (changed["net"], changed["warehouse"]) == ("24.00", "HAM")
    shop.erp.patch("sales_orders", changed, state="confirmed")
    assert code(shop.erp) == (422, "E422-FIELD")
    confirmed = shop.erp.act("confirm", changed)["row"]
    for field, value in (("lines", [shop.lamps("3")]), ("warehouse", "BER")):
        shop.erp.patch("sales_orders", confirmed, **{field: value})
        assert code(shop.erp) == (409, "E409-STATE")
        assert set(shop.erp.seen.json()["error"]["fields"]) == {field}
    assert shop.erp.patch("sales_orders", confirmed, your_ref="B7")["your_ref"] == "B7"


def test_bulk_creates_documents_in_order(shop: Shop) -> None:
    rows = shop.erp.bulk("sales_orders", shop.head(shop.lamps("1")), shop.head(shop.lamps("x")),
                         shop.head(shop.lamps("2"), external_ref="crm:2"))
    assert [r["ok"] for r in rows] == [True, False, True]
    assert [r["row"]["order_no"] for r in rows if r["ok"]] == ["SO10001", "SO10003"]
