"""Orders that the ERP has confirmed: a change in the CRM is proposed, accepted or declined."""

from __future__ import annotations

import re
from typing import Any

import pytest

from connector.bootstrap import shipped
from connector.domain.ledger import Conflict, ConflictState
from connector.engine.answers import decision_for
from connector.errors import RunFailed
from tests.integration.conftest import Pair, dying
from tests.integration.trade import Trade, open_trade
from tests.slow import slow_but


@pytest.fixture
def trade(pair: Pair) -> Trade:
    """A confirmed order of 10 and 4 pieces at 10.00."""
    trade = open_trade(pair)
    trade.order(10, 4)
    trade.settled()
    return trade


def crm_order(trade: Trade) -> dict[str, Any]:
    (order,) = trade.pair.in_crm("orders")
    return order


def erp_order(trade: Trade) -> dict[str, Any]:
    (order,) = trade.pair.in_erp("sales_orders")
    return order


def edit(trade: Trade, line: int | None = None, **changes: Any) -> None:
    """Change the order in the CRM, or one of its lines; a line of no quantity goes out."""
    order = crm_order(trade)
    if line is not None:
        lines = [{k: v for k, v in ln.items() if k != "netMicros"} for ln in order["lines"]]
        for known in lines:
            if known["lineNo"] == line:
                known.update(changes)
        changes = {"lines": [ln for ln in lines if ln["quantity"]]}
    trade.pair.crm("PATCH", f"orders/{order['id']}", changes)


def kept(trade: Trade) -> list[Conflict]:
    return [c for c in trade.pair.conflicts(*ConflictState) if c.kind == "proposal"]


def quantities(trade: Trade) -> list[Any]:
    mine = [ln["quantity"] for ln in crm_order(trade)["lines"]]
    theirs = [int(ln["qty"]) for ln in erp_order(trade)["lines"]]
    assert mine == theirs
    return mine


def test_before_anything_is_shipped_the_erp_accepts(trade: Trade) -> None:
    pair = trade.pair
    edit(trade, 10, quantity=12)
    lines = [{k: v for k, v in ln.items() if k != "netMicros"} for ln in crm_order(trade)["lines"]]
    edit(trade, customerReference="PO 7", orderDate="2026-11-30", lines=[
        *lines, {"lineNo": 30, "productId": trade.product, "quantity": 1,
                 "unitPriceMicros": 5_000_000, "taxPercent": 19}])
    trade.settled()
    order = erp_order(trade)
    assert quantities(trade) == [12, 4, 1]
    assert (order["your_ref"], order["ordered_on"], order["gross"], order["state"]) \
        == ("PO 7", "30.11.2026", "196.35", "confirmed")
    assert order["amendment"]["state"] == "accepted"
    assert pair.in_crm("stockLevels")[0]["reserved"] == 17
    assert pair.in_erp("customers")[0]["finance"]["open_orders"] == "196.35"
    edit(trade, 20, quantity=0)
    trade.settled()
    assert quantities(trade) == [12, 1]
    assert pair.in_crm("stockLevels")[0]["reserved"] == 13
    assert (crm_order(trade)["remark"], kept(trade)) == (None, [])


DECLINED: list[tuple[str, Any, Any, str]] = [
    ("less than is shipped", lambda t: t.ship(1, (10, "6")),
     lambda t: edit(t, 10, quantity=5), "6 of line 10 are shipped"),
    ("a shipped line goes out", lambda t: t.ship(1, (10, "6")),
     lambda t: edit(t, 10, quantity=0), "6 of line 10 are shipped"),
    ("the price of a shipped line", lambda t: t.ship(1, (10, "6")),
     lambda t: edit(t, 10, unitPriceMicros=11_000_000),
     "line 10 is partly shipped: only its quantity can still be changed"),
    ("a partly shipped order is cancelled", lambda t: t.ship(1, (10, "6")),
     lambda t: edit(t, status="Cancelled"), "order SO10001 is partly shipped"),
    ("all is shipped", lambda t: t.ship(1), lambda t: edit(t, 20, quantity=5),
     "order SO10001 is shipped"),
    ("it is invoiced", lambda t: (t.ship(1), t.bill(1)), lambda t: edit(t, customerReference="X"),
     "order SO10001 is invoiced"),
    ("it is cancelled", lambda t: t.do("cancel", 1), lambda t: edit(t, status="Confirmed"),
     "order SO10001 is cancelled"),
    ("the credit limit", lambda t: t.pair.edit_erp("customers", 1, finance={
        "credit_limit": "200.00"}), lambda t: edit(t, 10, quantity=20),
     "credit limit 200.00 exceeded by 85.60"),
    ("a step that is the ERP's", lambda _t: None, lambda t: edit(t, status="Invoiced"),
     "order SO10001 reaches the state invoiced by its own documents"),
]


@pytest.mark.parametrize(("before", "change", "reason"), [
    pytest.param(*row, id=name) for name, *row in DECLINED])
