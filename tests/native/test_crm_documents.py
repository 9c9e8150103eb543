"""Quotes, orders and invoices of the CRM: lines, sums, and what quotes ask of stock."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from test_crm_access import CrmClient, create, wrong


class Shop:
    """A CRM with a customer, two products and their stock levels in Berlin."""

    def __init__(self, crm: CrmClient) -> None:
        self.crm = crm
        self.account = crm.create("accounts", name="Aurora")
        self.lamp, self.desk = (crm.create("products", sku=sku, name=sku)["id"] for sku in "LD")
        self.level = crm.create("stockLevels", productId=self.lamp, warehouse="BER", onHand=10)

    def head(self, *lines: Any, **more: Any) -> dict[str, Any]:
        return {"accountId": self.account["id"], "currency": "EUR", "warehouse": "BER",
                "lines": list(lines), **more}

    def lamps(self, quantity: float, **more: Any) -> dict[str, Any]:
        return {"productId": self.lamp, "quantity": quantity, "unitPriceMicros": 12_000_000, **more}

    def quote(self, *lines: Any, status: str = "Sent", **more: Any) -> Any:
        return self.crm.create("quotes", **self.head(*lines, status=status, **more))

    def quoted(self, level: Any = None) -> float:
        return float(self.crm.again("stockLevels", level or self.level)["quoted"])

    def wrong_lines(self, *lines: Any, object: str = "quotes") -> set[str]:
        self.crm.call("POST", f"/api/{object}", self.head(*lines))
        status, fields = wrong(self.crm)
        assert status == 422
        return fields


@pytest.fixture
def shop(crm: CrmClient) -> Shop:
    return Shop(crm)


def cents(amount: str) -> int:
    """An amount in micros."""
    return int(Decimal(amount) * 1_000_000)


def test_a_quote_is_completed(shop: Shop) -> None:
    made = shop.crm.create("quotes", **shop.head(shop.lamps(2)))
    assert (made["number"], made["status"], made["remark"]) == ("Q-000001", "Draft", None)
    assert made["lines"] == [{
        "lineNo": 10, "productId": shop.lamp, "description": None, "quantity": 2,
        "unitPriceMicros": 12_000_000, "discountPercent": 0, "taxPercent": 0, "remark": None,
        "netMicros": 24_000_000}]
    assert shop.quote(shop.lamps(1))["number"] == "Q-000002"


def test_lines_are_rounded_half_up_to_cents_and_tax_per_rate(shop: Shop) -> None:
    made = shop.quote(
        shop.lamps(1, unitPriceMicros=5_000, taxPercent=19),  # half a cent: 0.01
        shop.lamps(3, unitPriceMicros=cents("9.99"), discountPercent=2.5, taxPercent=19),  # 29.22
        shop.lamps(0.333333, unitPriceMicros=cents("10.005"), taxPercent=7),  # 3.33
        shop.lamps(-1, unitPriceMicros=cents("0.125")),  # -0.13
        shop.lamps(1, unitPriceMicros=cents("0.02"), taxPercent=19))
    assert [line["netMicros"] for line in made["lines"]] \
        == [cents(net) for net in ("0.01", "29.22", "3.33", "-0.13", "0.02")]
    # 19 % of 29.25 is 5.5575, 7 % of 3.33 is 0.2331; line by line it would be 5.55 + 0.23
    assert (made["netMicros"], made["taxMicros"]) == (cents("32.45"), cents("5.79"))
    assert made["totalMicros"] == cents("38.24")


def test_line_numbers_are_given_where_they_are_absent(shop: Shop) -> None:
    made = shop.quote(shop.lamps(1, lineNo=25), shop.lamps(2), shop.lamps(3, lineNo=None),
                      shop.lamps(4, lineNo=1))
    assert [line["lineNo"] for line in made["lines"]] == [25, 30, 40, 1]


def test_what_is_wrong_in_lines_is_named(shop: Shop) -> None:
    assert shop.wrong_lines(
        shop.lamps(1, lineNo=1), shop.lamps(1, lineNo=1), shop.lamps(1, productId="prd_1"),
        {"unitPriceMicros": 1.5, "netMicros": 1, "colour": "red"}, 5, shop.lamps(1, lineNo=-1)) \
        == {"lines", "lines[2].productId", "lines[3].quantity", "lines[3].unitPriceMicros",
            "lines[3].netMicros", "lines[3].colour", "lines[4]", "lines[5].lineNo"}
    assert shop.wrong_lines(shop.lamps(10**11, unitPriceMicros=9 * 10**18)) == {"lines"}
    assert shop.wrong_lines(shop.lamps(10**11, unitPriceMicros=9 * 10**18,
                                       discountPercent=-10**11)) == {"lines"}
    for lines in (None, 5, "x"):
        shop.crm.call("POST", "/api/quotes", {**shop.head(), "lines": lines})
        assert wrong(shop.crm) == (422, {"lines"})
    assert shop.crm.get("quotes")["data"] == []


def test_lines_are_replaced_whole(shop: Shop) -> None:
    made = shop.quote(shop.lamps(1, description="first"), shop.lamps(2))
    changed = shop.crm.patch("quotes", made, lines=[shop.lamps(5)])
    assert [(x["lineNo"], x["quantity"], x["description"]) for x in changed["lines"]] \
        == [(10, 5, None)]
    assert changed["totalMicros"] == cents("60")
    header = shop.crm.patch("quotes", made, customerReference="PO 7")
    assert header["lines"] == changed["lines"]
    assert shop.crm.patch("quotes", made, lines=[shop.lamps(5)]) == header
    shop.crm.patch("quotes", made, totalMicros=1)
    assert wrong(shop.crm) == (422, {"totalMicros"})


def test_lines_of_shipments_and_invoices_may_be_left_out(shop: Shop) -> None:
    order = shop.crm.create("orders", **shop.head(shop.lamps(2), number="SO10001"))
    assert order["number"] == "SO10001"
    assert order["lines"][0]["quantityShipped"] == 0
    assert shop.crm.create("orders", **shop.head(shop.lamps(2)))["number"] == "O-000002"
    shipment = shop.crm.create("shipments", orderId=order["id"],
                               shippedAt="2026-11-24T09:13:22+01:00")
    assert (shipment["lines"], shipment["shippedAt"]) == ([], "2026-11-24T08:13:22.000000Z")
    shipped = shop.crm.patch("shipments", shipment, lines=[{"productId": shop.lamp, "quantity": 2}])
    assert shipped["lines"] == [{"lineNo": 10, "productId": shop.lamp, "quantity": 2}]
    invoice = shop.crm.create("invoices", accountId=shop.account["id"], currency="EUR",
                              balanceMicros=cents("1"))
    assert (invoice["lines"], invoice["totalMicros"], invoice["balanceMicros"]) \
        == ([], 0, cents("1"))


def test_open_quotes_ask_of_stock(shop: Shop) -> None:
    quote = shop.quote(shop.lamps(2), shop.lamps(0.5), {"productId": shop.desk, "quantity": 9},
                       {"quantity": 4}, status="Draft")
    assert shop.quoted() == 0
    assert shop.crm.again("stockLevels", shop.level) == shop.level
    shop.crm.patch("quotes", quote, status="Sent")
    level = shop.crm.again("stockLevels", shop.level)
    assert (level["quoted"], level["onHand"]) == (2.5, 10)
    assert level["etag"] != shop.level["etag"]
    assert level["updatedAt"] == shop.crm.again("quotes", quote)["updatedAt"]
    shop.crm.patch("quotes", quote, status="Accepted", remark="thanks")
    assert shop.crm.again("stockLevels", shop.level) == level
    shop.crm.patch("quotes", quote, lines=[shop.lamps(4)])
    assert shop.quoted() == 4
    shop.crm.patch("quotes", quote, warehouse="HAM")
    assert shop.quoted() == 0
    shop.crm.patch("quotes", quote, warehouse="BER")
    shop.quote(shop.lamps(3))
    assert shop.quoted() == 7
    shop.crm.patch("quotes", quote, status="Ordered")
    assert shop.quoted() == 3
    shop.crm.remove("quotes", shop.quote(shop.lamps(5)))
    assert shop.quoted() == 3


def test_a_new_stock_level_knows_what_quotes_ask_of_it(shop: Shop) -> None:
    shop.quote({"productId": shop.desk, "quantity": 3})
    shop.crm.remove("stockLevels", shop.level)
    shop.quote(shop.lamps(2))
    again, desks, elsewhere = (
        result["body"] for result in shop.crm.batch("stockLevels", *(
            create(productId=product, warehouse=warehouse) for product, warehouse in
            ((shop.lamp, "BER"), (shop.desk, "BER"), (shop.desk, "HAM")))))
    assert (again["quoted"], desks["quoted"], elsewhere["quoted"]) == (2, 3, 0)
    moved = shop.crm.patch("stockLevels", elsewhere, productId=shop.lamp)
    assert moved["quoted"] == 0
    shop.crm.remove("stockLevels", desks)
    moved = shop.crm.patch("stockLevels", moved, productId=shop.desk, warehouse="BER")
    assert moved["quoted"] == 3
    shop.crm.call("PATCH", f"/api/stockLevels/{moved['id']}", {"quoted": 1})
    assert wrong(shop.crm) == (422, {"quoted"})


def test_a_batch_of_quotes_counts_each_once(shop: Shop) -> None:
    one, other = (r["body"] for r in shop.crm.batch(
        "quotes", create(**shop.head(shop.lamps(1), status="Sent")),
        create(**shop.head(shop.lamps(2), status="Accepted"))))
    assert (one["number"], other["number"]) == ("Q-000001", "Q-000002")
    assert shop.quoted() == 3
    results = shop.crm.batch(
        "quotes", {"method": "update", "id": one["id"], "body": {"lines": [shop.lamps(5)]}},
        {"method": "update", "id": one["id"], "body": {"status": "Rejected"}},
        {"method": "update", "id": other["id"], "body": {"lines": [shop.lamps("x")]}},
        {"method": "delete", "id": other["id"]}, create(**shop.head(shop.lamps(9), status="Sent")))
    assert [r["status"] for r in results] == [200, 200, 422, 204, 201]
    assert shop.quoted() == 9


def test_an_accepted_quote_wins_its_opportunity_once(shop: Shop) -> None:
    opportunity = shop.crm.create("opportunities", accountId=shop.account["id"], name="Yearly",
                                  probability=60)
    quote = shop.quote(shop.lamps(1), opportunityId=opportunity["id"])
    assert shop.crm.again("opportunities", opportunity) == opportunity
    shop.crm.patch("quotes", quote, status="Accepted")
    won = shop.crm.again("opportunities", opportunity)
    assert (won["stage"], won["etag"] != opportunity["etag"]) == ("won", True)
    lost = shop.crm.patch("opportunities", won, stage="lost")
    shop.crm.patch("quotes", quote, remark="delivered")
    assert shop.crm.again("opportunities", opportunity) == lost
    shop.crm.patch("opportunities", lost, probability=101)
    assert wrong(shop.crm) == (422, {"probability"})
    shop.crm.remove("opportunities", lost)
    shop.crm.patch("quotes", quote, status="Sent")
    assert shop.crm.patch("quotes", quote, status="Accepted")["status"] == "Accepted"


@pytest.mark.parametrize(("currency", "micros"), [("JPY", 500_000), ("EUR", 5_000), ("KWD", 500)])
def test_an_amount_has_the_decimals_of_its_currency(shop: Shop, currency: str,
                                                    micros: int) -> None:
    shop.crm.call("POST", "/api/quotes", shop.head(shop.lamps(1), currency=currency,
                                                   discountMicros=micros))
    assert wrong(shop.crm) == (422, {"discountMicros"})
    made = shop.quote(shop.lamps(1), currency=currency, discountMicros=2 * micros)
    assert made["netMicros"] == 12_000_000 - 2 * micros


@pytest.mark.parametrize(("more", "field"), [
    ({"discountPercent": 101}, "discountPercent"), ({"discountPercent": -1}, "discountPercent"),
    ({"discountMicros": 12_010_000}, "discountMicros"), ({"exchangeRate": "0"}, "exchangeRate"),
    ({"exchangeRate": 1.08}, "exchangeRate")])
def test_what_can_be_no_discount_or_rate_is_refused(shop: Shop, more: dict[str, Any],
                                                    field: str) -> None:
    shop.crm.call("POST", "/api/quotes", shop.head(shop.lamps(1), **more))
    assert wrong(shop.crm) == (422, {field})


def test_a_discount_on_the_document_falls_on_its_lines(shop: Shop) -> None:
    made = shop.quote(shop.lamps(1, taxPercent=19), shop.lamps(1, taxPercent=19),
                      shop.lamps(1, taxPercent=7), discountMicros=cents("10.00"))
    assert [line["netMicros"] for line in made["lines"]] == [cents("8.66"), *[cents("8.67")] * 2]
    # 17.33 at 19 %, 8.67 at 7 %
    assert (made["netMicros"], made["taxMicros"]) == (cents("26.00"), cents("3.90"))


def test_prices_may_include_tax(shop: Shop) -> None:
    made = shop.quote(shop.lamps(1, taxPercent=19), taxIncluded=True)
    assert (made["netMicros"], made["taxMicros"], made["totalMicros"]) \
        == (cents("10.08"), cents("1.92"), cents("12.00"))
