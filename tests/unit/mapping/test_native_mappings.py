"""The shipped mappings: sample records of the reference CRM and ERP, there and back."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connector.domain.entities import ENTITIES
from connector.mapping.compile import Mapping
from connector.mapping.load import load_mappings
from connector.mapping.transforms import REGISTRY

ROOT = Path(__file__).parents[3] / "mappings"
CRM = load_mappings(ROOT, "native_crm", REGISTRY)
ERP = load_mappings(ROOT, "native_erp", REGISTRY)

ACCOUNT = {
    "id": "acc_1", "name": "Blumen Müller GmbH", "vatNumber": "DE 123 456 788",
    "website": "https://blumen.example", "phone": "+49 30 123456", "email": "Info@BLUMEN.example",
    "segment": "smb", "status": "customer", "language": "de", "street": "Hauptstr. 1",
    "street2": None, "city": "Berlin", "region": "", "postalCode": "10115", "country": "DE",
    "currency": "EUR", "ownerId": None, "active": True, "externalRef": None,
    "erpNumber": "C10001", "creditLimitMicros": 5_000_000_000, "balanceMicros": 1_500_000,
    "paymentTerms": "NET_30", "creditHold": False, "createdAt": "2026-11-24T08:00:00.000000Z",
    "updatedAt": "2026-11-24T08:00:00.000000Z", "deleted": False, "etag": "1"}
ERP_CUSTOMER = {
    "id": 1, "customer_no": "C10001", "kind": "company", "display_name": "Blumen Müller GmbH",
    "tax": {"vat_no": "DE123456788"},
    "finance": {"credit_limit": "5000.00", "balance": "1.50", "open_orders": "0.00",
                "on_hold": False, "currency_code": "EUR"},
    "terms": "30D", "tel": "+4930123456", "mail": "Info@blumen.example",
    "web": "https://blumen.example", "grp": "S", "external_ref": "crm:acc_1", "archived": False,
    "address": {"line1": "Hauptstr. 1", "line2": None, "town": "Berlin", "county": None,
                "zip": "10115", "country_code": "DE"},
    "rev": 1, "created": "2026-11-24T09:00:00+01:00", "modified": "2026-11-24T09:00:00+01:00"}
CUSTOMER = {
    "name": "Blumen Müller GmbH", "vat_number": "DE123456788",
    "website": "https://blumen.example", "phone": "+4930123456", "email": "Info@blumen.example",
    "segment": "small", "street": "Hauptstr. 1", "street2": None, "city": "Berlin",
    "region": None, "postal_code": "10115", "country": "DE", "currency": "EUR", "active": True,
    "number": "C10001", "payment_terms": "NET30", "credit_limit": Decimal("5000.00"),
    "balance": Decimal("1.50"), "on_hold": False}

QUOTE = {
    "number": "QT10001", "customer": "1", "status": "sent", "currency": "EUR",
    "valid_until": date(2026, 12, 31), "warehouse": "MAIN", "customer_reference": "PO 7",
    "remark": "line 10: 3 available of 10", "net": Decimal("23.75"), "tax": Decimal("4.51"),
    "total": Decimal("28.26"),
    "lines": [{"line_no": 10, "product": "5", "description": "Vase", "quantity": Decimal("2.5"),
               "unit_price": Decimal("10"), "discount_percent": Decimal("5"),
               "tax_percent": Decimal("19")}]}
CRM_QUOTE = {
    "id": "quo_1", "number": "Q-000001", "accountId": "1", "contactId": None,
    "opportunityId": None, "status": "Sent", "currency": "EUR", "validUntil": "2026-12-31",
    "warehouse": "MAIN", "customerReference": "PO 7", "netMicros": 23_750_000,
    "taxMicros": 4_510_000, "totalMicros": 28_260_000, "remark": "line 10: 3 available of 10",
    "erpQuoteNumber": "QT10001",
    "lines": [{"lineNo": 10, "productId": "5", "description": "Vase", "quantity": Decimal("2.5"),
               "unitPriceMicros": 10_000_000, "discountPercent": 5, "taxPercent": 19,
               "remark": None, "netMicros": 23_750_000}]}
ERP_QUOTE = {
    "id": 9, "quotation_no": "QT10001", "customer_id": 1, "state": "open",
    "valid_to": "31.12.2026", "currency_code": "EUR", "warehouse": "MAIN", "your_ref": "PO 7",
    "net": "23.75", "tax": "4.51", "gross": "28.26", "remark": "line 10: 3 available of 10",
    "sales_order_id": None,
    "lines": [{"line_no": 10, "item_id": 5, "text": "Vase", "qty": "2.5", "price": "10.00",
               "disc_pct": "5.00", "tax_pct": "19.00", "qty_delivered": "0", "amount": "23.75",
               "stock_note": "3 available of 10", "price_note": None}]}


def same(_: str, key: str) -> str:
    return key


def _computed(mapping: Mapping, record: dict[str, Any]) -> dict[str, Any]:
    """The record without what the system takes from nobody."""
    return {name: value for name, value in record.items() if name in mapping.writable}


def test_both_systems_map_every_entity_that_both_have() -> None:
    assert set(CRM) == set(ERP) == set(ENTITIES) - {"opportunity"}


@pytest.mark.parametrize(("mapping", "payload", "record"), [
    (CRM["customer"], ACCOUNT, CUSTOMER), (ERP["customer"], ERP_CUSTOMER, CUSTOMER),
    (CRM["quote"], CRM_QUOTE, QUOTE), (ERP["quote"], ERP_QUOTE, QUOTE),
], ids=["crm customer", "erp customer", "crm quote", "erp quote"])
def test_both_systems_words_mean_the_same_record(mapping: Mapping, payload: dict[str, Any],
                                                 record: dict[str, Any]) -> None:
    decoded = mapping.decode(payload, same)
    assert decoded == record
    written = mapping.encode(decoded, same)
    again = mapping.decode({**payload, **written}, same, decoded)
    assert _computed(mapping, again) == _computed(mapping, record)


def test_what_is_written_to_the_crm() -> None:
    assert CRM["customer"].encode(CUSTOMER, same) == {
        "name": "Blumen Müller GmbH", "vatNumber": "DE123456788",
        "website": "https://blumen.example", "phone": "+4930123456",
        "email": "Info@blumen.example", "segment": "smb", "street": "Hauptstr. 1",
        "street2": None, "city": "Berlin", "region": None, "postalCode": "10115",
        "country": "DE", "currency": "EUR", "active": True, "erpNumber": "C10001",
        "paymentTerms": "NET_30", "creditLimitMicros": 5_000_000_000,
        "balanceMicros": 1_500_000, "creditHold": False}
    assert CRM["quote"].encode({"lines": QUOTE["lines"], "net": Decimal(1)}, same) == {
        "lines": [{"lineNo": 10, "productId": "5", "description": "Vase",
                   "quantity": Decimal("2.5"), "unitPriceMicros": 10_000_000,
                   "discountPercent": Decimal(5), "taxPercent": Decimal(19)}]}


def test_what_is_written_to_the_erp() -> None:
    assert ERP["customer"].encode(CUSTOMER, same) == {
        "display_name": "Blumen Müller GmbH", "tax": {"vat_no": "DE123456788"},
        "web": "https://blumen.example", "tel": "+4930123456", "mail": "Info@blumen.example",
        "grp": "S", "address": {"line1": "Hauptstr. 1", "line2": None, "town": "Berlin",
                                "county": None, "zip": "10115", "country_code": "DE"},
        "finance": {"currency_code": "EUR", "credit_limit": "5000.00"}, "terms": "30D",
        "archived": False}
    assert ERP["quote"].encode(QUOTE, same) == {
        "customer_id": 1, "state": "open", "currency_code": "EUR", "valid_to": "31.12.2026",
        "warehouse": "MAIN", "your_ref": "PO 7",
        "lines": [{"line_no": 10, "item_id": 5, "text": "Vase", "qty": "2.50", "price": "10.00",
                   "disc_pct": "5.00", "tax_pct": "19.00"}]}


@pytest.mark.parametrize(("canonical", "state"), [
    ("draft", "open"), ("sent", "open"), ("accepted", "won"), ("rejected", "lost"),
    ("expired", "lost"), ("ordered", "ordered")])
def test_a_quotes_status_survives_the_erps_fewer_words(canonical: str, state: str) -> None:
    assert ERP["quote"].encode({"status": canonical}, same) == {"state": state}
    decoded = ERP["quote"].decode({**ERP_QUOTE, "state": state}, same, {"status": canonical})
    assert decoded["status"] == canonical


def test_a_quote_born_in_the_erp_is_sent_so_that_the_crm_takes_part() -> None:
    status = ERP["quote"].decode(ERP_QUOTE, same)["status"]
    assert CRM["quote"].selects(CRM["quote"].encode({"status": status}, same))


def test_which_records_are_shared() -> None:
    assert ERP["customer"].selects(ERP_CUSTOMER)
    assert not ERP["customer"].selects({**ERP_CUSTOMER, "kind": "person"})
    assert CRM["quote"].selects(CRM_QUOTE)
    assert not CRM["quote"].selects({**CRM_QUOTE, "status": "Draft"})


def test_every_status_of_an_order_has_a_word_on_both_sides() -> None:
    for status in ENTITIES["order"].fields["status"].choices:
        for mapping, path in ((CRM["order"], "status"), (ERP["order"], "state")):
            word = mapping.encode({"status": status}, same)[path]
            payload = {"accountId": "1", "customer_id": 1, "currency": "EUR",
                       "currency_code": "EUR", path: word}
            assert mapping.decode(payload, same)["status"] == status


def test_an_erp_order_and_its_block() -> None:
    decoded = ERP["order"].decode({
        "id": 4, "order_no": "SO10001", "customer_id": 1, "quotation_id": 9, "state": "entered",
        "ordered_on": "24.11.2026", "currency_code": "EUR", "warehouse": "MAIN",
        "your_ref": None, "net": "0.00", "tax": "0.00", "gross": "0.00",
        "block": "credit limit 5000.00 exceeded by 120.00", "lines": [
            {"line_no": 1, "item_id": 5, "text": None, "qty": "3.00", "price": "1.25",
             "disc_pct": "0.00", "tax_pct": "7.00", "qty_delivered": "1.00"}]}, same)
    assert (decoded["remark"], decoded["quote"], decoded["ordered_on"]) == (
        "credit limit 5000.00 exceeded by 120.00", "9", date(2026, 11, 24))
    assert decoded["lines"][0]["quantity_shipped"] == 1
    written = ERP["order"].encode(decoded, same)
    assert "block" not in written
    assert "order_no" not in written
    assert written["quotation_id"] == 9
    assert "qty_delivered" not in written["lines"][0]


def test_deliveries_and_invoices_of_the_erp_are_only_read() -> None:
    assert ERP["delivery"].writable == frozenset()
    assert ERP["invoice"].writable == {"disputed", "promised_on"}
    assert ERP["invoice"].encode({"promised_on": date(2026, 12, 1), "disputed": True,
                                  "status": "paid", "lines": []}, same) == {
        "promised_on": "01.12.2026", "dispute": True}
    delivery = ERP["delivery"].decode({
        "id": 2, "delivery_no": "D1", "sales_order_id": 4, "carrier": None, "tracking": "T1",
        "shipped_at": "2026-11-24T09:00:00+01:00",
        "lines": [{"line_no": 1, "item_id": 5, "qty": "1.00"}]}, same)
    assert delivery["shipped_at"] == datetime(2026, 11, 24, 8, tzinfo=UTC)
    assert CRM["delivery"].encode(delivery, same) == {
        "number": "D1", "orderId": "4", "carrier": None, "trackingNumber": "T1",
        "shippedAt": "2026-11-24T08:00:00.000000Z",
        "lines": [{"lineNo": 1, "productId": "5", "quantity": Decimal(1)}]}


def test_stock_is_the_erps_and_counts_and_wishes_are_the_crms() -> None:
    assert CRM["stock_level"].writable == {"product", "warehouse", "on_hand", "reserved",
                                           "available"}
    assert ERP["stock_level"].writable == {"product", "warehouse", "quoted", "counted",
                                           "counted_on"}
    assert ERP["stock_level"].encode(
        {"counted": Decimal(12), "counted_on": date(2026, 11, 24)}, same) == {
        "count": {"qty": "12.00", "on": "24.11.2026"}}


def test_a_stock_level_never_counted() -> None:
    decoded = ERP["stock_level"].decode({"item_id": 5, "warehouse": "MAIN", "on_hand": "1.00",
                                         "count": None}, same)
    assert (decoded["counted"], decoded["counted_on"]) == (None, None)


def test_units_active_and_prices_of_a_product() -> None:
    decoded = ERP["product"].decode({
        "id": 5, "item_code": "V-1", "label": "Vase", "text": None, "uom": "EA",
        "base_price": "12.3450", "currency_code": "EUR", "tax_pct": "19.00", "archived": True},
        same)
    assert decoded == {"sku": "V-1", "name": "Vase", "description": None, "unit": "each",
                       "list_price": Decimal("12.345"), "currency": "EUR",
                       "tax_percent": Decimal(19), "active": False}
    assert CRM["product"].encode(decoded, same) == {
        "sku": "V-1", "name": "Vase", "description": None, "unit": "each",
        "listPriceMicros": 12_345_000, "currency": "EUR", "taxPercent": Decimal(19),
        "active": False}
    assert ERP["product"].encode(decoded, same)["uom"] == "EA"


def test_references_of_a_document() -> None:
    assert ERP["quote"].references(ERP_QUOTE) == [("customer", "1"), ("product", "5")]
    assert CRM["contact"].references({"accountId": "acc_1"}) == [("customer", "acc_1")]
