"""What the adapter makes of BottleCRM's answers, without a BottleCRM."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pytest
import responses
from pydantic import SecretStr

from connector.adapters.bottlecrm import BottleCrm, BottleCrmSettings, lines, notes, records
from connector.adapters.bottlecrm.objects import OBJECTS
from connector.adapters.bottlecrm.sweep import Listing, every_row
from connector.bootstrap import shipped
from connector.domain.records import Batch, Intent, Operation, WriteResult, WriteStatus
from connector.domain.values import FieldType
from connector.errors import AccessDenied, RequestRefused, SystemUnreachable
from connector.mapping.load import load_mappings
from connector.mapping.transforms import REGISTRY
from connector.testing.clock import VirtualClock

URL = "http://127.0.0.1:8"
ACCOUNT = {"id": "a1", "name": "Acme", "currency": "EUR", "custom_fields": {"rank": 5}}


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    """What BottleCRM answers; one without records, with a field `rank` of an account."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        answers(mock, "GET", "org/settings/", {"name": "Us", "default_currency": "USD"})
        answers(mock, "GET", "profile/", {"user_obj": {"role": "ADMIN"}})
        answers(mock, "GET", "custom-fields/", {"definitions": [
            {"id": key, "key": key, "target_model": "Account", "field_type": "text",
             "is_active": True}
            for key in ("rank", "connector_ref")]})
        answers(mock, "GET", "accounts/", accounts())
        yield mock


@pytest.fixture
def crm() -> Iterator[BottleCrm]:
    """The adapter."""
    adapter = BottleCrm(BottleCrmSettings(name="crm", url=URL, token=SecretStr("token"),
                                          max_attempts=2), VirtualClock())
    yield adapter
    adapter.close()


def answers(web: responses.RequestsMock, method: str, path: str, body: Any,
            status: int = 200) -> None:
    web.add(method, f"{URL}/api/{path}", json=body, status=status)


def accounts(*rows: dict[str, Any]) -> dict[str, Any]:
    """A page of the list of accounts, none of them archived."""
    return {"active_accounts": {"open_accounts": list(rows), "open_accounts_count": len(rows)},
            "closed_accounts": {"close_accounts": [], "close_accounts_count": 0}}


def write(crm: BottleCrm, operation: Operation, payload: dict[str, Any],
          version: str | None = None) -> WriteResult:
    intent = Intent("k", "customer", "1", "crm", operation, payload, {}, "erp:1",
                    None if operation is Operation.CREATE else "a1", version)
    (result,) = crm.write(Batch("k", "accounts", operation, (intent,)))
    return result


def sent(web: responses.RequestsMock, method: str) -> list[Any]:
    """The bodies of the calls made by a method."""
    return [json.loads(call.request.body or "null") for call in web.calls
            if call.request.method == method]


# ---- errors


@pytest.mark.parametrize(("answer", "said"), [
    ({"error": True, "errors": {"name": ["Already there."]}}, "name: Already there"),
    ({"error": True, "errors": "Admin access required"}, "Admin access required"),
    ({"error": True, "message": "Estimate not found"}, "Estimate not found"),
    ({"detail": 'Method "DELETE" not allowed.'}, 'Method "DELETE" not allowed'),
    ({"errors": {"line_items": [{}, {"quantity": ["Must be more than zero."]}]}},
     "line_items 1.quantity: Must be more than zero"),
    ({"errors": {"non_field_errors": ["No."], "x": ["Y.", "Z."]}}, "No; x: Y; x: Z"),
    ({"off": ["This field is required."]}, "off: This field is required"),
    (None, "no reason given"),
])
def test_its_own_words_are_read_out(answer: Any, said: str) -> None:
    assert records.refused(answer) == said


def test_refusals_become_what_the_caller_does_next(web: responses.RequestsMock,
                                                   crm: BottleCrm) -> None:
    answers(web, "POST", "accounts/", {"errors": {"name": ["Already there."]}}, 400)
    result = write(crm, Operation.CREATE, {"name": "Acme"})
    assert (result.status, result.error) == (WriteStatus.REJECTED, "name: Already there.")
    answers(web, "GET", "accounts/a1/", {"detail": "No Account matches."}, 404)
    assert write(crm, Operation.UPDATE, {"name": "X"}).status is WriteStatus.GONE
    web.replace("GET", f"{URL}/api/profile/", json={"detail": "Log in."}, status=403)
    with pytest.raises(AccessDenied, match=r"Log in\. Check the token"):
        crm.check()
    web.replace("GET", f"{URL}/api/profile/", json={"user_obj": {"role": "USER"}})
    with pytest.raises(AccessDenied, match="has the role USER"):
        list(crm.pull("accounts", None))


