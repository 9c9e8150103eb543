"""What the native adapters make of answers that are hard to get from a system in a test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
import responses
from pydantic import SecretStr

from connector.adapters.native_crm import NativeCrm, NativeCrmSettings
from connector.adapters.native_erp import NativeErp, NativeErpSettings
from connector.domain.records import Batch, Intent, Operation, WriteStatus
from connector.errors import CursorExpired, RequestRefused
from connector.testing.clock import VirtualClock

CRM, ERP = "http://127.0.0.1:8", "http://127.0.0.1:9"
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    """What the systems answer, in order; every answer has to be fetched."""
    with responses.RequestsMock(registry=responses.registries.OrderedRegistry) as mock:
        yield mock


@pytest.fixture
def crm() -> Iterator[NativeCrm]:
    """A CRM's adapter."""
    adapter = NativeCrm(NativeCrmSettings(name="crm", url=CRM, token=SecretStr("crm-token"),
                                          max_attempts=2), VirtualClock())
    yield adapter
    adapter.close()


@pytest.fixture
def erp() -> Iterator[NativeErp]:
    """An ERP's adapter."""
    adapter = NativeErp(NativeErpSettings(name="erp", url=ERP, api_key=SecretStr("erp-key"),
                                          max_attempts=2), VirtualClock())
    yield adapter
    adapter.close()


def at(seconds: float) -> str:
    """So many seconds after noon, as the CRM says it."""
    return (NOON + timedelta(seconds=seconds)).isoformat(timespec="microseconds").replace(
        "+00:00", "Z")


def local(seconds: float) -> str:
    """So many seconds after noon, as the ERP says it."""
    return (NOON + timedelta(seconds=seconds)).astimezone().isoformat(timespec="microseconds")


def crm_page(updated: list[float], as_of: float, *, more: bool) -> dict[str, Any]:
    """A page of accounts that changed at these times."""
    return {"data": [{"id": f"acc_{t}", "etag": '"1"', "updatedAt": at(t)} for t in updated],
            "nextCursor": "next" if more else None, "asOf": at(as_of)}


def erp_page(modified: list[float], covered: float, *, more: bool) -> dict[str, Any]:
    """A page of items that changed at these times."""
    return {"rows": [{"id": i, "rev": 1, "modified": local(t)} for i, t in enumerate(modified, 1)],
            "more": more, "covered_until": local(covered)}


def intent(operation: Operation, payload: dict[str, Any], n: int = 1) -> Intent:
    """A write of the n-th record."""
    new = operation is Operation.CREATE
    return Intent(f"k{n}", "thing", str(n), "x", operation, payload, {}, f"other:{n}",
                  None if new else str(n), None if new else "3")


def batch(object: str, *intents: Intent) -> Batch:
    """A batch."""
    return Batch("batch-key", object, intents[0].operation, intents)


# ---- cursors: how far a pull has surely read (seconds after noon)


@pytest.mark.parametrize(("pages", "cursors"), [
    ([([-900, -800], 0), ([-700], 1)], [-800, 1]),
    ([([-900, -6], 0), ([-3, -2], 1), ([0, 30], 60), ([], 90)], [-6, -2, 1, 1]),
    ([([-900, -4], 0), ([600], 700)], [-4, 0]),
    ([([], 0)], [0])],
    ids=["the end is the server's time", "the first page near the end bounds all",
         "however long the rest takes", "nothing there"])
def test_no_cursor_of_the_crm_stands_behind_what_may_come_up_late(
        web: responses.RequestsMock, crm: NativeCrm, pages: list[tuple[list[float], float]],
        cursors: list[float]) -> None:
    for i, (updated, as_of) in enumerate(pages):
        web.get(f"{CRM}/api/accounts", json=crm_page(updated, as_of, more=i + 1 < len(pages)))
    read = list(crm.pull("accounts", None))
    assert [json.loads(page.cursor)["since"] for page in read] == [at(c) for c in cursors]
    assert [len(page.records) for page in read] == [len(updated) for updated, _ in pages]


def test_a_pull_from_the_crm_looks_back(web: responses.RequestsMock, crm: NativeCrm) -> None:
    web.get(f"{CRM}/api/accounts", json=crm_page([], 100, more=False), match=[
        responses.matchers.query_param_matcher({
            "limit": "500", "include_deleted": "true", "updated_since": at(55)})])
    assert len(list(crm.pull("accounts", json.dumps({"since": at(60)})))) == 1


@pytest.mark.parametrize(("pages", "cursors"), [
    ([([1, 2], 10), ([3], 11)], [(2, 2), (3, 1)]),
    ([([1, 12], 10), ([13], 20)], [(10, 0), (10, 0)]),
    ([([], 10)], [(10, 0)])],
    ids=["the last record", "the first page past what is complete bounds all", "nothing there"])
