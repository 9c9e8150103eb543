"""The Tryton adapter without a Tryton: sessions, values, errors, warnings, cursors."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests
import responses
from pydantic import SecretStr

from connector.adapters.tryton import Tryton, TrytonSettings
from connector.adapters.tryton.changes import Cursor, parsed, pull
from connector.adapters.tryton.kind import Kind, Source, line_numbers
from connector.adapters.tryton.marks import ORDER, QUOTATION, Marked, marked, marks
from connector.adapters.tryton.parties import _joined, _parts
from connector.adapters.tryton.rpc import Refused, Rpc, day, number, packed, unpacked
from connector.adapters.tryton.sale_kinds import progress
from connector.adapters.tryton.sales import _discount, _discounted
from connector.adapters.tryton.writing import Writing
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


# ---- pulls, and batches that are refused


class Things(Kind):
    """Records with a name and nothing else; `book` is what Tryton holds."""

    object = "things"
    model = "thing"
    fields = ("name", "_timestamp")
    sources = (Source("thing"), Source("part", "thing"))

    def __init__(self, calls: Rpc, book: dict[str, list[dict[str, Any]]]) -> None:
        super().__init__(calls)
        self.book = book
        self.reads: list[list[int]] = []

    def find(self, ids: Any) -> Any:
        self.reads.append(sorted(ids))
        rows = [row for row in self.book["thing"] if row["id"] in ids]
        return [(row, self.record(row, {"name": row["name"]}, None)) for row in rows]

    def referenced(self, references: Any) -> dict[str, int]:
        return {}

    def creations(self, intents: Any) -> list[Any]:
        return [dict(intent.payload) for intent in intents]


class Book(Rpc):
    """A Tryton that is a dictionary of rows; it refuses a row that is named `bad`."""

    def __init__(self, book: dict[str, list[dict[str, Any]]]) -> None:
        super().__init__(SETTINGS, VirtualClock())
        self._context = {"company": 1}
        self.book = book
        self.calls: list[int] = []

    def ids(self, model: str, domain: Any) -> list[int]:
        return [row["id"] for row in self.book[model]]

    def ask(self, method: str, *params: Any) -> Any:
        assert method == "model.ir.model.search_read"
        return [{"name": name} for name in self.book]

    def read(self, model: str, domain: Any, fields: Any, *, limit: int | None = None,
             order: Any = None, context: Any = None) -> list[Any]:
        rows = sorted(self.book[model], key=lambda row: (row["last_modified_at"], row["id"]))
        for _, (_, _, at), both in domain:
            after = at.isoformat(timespec="microseconds") + "+00:00", both[1][2]
            rows = [row for row in rows if (row["last_modified_at"], row["id"]) > after]
        if order[0][1] == "DESC":
            rows.reverse()
        return [{"id": row["id"], "thing": row.get("thing"),
                 "last_modified_at": row["last_modified_at"]} for row in rows[:limit]]

    def change(self, method: str, *params: Any, context: Any = None) -> Any:
        self.calls.append(len(params[0]))
        if any(values["name"] == "bad" for values in params[0]):
            raise Refused("UserError", "No.")
        first = len(self.book["thing"]) + 1
        self.book["thing"] += [thing(first + n, 0, values["name"])
                               for n, values in enumerate(params[0])]
        return list(range(first, first + len(params[0])))


def thing(id: int, minute: int, name: str = "x", of: int | None = None) -> dict[str, Any]:
    return {"id": id, "name": name, "thing": of, "_timestamp": f"{minute}",
            "last_modified_at": f"2026-11-24T09:{minute:02}:00.000000+00:00"}


def pulled(kind: Things, cursor: str | None, look_back: int = 0) -> tuple[list[str], str]:
    pages = list(pull(kind, cursor, 2, timedelta(minutes=look_back)))
    return [f"-{r.external_id}" if r.deleted else r.external_id
            for page in pages for r in page.records], pages[-1].cursor


def test_a_pull_follows_times_parts_and_deletions() -> None:
    book = {"thing": [thing(n, n) for n in range(1, 6)], "part": [thing(1, 1, of=2)]}
    kind = Things(Book(book), book)
    assert pulled(kind, None)[0] == ["1", "2", "3", "4", "5"]
    _, cursor = pulled(kind, None)
    assert pulled(kind, cursor)[0] == ["5", "2"]  # what was read last is read again
    del book["thing"][0]
    book["part"].append(thing(2, 7, of=3))
    book["thing"][3] = thing(5, 8)
    read, cursor = pulled(kind, cursor)
    assert read[0] == "-1"
    assert set(read[1:]) == {"2", "3", "5"}
    assert "-1" not in pulled(kind, cursor)[0]


def test_a_late_commit_within_the_look_back_is_read() -> None:
    book: dict[str, list[dict[str, Any]]] = {"thing": [thing(9, 30)], "part": []}
    kind = Things(Book(book), book)
    _, cursor = pulled(kind, None)
    book["thing"].append(thing(3, 26))
    assert "3" not in pulled(kind, cursor)[0]
    assert "3" in pulled(kind, cursor, look_back=5)[0]


def test_what_many_rows_lead_to_is_read_once_a_round() -> None:
    book = {"thing": [thing(1, 1)], "part": [thing(n, n, of=1) for n in range(1, 3)]}
    kind = Things(Book(book), book)
    _, cursor = pulled(kind, None)
    kind.reads.clear()
    assert pulled(kind, cursor, look_back=9)[0] == ["1"]
    assert kind.reads == [[1]]


def test_a_refused_batch_is_halved_until_the_bad_record_stands_alone() -> None:
    book: dict[str, list[dict[str, Any]]] = {"thing": []}
    calls = Book(book)
    intents = [Intent(str(n), "thing", str(n), "erp", Operation.CREATE,
                      {"name": "bad" if n == 5 else f"n{n}"}, {}, f"crm:{n}") for n in range(8)]
    writing = Writing(calls, Things(calls, book), intents)
    writing.create()
    assert calls.calls == [8, 4, 4, 2, 1, 1, 2]
    results = [writing.results[n] for n in range(8)]
    assert [r.status for r in results] == [
        WriteStatus.REJECTED if n == 5 else WriteStatus.CREATED for n in range(8)]
    assert results[5].error == "No."
    assert [r.record and r.record.payload["name"] for r in results] \
        == [None if n == 5 else f"n{n}" for n in range(8)]
    assert results[0].record is not None
    assert results[0].record.reference == "crm:0"


class LostFromSight(Things):
    """Things that can't be read any more once they are made."""

    def find(self, ids: Any) -> Any:
        raise SystemUnreachable("erp is away.")


