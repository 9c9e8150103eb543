"""What decode and encode make of one record."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from connector.domain.entities import ENTITIES
from connector.errors import DecodeFailed, EncodeFailed, ParentMissing
from connector.mapping.compile import Mapping, compile_mapping
from connector.mapping.document import MappingDocument
from connector.mapping.transforms import REGISTRY, Transform

TRANSFORMS = {
    **REGISTRY,
    "fragile": Transform("fragile", lambda v: v["inner"], lambda v: 1 / v, "Fails in odd ways."),
    "hour": Transform("hour", lambda v: int(v) * 100, lambda v: v // 100, "Hours.", lossy=True),
}


def _mapping(entity: str, fields: dict[str, Any], lines: dict[str, Any] | None = None,
             **more: Any) -> Mapping:
    document = MappingDocument.model_validate(
        {"system": "shop", "entity": entity, "object": "things", "fields": fields, **more,
         **({"lines": lines} if lines else {})})
    return compile_mapping(document, ENTITIES[entity], TRANSFORMS)


def _contact(**fields: Any) -> Mapping:
    return _mapping("contact", {"customer": {"path": "company.id", "link": "customer"}, **fields})


def _quote(**more: Any) -> Mapping:
    return _mapping("quote", {
        "customer": {"path": "company", "link": "customer"}, "currency": "cur",
        "status": {"path": "state", "values": {"sent": "open", "draft": "open",
                                               "accepted": "won"}},
        "net": {"path": "sums.net", "direction": "pull"},
    }, {"path": "rows", "fields": {
        "line_no": {"path": "no", "transform": "integer"}, "quantity": "qty",
        "product": {"path": "item", "link": "product", "transform": "integer"},
        "description": {"path": "what", "values": {"Big": "B", "Large": "B", "Small": "S"}},
    }, **more})


def known(entity: str, key: str) -> str | None:
    """Canonical or external ID: the same with its entity put before or taken away."""
    if key == "99":
        return None
    return key.removeprefix(f"{entity}-") if key.startswith(entity) else f"{entity}-{key}"


CONTACT = {"company": {"id": 7}, "first": " Ada ", "mail": "ada@EXAMPLE.org"}


def test_absent_null_and_blank_are_told_apart() -> None:
    mapping = _contact(first_name="first", last_name="last", phone="tel", job_title="job",
                       email={"path": "mail", "transform": "email"})
    assert mapping.decode({**CONTACT, "tel": None, "job": "  "}, known) == {
        "customer": "customer-7", "first_name": "Ada", "email": "ada@example.org",
        "phone": None, "job_title": None}


def test_blank_text_never_reaches_a_transform() -> None:
    mapping = _mapping("product", {"sku": "s", "name": "n", "currency": "c",
                                   "list_price": {"path": "p", "transform": "decimal"}})
    decoded = mapping.decode({"s": "1", "n": "N", "c": "EUR", "p": " "}, known)
    assert decoded["list_price"] is None


@pytest.mark.parametrize(("payload", "said", "field"), [
    ({"first": "A"}, "customer is missing (path `company.id`).", "customer"),
    ({"company": None}, "customer is blank, but has to be given (path `company.id`).", "customer"),
    ({"company": {"id": ""}}, "customer is blank, but has to be given (path `company.id`).",
     "customer"),
    ({"company": {"id": {"id": 1}}}, "customer {'id': 1} is no ID (path `company.id`).",
     "customer"),
    ({"company": {"id": True}}, "customer True is no ID (path `company.id`).", "customer"),
    ({**CONTACT, "first": ["A"]}, "first_name ['A'] is no text (path `first`).", "first_name"),
    ({**CONTACT, "main": 1}, "is_primary 1 is not true or false; give it a transform "
                             "(path `main`).", "is_primary"),
    ({**CONTACT, "flag": "yes"}, "active 'yes' is neither true nor false (path `flag`).",
     "active"),
    ({**CONTACT, "job": 5}, "job_title 5 can't be converted: TypeError 'int' object is not "
                            "subscriptable (path `job`).", "job_title"),
])
def test_what_cant_be_decoded(payload: dict[str, Any], said: str, field: str) -> None:
    mapping = _contact(first_name="first", is_primary="main",
                       active={"path": "flag", "transform": "boolean"},
                       job_title={"path": "job", "transform": "fragile"})
    with pytest.raises(DecodeFailed) as caught:
        mapping.decode(payload, known)
    assert (str(caught.value), caught.value.field, caught.value.stage) == (said, field, "decode")


QUOTE = {"company": 7, "cur": "EUR", "state": "open", "sums": {"net": Decimal("9.005")},
         "rows": [{"no": 20, "qty": "2.50", "item": 4, "what": "S"},
                  {"no": 10, "qty": 1, "item": 3, "what": "B"}]}


def test_lines_are_sorted_by_their_key_and_values_normalised() -> None:
    assert _quote().decode(QUOTE, known) == {
        "customer": "customer-7", "currency": "EUR", "status": "sent", "net": Decimal("9.01"),
        "lines": [
            {"line_no": 10, "quantity": Decimal(1), "product": "product-3", "description": "Big"},
            {"line_no": 20, "quantity": Decimal("2.5"), "product": "product-4",
             "description": "Small"}]}


@pytest.mark.parametrize(("change", "said", "field"), [
    ({"state": "frozen"}, "status 'frozen' is none of open, won (path `state`).", "status"),
    ({"state": ["open"]}, "status ['open'] is none of open, won (path `state`).", "status"),
    ({"sums": {"net": 1.5}}, "net 1.5 is not an exact decimal (path `sums.net`).", "net"),
    ({"sums": {"net": "1e200"}}, "net 1.000E+200 has more than 120 digits (path `sums.net`).",
     "net"),
    ({"rows": {"no": 1}}, "lines: a list is expected (path `rows`).", "lines"),
    ({"rows": ["x"]}, "lines: number 1 is no line (path `rows`).", "lines"),
    ({"rows": [{"qty": 1}]}, "line number 1: line_no is missing (path `no`).", "lines.line_no"),
    ({"rows": [{"no": None, "qty": 1}]},
     "line number 1: line_no is blank, but has to be given (path `no`).", "lines.line_no"),
    ({"rows": [{"no": 1, "qty": 1}, {"no": "1", "qty": 2}]},
     "lines: two lines have the line_no 1 (path `no`).", "lines.line_no"),
    ({"rows": [{"no": 1, "qty": "many"}]},
     "line 1: quantity 'many' is not a number (path `qty`).", "lines.quantity"),
    ({"rows": [{"no": 1.5, "qty": 1}]},
     "line number 1: line_no 1.5 is not an exact decimal (path `no`).", "lines.line_no"),
])
def test_what_cant_be_decoded_of_a_document(change: dict[str, Any], said: str,
                                            field: str) -> None:
    with pytest.raises(DecodeFailed) as caught:
        _quote().decode({**QUOTE, **change}, known)
    assert (str(caught.value), caught.value.field) == (said, field)


def test_absent_lines_have_no_say_and_null_means_none() -> None:
    without = {k: v for k, v in QUOTE.items() if k != "rows"}
    assert "lines" not in _quote().decode(without, known)
    assert _quote().decode({**without, "rows": None}, known)["lines"] == []


def test_a_parent_that_is_not_linked_yet() -> None:
    with pytest.raises(ParentMissing) as caught:
        _contact().decode({"company": {"id": 99}}, known)
    assert (caught.value.wanted, caught.value.field) == ("customer:99", "customer")
    with pytest.raises(ParentMissing) as caught:
        _quote().encode({"lines": [{"line_no": 1, "product": "99"}]}, known)
    assert (caught.value.wanted, caught.value.field) == ("product:99", "lines.product")


def test_what_is_not_shared_is_not_waited_for() -> None:
    mapping = _mapping("invoice", {
        "customer": {"path": "company", "link": "customer"}, "currency": "cur",
        "order": {"path": "sale", "link": "order"}}, {"path": "rows", "fields": {
            "line_no": {"path": "no", "transform": "integer"}, "quantity": "qty"}})
    row = {"company": "A1", "cur": "EUR", "sale": "99", "rows": []}
    with pytest.raises(ParentMissing, match="order:99"):
        mapping.decode(row, known)
    alone = mapping.among(["invoice", "customer"])
    assert "order" not in alone.decode(row, known)
    assert alone.references(row) == [("customer", "A1")]
    assert "customer" in mapping.among(["invoice"]).readable  # required: waited for all the same


def test_references_leave_out_blanks_and_never_fail() -> None:
    rows = [{"item": 3}, {"item": None}, {"item": ""}, {}, "no line", {"item": [1]}]
    assert _quote().references({"company": 7, "rows": rows}) == [
        ("customer", "7"), ("product", "3")]
    assert _quote().references({"rows": 5}) == []
    assert _quote().references({}) == []


def test_wanted_names_what_encode_will_resolve() -> None:
    record = {"customer": "c", "lines": [{"product": "p"}, {"product": None}, {}]}
    assert _quote().wanted(record) == [("customer", "c"), ("product", "p")]
    assert _quote(direction="pull").wanted(record) == [("customer", "c")]
    assert _contact().wanted({"customer": None}) == []


def test_encode_of_a_partial_record_is_a_partial_payload() -> None:
    assert _quote().encode({"status": "draft"}, known) == {"state": "open"}
    assert _contact().encode({"customer": "customer-7"}, known) == {"company": {"id": "7"}}
    assert _contact(email="mail.first").encode({"email": None}, known) == {
        "mail": {"first": None}}


def test_encode_sends_whole_lines_and_never_what_is_pulled_only() -> None:
    record = {"net": Decimal(5), "lines": [
        {"line_no": 10, "quantity": Decimal("1.5"), "product": "product-3", "description": None}]}
    rows = [{"no": 10, "qty": Decimal("1.5"), "item": 3, "what": None}]
    assert _quote().encode(record, known) == {"rows": rows}
    assert _quote(direction="pull").encode(record, known) == {}


def test_what_cant_be_encoded() -> None:
    with pytest.raises(EncodeFailed) as caught:
        _quote().encode({"status": "expired"}, known)
    assert str(caught.value) == ("status 'expired' is none of sent, draft, accepted "
                                 "(path `state`).")
    fragile = _contact(job_title={"path": "job", "transform": "fragile"})
    with pytest.raises(EncodeFailed) as caught:
        fragile.encode({"job_title": 0}, known)
    assert str(caught.value) == ("job_title 0 can't be converted: ZeroDivisionError division by "
                                 "zero (path `job`).")


@pytest.mark.parametrize(("previous", "state", "status"), [
    (None, "open", "sent"), ("draft", "open", "draft"), ("sent", "open", "sent"),
    ("accepted", "open", "sent"), ("draft", "won", "accepted"),
    ("expired", "open", "sent"),  # a word that this system has none for
])
def test_the_value_last_agreed_is_kept_where_it_fits(previous: str | None, state: str,
                                                     status: str) -> None:
    before = {"status": previous} if previous else None
    assert _quote().decode({**QUOTE, "state": state}, known, before)["status"] == status


def test_the_value_last_agreed_is_kept_in_lines_by_their_key() -> None:
    before = {"lines": [{"line_no": 20, "description": "Large"},
                        {"line_no": 10, "description": "Large"}]}
    lines = _quote().decode(QUOTE, known, before)["lines"]
    assert [line["description"] for line in lines] == ["Large", "Small"]


def test_a_lossy_transform_and_a_pulled_field_keep_it_too() -> None:
    mapping = _mapping("product", {
        "sku": "s", "name": "n", "currency": "c",
        "tax_percent": {"path": "t", "transform": "hour", "direction": "pull"}})
    payload = {"s": "1", "n": "N", "c": "EUR", "t": 3}
    assert mapping.decode(payload, known)["tax_percent"] == 300
    assert mapping.decode(payload, known, {"tax_percent": 345})["tax_percent"] == 345
    assert mapping.decode(payload, known, {"tax_percent": 445})["tax_percent"] == 300


def test_select_and_formulas() -> None:
    mapping = _mapping("contact", {
        "customer": {"path": "c", "link": "customer"},
        "last_name": {"formula": "text(first) + ' ' + text(last)", "direction": "pull"},
        "job_title": {"formula": "upper(job)", "direction": "pull"},
    }, select="kind == 'person' and not gone")
    payload = {"c": 1, "first": "Ada", "last": None, "kind": "person"}
    assert mapping.selects(payload)
    assert not mapping.selects({**payload, "gone": True})
    assert not mapping.selects({"c": 1})
    assert mapping.decode(payload, known) == {"customer": "customer-1", "last_name": "Ada"}
    assert mapping.source_paths == {"c", "first", "last", "job", "kind", "gone"}
    assert "last_name" in mapping.readable
    assert "last_name" not in mapping.writable


def test_a_formula_that_fails_fails_its_record_only() -> None:
    mapping = _mapping("contact", {
        "customer": {"path": "c", "link": "customer"},
        "last_name": {"formula": "a + b", "direction": "pull"}}, select="a > 1")
    with pytest.raises(DecodeFailed) as caught:
        mapping.decode({"c": 1, "a": "x", "b": 1}, known)
    assert str(caught.value) == (
        "last_name `a + b` can't be worked out: can only concatenate str (not \"int\") to str "
        "(path `formula: a + b`).")
    with pytest.raises(DecodeFailed, match="select: `a > 1` can't be worked out"):
        mapping.selects({"a": "x"})


def test_readable_and_writable_names() -> None:
    mapping = _quote()
    assert mapping.readable == {
        "customer", "currency", "status", "net", "lines", "lines.line_no", "lines.quantity",
        "lines.product", "lines.description"}
    assert mapping.writable == mapping.readable - {"net"}
    assert _quote(direction="pull").writable == {"customer", "currency", "status"}
    assert mapping.source_paths == {"company", "cur", "state", "sums.net", "rows"}
    assert mapping.line_paths == {"no", "qty", "item", "what"}
    push = _contact(email={"path": "mail", "direction": "push"})
    assert push.readable == {"customer"}
    assert push.writable == {"customer", "email"}
    assert push.decode({**CONTACT}, known) == {"customer": "customer-7"}


def _invoice(**fields: Any) -> Mapping:
    return _mapping("invoice", {
        "customer": {"path": "company", "link": "customer"},
        "balance": {"path": "open", "transform": "money"}, "currency": "cur", **fields,
    }, {"path": "rows", "fields": {"line_no": {"path": "no", "transform": "integer"},
                                   "quantity": "qty"}})


@pytest.mark.parametrize(("currency", "given", "amount"), [
    ("JPY", "1234.50", "1235"), ("JPY", "1234.00", "1234"), ("EUR", "1234.5", "1234.50"),
    ("EUR", "0.005", "0.01"), ("BHD", "1.2345", "1.235"), ("KWD", "1.2", "1.200"),
    ("CLF", "1", "1.0000")])
def test_an_amount_has_the_decimals_of_its_currency(currency: str, given: str,
                                                    amount: str) -> None:
    mapping = _invoice()
    decoded = mapping.decode({"company": "7", "cur": currency, "open": given}, known)
    assert str(decoded["balance"]) == amount
    assert mapping.encode({"balance": decoded["balance"]}, known) == {"open": amount}


def test_an_amount_in_no_known_currency_fails_its_record() -> None:
    with pytest.raises(DecodeFailed) as caught:
        _invoice().decode({"company": "7", "cur": "EURO", "open": "1"}, known)
    assert str(caught.value) == "balance 'EURO' is no ISO 4217 currency (path `open`)."


def test_an_amount_in_the_books_currency_is_rounded_by_that_one() -> None:
    mapping = _invoice(total_base={"path": "base", "transform": "money"}, rate_base="books")
    payload = {"company": "7", "cur": "JPY", "open": "5", "base": "0.0325", "books": "BHD"}
    assert str(mapping.decode(payload, known)["total_base"]) == "0.033"
    assert str(mapping.decode({**payload, "books": None}, known)["total_base"]) == "0.0325"


def test_a_rate_that_a_system_turns_over_stands_until_the_system_changes_it() -> None:
    mapping = _invoice(exchange_rate={"path": "rate", "transform": "inverse_rate"})
    payload = {"company": "7", "cur": "USD", "rate": "0.923190546529"}
    agreed = {"exchange_rate": Decimal("1.0832")}
    assert mapping.encode(agreed, known) == {"rate": "0.923190546529"}
    assert mapping.decode(payload, known, agreed)["exchange_rate"] == Decimal("1.0832")
    assert mapping.decode({**payload, "rate": "0.8"}, known, agreed)["exchange_rate"] \
        == Decimal("1.25")