def test_what_the_erps_state_forbids_is_put_back_with_the_reason(
        trade: Trade, before: Any, change: Any, reason: str) -> None:
    before(trade)
    trade.settled()
    shown = {k: v for k, v in crm_order(trade).items()
             if k not in ("remark", "updatedAt", "syncedAt", "etag")}
    theirs = erp_order(trade)
    change(trade)
    asked = crm_order(trade)
    trade.settled()
    now = crm_order(trade)
    assert now["remark"] == f"change declined: {reason}"
    assert {k: v for k, v in now.items() if k in shown} == shown
    assert {k: v for k, v in erp_order(trade).items()
            if k not in ("rev", "modified", "amendment")} \
        == {k: v for k, v in theirs.items() if k not in ("rev", "modified", "amendment")}
    (conflict,) = kept(trade)
    assert conflict.state is ConflictState.SETTLED
    assert conflict.settled_by == f"declined by the erp: {reason}"
    (path,) = conflict.crm  # what was asked for is not lost
    if path == "status":
        assert asked["status"].lower() == conflict.crm[path]
    assert conflict.crm[path] != conflict.erp[path]


def test_unshipped_quantities_of_a_partly_shipped_order_are_accepted(trade: Trade) -> None:
    trade.ship(1, (10, "6"))
    trade.settled()
    edit(trade, 10, quantity=6)
    trade.settled()
    assert quantities(trade) == [6, 4]
    assert crm_order(trade)["status"] == "PartiallyShipped"
    edit(trade, 20, quantity=0)
    trade.settled()
    assert (quantities(trade), crm_order(trade)["status"]) == ([6], "Shipped")
    assert trade.pair.in_crm("stockLevels")[0]["reserved"] == 0
    assert kept(trade) == []


def test_a_confirmed_order_is_cancelled_from_the_crm(trade: Trade) -> None:
    edit(trade, status="Cancelled")
    trade.settled()
    assert (erp_order(trade)["state"], kept(trade)) == ("void", [])
    assert trade.pair.in_crm("stockLevels")[0]["reserved"] == 0


def cheaper(trade: Trade, price: int = 9) -> None:
    """A change that a clerk of the ERP has to look at."""
    edit(trade, 10, unitPriceMicros=price * 1_000_000)
    trade.pair.sync()


def prices(trade: Trade) -> tuple[Any, str]:
    return (crm_order(trade)["lines"][0]["unitPriceMicros"] // 1_000_000,
            erp_order(trade)["lines"][0]["price"])


def test_what_a_clerk_has_to_answer_stays_a_proposal(trade: Trade) -> None:
    pair = trade.pair
    cheaper(trade)
    assert prices(trade) == (9, "10.00")
    assert crm_order(trade)["remark"] \
        == "change proposed: a clerk has to approve the price of line 10"
    (proposal,) = pair.conflicts()
    assert (proposal.kind, proposal.crm, proposal.erp) == (
        "proposal", {"lines[10].unit_price": "9"}, {"lines[10].unit_price": "10"})
    for _ in range(2):
        assert not any(pair.sync().writes.values())
    assert (erp_order(trade)["amendment"]["state"], [c.id for c in pair.conflicts()]) \
        == ("pending", [proposal.id])

    cheaper(trade, 8)  # a second edit takes the place of the first
    assert [(c.id, c.crm) for c in kept(trade)] == [(proposal.id, {"lines[10].unit_price": "8"})]
    trade.ship(1, (10, "6"))
    pair.sync()
    assert (prices(trade), crm_order(trade)["status"]) == ((8, "10.00"), "PartiallyShipped")
    with pytest.raises(AssertionError):
        trade.do("accept_change", 1)  # the price of what is partly shipped is fixed
    trade.do("decline_change", 1, reason="too cheap")
    trade.settled()
    assert prices(trade) == (10, "10.00")
    assert crm_order(trade)["remark"] == "change declined: too cheap"
    assert [(c.id, c.settled_by) for c in kept(trade)] \
        == [(proposal.id, "declined by the erp: too cheap")]


def test_a_clerk_accepts(trade: Trade) -> None:
    cheaper(trade)
    trade.do("accept_change", 1)
    trade.settled()
    assert prices(trade) == (9, "9.00")
    assert crm_order(trade)["remark"] is None
    assert [c.settled_by for c in kept(trade)] == ["accepted by the erp"]


def test_a_proposal_is_taken_back_in_the_crm(trade: Trade) -> None:
    cheaper(trade)
    cheaper(trade, 10)
    trade.settled()
    assert (erp_order(trade)["amendment"], crm_order(trade)["remark"]) == (None, None)
    assert prices(trade) == (10, "10.00")


