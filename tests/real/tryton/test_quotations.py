"""From opportunity to quotation to order on a real Tryton: one sale, whatever breaks off."""

from __future__ import annotations

import itertools
from decimal import Decimal

import pytest

from connector.adapters.tryton import Tryton
from connector.domain.records import Operation, RemoteRecord, WriteStatus
from tests.between import between
from tests.real.tryton.clerk import Clerk
from tests.real.tryton.conftest import adapter
from tests.real.tryton.server import TrytonServer
from tests.real.tryton.test_adapter import (
    created,
    order,
    over_limit,
    read,
    stocked,
    updated,
    write,
)

_numbers = itertools.count(1)


@pytest.fixture
def buyer(erp: Tryton) -> RemoteRecord:
    return created(erp, "customers", {"name": "Quoted", "address": {"city": "Mainz"}})


@pytest.fixture
def product(erp: Tryton, clerk: Clerk) -> RemoteRecord:
    return stocked(erp, clerk, f"Q-{next(_numbers)}", 10)


def sales(clerk: Clerk, buyer: RemoteRecord) -> list[str]:
    """The states of a customer's sales."""
    return [row["state"] for row in clerk.read("sale.sale", [
        ["party", "=", int(buyer.external_id)]], "state")]


def test_a_quotation_becomes_the_order_and_no_second_sale(
        erp: Tryton, clerk: Clerk, buyer: RemoteRecord, product: RemoteRecord) -> None:
    asked = order(buyer, product, progress="quotation")
    quotation = created(erp, "quotations", asked)
    assert (quotation.payload["progress"], sales(clerk, buyer)) == ("quotation", ["quotation"])
    assert quotation.external_id not in read(erp, "sales")[0]
    wanted = {**asked, "quotation": quotation.external_id, "progress": "processing"}
    for _ in range(2):
        (result,) = write(erp, "sales", Operation.CREATE, wanted, reference="crm:quote:7")
        assert (result.status, result.error, result.refusal) == (WriteStatus.CREATED, "", "")
        assert result.record is not None
        assert (result.record.external_id, result.record.reference) \
            == (quotation.external_id, "crm:quote:7")
        assert result.record.payload["quotation"] == int(quotation.external_id)
    assert sales(clerk, buyer) == ["processing"]
    now = read(erp, "quotations")[0][quotation.external_id]
    assert (now.payload["progress"], now.reference) == ("ordered", quotation.reference)
    assert erp.find("sales", ["crm:quote:7"])["crm:quote:7"].external_id == now.external_id
    assert quotation.reference
    assert erp.find("quotations", [quotation.reference])[quotation.reference].version \
        == now.version
    (other,) = write(erp, "sales", Operation.CREATE, wanted, reference="crm:quote:8")
    assert other.status is WriteStatus.REJECTED
    assert "is the order for crm:quote:7 already" in other.error
    assert sales(clerk, buyer) == ["processing"]


@pytest.mark.parametrize("broken", ["sale.sale.write", "sale.sale.confirm"])
def test_what_broke_off_is_gone_on_with(
        broken: str, tryton: TrytonServer, erp: Tryton, clerk: Clerk, buyer: RemoteRecord,
        product: RemoteRecord) -> None:
    """A line that breaks before the quotation is marked, or between that and its confirmation."""
    quotation = created(erp, "quotations", order(buyer, product, progress="quotation"))
    wanted = {"party": int(buyer.external_id), "quotation": int(quotation.external_id),
              "progress": "processing"}
    calls = 0

    def cut(_method: str, _path: str, body: bytes) -> None:
        nonlocal calls
        if broken.encode() in body:
            calls += 1
            raise ConnectionError(broken)

    with between(tryton.url, cut) as url:
        (lost,) = write(adapter(tryton, url=url, max_attempts=1), "sales", Operation.CREATE, wanted,
                        reference=f"crm:quote:{broken}")
    assert calls
    assert lost.status is not WriteStatus.REJECTED
    assert sales(clerk, buyer) == ["quotation"]
    (again,) = write(erp, "sales", Operation.CREATE, wanted, reference=f"crm:quote:{broken}")
    assert (again.status, again.refusal) == (WriteStatus.CREATED, "")
    assert sales(clerk, buyer) == ["processing"]


def test_what_was_accepted_is_what_is_confirmed(
        erp: Tryton, clerk: Clerk, buyer: RemoteRecord, product: RemoteRecord) -> None:
    asked = order(buyer, product, progress="quotation")
    quotation = created(erp, "quotations", asked)
    (line, _) = asked["lines"]
    (result,) = write(erp, "sales", Operation.CREATE, {
        **asked, "lines": [{**line, "quantity": Decimal(3)}],
        "quotation": quotation.external_id, "progress": "processing"}, reference="crm:quote:9")
    assert result.record is not None, result.error
    assert [line["quantity"] for line in result.record.payload["lines"]] == [3]
    assert sales(clerk, buyer) == ["processing"]


@pytest.mark.parametrize(("action", "state"), [("cancel", "cancelled"),
                                               ("confirm", "processing")])
def test_what_was_settled_by_hand_is_left_alone(
        action: str, state: str, erp: Tryton, clerk: Clerk, buyer: RemoteRecord,
        product: RemoteRecord) -> None:
    quotation = created(erp, "quotations", order(buyer, product, progress="quotation"))
    clerk.do("sale.sale", action, [int(quotation.external_id)])
    now = read(erp, "quotations")[0][quotation.external_id].payload["progress"]
    assert now == ("cancelled" if action == "cancel" else "ordered")
    (refused,) = write(erp, "sales", Operation.CREATE, {
        "party": int(buyer.external_id), "quotation": int(quotation.external_id),
        "progress": "processing"}, reference="crm:quote:11")
    assert refused.status is WriteStatus.REJECTED
    assert f"is {state} in Tryton already" in refused.error
    assert sales(clerk, buyer) == [state]


