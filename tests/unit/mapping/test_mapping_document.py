"""Every mistake in a mapping is told with file and line, and what to do about it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from textwrap import dedent

import pytest

from connector.errors import ConfigInvalid
from connector.mapping.document import read_document
from connector.mapping.load import load_mappings
from connector.mapping.transforms import REGISTRY, Transform, load_transforms
from connector.mapping.yaml_file import MAX_BYTES

CONTACT = """\
system: shop
entity: contact
object: people
fields:
  customer: {path: company, link: customer}
  %s
"""
QUOTE = """\
system: shop
entity: quote
object: offers
fields:
  customer: {path: company, link: customer}
  currency: cur
lines:
  path: rows
  fields:
    line_no: no
    quantity: qty
    %s
"""


def _load(folder: Path, text: str) -> None:
    path = folder / "shop" / "x.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    load_mappings(folder, "shop", REGISTRY)


def _refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigInvalid) as caught:
        _load(folder, text)
    return str(caught.value).replace(f"{folder}/shop/", "")


@pytest.mark.parametrize(("line", "said"), [
    ("first_nmae: first",
     "x.yaml:6: there is no canonical field first_nmae. Did you mean first_name?"),
    ("zzz: first",
     "x.yaml:6: there is no canonical field zzz. Known: customer, first_name, last_name, email, "
     "phone, job_title, is_primary, active."),
    ("email: {path: mail, transform: emial}",
     "x.yaml:6: there is no transform emial. Did you mean email?"),
    ("email: {path: mail, tranform: email}",
     "x.yaml:6: fields.email.tranform: unknown key. Take it out, or mend its spelling."),
    ("email: {}", "x.yaml:6: fields.email: give either a path or a formula, and not both."),
    ("email: 12", "x.yaml:6: fields.email: 12 is neither a path nor a map such as "
                  "{path: ..., transform: ...}."),
    ("email: a..b", "x.yaml:6: fields.email.path: 'a..b' is no path such as name or address.city."),
    ("email: {path: 1}",
     "x.yaml:6: fields.email.path: 1 is a number here, text is expected; put it in quotes."),
    ("email: {path: true}",
     "x.yaml:6: fields.email.path: true is no text here; put it in quotes."),
    ("email: {path: mail, values: {a: b}, transform: email}",
     "x.yaml:6: fields.email: values go with neither transform nor link; take one out."),
    ("email: {formula: a + b}",
     "x.yaml:6: fields.email: a formula goes one way: add `direction: pull`."),
    ("email: {formula: a.b, direction: pull}",
     "x.yaml:6: Attribute is not allowed in a formula."),
    ("email: {formula: 'a +', direction: pull}", "x.yaml:6: not a formula: invalid syntax."),
    ("email: {path: mail, link: customer}",
     "x.yaml:6: email does not refer to a customer. Take `link` out."),
    ("email: {path: mail, direction: out}",
     "x.yaml:6: fields.email.direction: input should be 'both', 'pull' or 'push'."),
    ("email: mail\n  phone: mail",
     "x.yaml:7: email is written to `mail` and phone to `mail`: they would overwrite each other. "
     "Add `direction: pull` to one of them."),
    ("email: mail\n  phone: mail.tel",
     "x.yaml:7: email is written to `mail` and phone to `mail.tel`: they would overwrite each "
     "other. Add `direction: pull` to one of them."),
    ("email: mail\n  email: other",
     'x.yaml:7: found duplicate key "email" with value "other" (original value: "mail"). Mend the '
     "YAML there."),
])
def test_a_wrong_field(tmp_path: Path, line: str, said: str) -> None:
    assert _refusal(tmp_path, CONTACT % line) == said


@pytest.mark.parametrize(("line", "said"), [
    ("unit_prise: price",
     "x.yaml:12: there is no canonical field lines.unit_prise. Did you mean unit_price?"),
    ("product: item", "x.yaml:12: product refers to a product. Add `link: product`."),
    ("product: {path: item, link: customer}",
     "x.yaml:12: product does not refer to a customer. Write `link: product`."),
])
def test_a_wrong_line_field(tmp_path: Path, line: str, said: str) -> None:
    assert _refusal(tmp_path, QUOTE % line) == said


@pytest.mark.parametrize(("old", "new", "said"), [
    ("currency: cur", "currency: cur\n  net: sum",
     "x.yaml:7: net is computed by each side, never written. Add `direction: pull`."),
    ("currency: cur", "currency: cur\n  discount_amount: {path: off, transform: decimal_2}",
     "x.yaml:7: discount_amount is an amount, and not every currency has two decimals. Write "
     "`transform: money`."),
    ("currency: cur", "currency: cur\n  exchange_rate: rate",
     "x.yaml:7: exchange_rate is a rate, which needs a transform. Add `transform: rate` (units of "
     "the document's currency for one of the company's) or `inverse_rate`, or one of your own."),
    ("currency: cur", "currency: cur\n  valid_until: valid",
     "x.yaml:7: valid_until is a date, which needs a transform. Add `transform: date_iso`, or one "
     "of your own."),
    ("currency: cur", "currency: cur\n  status:\n    path: s\n    values:\n      sent: a\n"
     "      draftt: b",
     "x.yaml:11: status is never draftt. Did you mean draft?"),
    ("currency: cur", "currency: cur\n  status: {path: s, values: {sent: 30}}",
     "x.yaml:7: fields.status.values.sent: 30 is a number here, text is expected; put it in "
     "quotes."),
    ("  currency: cur\n", "",
     "x.yaml:4: currency of quote has to be mapped, and read. Add it here."),
    ("currency: cur", "currency: {path: cur, direction: push}",
     "x.yaml:4: currency of quote has to be mapped, and read. Take `direction: push` out."),
    ("    quantity: qty\n", "",
     "x.yaml:9: lines.quantity of quote has to be mapped, and read. Add it here."),
    ("path: rows", "path: rows\n  key: number",
     "x.yaml:9: the line key of quote is line_no, not number."),
    ("line_no: no", "line_no: {path: no, direction: pull}",
     "x.yaml:10: the line key has to be written with the lines. Take `direction: pull` out, or "
     "add it to the lines."),
    ("entity: quote", "entity: quotation",
     "x.yaml:2: unknown entity 'quotation'. Known: product, customer, contact, stock_level, "
     "opportunity, quote, order, delivery, invoice, payment."),
    ("system: shop", "system: shopp",
     "x.yaml:1: 'shopp' stands in the folder of 'shop'. Move the file, or mend the line."),
    ("object: offers", "select: a[0]\nobject: offers",
     "x.yaml:3: Subscript is not allowed in a formula."),
    ("object: offers\n", "", "x.yaml:1: object: is missing. Add it."),
    ("entity: quote", "entity: contact", "x.yaml:6: there is no canonical field currency. "
     "Known: customer, first_name, last_name, email, phone, job_title, is_primary, active."),
])
def test_a_wrong_document(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = QUOTE % "tax_percent: tax"
    assert old in text
    assert _refusal(tmp_path, text.replace(old, new, 1)) == said


def test_lines_that_are_missing_or_have_no_place(tmp_path: Path) -> None:
    quote = QUOTE % "tax_percent: tax"
    header, lines = quote[:quote.index("lines:")], quote[quote.index("lines:"):]
    assert _refusal(tmp_path, header) == "x.yaml:2: quote has lines. Map them under `lines`."
    assert _refusal(tmp_path, CONTACT % "email: mail" + lines) == (
        "x.yaml:7: contact has no lines. Take `lines` out.")


def test_an_entity_mapped_twice(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "a.yaml").write_text(CONTACT % "email: mail", encoding="utf-8")
    assert _refusal(tmp_path, CONTACT % "email: mail") == (
        "x.yaml:2: contact is mapped twice for shop. Keep one of the two files.")


def test_a_transform_that_goes_one_way(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "x.yaml").write_text(
        CONTACT % "email: {path: mail, transform: hashed}", encoding="utf-8")
    one_way = {"hashed": Transform("hashed", str, None, "A hash.")}
    with pytest.raises(ConfigInvalid, match=r"x\.yaml:6: the transform hashed goes one way\. Add "
                                            r"`direction: pull`\."):
        load_mappings(tmp_path, "shop", one_way)


@pytest.mark.parametrize(("text", "said"), [
    ("", "x.yaml:1: a map (`key: value`) is expected."),
    ("a: [1", "x.yaml:1: expected ',' or ']', but got '<stream end>'. Mend the YAML there."),
    ("a: &a [x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join(['*a' + str(i - 1 or '')] * 9)}]\n" for i in range(1, 9)),
     "x.yaml: its aliases (`*name`) repeat too much. Write the parts out."),
    ("[" * 3000, "x.yaml: nested too deeply."),
    ("#" * (MAX_BYTES + 1),
     f"x.yaml: {MAX_BYTES + 1} bytes are too many, {MAX_BYTES} are allowed. Split the file."),
])
def test_a_file_that_is_no_mapping_at_all(tmp_path: Path, text: str, said: str) -> None:
    assert _refusal(tmp_path, text) == said


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"system: \xff")
    with pytest.raises(ConfigInvalid, match=r"not UTF-8 at byte 8\. Save it as UTF-8\."):
        read_document(tmp_path / "x.yaml")


STATE = """\
system: shop
entity: product
object: things
select: "kind == 'sold'"
fields:
  sku: id
  name: name
  currency: {path: money.cur, transform: iso_4217}
