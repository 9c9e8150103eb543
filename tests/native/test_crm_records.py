"""Records of the CRM: created, changed, deleted, listed; one at a time and in batches."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from test_crm_access import CrmClient, Serve, create, serve_crm, wrong


def test_an_account_is_completed(crm: CrmClient) -> None:
    made = crm.create("accounts", name="Aurora GmbH", country="DE")
    assert made["id"].startswith("acc_")
    assert len(made["id"]) == 24
    assert (made["status"], made["currency"], made["active"], made["deleted"]) \
        == ("prospect", "EUR", True, False)
    assert (made["segment"], made["paymentTerms"], made["creditHold"]) == (None, None, None)
    assert made["createdAt"] == made["updatedAt"]
    assert made["updatedAt"].endswith("Z")
    assert datetime.fromisoformat(made["updatedAt"]).tzinfo == UTC
    assert crm.seen.headers["ETag"] == made["etag"]
    assert crm.again("accounts", made) == made
    assert crm.seen.headers["ETag"] == made["etag"]


def test_null_stands_for_the_default_where_there_is_one(crm: CrmClient) -> None:
    made = crm.create("accounts", name="Aurora", status=None, currency=None, active=None)
    assert (made["status"], made["currency"], made["active"]) == ("prospect", "EUR", True)
    former = crm.patch("accounts", made, status="former")
    assert crm.patch("accounts", former, status=None)["status"] == "prospect"


def test_what_is_wrong_is_named_field_by_field(crm: CrmClient) -> None:
    crm.call("POST", "/api/accounts", {
        "name": " ", "vatNumber": 5, "segment": "huge", "country": "de", "currency": "EURO",
        "active": "yes", "creditLimitMicros": 12.5, "balanceMicros": 10**20, "colour": "red",
        "createdAt": "2026-01-01T00:00:00Z", "ownerId": "usr_1", "website": "x" * 256,
        "phone": "a\x00b"})
    assert wrong(crm) == (422, {
        "name", "vatNumber", "segment", "country", "currency", "active", "creditLimitMicros",
        "balanceMicros", "colour", "createdAt", "ownerId", "website", "phone"})
    messages = {e["field"]: e["message"] for e in crm.seen.json()["errors"]}
    assert messages["segment"] == "'huge' is none of smb, mid_market, enterprise, public"
    assert messages["colour"] == "unknown field"
    assert messages["ownerId"] == "there is no users usr_1"
    for body in (5, None, [], "x"):
        assert crm.batch("accounts", {"method": "create", "body": body})[0]["status"] == 422


@pytest.mark.parametrize("body", [
    b'{"name": "a\\ud800"}', b'{"name": "x", "a\\ud800\\u0000": 1}',
    b'{"name": "x", "phone": NaN}'])
def test_text_that_cannot_be_kept_is_refused(crm: CrmClient, body: bytes) -> None:
    crm.call("POST", "/api/accounts", data=body)
    assert wrong(crm)[0] == 422


@pytest.mark.parametrize(("number", "seen"), [
    ("19", 19), ("19.0", 19), ("7.50", 7.5), ("0.000001", 0.000001), ("1e2", 100),
    ("0e-30", 0), ("999999999999.999999", 999999999999.999999)])
def test_numbers_are_exact_and_whole_ones_have_no_point(crm: CrmClient, number: str,
                                                        seen: float) -> None:
    crm.call("POST", "/api/products",
             data=b'{"sku": "L", "name": "Lamp", "taxPercent": %s}' % number.encode())
    assert crm.seen.status_code == 201
    assert crm.seen.json()["taxPercent"] == seen
    assert b".0," not in crm.seen.content


@pytest.mark.parametrize("number", ["1e12", "1e999999999", "1e-999999999", "0.0000001", '"1"',
                                    "true", "1" * 30])
def test_numbers_out_of_bounds_are_refused(crm: CrmClient, number: str) -> None:
    crm.call("POST", "/api/products",
             data=b'{"sku": "L", "name": "Lamp", "taxPercent": %s}' % number.encode())
    assert wrong(crm) == (422, {"taxPercent"})


def test_text_survives(crm: CrmClient) -> None:
    for name in ("Żółć Ελλάδα 日本 😀", "  blanks  ", 'quote " back \\ slash \n'):
        assert crm.again("accounts", crm.create("accounts", name=name))["name"] == name
    product = crm.create("products", sku="L", name="Lamp", description="ä" * 4_000)
    assert crm.again("products", product)["description"] == "ä" * 4_000


def test_a_change_moves_etag_and_time(crm: CrmClient) -> None:
    made = crm.create("accounts", name="Aurora", phone="1")
    changed = crm.patch("accounts", made, phone="2")
    assert changed == {**made, "phone": "2", "etag": changed["etag"],
                       "updatedAt": changed["updatedAt"]}
    assert changed["etag"] != made["etag"]
    assert changed["updatedAt"] > made["updatedAt"]
    assert crm.seen.headers["ETag"] == changed["etag"]
    assert crm.patch("accounts", made, phone=None)["phone"] is None


def test_what_changes_nothing_moves_nothing(crm: CrmClient) -> None:
    made = crm.create("accounts", name="Aurora", phone="1")
    assert crm.patch("accounts", made, name="Aurora", phone="1", vatNumber=None) == made
    assert crm.batch("accounts", {"method": "update", "id": made["id"], "body": {}})[0] \
        == {"status": 200, "body": made}
    assert crm.again("accounts", made) == made


def test_a_change_that_is_based_on_an_old_state_is_refused(crm: CrmClient) -> None:
    made = crm.create("accounts", name="Aurora")
    changed = crm.patch("accounts", made, made["etag"], phone="1")
    crm.patch("accounts", made, made["etag"], phone="2")
    assert wrong(crm)[0] == 412
    crm.remove("accounts", made, made["etag"])
    assert wrong(crm)[0] == 412
    assert crm.again("accounts", made) == changed
    assert crm.patch("accounts", made, "*", phone="3")["phone"] == "3"


def test_a_refused_change_leaves_the_record_alone(crm: CrmClient) -> None:
    made = crm.create("accounts", name="Aurora")
    crm.patch("accounts", made, phone="1", segment="huge")
    assert wrong(crm) == (422, {"segment"})
    assert crm.again("accounts", made) == made


def test_a_deleted_record_leaves_a_tombstone(crm: CrmClient) -> None:
    made = crm.create("accounts", name="Aurora", externalRef="erp:1")
    crm.remove("accounts", made, made["etag"])
    assert (crm.seen.status_code, crm.seen.content) == (204, b"")
    for call in (lambda: crm.again("accounts", made), lambda: crm.remove("accounts", made),
                 lambda: crm.patch("accounts", made, phone="1")):
        call()
        assert wrong(crm)[0] == 410
    assert crm.names() == []
    (tombstone,) = crm.get("accounts", include_deleted="true")["data"]
    assert tombstone == {**made, "deleted": True, "etag": tombstone["etag"],
                         "updatedAt": tombstone["updatedAt"]}
    assert tombstone["etag"] != made["etag"]
    assert tombstone["updatedAt"] > made["updatedAt"]


def test_parents_have_to_exist(crm: CrmClient) -> None:
    account = crm.create("accounts", name="Aurora")
    contact = crm.create("contacts", accountId=account["id"])
    crm.remove("accounts", account)
    for parent in (account["id"], "acc_1", ""):
        crm.call("POST", "/api/contacts", {"accountId": parent})
        assert wrong(crm) == (422, {"accountId"})
    assert crm.patch("contacts", contact, phone="1")["phone"] == "1"


def test_natural_keys_belong_to_one_record(crm: CrmClient) -> None:
    lamp, desk = (crm.create("products", sku=sku, name=sku) for sku in "LD")
    crm.call("POST", "/api/products", {"sku": "L", "name": "again"})
    assert wrong(crm) == (422, {"sku"})
    crm.patch("products", desk, sku="L")
    assert wrong(crm) == (422, {"sku"})
    assert crm.patch("products", desk, sku="E")["sku"] == "E"
    results = crm.batch("products", create(sku="D", name="free again"), create(sku="D", name="no"))
    assert [r["status"] for r in results] == [201, 422]
    crm.remove("products", lamp)
    new = crm.create("products", sku="L", name="new")
    assert [p["id"] for p in crm.get("products", sku="L", include_deleted="true")["data"]] \
        == [new["id"]]
    level = crm.create("stockLevels", productId=new["id"], warehouse="BER")
    crm.call("POST", "/api/stockLevels", {"productId": new["id"], "warehouse": "BER"})
    assert wrong(crm) == (422, {"warehouse"})
    crm.remove("stockLevels", level)
    crm.create("stockLevels", productId=new["id"], warehouse="BER")


def test_one_bad_operation_never_harms_the_others(crm: CrmClient) -> None:
    old = crm.create("accounts", name="Old")
    gone = crm.create("accounts", name="Gone")
    crm.remove("accounts", gone)
    results = crm.batch(
        "accounts", create(name="One"), create(name=""), "nonsense", {"method": "burn"},
        {"method": "update", "id": old["id"], "ifMatch": '"9"', "body": {"phone": "1"}},
        {"method": "update", "id": "acc_1", "body": {}}, {"method": "delete", "id": {"a": 1}},
        {"method": "update", "id": gone["id"], "body": {}},
        {"method": "update", "id": old["id"], "ifMatch": None, "body": {"phone": "1"}},
        {"method": "update", "id": old["id"], "body": {"lines": 5}},
        {"method": "delete", "id": old["id"], "ifMatch": old["etag"]}, create(name="Two"))
    assert [r["status"] for r in results] == [201, 422, 400, 400, 412, 404, 404, 410, 200, 422,
                                              412, 201]
    assert [set(r) for r in results] == [
        {"status", "body" if r["status"] < 300 else "error"} for r in results]
    assert results[1]["error"]["errors"] == [{"field": "name", "message": "must not be blank"}]
    assert sorted(crm.names()) == ["Old", "One", "Two"]
    assert crm.again("accounts", old)["phone"] == "1"


def test_a_batch_deletes_too(crm: CrmClient) -> None:
    made = crm.create("accounts", name="Aurora")
    assert crm.batch("accounts", {"method": "delete", "id": made["id"], "ifMatch": made["etag"]}) \
        == [{"status": 204, "body": None}]
    assert crm.names() == []


def test_lists_are_filtered(crm: CrmClient) -> None:
    made = [r["body"] for r in crm.batch("accounts", *(
        create(name=f"K{i}", externalRef=f"erp:{i}", vatNumber=f"DE{i}") for i in range(5)))]
    ids = [account["id"] for account in made]
    assert sorted(crm.names(ids=f"{ids[3]},{ids[1]},acc_9")) == ["K1", "K3"]
    assert sorted(crm.names(external_ref="erp:0,erp:4,no")) == ["K0", "K4"]
    assert crm.names(vat_number="DE2") == ["K2"]
    assert crm.names(ids=ids[0], vat_number="DE2") == []
    assert crm.names(ids="\x00") == []
    changed = crm.patch("accounts", made[0], phone="1")
    assert crm.names(updated_since=changed["updatedAt"]) == ["K0"]


def test_pages_meet_every_record_once_by_time_and_id(crm: CrmClient) -> None:
    crm.batch("accounts", *(create(name=f"K{i}") for i in range(7)))
    first = crm.get("accounts", limit=1)["data"][0]
    crm.patch("accounts", first, phone="1")
    seen: list[Any] = []
    query: dict[str, Any] = {"limit": 3}
    while query.get("cursor", "") is not None:
        page = crm.get("accounts", **query)
        assert len(page["data"]) <= 3
        seen += page["data"]
        query["cursor"] = page["nextCursor"]
    assert len({a["id"] for a in seen}) == len(seen) == 7
    assert seen == sorted(seen, key=lambda a: (a["updatedAt"], a["id"]))
    assert seen[-1]["id"] == first["id"]
    assert page["asOf"] > seen[-1]["updatedAt"]


def test_a_page_of_exactly_the_rest_is_the_last(crm: CrmClient) -> None:
    crm.batch("accounts", *(create(name=f"K{i}") for i in range(3)))
    assert crm.get("accounts", limit=3)["nextCursor"] is None
    assert crm.get("accounts", limit=2)["nextCursor"] is not None


def test_a_record_that_changes_between_pages_comes_again(crm: CrmClient) -> None:
    crm.batch("accounts", *(create(name=f"K{i}") for i in range(4)))
    page = crm.get("accounts", limit=2)
    changed = crm.patch("accounts", page["data"][0], phone="1")
    rest = crm.get("accounts", limit=5, cursor=page["nextCursor"])["data"]
    assert len(rest) == 3
    assert rest[-1] == changed


def test_a_late_commit_carries_the_time_at_which_it_began(crm: CrmClient) -> None:
    """So that who reads on from the newest time it saw, without looking back, misses it."""
    crm.fault("delay_commit", "/api/accounts", "POST", seconds=1)
    other = CrmClient(crm.base, requests.Session())
    late = threading.Thread(target=other.create, args=("accounts",), kwargs={"name": "late"})
    late.start()
    quick: list[str] = []
    while not crm.names():
        quick.append(crm.create("users", name="begun later, seen earlier")["updatedAt"])
    late.join()
    (row,) = crm.get("accounts")["data"]
    assert row["updatedAt"] < quick[-2]  # the last but one was answered before the commit


def test_time_never_stands_still_nor_goes_back(serve: Serve, tmp_path: Path) -> None:
    times = iter([datetime(2026, 7, 1, 10, 0, tzinfo=UTC) - timedelta(hours=n)
                  for n in range(1_000)])
    crm = serve_crm(serve, tmp_path, clock=lambda: next(times))
    stamps = [crm.create("accounts", name="x")["updatedAt"] for _ in range(3)]
    assert stamps == ["2026-07-01T10:00:00.000000Z", "2026-07-01T10:00:00.000001Z",
                      "2026-07-01T10:00:00.000002Z"]


def test_records_outlive_the_server(serve: Serve, tmp_path: Path) -> None:
    made = serve_crm(serve, tmp_path).create("accounts", name="Aurora")
    assert serve_crm(serve, tmp_path).again("accounts", made) == made


def test_a_deleted_record_may_be_brought_back(crm: CrmClient) -> None:
    made = crm.create("accounts", name="Aurora", vatNumber="DE1", externalRef="erp:1")
    crm.call("DELETE", f"/api/accounts/{made['id']}")
    crm.call("POST", f"/api/accounts/{made['id']}/restore")
    back = crm.seen.json()
    assert crm.seen.status_code == 200
    assert back["etag"] != made["etag"]
    moved = ("etag", "updatedAt")
    assert {k: v for k, v in back.items() if k not in moved} \
        == {k: v for k, v in made.items() if k not in moved}
    assert crm.again("accounts", made) == back
    crm.call("GET", "/api/accounts?vat_number=DE1")
    assert [row["id"] for row in crm.seen.json()["data"]] == [made["id"]]


def test_what_can_not_be_brought_back_is_said(crm: CrmClient) -> None:
    first = crm.create("products", sku="P-1", name="Bolt")
    crm.call("POST", f"/api/products/{first['id']}/restore")
    assert crm.seen.status_code == 409
    assert crm.seen.json()["detail"] == f"{first['id']} is not deleted"
    crm.call("POST", "/api/products/prd_none/restore")
    assert crm.seen.status_code == 404
    crm.call("DELETE", f"/api/products/{first['id']}")
    crm.create("products", sku="P-1", name="Another")
    crm.call("POST", f"/api/products/{first['id']}/restore")
    assert wrong(crm) == (422, {"sku"})
    account = crm.create("accounts", name="Aurora")
    person = crm.create("contacts", accountId=account["id"], lastName="Eve")
    for object, record in (("contacts", person), ("accounts", account)):
        crm.call("DELETE", f"/api/{object}/{record['id']}")
    crm.call("POST", f"/api/contacts/{person['id']}/restore")
    assert wrong(crm) == (422, {"accountId"})
    crm.call("GET", f"/api/contacts/{person['id']}")
    assert crm.seen.status_code == 410