def test_a_proposal_is_taken_back_by_a_person(trade: Trade) -> None:
    cheaper(trade)
    (proposal,) = trade.pair.conflicts()
    with pytest.raises(RunFailed, match="the ERP has to answer"):
        decision_for(proposal, take="crm")
    trade.pair.engine.resolve(proposal, decision_for(proposal, take="erp"))
    trade.settled()
    assert (prices(trade), erp_order(trade)["amendment"]) == ((10, "10.00"), None)
    assert [c.settled_by for c in kept(trade)] == ["a person"]
    cheaper(trade)
    assert erp_order(trade)["amendment"]["state"] == "pending"  # and may be asked for anew


def test_the_same_change_is_asked_for_anew_after_it_was_declined(trade: Trade) -> None:
    trade.pair.edit_erp("customers", 1, finance={"credit_limit": "200.00"})
    trade.settled()
    edit(trade, 10, quantity=20)
    trade.settled()
    assert quantities(trade) == [10, 4]
    trade.pair.edit_erp("customers", 1, finance={"credit_limit": "5000.00"})
    edit(trade, 10, quantity=20)
    trade.settled()
    assert (quantities(trade), crm_order(trade)["remark"]) == ([20, 4], None)


def test_where_both_sides_changed_the_erp_has_the_say(trade: Trade) -> None:
    trade.pair.edit_erp("sales_orders", 1, your_ref="theirs")
    edit(trade, customerReference="mine")
    trade.settled()
    assert (crm_order(trade)["customerReference"], erp_order(trade)["your_ref"]) \
        == ("theirs", "theirs")
    (conflict,) = trade.pair.conflicts(ConflictState.SETTLED)
    assert (conflict.path, conflict.crm, conflict.erp, conflict.settled_by) \
        == ("customer_reference", "mine", "theirs", "prefer erp")


POINTS = ["intents recorded", "before write", "after write", "results not kept", "results kept"]


@pytest.mark.parametrize("point", slow_but(["before write", "results not kept"], POINTS))
@pytest.mark.parametrize("nth", slow_but([1], [1, 2]))
def test_a_change_is_asked_for_once_whatever_crashes(trade: Trade, point: str, nth: int) -> None:
    die = dying(point, nth)
    edit(trade, 10, unitPriceMicros=9_000_000)
    rev = erp_order(trade)["rev"]
    try:
        trade.pair.connector.engine("main", crash=die).sync()
    except KeyboardInterrupt:
        trade.pair.sync()
    trade.pair.sync()
    assert not any(trade.pair.sync().writes.values())
    order = erp_order(trade)
    assert (order["rev"], order["amendment"]["state"]) == (rev + 1, "pending")
    assert [c.state for c in kept(trade)] == [ConflictState.OPEN]
    trade.do("decline_change", 1)
    die = dying(point, nth)
    try:
        trade.pair.connector.engine("main", crash=die).sync()
    except KeyboardInterrupt:
        trade.pair.sync()
    trade.settled()
    assert (prices(trade), erp_order(trade)["rev"]) == ((10, "10.00"), rev + 2)
    assert {c.settled_by for c in kept(trade)} \
        == {"declined by the erp: a clerk has declined it"}


@pytest.fixture
def silent(trade: Trade) -> Trade:
    """An ERP that keeps no answers: it takes a write or refuses it."""
    text = (shipped("mappings") / "native_erp" / "order.yaml").read_text(encoding="utf-8")
    text = re.sub(r"  amendment:\n.*?  amendment_asked: [^\n]*\n", "", text, flags=re.DOTALL)
    assert "amendment" not in text
    own = trade.pair.folder / "own" / "native_erp"
    own.mkdir(parents=True)
    (own / "order.yaml").write_text(text, encoding="utf-8")
    trade.pair.reconfigure("# mappings: [my-mappings]", "mappings: [own]")
    return trade


def test_an_erp_that_keeps_no_answers_declines_by_refusing(silent: Trade) -> None:
    edit(silent, 10, quantity=12)
    silent.settled()
    reason = ("The ERP refused it: sales_orders 1 is confirmed, lines can't be changed any more "
              "(lines: only while entered)")
    assert quantities(silent) == [10, 4]
    assert crm_order(silent)["remark"] == f"change declined: {reason}"
    assert [(c.crm, c.settled_by) for c in kept(silent)] \
        == [({"lines[10].quantity": "12"}, f"declined by the erp: {reason}")]
    edit(silent, customerReference="PO 8")  # which it takes
    silent.settled()
    assert (erp_order(silent)["your_ref"], crm_order(silent)["remark"]) == ("PO 8", None)
    silent.ship(1, (10, "1"))
    silent.settled()
    edit(silent, status="Cancelled")
    silent.settled()
    assert crm_order(silent)["status"] == "PartiallyShipped"
    assert crm_order(silent)["remark"].startswith("change declined: ")
    edit(silent, status="Cancelled", customerReference="PO 9")  # taken in part
    silent.settled()
    assert (crm_order(silent)["status"], crm_order(silent)["customerReference"],
            erp_order(silent)["your_ref"]) == ("PartiallyShipped", "PO 9", "PO 9")