def test_no_cursor_of_the_erp_stands_behind_what_is_complete(
        web: responses.RequestsMock, erp: NativeErp, pages: list[tuple[list[float], float]],
        cursors: list[tuple[float, int]]) -> None:
    for i, (modified, covered) in enumerate(pages):
        web.get(f"{ERP}/v1/items", json=erp_page(modified, covered, more=i + 1 < len(pages)))
    read = [json.loads(page.cursor) for page in erp.pull("items", None)]
    assert read == [{"modified": local(time), "id": id} for time, id in cursors]


def test_a_pull_from_the_erp_starts_at_its_cursor(web: responses.RequestsMock,
                                                  erp: NativeErp) -> None:
    cursor = json.dumps({"modified": local(5), "id": 7})
    web.get(f"{ERP}/v1/items", json=erp_page([], 9, more=False), match=[
        responses.matchers.query_param_matcher({
            "limit": "500", "archived": "include", "after_modified": local(5), "after_id": "7"})])
    assert [page.cursor for page in erp.pull("items", cursor)] == [cursor]


@pytest.mark.parametrize("cursor", [
    "", "x", "5", "[]", "null", "{}", '{"since": 5}', '{"since": "yesterday"}',
    '{"modified": "2026-01-05T12:00:00", "id": 1}', '{"modified": "x", "id": 1}',
    '{"modified": "2026-01-05T12:00:00Z", "id": "x"}', '{"modified": "2026-01-05T12:00:00Z"}'])
def test_a_strange_cursor_means_reading_everything(crm: NativeCrm, erp: NativeErp,
                                                   cursor: str) -> None:
    for adapter in (crm, erp):
        with pytest.raises(CursorExpired):
            next(iter(adapter.pull("accounts", cursor)))


# ---- writes


def test_the_key_and_the_rows_of_a_batch_are_the_same_whenever_it_is_sent(
        web: responses.RequestsMock, crm: NativeCrm) -> None:
    web.post(f"{CRM}/api/accounts/batch", body=requests.ReadTimeout("read timed out"))
    web.post(f"{CRM}/api/accounts/batch", status=409, headers={"Retry-After": "1"})
    results = crm.write(batch("accounts", intent(Operation.CREATE, {"name": "A"})))
    assert [r.status for r in results] == [WriteStatus.UNKNOWN]
    first, second = (call.request for call in web.calls)
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"] == "batch-key"
    assert first.body == second.body == (
        b'{"operations":[{"method":"create","body":{"name":"A","externalRef":"other:1"}}]}')


@pytest.mark.parametrize(("answer", "status"), [
    ({"status": 429, "headers": {"Retry-After": "600"}}, WriteStatus.RETRY),
    ({"body": requests.ConnectTimeout("connect timed out")}, WriteStatus.RETRY),
    ({"status": 500}, WriteStatus.UNKNOWN), ({"json": {"results": []}}, WriteStatus.UNKNOWN)],
    ids=["429", "never connected", "500", "results are missing"])
def test_a_failed_call_to_the_crm_is_told_in_every_result(
        web: responses.RequestsMock, crm: NativeCrm, answer: dict[str, Any],
        status: WriteStatus) -> None:
    for _ in range(1 if "json" in answer or "headers" in answer else 2):
        web.post(f"{CRM}/api/accounts/batch", **answer)
    results = crm.write(batch("accounts", intent(Operation.CREATE, {"name": "A"}, 1),
                              intent(Operation.CREATE, {"name": "B"}, 2)))
    assert [r.status for r in results] == [status] * 2


def test_each_status_of_the_crm_has_its_meaning(web: responses.RequestsMock,
                                                crm: NativeCrm) -> None:
    problem = {"title": "Invalid", "detail": "not valid",
               "errors": [{"field": "segment", "message": "smb or public"}]}
    row = {"id": "1", "etag": '"4"', "externalRef": "other:1", "updatedAt": at(0)}
    web.post(f"{CRM}/api/accounts/batch", status=207, json={"results": [
        {"status": 200, "body": row}, {"status": 412, "error": {"detail": "changed"}},
        {"status": 404, "error": {"title": "Not found"}}, {"status": 410, "error": {}},
        {"status": 422, "error": problem}, {"status": 400, "error": None}]})
    results = crm.write(batch("accounts", *(intent(Operation.UPDATE, {"name": "A"}, n)
                                            for n in range(6))))
    assert [r.status for r in results] == [
        WriteStatus.UPDATED, WriteStatus.STALE, WriteStatus.GONE, WriteStatus.GONE,
        WriteStatus.REJECTED, WriteStatus.REJECTED]
    assert results[0].record is not None
    assert results[0].record.version == '"4"'
    assert results[4].error == "The CRM refused it: segment: smb or public."
    assert results[5].error == "The CRM refused it: no reason given."