sync_state:
  %s
"""


@pytest.mark.parametrize(("lines", "said"), [
    ("since: {path: at, transform: utc}",
     "x.yaml:9: sync_state needs a place for the state. Add `state: PATH`."),
    ("state: s\n  when: t",
     "x.yaml:11: there is no canonical field when. Known: state, since, reason."),
    ("state: {path: s, direction: push}",
     "x.yaml:10: state of sync_state is only written. Give it a path, and values or a transform "
     "where it needs one."),
    ("state: s\n  reason: {formula: upper(t), direction: pull}",
     "x.yaml:11: reason of sync_state is only written. Give it a path, and values or a transform "
     "where it needs one."),
    ("state: {path: s, link: customer}",
     "x.yaml:10: state of sync_state is only written. Give it a path, and values or a transform "
     "where it needs one."),
    ("state: {path: s, values: {in_sync: ok, failed: bad}}",
     "x.yaml:10: every state needs a word: in_sync, waiting, conflict, failed."),
    ("state: {path: s, values: {in_sync: ok, broken: bad}}",
     "x.yaml:10: state is never broken. Known: in_sync, waiting, conflict, failed."),
    ("state: s\n  reason: s",
     "x.yaml:11: state is written to `s` and reason to `s`: they would overwrite each other. Add "
     "`direction: pull` to one of them."),
    ("state: name", "x.yaml:10: `name` is read as a field, too. Give it a place of its own."),
    ("state: s\n  reason: money.cur.why",
     "x.yaml:11: `money.cur.why` is read as a field, too. Give it a place of its own."),
    ("state: s\n  reason: money",
     "x.yaml:11: `money` is read as a field, too. Give it a place of its own."),
    ("state: kind", "x.yaml:10: `kind` is read as a field, too. Give it a place of its own."),
    ("state: s\n  since: t",
     "x.yaml:11: since is a timestamp, which needs a transform. Add `transform: utc`, or one of "
     "your own."),
    ("state: 7", "x.yaml:10: sync_state.state: 7 is neither a path nor a map such as "
                 "{path: ..., transform: ...}."),
])
def test_a_wrong_place_for_how_a_record_stands(tmp_path: Path, lines: str, said: str) -> None:
    assert _refusal(tmp_path, STATE % lines) == said


def test_how_a_record_stands_is_written_and_not_read(tmp_path: Path) -> None:
    _load(tmp_path, STATE % "state: sync.s\n  since: {path: sync.at, transform: utc}\n"
                            "  reason: sync.why")
    mapping = load_mappings(tmp_path, "shop", REGISTRY)["product"]
    assert mapping.encode_state({
        "state": "failed", "since": datetime(2026, 1, 5, 7, tzinfo=UTC), "reason": None}) == {
        "sync": {"s": "failed", "at": "2026-01-05T07:00:00.000000Z", "why": None}}
    assert mapping.decode({"id": "1", "name": "N", "money": {"cur": "EUR"}, "sync": {"s": "?"}},
                          lambda _entity, _id: None).keys() == {"sku", "name", "currency"}
    assert {"sync.s", "sync.at", "sync.why"} <= mapping.source_paths
    assert not {"state", "since", "reason"} & (mapping.readable | mapping.writable)


def test_payloads_are_alike_where_all_that_is_read_is(tmp_path: Path) -> None:
    _load(tmp_path, STATE % "state: s")
    mapping = load_mappings(tmp_path, "shop", REGISTRY)["product"]
    one = {"id": "1", "name": Decimal("1.50"), "money": {"cur": "EUR"}, "kind": "sold"}
    assert mapping.reads_alike(one, {**one, "name": "1.50", "s": "failed", "etag": 2})
    assert not mapping.reads_alike(one, {**one, "name": "1.5"})
    assert not mapping.reads_alike(one, {**one, "kind": None})
    assert not mapping.reads_alike(one, {**one, "money": {"cur": "CHF"}})


def test_country_codes_are_not_read_as_booleans(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(dedent("""\
        system: shop
        entity: product
        object: things
        select: "active"
        fields:
          sku: id
          name: NO
          currency: {path: cur, values: {NOK: NO, EUR: on}}
        """), encoding="utf-8")
    read = read_document(tmp_path / "x.yaml")
    assert read.document.fields["name"].path == "NO"
    assert read.document.fields["currency"].values == {"NOK": "NO", "EUR": "on"}
    assert read.source(["fields", "currency", "values"]) == f"{tmp_path / 'x.yaml'}:8"


def test_a_system_without_mappings_has_none(tmp_path: Path) -> None:
    assert load_mappings(tmp_path, "nobody", REGISTRY) == {}


def test_transforms_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from connector.mapping.transforms import Transform\n"
        "TRANSFORMS = {'initial': Transform('initial', lambda v: v[0], None, 'First letter.')}\n",
        encoding="utf-8")
    assert load_transforms(path)["initial"].decode("Ada") == "A"


@pytest.mark.parametrize(("text", "said"), [
    ("1 / 0", "ZeroDivisionError: division by zero."),
    ("X = 1", "defines no TRANSFORMS = {name: Transform}. Import Transform from "
              "connector.mapping.transforms."),
    ("TRANSFORMS = {'a': str}", "defines no TRANSFORMS = {name: Transform}. Import Transform from "
                                "connector.mapping.transforms."),
])
def test_a_broken_file_of_transforms(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigInvalid) as caught:
        load_transforms(path)
    assert str(caught.value) == f"{path}: {said}"


def test_a_file_of_transforms_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"no such file\. `transforms` names"):
        load_transforms(tmp_path / "none.py")
