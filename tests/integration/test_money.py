"""Money between the two native systems: rounding rules, discounts, tax, currencies and rates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from connector.bootstrap import open_connector
from connector.domain.ledger import ConflictState
from connector.native import crm, erp
from connector.native.amounts import Company, Rule
from connector.native.serving import running_together

from .conftest import KEY, TOKEN, ImpatientClock, Pair, write_config

Opened = Callable[..., Any]
LINE, DOCUMENT = Rule(), Rule("document")


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Opens the pair, its systems rounding as told, `rounding` declared for orders; opened again
    in the same test, both systems have kept what they held."""
    monkeypatch.setenv("NATIVE_CRM_TOKEN", TOKEN)
    monkeypatch.setenv("NATIVE_ERP_KEY", KEY)

    @contextmanager
    def open_(in_crm: Rule, in_erp: Rule, rounding: str = "") -> Iterator[Pair]:
        with ExitStack() as stack:
            urls = stack.enter_context(running_together(
                crm.create_app(f"sqlite:///{tmp_path}/crm.db", token=TOKEN,
                               company=Company(rule=in_crm)),
                erp.create_app(f"sqlite:///{tmp_path}/erp.db", api_key=KEY,
                               company=Company(rule=in_erp))))
            path = write_config(tmp_path, *urls)
            if rounding:
                text = path.read_text(encoding="utf-8")
                path.write_text(text.replace("      order:\n        conflict", f"      order:\n"
                                             f"        rounding: {rounding}\n        conflict"),
                                encoding="utf-8")
            connector = open_connector(path, ImpatientClock())
            stack.callback(connector.close)
            yield Pair(tmp_path, *urls, connector)

    return open_


def ordered(pair: Pair, *prices: str, quantity: Any = 1, **more: Any) -> str:
    """An order in the CRM, a line of tax 19 % for each price; its ID."""
    accounts = pair.in_crm("accounts")
    account = accounts[0] if accounts else pair.crm("POST", "accounts", {"name": "Acme"})
    lines = [{"quantity": quantity, "unitPriceMicros": round(float(price) * 1_000_000),
              "taxPercent": 19} for price in prices]
    made = pair.crm("POST", "orders", {"accountId": account["id"], "currency": "EUR",
                                       "lines": lines, **more})
    return made["id"]  # type: ignore[no-any-return]


def sums(pair: Pair) -> tuple[list[float], list[str]]:
    """Net, tax and total of the only order: in the CRM, in the ERP."""
    (of_crm,), (of_erp,) = pair.in_crm("orders"), pair.in_erp("sales_orders")
    return ([of_crm[f"{name}Micros"] / 1_000_000 for name in ("net", "tax", "total")],
            [of_erp[name] for name in ("net", "tax", "gross")])


def told(pair: Pair) -> list[tuple[str, str, str, str, str]]:
    return sorted((c.path, c.kind, c.base or "", c.crm, c.erp) for c in pair.conflicts())


def test_two_levels_are_a_conflict_until_both_round_alike(opened: Opened) -> None:
    """Three times 0.335: 1.02 line by line, 1.01 at once."""
    with opened(LINE, DOCUMENT) as pair:
        order = ordered(pair, "0.335", "0.335", "0.335")
        pair.sync()
        assert sums(pair) == ([1.02, 0.19, 1.21], ["1.01", "0.19", "1.20"])
        assert told(pair) == [("net", "total_differs", "", "1.02", "1.01"),
                              ("total", "total_differs", "", "1.21", "1.20")]
        pair.sync()
        assert len(pair.conflicts()) == 2
    with opened(DOCUMENT, DOCUMENT, "document") as pair:
        pair.crm("PATCH", f"orders/{order}", {"customerReference": "touched"})
        pair.sync()
        assert sums(pair) == ([1.01, 0.19, 1.2], ["1.01", "0.19", "1.20"])
        assert pair.conflicts() == []
        assert {c.settled_by for c in pair.conflicts(ConflictState.SETTLED)} \
            == {"both sides agree"}
        pair.quiet()


def test_both_may_be_wrong_alike(opened: Opened) -> None:
    with opened(LINE, LINE, "{level: document}") as pair:
        ordered(pair, "0.335", "0.335", "0.335")
        pair.sync()
        assert told(pair) == [("net", "total_not_by_rule", "1.01", "1.02", "1.02"),
                              ("total", "total_not_by_rule", "1.20", "1.21", "1.21")]


@pytest.mark.parametrize(("by", "declared"), [
    (LINE, "line"), (Rule("document", "line", "even"), "{level: document, tax: line, half: even}")])
@pytest.mark.parametrize("currency", ["JPY", "EUR", "KWD"])
def test_discounts_and_tax_come_to_the_same_everywhere(opened: Opened, by: Rule, declared: str,
                                                       currency: str) -> None:
    with opened(by, by, declared) as pair:
        ordered(pair, "333.335", "66.6655", "0.125", quantity=3, currency=currency,
                taxIncluded=True, discountPercent=7.5, discountMicros=11_000_000)
        pair.sync()
        assert pair.conflicts() == []
        (of_erp,) = pair.in_erp("sales_orders")
        assert (of_erp["disc_pct"], of_erp["prices_with_tax"]) == ("7.5", True)
        assert of_erp["disc_amount"] == "11"
        assert [f"{net:.9g}" for net in sums(pair)[0]] \
            == [f"{float(text):.9g}" for text in sums(pair)[1]]
        pair.quiet()


def test_a_rate_keeps_its_direction_and_its_day(opened: Opened) -> None:
    """1 EUR = 1.0832 USD: the ERP says what a dollar is worth, and books in euros."""
    with opened(LINE, LINE) as pair:
        order = ordered(pair, "100.00", currency="USD", exchangeRate="1.0832",
                        rateDate="2026-03-01")
        pair.sync()
        (of_erp,) = pair.in_erp("sales_orders")
        assert (of_erp["rate"], of_erp["rate_date"]) == ("0.923190546529", "01.03.2026")
        assert (of_erp["gross"], of_erp["gross_base"], of_erp["base_currency"]) \
            == ("119.00", "109.86", "EUR")
        of_crm = pair.crm("GET", f"orders/{order}")
        assert (of_crm["exchangeRate"], of_crm["companyCurrency"]) == ("1.0832", "EUR")
        assert of_crm["totalCompanyMicros"] == 109_860_000
        pair.quiet()
        assert pair.crm("GET", f"orders/{order}")["exchangeRate"] == "1.0832"

        pair.edit_erp("sales_orders", of_erp["id"], rate="0.8", rate_date="02.03.2026")
        pair.sync()
        of_crm = pair.crm("GET", f"orders/{order}")
        assert (of_crm["exchangeRate"], of_crm["rateDate"]) == ("1.25", "2026-03-02")
        assert of_crm["totalCompanyMicros"] == 95_200_000

        pair.crm("PATCH", f"orders/{order}", {"totalCompanyMicros": 1_000_000})
        pair.sync()
        assert pair.crm("GET", f"orders/{order}")["totalCompanyMicros"] == 95_200_000
        assert pair.in_erp("sales_orders")[0]["gross_base"] == "95.20"
        assert pair.conflicts() == []


def test_a_document_in_the_companys_own_currency_has_no_rate(opened: Opened) -> None:
    with opened(LINE, LINE) as pair:
        order = ordered(pair, "100.00")
        pair.sync()
        (of_erp,) = pair.in_erp("sales_orders")
        assert (of_erp["rate"], of_erp["gross_base"], of_erp["base_currency"]) == (None,) * 3
        assert pair.crm("GET", f"orders/{order}")["totalCompanyMicros"] is None