def test_a_create_that_failed_on_the_way_is_unknown(web: responses.RequestsMock,
                                                    crm: BottleCrm) -> None:
    web.add("POST", f"{URL}/api/accounts/", body="<h1>Server Error (500)</h1>", status=500)
    assert write(crm, Operation.CREATE, {"name": "Acme"}).status is WriteStatus.UNKNOWN
    assert len(sent(web, "POST")) == 1  # it might have been made: it is not sent again
    web.replace("POST", f"{URL}/api/accounts/", json={"error": False})
    assert "names no record" in write(crm, Operation.CREATE, {"name": "Acme"}).error


def test_a_write_that_can_not_be_read_back_is_unknown(web: responses.RequestsMock,
                                                      crm: BottleCrm) -> None:
    answers(web, "POST", "accounts/", {"id": "a1"})
    answers(web, "GET", "accounts/a1/", {}, 502)
    result = write(crm, Operation.CREATE, {"name": "Acme"})
    assert result.status is WriteStatus.UNKNOWN
    assert "It was written, but could not be read back" in result.error


def test_a_part_that_is_switched_off_is_not_a_record_that_is_gone(web: responses.RequestsMock,
                                                                  crm: BottleCrm) -> None:
    answers(web, "GET", "invoices/i1/", {"detail": "Invoices is off.", "code": "module_off"}, 404)
    with pytest.raises(RequestRefused, match=r"Invoices is off\. Switch it on"):
        crm.get("invoices", ["i1"])


# ---- versions


def test_a_version_moves_with_what_is_written_and_with_nothing_else() -> None:
    kind = OBJECTS["accounts"]

    def version(row: dict[str, Any], *defined: str, currency: str = "USD") -> str:
        return records.record(kind, row, defined, currency).version

    before = version(ACCOUNT)
    assert version({**ACCOUNT, "rollups": {"won_count": 3}}, "rank", "more",
                   currency="CHF") == before
    assert version({**ACCOUNT, "custom_fields": {"rank": 6}}) != before
    assert version({**ACCOUNT, "name": "Acme!"}) != before


def test_blank_custom_fields_are_null_and_a_currency_is_the_organizations() -> None:
    record = records.record(OBJECTS["accounts"], {**ACCOUNT, "currency": None},
                            ("rank", "score", "connector_ref"), "USD")
    assert record.payload["custom_fields"] == {"rank": 5, "score": None, "connector_ref": None}
    assert record.payload["currency"] == "USD"


# ---- writes


def test_a_record_is_read_anew_just_before_it_is_written(web: responses.RequestsMock,
                                                         crm: BottleCrm) -> None:
    answers(web, "GET", "accounts/a1/", {"account_obj": ACCOUNT})
    answers(web, "PATCH", "accounts/a1/", {"error": False})
    version = crm.get("accounts", ["a1"])["a1"].version
    assert write(crm, Operation.UPDATE, {"city": "Lyon"}, "another").status is WriteStatus.STALE
    assert sent(web, "PATCH") == []
    result = write(crm, Operation.UPDATE, {"city": "Lyon"}, version)
    assert sent(web, "PATCH") == [{"city": "Lyon"}]
    assert result.status is WriteStatus.UPDATED
    assert result.refusal == "BottleCRM did not keep city (sent Lyon, kept nothing)."


def test_what_it_would_drop_is_refused_before_anything_is_sent(web: responses.RequestsMock,
                                                               crm: BottleCrm) -> None:
    result = write(crm, Operation.CREATE, {"fax": "1", "custom_fields": {"rank": 1, "score": 2}})
    assert result.status is WriteStatus.REJECTED
    assert result.error.startswith("BottleCRM has no fax, custom_fields.score that can be written")
    web.replace("GET", f"{URL}/api/custom-fields/", json={"definitions": []})
    crm.describe("accounts")
    assert "custom_fields.connector_ref" in write(crm, Operation.CREATE, {"name": "A"}).error
    assert sent(web, "POST") == []


def test_a_create_that_is_there_already_is_answered_with_it(web: responses.RequestsMock,
                                                            crm: BottleCrm) -> None:
    there = {**ACCOUNT, "custom_fields": {"connector_ref": "erp:1"}}
    web.replace("GET", f"{URL}/api/accounts/", json=accounts(there))
    result = write(crm, Operation.CREATE, {"name": "Acme"})
    assert result.record is not None
    assert (result.status, result.record.external_id) == (WriteStatus.CREATED, "a1")
    assert sent(web, "POST") == []
    assert "cf_connector_ref=erp%3A1" in str(web.calls[0].request.url)


