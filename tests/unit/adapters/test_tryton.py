"""The Tryton adapter without a Tryton: sessions, values, errors, warnings, cursors."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import requests
import responses
from pydantic import SecretStr

from connector.adapters.tryton import Tryton, TrytonSettings
from connector.adapters.tryton.changes import Cursor, parsed
from connector.adapters.tryton.kind import line_numbers
from connector.adapters.tryton.parties import _joined, _parts
from connector.adapters.tryton.rpc import Refused, Rpc, day, number, packed, unpacked
from connector.adapters.tryton.sales import _discount, _discounted, progress
from connector.adapters.wire import dumps
from connector.domain.records import Batch, Intent, Operation, WriteStatus
from connector.errors import (
    AccessDenied,
    ConfigInvalid,
    CursorExpired,
    OutcomeUnknown,
    RequestRefused,
    SystemUnreachable,
)
from connector.testing.clock import VirtualClock

URL = "http://localhost:9/erp/rpc/"
SETTINGS = TrytonSettings(name="erp", url="http://localhost:9", database="erp", user="connector",
                          password=SecretStr("secret"), max_attempts=1)
CONTEXT = {"company": 1, "companies": [1], "language": "en", "locale": {}}


class FakeTryton:
    """Answers by method; what it was asked is in `asked`. Its sessions are numbered."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Any]] = {
            "model.res.user.get_preferences": [{"result": CONTEXT}]}
        self.asked: list[tuple[str, list[Any]]] = []
        self.sessions = 0
        self.ended: set[str] = set()

    def __call__(self, request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        body = json.loads(request.body or b"")
        method = body["method"]
        if method == "common.db.login":
            if body["params"] != ["connector", {"password": "secret"}]:
                return 401, {}, "<h1>Unauthorized</h1>"
            self.sessions += 1
            return 200, {}, json.dumps({"result": [2, f"token{self.sessions}", None]})
        sent = request.headers.get("Authorization", "").removeprefix("Session ")
        if b64decode(sent).decode() != f"connector:2:token{self.sessions}" or sent in self.ended:
            return 401, {}, "<h1>Unauthorized</h1>"
        self.asked.append((method, body["params"]))
        some = self.answers[method]
        answer = some.pop(0) if len(some) > 1 else some[0]
        return (answer, {}, "") if isinstance(answer, int) else (200, {}, json.dumps(answer))

    def end(self) -> None:
        """End the session in use."""
        self.ended.add(b64encode(f"connector:2:token{self.sessions}".encode()).decode())

    def methods(self) -> list[str]:
        """What it was asked."""
        return [method.removeprefix("model.") for method, _ in self.asked]


@pytest.fixture
def erp() -> Iterator[FakeTryton]:
    fake = FakeTryton()
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add_callback(responses.POST, URL, callback=fake)
        yield fake


def rpc(**other: Any) -> Rpc:
    return Rpc(SETTINGS.model_copy(update=other), VirtualClock())


# ---- sessions


def test_it_logs_in_once(erp: FakeTryton) -> None:
    erp.answers["model.x.search"] = [{"result": [1, 2]}]
    calls = rpc()
    assert [calls.ids("x", []), calls.ids("x", [])] == [[1, 2], [1, 2]]
    assert erp.sessions == 1
    assert erp.methods() == ["res.user.get_preferences", "x.search", "x.search"]
    assert erp.asked[1][1][-1] == {"company": 1, "companies": [1], "language": "en",
                                   "company_filter": "one", "active_test": False}


def test_an_ended_session_is_renewed_once(erp: FakeTryton) -> None:
    erp.answers["model.x.write"] = [{"result": None}]
    calls = rpc()
    assert calls.context
    erp.end()
    calls.change("model.x.write", [1], {"name": "n"})
    assert erp.sessions == 2
    assert erp.methods().count("x.write") == 1


def test_a_wrong_password_is_told_and_not_shown(erp: FakeTryton) -> None:
    with pytest.raises(AccessDenied) as told:
        assert rpc(password=SecretStr("wr0ng")).context
    assert "wr0ng" not in str(told.value)
    assert "connector" in str(told.value)


def test_an_empty_password_is_refused() -> None:
    with pytest.raises(ConfigInvalid):
        rpc(password=SecretStr(""))


def test_the_company_is_one_of_the_users(erp: FakeTryton) -> None:
    erp.answers["model.company.company.search_read"] = [
        {"result": [{"id": 1, "rec_name": "North"}, {"id": 3, "rec_name": "South"}]}]
    assert rpc(company="South").context["company"] == 3
    assert rpc(company="1").context["company"] == 1
    with pytest.raises(ConfigInvalid, match="no company East"):
        assert rpc(company="East").context


# ---- values


def test_values_keep_their_type_and_every_digit() -> None:
    assert packed({"a": [Decimal("0.10")], "b": day("2026-11-24")}) == {
        "a": [{"__class__": "Decimal", "decimal": "0.10"}],
        "b": {"__class__": "date", "year": 2026, "month": 11, "day": 24}}
    assert unpacked([{"__class__": "Decimal", "decimal": "12345678901234.567891"}]) \
        == [Decimal("12345678901234.567891")]
    assert unpacked({"at": {
        "__class__": "datetime", "year": 2026, "month": 11, "day": 24, "hour": 9, "minute": 8,
        "second": 7, "microsecond": 6}}) == {"at": "2026-11-24T09:08:07.000006+00:00"}
    assert dumps(packed({"quantity": number(Decimal("0.30"))})) == b'{"quantity":0.30}'


# ---- errors


@pytest.mark.parametrize(("error", "kind", "said"), [
    (["UserError", ["Not valid.", "Look again.", None]], "UserError", "Not valid. Look again."),
    (["UserWarning", ["abc.credit_limit", "Too much.", ""]], "UserWarning",
     "skip_warnings: [credit_limit]"),
    (["ConcurrencyException", "Records were modified"], "ConcurrencyException", "meanwhile"),
    (["'nope'", ""], "error", "Tryton failed: 'nope'"),
])
def test_what_tryton_says_is_told(erp: FakeTryton, error: Any, kind: str, said: str) -> None:
    erp.answers["model.x.write"] = [{"error": error}]
    with pytest.raises(Refused, match=said.replace("[", r"\[")) as told:
        rpc().change("model.x.write", [1], {})
    assert told.value.kind == kind


def test_a_read_that_is_refused_ends_the_run(erp: FakeTryton) -> None:
    erp.answers["model.x.search"] = [{"error": ["UserError", ["You may not.", "", None]]}]
    with pytest.raises(RequestRefused, match="You may not"):
        rpc().ids("x", [])


def test_a_failure_of_the_database_is_tried_later(erp: FakeTryton) -> None:
    erp.answers["model.x.write"] = [{"error": ["could not serialize access", ""]}]
    with pytest.raises(SystemUnreachable):
        rpc().change("model.x.write", [1], {})


def test_an_unanswered_write_may_have_been_made_and_a_read_has_not(erp: FakeTryton) -> None:
    erp.answers["model.x.write"] = [504]
    erp.answers["model.x.search"] = [504]
    with pytest.raises(OutcomeUnknown):
        rpc().change("model.x.write", [1], {})
    with pytest.raises(SystemUnreachable):
        rpc().ids("x", [])


# ---- warnings


WARNING = {"error": ["UserWarning", ["0f.credit_limit_amount", "Too much.", ""]]}


def test_a_warning_is_skipped_where_that_is_allowed(erp: FakeTryton) -> None:
    erp.answers["model.x.confirm"] = [WARNING, {"result": None}]
    erp.answers["model.res.user.warning.skip"] = [{"result": None}]
    rpc(skip_warnings=("credit_*",)).change("model.x.confirm", [1])
    assert erp.methods()[1:] == ["x.confirm", "res.user.warning.skip", "x.confirm"]
    assert erp.asked[2][1][:2] == ["0f.credit_limit_amount", False]


def test_a_warning_is_a_refusal_elsewhere(erp: FakeTryton) -> None:
    erp.answers["model.x.confirm"] = [WARNING]
    with pytest.raises(Refused, match="Too much"):
        rpc(skip_warnings=("other",)).change("model.x.confirm", [1])
    assert "res.user.warning.skip" not in erp.methods()


def test_warnings_without_end_are_a_refusal(erp: FakeTryton) -> None:
    erp.answers["model.x.confirm"] = [WARNING]
    erp.answers["model.res.user.warning.skip"] = [{"result": None}]
    with pytest.raises(Refused, match="more than"):
        rpc(skip_warnings=("*",)).change("model.x.confirm", [1])


# ---- cursors


def test_a_cursor_is_short_and_comes_back() -> None:
    cursor = Cursor({"party.party": ("2026-11-24T09:00:00+00:00", 7)}, {1, 2, 3, 9, 11, 12})
    assert '"alive":"1-3,9,11-12"' in str(cursor)
    assert parsed(str(cursor)) == cursor


@pytest.mark.parametrize("text", [
    "", "7", "{}", "[]", '{"places":{"x":["yesterday",1]},"alive":""}',
    '{"places":{"x":["2026-11-24T09:00:00",1]},"alive":""}', '{"places":{},"alive":"a"}',
    '{"places":{},"alive":3}'])
def test_a_strange_cursor_is_told(text: str) -> None:
    with pytest.raises(CursorExpired):
        parsed(text)


# ---- words


@pytest.mark.parametrize(("first", "last"), [
    ("Ada", "Lovelace"), ("Ludwig Maria", "van der Berg"), (None, "Cher"), ("Ada", "de Morgan")])
def test_names_survive_in_one_field(first: str | None, last: str) -> None:
    assert _parts(_joined(first, last)) == (first, last)


@pytest.mark.parametrize("discount", ["0", "5", "12.5", "33.33", "0.5", "100"])
@pytest.mark.parametrize("price", ["0.99", "19.99", "1234.5678", "100"])
def test_a_discount_is_read_as_it_was_written(price: str, discount: str) -> None:
    base = Decimal(price)
    read = _discount(base, _discounted(base, Decimal(discount)))
    assert _discounted(base, read) == _discounted(base, Decimal(discount))
    if base >= 1 or discount in ("0", "5", "100"):
        assert read == Decimal(discount)


def test_line_numbers_stay_with_their_lines() -> None:
    lines = [{"id": 5, "sequence": 1}, {"id": 6, "sequence": None}, {"id": 7, "sequence": 2},
             {"id": 8, "sequence": 2}]
    assert line_numbers(lines) == {5: 1, 6: 1_000_006, 7: 1_000_007, 8: 1_000_008}


@pytest.mark.parametrize(("state", "shipped", "invoiced", "told"), [
    ("draft", "none", "none", "draft"), ("quotation", "none", "none", "draft"),
    ("confirmed", "none", "none", "processing"),
    ("processing", "waiting", "awaiting payment", "processing"),
    ("processing", "exception", "pending", "processing"),
    ("processing", "partially shipped", "paid", "partially shipped"),
    ("processing", "sent", "pending", "sent"),
    ("processing", "sent", "partially paid", "awaiting payment"),
    ("done", "sent", "paid", "paid"), ("done", "none", "paid", "paid"),
    ("cancelled", "none", "none", "cancelled"),
])
def test_progress_is_one_word(state: str, shipped: str, invoiced: str, told: str) -> None:
    assert progress({"state": state, "shipment_state": shipped, "invoice_state": invoiced}) == told


def test_nothing_is_written_to_what_is_only_read() -> None:
    erp = Tryton(SETTINGS, VirtualClock())
    intent = Intent("1", "invoice", "1", "erp", Operation.UPDATE, {"number": "7"}, {}, "crm:1", "1")
    (result,) = erp.write(Batch("1", "invoices", Operation.UPDATE, (intent,)))
    assert result.status is WriteStatus.REJECTED
    with pytest.raises(RequestRefused, match="no object 'tickets'"):
        erp.describe("tickets")
