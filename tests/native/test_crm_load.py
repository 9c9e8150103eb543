"""Filling a CRM directly gives what the calls would have given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_crm_access import Serve, serve_crm

from connector.native.crm import load


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/crm.db"


def rows() -> dict[str, list[dict[str, Any]]]:
    head = {"accountId": "aurora", "currency": "EUR", "warehouse": "BER"}
    return {
        "users": [{"id": "usr_1", "name": "Ada"}],
        "accounts": [{"name": "Aurora", "externalRef": "aurora", "ownerId": "usr_1",
                      "createdAt": "2025-01-05T10:00:00+01:00",
                      "updatedAt": "2025-02-05T10:00:00Z"},
                     {"id": "acc_7", "name": "Borealis"}],
        "contacts": [{"accountId": "aurora"}, {"accountId": "acc_7"}],
        "products": [{"sku": "L", "name": "Lamp"}],
        "opportunities": [{"id": "opp_1", "accountId": "aurora", "name": "Yearly"}],
        "quotes": [{**head, "status": "Accepted", "opportunityId": "opp_1", "externalRef": "q1",
                    "lines": [{"productId": "L", "quantity": 2, "unitPriceMicros": 10_000_000,
                               "taxPercent": 19}]}],
        "orders": [{**head, "quoteId": "q1", "lines": [{"productId": "L", "quantity": 2}]}],
        "stockLevels": [{"productId": "L", "warehouse": "BER", "onHand": 5}]}


def test_sums_numbers_and_quotes_are_worked_out(serve: Serve, tmp_path: Path,
                                                database: str) -> None:
    assert load(database, rows()) == {name: len(given) for name, given in rows().items()}
    crm = serve_crm(serve, tmp_path)
    (aurora,) = crm.get("accounts", external_ref="aurora")["data"]
    (quote,) = crm.get("quotes")["data"]
    assert (quote["number"], quote["totalMicros"], quote["accountId"]) \
        == ("Q-000001", 23_800_000, aurora["id"])
    (order,) = crm.get("orders")["data"]
    assert (order["quoteId"], order["number"]) == (quote["id"], "O-000001")
    assert {c["accountId"] for c in crm.get("contacts")["data"]} == {aurora["id"], "acc_7"}
    assert crm.get("opportunities/opp_1")["stage"] == "won"
    (level,) = crm.get("stockLevels")["data"]
    assert (level["quoted"], level["onHand"]) == (2, 5)
    crm.patch("quotes", quote, status="Ordered")
    assert crm.again("stockLevels", level)["quoted"] == 0


def test_ids_and_times_may_be_given(serve: Serve, tmp_path: Path, database: str) -> None:
    load(database, rows())
    crm = serve_crm(serve, tmp_path)
    assert crm.get("accounts/acc_7")["name"] == "Borealis"
    aurora, borealis = crm.get("accounts")["data"]
    assert (aurora["createdAt"], aurora["updatedAt"]) \
        == ("2025-01-05T09:00:00.000000Z", "2025-02-05T10:00:00.000000Z")
    assert crm.names(updated_since="2025-02-05T10:00:00.000001Z") == ["Borealis"]
    assert crm.patch("accounts", aurora, phone="1")["updatedAt"] > borealis["updatedAt"]


def test_a_second_load_goes_on(serve: Serve, tmp_path: Path, database: str) -> None:
    load(database, rows())
    more = {name: given for name, given in rows().items() if name in ("quotes", "orders")}
    more["quotes"][0]["externalRef"] = "q2"
    load(database, more)
    crm = serve_crm(serve, tmp_path)
    assert sorted(q["number"] for q in crm.get("quotes")["data"]) == ["Q-000001", "Q-000002"]
    assert crm.get("stockLevels")["data"][0]["quoted"] == 4


@pytest.mark.parametrize(("object", "row", "words"), [
    ("accounts", {"name": ""}, "must not be blank"),
    ("contacts", {"accountId": "nobody"}, "there is no accounts nobody"),
    ("accounts", {"name": "x", "colour": "red"}, "unknown field"),
    ("accounts", {"name": "x", "id": "x" * 41}, "1 to 40 characters")])
def test_the_first_record_that_is_not_valid_is_told(database: str, object: str,
                                                    row: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        load(database, {object: [row]})


def test_many_are_loaded_in_parts(serve: Serve, tmp_path: Path, database: str) -> None:
    assert load(database, {"accounts": ({"name": f"K{i}"} for i in range(4_500))}) \
        == {"accounts": 4_500}
    crm = serve_crm(serve, tmp_path)
    times = set()
    query: dict[str, Any] = {"limit": 500}
    number = 0
    while query.get("cursor", "") is not None:
        page = crm.get("accounts", **query)
        number += len(page["data"])
        times |= {account["updatedAt"] for account in page["data"]}
        query["cursor"] = page["nextCursor"]
    assert (number, len(times)) == (4_500, 3)
