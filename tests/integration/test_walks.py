"""Random walks of what people do in the ERP: the CRM shows what the ERP shows after every sync."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.conftest import KEY, Pair
from tests.integration.trade import Trade, open_trade, shown_in_erp

SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 8))]
SYNCS = 8


class Walk:
    """Somebody who does this and that; what the ERP refuses is left alone."""

    def __init__(self, trade: Trade, seed: int) -> None:
        self.trade, self.pair, self.chance = trade, trade.pair, random.Random(seed)
        self.done: list[str] = []
        self.deeds: dict[str, Callable[[], bool]] = {
            "order": self._order, "ship": self._ship, "bill": self._bill, "pay": self._pay,
            "pay back": self._pay_back, "credit": self._credit, "cancel": self._cancel,
            "close": self._close, "take back": self._take_back}

    def step(self) -> None:
        """Do something that the ERP lets happen; more often what brings an order on."""
        often = (3, 9, 8, 7, 2, 2, 0.5, 1, 2) if self.done else (1, 0, 0, 0, 0, 0, 0, 0, 0)
        while not self.deeds[name := self.chance.choices(list(self.deeds), often)[0]]():
            continue
        self.done.append(name)

    def _call(self, path: str, body: Any) -> bool:
        answer = self.pair.session.post(f"{self.pair.erp_url}/v1/{path}", json=body,
                                        headers={"X-Api-Key": KEY}, timeout=30)
        assert answer.status_code < 500, answer.text
        return bool(answer.ok and all(row["ok"] for row in answer.json().get("rows", ())
                                      if path.startswith("sales_orders/")))

    def _some(self, object: str) -> dict[str, Any]:
        rows = self.pair.in_erp(object)
        return self.chance.choice(rows) if rows else {"id": 1, "lines": ()}

    def _parts(self, lines: Any, of: str, less: str) -> Any:
        """Some quantities of what is open, by line; sometimes all of it."""
        if self.chance.random() < 0.4:
            return {}
        still = {line["line_no"]: int(line[of]) - int(line[less]) for line in lines}
        return {"lines": [{"line_no": n, "qty": str(self.chance.randint(1, amount))}
                          for n, amount in still.items() if amount and self.chance.random() < 0.8]}

    def _act(self, action: str, order: dict[str, Any], more: Any) -> bool:
        return self._call(f"sales_orders/actions/{action}",
                          {"rows": [{"id": order["id"], **more}]})

    def _order(self) -> bool:
        if sum(o["state"] not in ("void", "settled")
               for o in self.pair.in_erp("sales_orders")) == 3:
            return False
        quantities = [self.chance.randint(1, 9) for _ in range(self.chance.randint(1, 3))]
        self.trade.order(*quantities, price=f"{self.chance.randint(1, 5000) / 100:.2f}")
        return True

    def _ship(self) -> bool:
        order = self._some("sales_orders")
        return self._act("ship", order, self._parts(order["lines"], "qty", "qty_delivered"))

    def _bill(self) -> bool:
        order = self._some("sales_orders")
        return self._act("invoice", order,
                         self._parts(order["lines"], "qty_delivered", "qty_invoiced"))

    def _pay(self) -> bool:
        invoice = self._some("invoices")
        amount = invoice.get("open_amount", "1.00")
        if self.chance.random() < 0.5:
            amount = f"{self.chance.randint(1, 20000) / 100:.2f}"
        return self._call("payments", {"invoice_id": invoice["id"], "amount": amount, "reference":
                                       f"B{self.chance.random()}", "on_account":
                                       self.chance.random() < 0.3})

    def _pay_back(self) -> bool:
        payment = self._some("payments")
        return self._call("payments", {"invoice_id": payment.get("invoice_id", 1),
                                       "amount": f"-{payment.get('amount', '1.00')}",
                                       "reference": f"B{self.chance.random()}"})

    def _credit(self) -> bool:
        invoice = self._some("invoices")
        return self._call(f"invoices/{invoice['id']}/credit", self._parts(
            invoice["lines"], "qty", "qty_credited"))

    def _cancel(self) -> bool:
        return self._act("cancel", self._some("sales_orders"), {})

    def _close(self) -> bool:
        return self._act("close", self._some("sales_orders"), {})

    def _take_back(self) -> bool:
        return self._call(f"deliveries/{self._some('deliveries')['id']}/cancel", {})


@pytest.mark.parametrize("seed", SEEDS)
def test_the_crm_shows_what_the_erp_shows(pair: Pair, seed: int) -> None:
    walk = Walk(open_trade(pair, credit_limit="1000000.00"), seed)
    for _ in range(SYNCS):
        for _ in range(walk.chance.randint(2, 5)):
            walk.step()
        before = shown_in_erp(pair)
        walk.trade.settled()
        assert shown_in_erp(pair) == before, walk.done  # a sync changes nothing in the ERP
    assert {"order", "ship", "bill", "pay"} <= set(walk.done), walk.done
