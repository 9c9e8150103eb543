"""An accepted quote becomes one order, and only an accepted one."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from connector.domain.entities import ENTITIES, unpack
from connector.domain.policies import CRM, ERP, Becomes
from connector.engine.derive import derived_change, derived_name, derived_record
from connector.engine.group import Group, Seen
from connector.engine.pair import Pair

BECOMES = Becomes("order", "status", "accepted", "erp", {"status": "confirmed"})
LINE = {"line_no": 10, "product": "p1", "description": None, "quantity": Decimal(3),
        "unit_price": Decimal("9.99"), "discount_percent": Decimal(5),
        "tax_percent": Decimal(19)}
QUOTE: dict[str, Any] = {
    "number": "QT1", "customer": "c1", "status": "accepted", "currency": "EUR",
    "valid_until": date(2026, 12, 31), "warehouse": "MAIN", "customer_reference": "PO-7",
    "remark": "below list", "net": Decimal("28.47"), "tax": Decimal("5.41"),
    "total": Decimal("33.88"), "lines": [LINE]}


def group(**base: Any) -> Group:
    return Group("quote", "q1", {**QUOTE, **base},
                 {CRM: Seen("quo_1", "etag-4", dict(QUOTE)), ERP: Seen("7", "2", dict(QUOTE))})


def test_an_order_has_what_both_documents_share_and_names_its_quote() -> None:
    assert derived_record(BECOMES, "quote", "q1", QUOTE) == {
        "customer": "c1", "quote": "q1", "status": "confirmed", "currency": "EUR",
        "warehouse": "MAIN", "customer_reference": "PO-7", "lines": [LINE]}


def test_its_lines_are_copies() -> None:
    made = derived_record(BECOMES, "quote", "q1", QUOTE)
    made["lines"][0]["quantity"] = Decimal(4)
    assert LINE["quantity"] == Decimal(3)


def test_an_accepted_quote_brings_up_an_order(example_pair: Pair) -> None:
    change = derived_change(example_pair, BECOMES, group())
    assert change is not None
    assert (change.entity, change.system, change.external_id, change.derived_from) \
        == ("order", "crm", "quote:quo_1", "q1")
    assert unpack(ENTITIES["order"], change.payload) \
        == derived_record(BECOMES, "quote", "q1", QUOTE)


def test_however_often_it_is_seen_it_is_the_same_order(example_pair: Pair) -> None:
    first, again = group(), group(remark="another", number="QT2")
    again.sides[CRM].version = "etag-5"
    ids = set()
    for seen in (first, again):
        change = derived_change(example_pair, BECOMES, seen)
        assert change is not None
        ids.add(example_pair.canonical_id("order", change.system, change.external_id))
    assert len(ids) == 1


@pytest.mark.parametrize("status", ["draft", "sent", "ordered", "rejected", "expired", None])
def test_another_status_brings_up_nothing(example_pair: Pair, status: str | None) -> None:
    assert derived_change(example_pair, BECOMES, group(status=status)) is None


def test_the_agreed_status_counts_not_one_sides(example_pair: Pair) -> None:
    """A quote accepted in the CRM while the ERP calls it lost is in conflict, not accepted."""
    assert derived_change(example_pair, BECOMES, group(status="sent")) is None


def test_a_deleted_quote_brings_up_nothing(example_pair: Pair) -> None:
    gone, alone = group(), group()
    gone.sides[CRM].record = None
    del alone.sides[CRM]
    assert derived_change(example_pair, BECOMES, gone) is None
    assert derived_change(example_pair, BECOMES, alone) is None


def test_what_it_would_become_has_a_name_as_long_as_its_source_is_known(
        example_pair: Pair) -> None:
    change, gone, alone = derived_change(example_pair, BECOMES, group()), group(), group()
    gone.sides[CRM].record = None
    del alone.sides[CRM]
    assert change is not None
    assert derived_name(example_pair, BECOMES, gone) == change.trace_key
    assert derived_name(example_pair, BECOMES, alone) is None