@pytest.mark.parametrize(("wanted", "kept"), [
    ("", None), ("  x ", "x"), (Decimal("12"), "12.00"), ("12.0", Decimal("12")), (True, True),
    (None, ""),
])
def test_what_means_the_same_was_kept(wanted: Any, kept: Any) -> None:
    assert records.same(wanted, kept)


@pytest.mark.parametrize(("wanted", "kept"), [
    ("x", None), (True, 1), (Decimal("12.001"), "12.00"), ("a", "b"), (None, "0.00"),
])
def test_what_differs_was_not(wanted: Any, kept: Any) -> None:
    assert not records.same(wanted, kept)


# ---- prepare


def test_definitions_are_added_in_the_right_type_and_only_once(web: responses.RequestsMock,
                                                               crm: BottleCrm) -> None:
    answers(web, "POST", "custom-fields/", {})
    types = {"credit_limit": FieldType.MONEY, "on_hold": FieldType.BOOLEAN,
             "due_on": FieldType.DATE, "terms": FieldType.CHOICE, "rank": FieldType.DECIMAL}
    added = crm.prepare("accounts", {"name": FieldType.TEXT, **{
        f"custom_fields.{key}": kind for key, kind in types.items()}})
    assert added == [f"custom_fields.{key}" for key in ("credit_limit", "on_hold", "due_on",
                                                        "terms")]
    assert {body["key"]: body["field_type"] for body in sent(web, "POST")} == {
        "credit_limit": "number", "on_hold": "checkbox", "due_on": "date", "terms": "text"}


def test_a_field_of_another_type_is_told(web: responses.RequestsMock, crm: BottleCrm) -> None:
    with pytest.raises(RequestRefused, match="rank of Account is a text; a checkbox is needed"):
        crm.prepare("accounts", {"custom_fields.score": FieldType.TEXT,
                                 "custom_fields.rank": FieldType.BOOLEAN})
    assert sent(web, "POST") == []


def test_only_administrators_add_them(web: responses.RequestsMock, crm: BottleCrm) -> None:
    answers(web, "POST", "custom-fields/", {"error": True, "errors": "Admin access required"}, 403)
    with pytest.raises(AccessDenied, match="Admin access required"):
        crm.prepare("accounts", {"custom_fields.on_hold": FieldType.BOOLEAN})


# ---- lines and notes


LINE = {"product": None, "name": "Bolt", "description": "", "quantity": "3.00",
        "unit_price": "9.99", "discount_type": "", "discount_value": "0.00",
        "discount_amount": "0.00", "subtotal": "29.97", "net_amount": "29.97",
        "tax_rate": "7.00", "order": 0}


def test_a_line_is_taxed_at_the_documents_rate() -> None:
    (line,) = lines.read({"tax_rate": "20.00", "line_items": [LINE]})
    assert (line["tax_rate"], line["discount_percent"], line["order"]) == ("20.00", "0.00", 0)


def test_a_flat_discount_is_worked_out_in_percent() -> None:
    flat = LINE | {"discount_type": "FIXED", "discount_amount": "3.00", "subtotal": "12.00"}
    (line,) = lines.read({"tax_rate": "0", "line_items": [flat]})
    assert line["discount_percent"] == "25"


def test_lines_of_one_order_are_numbered_by_place() -> None:
    assert [line["order"] for line in lines.read({"line_items": [LINE, LINE]})] == [0, 1]


def test_the_document_takes_the_rate_of_its_lines() -> None:
    body = records.body(OBJECTS["invoices"], {"amount_due": "1", "line_items": [
        {"order": 1, "product": None, "quantity": "2", "tax_rate": "20",
         "discount_percent": "10"}]}, None, "erp:1")
    assert body == {
        "tax_rate": "20", "custom_fields": {"connector_ref": "erp:1"}, "line_items": [
            {"order": 1, "quantity": "2", "tax_rate": "20", "discount_type": "PERCENTAGE",
             "discount_value": "10"}]}
    assert records.mixed_rates({"line_items": [{"tax_rate": "20"}, {"tax_rate": None}]})


@pytest.mark.parametrize("text", [None, "Zinc plated.", "Two\n\nparagraphs", "[ERP] as a word\nx"])
def test_notes_leave_the_description_as_it_was(text: str | None) -> None:
    kept = {"on_hand": "12.5", "connector_ref": "erp:P 1"}
    assert notes.split(notes.join(text, kept)) == (text, kept)
    assert notes.split(text) == (text, {})
    assert notes.join(text, {"on_hand": None}) == text


# ---- sweeps


class Shelf:
    """A list that changes while it is read: `then` says after which call, and how."""

    def __init__(self, *parts: Sequence[str], then: dict[int, Any] | None = None) -> None:
        self.parts, self.then, self.calls = [list(part) for part in parts], then or {}, 0

    def read(self, offset: int, size: int) -> Listing:
        page = Listing([[{"id": i} for i in part[offset:offset + size]] for part in self.parts],
                       sum(map(len, self.parts)))
        self.calls += 1
        self.then.get(self.calls, lambda _parts: None)(self.parts)
        return page