class LostAtOnce(Things):
    """Things of which it can't be asked what was made."""

    def made(self, ids: Any) -> Any:
        raise SystemUnreachable("erp is away.")


@pytest.mark.parametrize("kind", [LostFromSight, LostAtOnce])
def test_what_was_made_and_could_not_be_read_is_unknown(kind: type[Things]) -> None:
    book: dict[str, list[dict[str, Any]]] = {"thing": []}
    calls = Book(book)
    intent = Intent("1", "thing", "1", "erp", Operation.CREATE, {"name": "n"}, {}, "crm:1")
    writing = Writing(calls, kind(calls, book), [intent])
    writing.create()
    assert writing.results[0].status is WriteStatus.UNKNOWN


def test_nothing_is_written_to_what_is_only_read() -> None:
    erp = Tryton(SETTINGS, VirtualClock())
    intent = Intent("1", "invoice", "1", "erp", Operation.UPDATE, {"number": "7"}, {}, "crm:1", "1")
    (result,) = erp.write(Batch("1", "invoices", Operation.UPDATE, (intent,)))
    assert result.status is WriteStatus.REJECTED
    with pytest.raises(RequestRefused, match="no object 'tickets'"):
        erp.describe("tickets")


# ---- marks at sales


@pytest.mark.parametrize("text", [None, "", "For the fair", "[draft] of May"])
def test_marks_stand_beside_what_people_write(text: str | None) -> None:
    both = marked(marked(text, QUOTATION, "crm:17"), ORDER, "crm:quote:a [b] c")
    assert both.startswith(text or "")
    assert marks(text) == {}
    assert marks(both) == {QUOTATION: "crm:17", ORDER: "crm:quote:a [b] c"}


class Sales:
    """Sales by ID, with their descriptions, of which every one is read."""

    def __init__(self, **told: str) -> None:
        self.rows = [{"id": int(id[1:]), "description": text} for id, text in told.items()]

    def read(self, *_asked: Any, **_order: Any) -> list[dict[str, Any]]:
        return sorted(self.rows, key=lambda row: int(row["id"]))

    @property
    def marked(self) -> Marked:
        return Marked(self, "sale.sale", [])  # type: ignore[arg-type]


def test_the_oldest_with_a_mark_is_the_one() -> None:
    sales = Sales(_3="[quotation crm:1]", _2="[quotation crm:1] [order crm:quote:1]",
                  _5="[quotation crm:1] [order crm:quote:1]", _4="[order crm:10]", _6="for crm:10")
    assert sales.marked.oldest(QUOTATION, ["crm:1", "crm:10"]) == {"crm:1": 2}
    assert sales.marked.oldest(ORDER, ["crm:quote:1", "crm:10", "crm:1"]) \
        == {"crm:quote:1": 2, "crm:10": 4}
    assert {id: dict(own) for id, own in sales.marked.own(sales.rows).items() if own} == {
        2: {QUOTATION: "crm:1", ORDER: "crm:quote:1"}, 4: {ORDER: "crm:10"}}
