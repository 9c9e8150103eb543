"""Rows of the ERP: created, changed, listed; one at a time and in bulk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from test_erp_access import ErpClient, code, served


@pytest.fixture
def erp(tmp_path: Path) -> Iterator[ErpClient]:
    with served(tmp_path) as client:
        yield client


def test_a_customer_is_completed(erp: ErpClient) -> None:
    made = erp.create("customers", display_name="Aurora GmbH", tax={"vat_no": "DE1"})
    assert made["customer_no"] == "C10001"
    assert made["finance"] == {"credit_limit": "5000.00", "balance": "0.00", "open_orders": "0.00",
                               "on_hold": False, "currency_code": "EUR"}
    assert (made["kind"], made["terms"], made["archived"], made["rev"]) \
        == ("company", "30D", False, 1)
    assert made["created"] == made["modified"]
    assert datetime.fromisoformat(made["modified"]).tzinfo is not None
    assert erp.again("customers", made) == made


def test_null_stands_for_the_default_where_there_is_one(erp: ErpClient) -> None:
    made = erp.create("customers", display_name="Aurora", terms=None,
                      finance={"credit_limit": None, "on_hold": None}, archived=None, grp=None)
    assert made["finance"]["credit_limit"] == "5000.00"
    assert (made["finance"]["on_hold"], made["archived"], made["terms"]) == (False, False, "30D")
    assert made["grp"] is None


def test_the_local_time_carries_the_offset_of_the_season(tmp_path: Path) -> None:
    day = datetime(2026, 7, 1, 10, 0, tzinfo=UTC)
    with served(tmp_path, clock=lambda: day) as erp:
        assert erp.create("customers", display_name="x")["modified"].startswith(
            "2026-07-01T12:00:00.")
        assert erp.seen.json()["modified"].endswith("+02:00")


def test_what_is_wrong_is_named_field_by_field(erp: ErpClient) -> None:
    erp.call("POST", "/v1/customers", {
        "tax": {"vat_no": 5}, "terms": "90D", "finance": {"credit_limit": 12.5, "balance": "1"},
        "colour": "red", "address": {"country_code": "de"}})
    assert code(erp) == (422, "E422-FIELD")
    assert set(erp.seen.json()["error"]["fields"]) == {
        "display_name", "tax.vat_no", "terms", "finance.credit_limit", "finance.balance", "colour",
        "address.country_code"}


@pytest.mark.parametrize("text", ["1e5", "NaN", "1,5", "", "12345678901234", "1.1234567", "١"])
def test_a_decimal_that_is_none_is_refused(erp: ErpClient, text: str) -> None:
    erp.call("POST", "/v1/items", {"item_code": "A", "label": "A", "base_price": text})
    assert code(erp) == (422, "E422-FIELD")
    assert set(erp.seen.json()["error"]["fields"]) == {"base_price"}


def test_numbers_come_back_in_one_form(erp: ErpClient) -> None:
    made = erp.create("items", item_code="A", label="A", base_price="12.5", tax_pct="19")
    assert (made["base_price"], made["tax_pct"]) == ("12.50", "19.00")
    assert erp.create("items", item_code="B", label="B", base_price="0.0375")["base_price"] \
        == "0.0375"


def test_a_reference_is_taken_once_and_the_row_that_has_it_is_told(erp: ErpClient) -> None:
    made = erp.create("customers", display_name="Aurora", external_ref="crm:1")
    erp.call("POST", "/v1/customers", {"display_name": "Aurora again", "external_ref": "crm:1"})
    assert code(erp) == (409, "E409-REF")
    error = erp.seen.json()["error"]
    assert (error["existing_id"], error["row"]) == (made["id"], made)
    first, second = erp.bulk("customers", {"display_name": "B", "external_ref": "crm:2"},
                             {"display_name": "B", "external_ref": "crm:2"})
    assert second["error"]["existing_id"] == first["row"]["id"]
    assert [c["display_name"] for c in erp.get("customers")["rows"]] == ["Aurora", "B"]


def test_a_reference_is_given_at_creation_only(erp: ErpClient) -> None:
    made = erp.create("customers", display_name="Aurora", external_ref="crm:1")
    erp.patch("customers", made, external_ref="crm:2")
    assert set(erp.seen.json()["error"]["fields"]) == {"external_ref"}
    assert erp.again("customers", made) == made


def test_a_change_carries_the_rev_it_is_based_on(erp: ErpClient) -> None:
    made = erp.create("customers", display_name="Aurora")
    erp.call("PATCH", f"/v1/customers/{made['id']}", {"tel": "1"})
    assert code(erp) == (428, "E428-REV")
    changed = erp.patch("customers", made, tel="1")
    assert (changed["rev"], changed["tel"]) == (2, "1")
    assert changed["modified"] > made["modified"]
    erp.patch("customers", made, tel="2")
    assert code(erp) == (409, "E409-REV")
    assert erp.again("customers", made) == changed


def test_nested_fields_change_one_by_one(erp: ErpClient) -> None:
    made = erp.create("customers", display_name="A", address={"line1": "Weg 1", "town": "Berlin"})
    changed = erp.patch("customers", made, address={"town": "Bonn"})
    assert (changed["address"]["line1"], changed["address"]["town"]) == ("Weg 1", "Bonn")


def test_what_changes_nothing_moves_nothing(erp: ErpClient) -> None:
    made = erp.create("customers", display_name="Aurora", finance={"credit_limit": "100.00"})
    same = erp.patch("customers", made, display_name="Aurora", finance={"credit_limit": "100"})
    assert same == made
    (row,) = erp.bulk("customers", {"id": made["id"], "rev": made["rev"], "tel": None})
    assert row == {"ok": True, "created": False, "row": made}


def test_one_bad_row_never_harms_the_others(erp: ErpClient) -> None:
    old = erp.create("customers", display_name="Old")
    rows = erp.bulk(
        "customers", {"display_name": "One"}, {"display_name": ""}, "nonsense",
        {"id": old["id"], "rev": 9, "tel": "1"}, {"id": 999, "rev": 1}, {"id": "x", "rev": 1},
        {"id": old["id"], "tel": "1"}, {"id": old["id"], "rev": 1, "tel": "1"},
        {"id": old["id"], "rev": 1, "tel": "2"}, {"display_name": "Two"})
    assert [r["ok"] for r in rows] == [True, *[False] * 6, True, False, True]
    assert [r["error"]["code"] for r in rows if not r["ok"]] == [
        "E422-FIELD", "E422-FIELD", "E409-REV", "E404", "E404", "E428-REV", "E409-REV"]
    assert [r["row"]["customer_no"] for r in rows if r["ok"]] == ["C10002", "C10001", "C10004"]
    assert [c["display_name"] for c in erp.get("customers")["rows"]] == ["Old", "One", "Two"]


def test_parents_have_to_exist(erp: ErpClient) -> None:
    erp.call("POST", "/v1/contact_persons", {"customer_id": 5})
    assert erp.seen.json()["error"]["fields"] == {"customer_id": "there is no customers 5"}
    erp.call("POST", "/v1/stock_levels", {"item_id": 1, "warehouse": "BER"})
    assert set(erp.seen.json()["error"]["fields"]) == {"item_id", "warehouse"}


def test_natural_keys_are_unique(erp: ErpClient) -> None:
    erp.create("items", item_code="A", label="A")
    other = erp.create("items", item_code="B", label="B")
    erp.call("POST", "/v1/items", {"item_code": "A", "label": "again"})
    assert code(erp) == (409, "E409-UNIQUE")
    erp.patch("items", other, item_code="A")
    assert code(erp) == (409, "E409-UNIQUE")
    assert erp.patch("items", other, item_code="C")["item_code"] == "C"
    assert erp.create("items", item_code="B", label="free again")["item_code"] == "B"
    assert [i["id"] for i in erp.get("items", item_code="C")["rows"]] == [other["id"]]


def test_archived_rows_are_listed_on_demand(erp: ErpClient) -> None:
    made = erp.create("customers", display_name="Aurora", tax={"vat_no": "DE1"})
    erp.patch("customers", made, archived=True)
    assert erp.get("customers")["rows"] == []
    assert erp.get("customers", ids=made["id"])["rows"] == []
    (found,) = erp.get("customers", archived="include")["rows"]
    assert found["archived"]
    assert erp.get("customers", vat_no="DE1", archived="include")["rows"] == [found]
    assert erp.again("customers", made) == found


def test_lists_are_filtered(erp: ErpClient) -> None:
    rows = erp.bulk("customers", *({"display_name": f"K{i}", "external_ref": f"crm:{i}",
                                    "tax": {"vat_no": f"DE{i}"}} for i in range(5)))
    ids = [r["row"]["id"] for r in rows]
    assert [c["id"] for c in erp.get("customers", ids=f"{ids[3]},{ids[1]},999")["rows"]] \
        == [ids[1], ids[3]]
    assert [c["id"] for c in erp.get("customers", external_ref="crm:0,crm:4,no")["rows"]] \
        == [ids[0], ids[4]]
    assert [c["id"] for c in erp.get("customers", vat_no="DE2")["rows"]] == [ids[2]]


def test_pages_go_on_strictly_behind_the_last_row(erp: ErpClient) -> None:
    erp.bulk("customers", *({"display_name": f"K{i}"} for i in range(7)))
    first = erp.get("customers", limit=1)["rows"][0]
    erp.patch("customers", first, tel="1")
    seen: list[Any] = []
    query: dict[str, Any] = {"limit": 3}
    while True:
        page = erp.get("customers", **query)
        seen += page["rows"]
        if not page["more"]:
            break
        assert len(page["rows"]) == 3
        query.update(after_modified=seen[-1]["modified"], after_id=seen[-1]["id"])
    assert [c["id"] for c in seen] == [2, 3, 4, 5, 6, 7, 1]
    assert erp.get("customers", after_modified=seen[-1]["modified"], after_id=1)["rows"] == []


def test_a_page_of_exactly_the_rest_is_the_last(erp: ErpClient) -> None:
    erp.bulk("customers", *({"display_name": f"K{i}"} for i in range(3)))
    assert erp.get("customers", limit=3)["more"] is False
    assert erp.get("customers", limit=2)["more"] is True


def test_covered_until_stays_behind_a_transaction_that_is_still_open(erp: ErpClient) -> None:
    """A reader that goes no further than it meets the late row in its next page."""
    erp.call("POST", "/_faults", [{"match": {"method": "POST", "path": "/v1/customers"},
                                   "kind": "delay_commit", "seconds": 3}])
    late = threading.Thread(target=lambda: ErpClient(erp.base).create(
        "customers", display_name="late"))
    late.start()
    bounds = [erp.get("customers")["covered_until"], ""]
    while bounds[0] != bounds[1]:  # the bound stands still while a transaction is open
        bounds = [erp.get("customers")["covered_until"], bounds[0]]
    erp.create("items", item_code="quick", label="made later, seen earlier")
    covered = datetime.fromisoformat(erp.get("customers")["covered_until"])
    quick = datetime.fromisoformat(erp.get("items")["rows"][0]["modified"])
    late.join()
    (row,) = erp.get("customers")["rows"]
    assert covered < datetime.fromisoformat(row["modified"]) < quick
    assert erp.get("customers", after_modified=covered.isoformat(), after_id=0)["rows"] == [row]


def test_covered_until_reaches_to_now_where_nothing_is_open(erp: ErpClient) -> None:
    made = erp.create("customers", display_name="x")
    covered = datetime.fromisoformat(erp.get("customers")["covered_until"])
    assert covered >= datetime.fromisoformat(made["modified"])
    assert covered - datetime.fromisoformat(made["modified"]) < timedelta(minutes=5)


def test_a_merged_customer_gives_all_it_has_to_the_other_one(erp: ErpClient) -> None:
    into, other = (erp.create("customers", display_name=name) for name in ("Aurora", "Aurora 2"))
    person = erp.create("contact_persons", customer_id=other["id"], family_name="Ode")
    kept = erp.call("POST", f"/v1/customers/{other['id']}/merge", {"into": into["id"]})
    assert kept["id"] == into["id"]
    assert erp.again("contact_persons", person)["customer_id"] == into["id"]
    gone = erp.again("customers", other)
    assert (gone["archived"], gone["merged_into"], gone["finance"]["balance"]) \
        == (True, into["id"], "0.00")


def test_accounts_in_two_currencies_are_not_merged(erp: ErpClient) -> None:
    into = erp.create("customers", display_name="Aurora")
    other = erp.create("customers", display_name="Aurora US", finance={"currency_code": "USD"})
    erp.call("POST", f"/v1/customers/{other['id']}/merge", {"into": into["id"]})
    assert code(erp) == (409, "E409-STATE")
    assert erp.again("customers", other) == other
    assert erp.again("customers", into) == into