def swept(shelf: Shelf, size: int = 2) -> list[str]:
    return [row["id"] for rows in every_row(shelf.read, size) for row in rows]


def test_a_quiet_list_is_read_once() -> None:
    for shelf in (Shelf(""), Shelf("ab"), Shelf("abc", "de"), Shelf("a", "bcdef")):
        every = sorted("".join(map("".join, shelf.parts)))
        assert sorted(swept(shelf)) == every


def test_a_row_that_goes_hides_no_other() -> None:
    assert set(swept(Shelf("abcdef", then={1: lambda parts: parts[0].remove("a")}))) \
        == set("abcdef")


def test_a_row_that_comes_doubles_no_other() -> None:
    read = swept(Shelf("abcdef", then={1: lambda parts: parts[0].insert(0, "new")}))
    assert sorted(read) == ["a", "b", "c", "d", "e", "f", "new"]


def test_a_row_that_changes_sides_is_found() -> None:
    def archived_and_back(parts: list[list[str]]) -> None:
        parts[0].insert(0, parts[1].pop())
        parts[1].insert(0, parts[0].pop(1))

    read = swept(Shelf("abcd", "xyz", then={1: archived_and_back}))
    assert sorted(read) == sorted("abcdxyz")


def test_a_list_that_never_rests_is_told() -> None:
    busy = Shelf("abc", then={n: lambda parts: parts[0].insert(0, f"n{len(parts[0])}")
                              for n in range(1, 99)})
    with pytest.raises(SystemUnreachable, match="come and go faster"):
        swept(busy)


# ---- estimates and deals


@pytest.mark.parametrize(("own", "said", "shown"), [
    ("Draft", {}, "Draft"), ("Viewed", {}, "Sent"), ("Draft", {"quote_status": "Sent"}, "Sent"),
    ("Sent", {"quote_status": "Draft"}, "Sent"), ("Sent", {"quote_status": "Declined"}, "Declined"),
    ("Accepted", {"quote_status": "Declined"}, "Accepted"),
    ("Sent", {"quote_status": "Ordered"}, "Ordered"),
    ("Accepted", {"connector_order": "erp:1"}, "Ordered"), ("Sent", {"quote_status": "?"}, "Sent"),
])
def test_of_two_statuses_what_is_further_counts(own: str, said: dict[str, str],
                                                shown: str) -> None:
    row = {"id": "e1", "status": own, "custom_fields": said, "line_items": []}
    record = records.record(OBJECTS["estimates"], row, ["quote_status"], "EUR")
    assert record.payload["quote_status"] == shown


def test_what_is_not_finished_says_whose_it_is() -> None:
    row = {"id": "o1", "account": None, "custom_fields": {"connector_ref": "erp:1 ..."}}
    record = records.record(OBJECTS["opportunities"], row, [], "EUR")
    assert (record.reference, record.payload["custom_fields"]) == (
        "erp:1", {"connector_ref": "erp:1 ..."})


def test_only_lines_that_differ_are_written() -> None:
    there = [{"order": 0, "name": "A", "quantity": "1.00", "product": None},
             {"order": 1, "name": "B", "quantity": "2.00", "product": "p"}]
    wanted = [{"order": 0, "name": "A", "quantity": "1"}, {"order": 1, "quantity": "3"},
              {"order": 2, "name": "C"}]
    assert records.lines_to_write(wanted, there) == [(wanted[1], there[1]), (wanted[2], None)]
    assert lines.write_apart({"order": 1, "name": None, "product": None,
                              "discount_percent": "5"}) == {
        "order": 1, "name": "", "product_id": None, "discount_type": "PERCENTAGE",
        "discount_value": "5"}


@pytest.mark.parametrize(("entity", "row", "shared"), [
    ("contact", {"account": None}, False), ("contact", {"account": "a"}, True),
    ("product", {"sku": ""}, False), ("product", {"sku": "B1"}, True),
    ("opportunity", {"account": None}, False), ("opportunity", {"account": "a"}, True),
    ("quote", {"status": "Draft", "account_id": None}, False),
    ("quote", {"status": "Draft", "account_id": "a"}, True),
    ("quote", {"status": "Sent", "account_id": None}, True),
])
def test_what_belongs_to_nobody_is_not_shared(entity: str, row: dict[str, Any],
                                              shared: bool) -> None:
    mappings = load_mappings(shipped("mappings"), "bottlecrm", REGISTRY)
    assert mappings[entity].selects(row) is shared