def test_a_quotation_is_taken_back_and_given_again(
        erp: Tryton, buyer: RemoteRecord, product: RemoteRecord) -> None:
    made = created(erp, "quotations", order(buyer, product))
    for asked in ("quotation", "cancelled", "draft", "quotation", "draft"):
        result = updated(erp, "quotations", made, {"progress": asked})
        assert (result.status, result.refusal) == (WriteStatus.UPDATED, "")
        assert result.record is not None
        made = result.record
        assert made.payload["progress"] == asked
    refused = updated(erp, "quotations", made, {"progress": "ordered"})
    assert refused.refusal == "Tryton reaches 'ordered' by its own documents."


def test_an_order_that_is_declined_is_an_order_all_the_same(
        tryton: TrytonServer, erp: Tryton) -> None:
    poor, product = over_limit(tryton, erp)
    quotation = created(erp, "quotations", order(poor, product, progress="quotation"))
    (result,) = write(erp, "sales", Operation.CREATE, {
        "party": int(poor.external_id), "quotation": int(quotation.external_id),
        "progress": "processing"}, reference="crm:quote:12")
    assert result.status is WriteStatus.CREATED
    assert "credit limit" in result.refusal
    assert result.record is not None
    assert result.record.payload["progress"] == "draft"
    assert read(erp, "quotations")[0][quotation.external_id].payload["progress"] == "ordered"


def test_neither_a_copy_nor_a_word_changes_which_sale_it_is(
        erp: Tryton, clerk: Clerk, buyer: RemoteRecord, product: RemoteRecord) -> None:
    quotation = created(erp, "quotations", order(buyer, product))
    (copy,) = clerk.do("sale.sale", "copy", [int(quotation.external_id)], {})
    assert erp.get("quotations", [str(copy)])[str(copy)].reference is None
    clerk.do("sale.sale", "write", [int(quotation.external_id)],
             {"description": f"For the fair [quotation {quotation.reference}]"})
    assert quotation.reference
    found = erp.find("quotations", [quotation.reference])
    assert found[quotation.reference].external_id == quotation.external_id


def test_a_sale_that_was_made_as_an_order_was_never_a_quotation(
        erp: Tryton, buyer: RemoteRecord, product: RemoteRecord) -> None:
    made = created(erp, "sales", order(buyer, product))
    assert made.payload["progress"] == "draft"
    assert made.external_id in read(erp, "sales")[0]
    assert made.external_id not in read(erp, "quotations")[0]


def deal(buyer: RemoteRecord, product: RemoteRecord) -> dict[str, object]:
    line = {"line_no": 0, "product": product.external_id, "quantity": Decimal(2),
            "description": "two"}
    return {"party": buyer.external_id, "description": "The fair", "progress": "opportunity",
            "probability": Decimal(25), "amount": Decimal("10.50"), "end_date": "2030-12-31",
            "lines": [line, {**line, "line_no": 1, "description": None}]}


def test_an_opportunity_is_won_by_its_order(
        erp: Tryton, buyer: RemoteRecord, product: RemoteRecord) -> None:
    made = created(erp, "opportunities", deal(buyer, product))
    assert (made.payload["state"], made.payload["probability"], made.payload["amount"],
            made.payload["end_date"]) == ("opportunity", 25, Decimal("10.50"), "2030-12-31")
    assert [(line["line_no"], line["quantity"], line["description"])
            for line in made.payload["lines"]] == [(0, 2, "two"), (1, 2, None)]
    result = updated(erp, "opportunities", made, {"lines": [
        {"line_no": 0, "quantity": Decimal(3)},
        {"line_no": 2, "product": product.external_id, "quantity": Decimal(1)}]})
    assert result.record is not None, result.error
    assert [(line["line_no"], line["quantity"], line["description"])
            for line in result.record.payload["lines"]] == [(0, 3, "two"), (2, 1, None)]
    quotation = created(erp, "quotations", order(buyer, product, progress="quotation",
                                                 opportunity=made.external_id))
    assert quotation.payload["opportunity"] == int(made.external_id)
    now = read(erp, "opportunities")[0][made.external_id].payload
    assert (now["state"], now["progress"]) == ("converted", "opportunity")
    assert not {"amount", "end_date", "comment", "lines"} & set(now)  # the quotation's by now
    write(erp, "sales", Operation.CREATE, {
        "party": int(buyer.external_id), "quotation": int(quotation.external_id),
        "progress": "processing"}, reference="crm:quote:13")
    assert read(erp, "opportunities")[0][made.external_id].payload["state"] == "won"


def test_what_the_other_side_won_and_lost_is_kept(
        erp: Tryton, clerk: Clerk, buyer: RemoteRecord, product: RemoteRecord) -> None:
    made = created(erp, "opportunities", deal(buyer, product))
    for asked, state in (("won", "opportunity"), ("opportunity", "opportunity"),
                         ("lost", "lost"), ("won", "opportunity"), ("lead", "lead")):
        result = updated(erp, "opportunities", made, {"progress": asked})
        assert (result.status, result.refusal) == (WriteStatus.UPDATED, "")
        assert result.record is not None
        made = result.record
        (row,) = clerk.read("sale.opportunity", [["id", "=", int(made.external_id)]], "state")
        assert (made.payload["progress"], row["state"]) == (asked, state)
        assert made.reference
        found = erp.find("opportunities", [made.reference])
        assert found[made.reference].version == made.version
