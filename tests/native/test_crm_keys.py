"""Repeated calls, and the faults that make a caller repeat them."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from test_crm_access import CrmClient, Serve, create, serve_crm, wrong


def post(crm: CrmClient, path: str, body: Any, key: str) -> Any:
    return crm.call("POST", f"/api/{path}", body, headers={"Idempotency-Key": key})


def test_a_repeated_create_is_answered_as_the_first_time(crm: CrmClient) -> None:
    made = post(crm, "accounts", {"name": "Aurora"}, "k1")
    first = crm.seen
    crm.patch("accounts", made, name="Borealis")
    assert post(crm, "accounts", {"name": "Aurora"}, "k1") == made
    for name in ("Content-Type", "ETag"):
        assert crm.seen.headers[name] == first.headers[name]
    assert (crm.seen.status_code, crm.names()) == (201, ["Borealis"])


def test_a_repeated_batch_is_answered_as_the_first_time(crm: CrmClient) -> None:
    operations = [create(name="One"), create(name=""), create(name="Two")]
    first = crm.batch("accounts", *operations, key="k1")
    assert crm.batch("accounts", *operations, key="k1") == first
    assert sorted(crm.names()) == ["One", "Two"]
    assert crm.batch("accounts", *operations, key="k2") != first


def test_a_refusal_is_repeated_too(crm: CrmClient) -> None:
    for _ in range(2):
        post(crm, "contacts", {"accountId": "acc_1"}, "k1")
        assert wrong(crm) == (422, {"accountId"})


def test_a_key_belongs_to_one_call(crm: CrmClient) -> None:
    post(crm, "accounts", {"name": "Aurora"}, "k1")
    for path, body in (("accounts", {"name": "Borealis"}), ("users", {"name": "Aurora"}),
                       ("accounts/batch", {"operations": []})):
        post(crm, path, body, "k1")
        assert wrong(crm)[0] == 422
    assert (crm.names(), crm.get("users")["data"]) == (["Aurora"], [])


@pytest.mark.parametrize("key", ["", "k" * 201])
def test_a_key_that_is_none_is_refused(crm: CrmClient, key: str) -> None:
    post(crm, "accounts", {"name": "Aurora"}, key)
    assert wrong(crm)[0] == 400


def test_a_key_is_kept_for_a_day(serve: Serve, tmp_path: Path) -> None:
    now = [datetime(2026, 11, 24, 9, 0, tzinfo=UTC)]
    crm = serve_crm(serve, tmp_path, clock=lambda: now[0])
    first = post(crm, "accounts", {"name": "Aurora"}, "k1")
    now[0] += timedelta(hours=23, minutes=59)
    assert post(crm, "accounts", {"name": "Aurora"}, "k1") == first
    now[0] += timedelta(minutes=2)
    assert post(crm, "accounts", {"name": "Aurora"}, "k1")["id"] != first["id"]
    assert len(crm.names()) == 2


def test_a_key_outlives_the_server(serve: Serve, tmp_path: Path) -> None:
    made = post(serve_crm(serve, tmp_path), "accounts", {"name": "Aurora"}, "k1")
    assert post(serve_crm(serve, tmp_path), "accounts", {"name": "Aurora"}, "k1") == made


def test_a_key_in_flight_is_not_waited_for(crm: CrmClient) -> None:
    crm.fault("delay_commit", "/api/accounts", "POST", times=2, seconds=1)
    other = CrmClient(crm.base, requests.Session())
    slow = threading.Thread(target=post, args=(other, "accounts", {"name": "Aurora"}, "k1"))
    slow.start()
    post(crm, "accounts", {"name": "Aurora"}, "k1")
    slow.join()
    refused = next(c for c in (crm, other) if c.seen.status_code == 409)  # whichever came second
    assert wrong(refused)[0] == 409
    assert refused.seen.headers["Retry-After"] == "1"
    made = (other if refused is crm else crm).seen.json()
    assert post(refused, "accounts", {"name": "Aurora"}, "k1") == made
    assert (refused.seen.status_code, crm.names()) == (201, ["Aurora"])


@pytest.mark.parametrize("fault", [
    {"kind": "fail_after", "status": 500}, {"kind": "drop_after"}, {"kind": "half_body"},
    {"kind": "fail_before", "status": 502}, {"kind": "rate_limit"}])
def test_a_call_whose_answer_was_lost_is_safely_repeated(crm: CrmClient,
                                                         fault: dict[str, Any]) -> None:
    crm.fault(path="/api/accounts/batch", method="POST", times=2, **fault)
    for _ in range(2):
        try:
            answer = crm.http.post(f"{crm.base}/api/accounts/batch", timeout=30,
                                   json={"operations": [create(name="Aurora")]},
                                   headers={"Idempotency-Key": "k1"})
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            assert fault["kind"] in ("drop_after", "half_body")
        else:
            assert answer.status_code == {"fail_after": 500, "fail_before": 502,
                                          "rate_limit": 429}[fault["kind"]]
            assert (answer.headers.get("Retry-After") == "1") == (fault["kind"] == "rate_limit")
        assert crm.names() == ([] if fault["kind"] in ("fail_before", "rate_limit")
                               else ["Aurora"])
    (done,) = crm.batch("accounts", create(name="Aurora"), key="k1")
    assert (done["status"], crm.names()) == (201, ["Aurora"])


def test_an_answer_without_a_body_is_dropped_too(crm: CrmClient) -> None:
    """Its head alone would be a whole answer."""
    for kind in ("drop_after", "half_body"):
        made = crm.create("accounts", name="Aurora")
        crm.fault(kind, "/api/accounts", "DELETE")
        with pytest.raises(requests.ConnectionError):
            crm.remove("accounts", made)
        assert crm.names() == []


def test_faults_meet_the_calls_that_they_are_meant_for(crm: CrmClient) -> None:
    crm.fault("fail_before", "/api/accounts", "POST", times=2, skip=1, status=503)
    for status in (201, 503, 503, 201):
        crm.call("POST", "/api/accounts", {"name": "Aurora"})
        assert crm.seen.status_code == status
        crm.get("accounts")
        assert crm.seen.status_code == 200
        crm.create("users", name="Ada")
    assert crm.call("GET", "/_faults") == []
    crm.fault("fail_before", "/api/accounts", "POST", times=2)
    assert crm.call("GET", "/_faults") == [
        {"kind": "fail_before", "match": {"method": "POST", "path": "/api/accounts"}, "times": 2,
         "skip": 0, "status": 503, "seconds": 1.0}]
    assert crm.call("DELETE", "/_faults") == []
    crm.create("accounts", name="Aurora")


@pytest.mark.parametrize("rules", [{}, [5], [{"kind": "burn"}], [{}], [{"kind": "drop_after",
                                                                       "colour": "red"}]])
def test_a_fault_that_is_none_is_refused(crm: CrmClient, rules: Any) -> None:
    crm.call("POST", "/_faults", rules)
    assert crm.seen.status_code == 422
    assert crm.call("GET", "/_faults") == []
