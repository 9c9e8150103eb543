"""Filling an ERP directly gives what the calls would have given."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from test_erp_access import served

from connector.native.erp import load

LINE = {"item_id": "L", "price": "10.00", "tax_pct": "19"}
ORDER = {"customer_id": "aurora", "currency_code": "EUR"}


def rows() -> dict[str, list[dict[str, Any]]]:
    return {
        "warehouses": [{"code": "BER", "name": "Berlin"}],
        "customers": [{"display_name": "Aurora", "external_ref": "aurora",
                       "created": "2025-01-05T10:00:00+01:00",
                       "modified": "2025-02-05T10:00:00+01:00"},
                      {"id": 7, "display_name": "Borealis"}, {"display_name": "Corona"}],
        "contact_persons": [{"customer_id": "aurora", "given_name": "Ada"},
                            {"customer_id": 7, "given_name": "Bob"}],
        "items": [{"item_code": "L", "label": "Lamp", "base_price": "12.00"}],
        "stock_levels": [{"item_id": "L", "warehouse": "BER", "on_hand": "10"}],
        "quotations": [{**ORDER, "warehouse": "BER", "external_ref": "q1",
                        "lines": [{**LINE, "qty": "2"}]}],
        "sales_orders": [
            {**ORDER, "quotation_id": "q1", "external_ref": "o1", "lines": [{**LINE, "qty": "4"}]},
            {**ORDER, "external_ref": "o2", "lines": [{**LINE, "qty": "1"}]}],
        "actions": [{"action": "confirm", "id": 1}, {"action": "confirm", "id": 2},
                    {"action": "ship", "id": 1, "lines": [{"line_no": 1, "qty": "3"}]},
                    {"action": "ship", "id": 2}, {"action": "invoice", "id": 2}],
        "payments": [{"id": 30, "invoice_id": 1, "amount": "11.90", "reference": "P1"}]}


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/erp.db"


def test_sums_balances_and_reservations_are_worked_out(tmp_path: Path, database: str) -> None:
    assert load(database, rows()) == {name: len(given) for name, given in rows().items()}
    with served(tmp_path) as erp:
        (aurora,) = erp.get("customers", external_ref="aurora")["rows"]
        assert (aurora["finance"]["balance"], aurora["finance"]["open_orders"]) == ("0.00", "47.60")
        level = erp.last("stock_levels")
        assert (level["on_hand"], level["reserved"], level["available"]) == ("6", "1", "5")
        quotation = erp.last("quotations")
        assert (quotation["state"], quotation["sales_order_id"]) == ("ordered", 1)
        assert quotation["remark"] == "line 1: price 10.00 is below list 12.00"
        orders = {o["external_ref"]: o["state"] for o in erp.get("sales_orders")["rows"]}
        assert orders == {"o1": "part_delivered", "o2": "settled"}
        assert (erp.last("invoices")["state"], erp.last("payments")["id"]) == ("paid", 30)
        assert [c["customer_id"] for c in erp.get("contact_persons")["rows"]] == [aurora["id"], 7]


def test_ids_and_times_may_be_given(tmp_path: Path, database: str) -> None:
    load(database, {"customers": rows()["customers"]})
    with served(tmp_path) as erp:
        first, second, third = erp.get("customers")["rows"]
        assert first["created"] == "2025-01-05T10:00:00.000000+01:00"
        assert first["modified"] == "2025-02-05T10:00:00.000000+01:00"
        assert [c["id"] for c in (first, second, third)] == [1, 7, 8]
        assert erp.get("customers", after_modified=first["modified"],
                       after_id=first["id"])["rows"] == [second, third]
        assert erp.create("customers", display_name="next")["customer_no"] == "C10009"


def test_loading_twice_goes_on_where_the_first_ended(tmp_path: Path, database: str) -> None:
    load(database, rows())
    load(database, {"contact_persons": [{"customer_id": "aurora"}], "quotations": [
        {**ORDER, "lines": [{**LINE, "qty": "1"}]}]})
    with served(tmp_path) as erp:
        assert len(erp.get("contact_persons")["rows"]) == 3
        assert [q["quotation_no"] for q in erp.get("quotations")["rows"]] == ["QT10001", "QT10002"]


def test_more_than_a_chunk_is_loaded(tmp_path: Path, database: str) -> None:
    many = [{"display_name": f"K{i}", "external_ref": f"crm:{i}"} for i in range(2_005)]
    assert load(database, {"customers": iter(many)}) == {"customers": 2_005}
    with served(tmp_path) as erp:
        assert erp.last("customers")["id"] == 200
        assert [c["id"] for c in erp.get("customers", external_ref="crm:2004")["rows"]] == [2_005]


@pytest.mark.parametrize(("object", "row", "told"), [
    ("customers", {"display_name": ""}, "display_name"),
    ("contact_persons", {"customer_id": "nobody"}, "customer_id"),
    ("customers", {"display_name": "x", "finance": {"balance": "1.00"}}, "finance.balance"),
    ("deliveries", {"lines": []}, "E405-OBJECT"),
    ("actions", {"action": "confirm", "id": 1}, "E404")])
def test_the_first_row_that_is_refused_is_told(
        database: str, object: str, row: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        load(database, {object: [row]})


def test_the_clock_can_be_given(tmp_path: Path, database: str) -> None:
    load(database, {"customers": [{"display_name": "x"}]},
         clock=lambda: datetime(2020, 5, 1, tzinfo=UTC))
    with served(tmp_path) as erp:
        assert erp.last("customers")["modified"].startswith("2020-05-01T02:00:00")