def test_a_record_that_is_too_large_harms_no_other(web: responses.RequestsMock,
                                                  crm: NativeCrm) -> None:
    web.post(f"{CRM}/api/accounts/batch", status=413, json={"detail": "at most 9 bytes"})
    web.post(f"{CRM}/api/accounts/batch", status=413, json={"detail": "at most 9 bytes"})
    web.post(f"{CRM}/api/accounts/batch", json={"results": [{"status": 204}]})
    results = crm.write(Batch("key", "accounts", Operation.DELETE,
                              (intent(Operation.DELETE, {}), intent(Operation.DELETE, {}))))
    assert [r.status for r in results] == [WriteStatus.REJECTED, WriteStatus.DELETED]
    assert "413 at most 9 bytes" in results[0].error
    assert [call.request.headers["Idempotency-Key"] for call in web.calls] \
        == ["key", "key.0", "key.1"]


def test_a_call_that_is_refused_whatever_it_holds_ends_the_run(web: responses.RequestsMock,
                                                               erp: NativeErp) -> None:
    web.post(f"{ERP}/v1/nothing/bulk", status=404, json={"error": {"msg": "there are no nothing"}})
    with pytest.raises(RequestRefused, match="there are no nothing"):
        erp.write(batch("nothing", intent(Operation.CREATE, {})))


@pytest.mark.parametrize(("operation", "calls"), [(Operation.CREATE, 2), (Operation.UPDATE, 1)])
def test_the_erp_is_sent_a_create_again_but_not_a_change(
        web: responses.RequestsMock, erp: NativeErp, operation: Operation, calls: int) -> None:
    for _ in range(calls):
        web.post(f"{ERP}/v1/items/bulk", body=requests.ReadTimeout("read timed out"))
    results = erp.write(batch("items", intent(operation, {"label": "A"})))
    assert [r.status for r in results] == [WriteStatus.UNKNOWN]


def test_a_record_of_the_erp_that_can_not_be_is_gone_and_not_asked_for(
        web: responses.RequestsMock, erp: NativeErp) -> None:
    web.post(f"{ERP}/v1/items/bulk", json={"rows": [
        {"ok": False, "error": {"code": "E404", "msg": "there is no items 0"}}]})
    strange = Intent("k", "thing", "1", "x", Operation.UPDATE, {"label": "A"}, {}, "", "²", "3")
    assert [r.status for r in erp.write(batch("items", strange))] == [WriteStatus.GONE]
    assert erp.get("items", ["²", "x", ""]) == {}


# ---- orders: what is not known after the rows are written


def order(state: str, rev: int = 1) -> dict[str, Any]:
    """An order as the ERP answers it."""
    return {"id": 1, "rev": rev, "state": state, "external_ref": "other:1", "modified": local(0)}


@pytest.mark.parametrize("operation", [Operation.CREATE, Operation.UPDATE])
def test_an_action_that_is_not_answered(web: responses.RequestsMock, erp: NativeErp,
                                        operation: Operation) -> None:
    web.post(f"{ERP}/v1/sales_orders/bulk", json={
        "rows": [{"ok": True, "created": True, "row": order("entered")}]})
    for _ in range(2):
        web.post(f"{ERP}/v1/sales_orders/actions/confirm", status=502)
    (result,) = erp.write(batch("sales_orders", intent(operation, {"state": "confirmed"})))
    if operation is Operation.UPDATE:  # the record is read again, and the change planned anew
        assert (result.status, result.record) == (WriteStatus.UNKNOWN, None)
        assert "502" in result.error
    else:  # the order is there: that must not be forgotten
        assert result.status is WriteStatus.CREATED
        assert result.record is not None
        assert "502" in result.refusal


def test_a_state_that_is_there_needs_no_action(web: responses.RequestsMock,
                                               erp: NativeErp) -> None:
    web.post(f"{ERP}/v1/sales_orders/bulk", json={"rows": [
        {"ok": False, "error": {"code": "E409-REF", "msg": "is taken", "existing_id": 1,
                                "row": order("confirmed", 4)}}]})
    (result,) = erp.write(batch("sales_orders",
                                intent(Operation.CREATE, {"state": "confirmed"})))
    assert (result.status, result.refusal) == (WriteStatus.CREATED, "")
    assert result.record is not None
    assert (result.record.version, result.record.reference) == ("4", "other:1")
