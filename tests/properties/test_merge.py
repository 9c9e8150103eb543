"""Whatever both sides did to a record: merging it is fair, ends, and loses nothing."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from connector.domain.entities import ENTITIES
from connector.domain.policies import CRM, ERP, EntityPolicy, FieldPolicy, Role, other
from connector.domain.values import Record
from connector.engine.merge import Merged, agreed, merge
from connector.engine.pair import Rule, Rules

QUIET = settings(deadline=None, max_examples=150)
BOTH: frozenset[Role] = frozenset((CRM, ERP))
ORDER = ENTITIES["order"]
HEADER = ("status", "warehouse", "customer_reference", "remark")
IN_LINE = ("line_no", "product", "quantity", "unit_price")

WORDS = st.sampled_from([None, "a", "b", "c"])
NUMBERS = st.sampled_from([None, Decimal(0), Decimal(1), Decimal("2.5")])
LINES = st.dictionaries(st.sampled_from([10, 20, 30]), st.fixed_dictionaries(
    {"product": WORDS, "quantity": NUMBERS, "unit_price": NUMBERS}), max_size=3).map(
    lambda lines: [{"line_no": key, **lines[key]} for key in sorted(lines)])
STATUS = st.sampled_from([None, *ORDER.fields["status"].choices])
RECORDS: SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"status": STATUS, "warehouse": WORDS, "customer_reference": WORDS, "remark": WORDS,
     "lines": LINES})
POLICIES = st.builds(
    FieldPolicy, st.sampled_from(["two_way", "to_erp", "to_crm", "create_only"]),
    st.sampled_from([None, CRM, ERP]),
    st.sampled_from(["manual", "prefer_crm", "prefer_erp", "prefer_crm_unless_blank",
                     "prefer_erp_unless_blank"]),
    st.sampled_from(["propagate", "ignore", "fill_only"]))


def rules(policies: dict[str, FieldPolicy] | None = None) -> Rules:
    """An order's rules, every field writable on both sides; without a policy by default."""
    policy = EntityPolicy(fields=policies or {})
    header = {n: Rule(n, ORDER.fields[n], policy.of(n), BOTH) for n in HEADER}
    lines = {n: Rule(f"lines.{n}", ORDER.line_fields[n], policy.of(f"lines.{n}"), BOTH)
             for n in IN_LINE}
    return Rules(ORDER, policy, header, lines, BOTH)


PLAIN = rules()
GOVERNED = st.dictionaries(
    st.sampled_from([*HEADER, "lines", *(f"lines.{n}" for n in IN_LINE[1:])]), POLICIES).map(rules)


def written(merged: Merged, crm: Record, erp: Record) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both sides once the writes are made."""
    return {**crm, **merged.writes.get(CRM, {})}, {**erp, **merged.writes.get(ERP, {})}


def by_path(record: Record) -> dict[str, Any]:
    """Every value of a record: header fields, and `lines[10].quantity`."""
    found = {name: record[name] for name in HEADER if name in record}
    for line in record.get("lines", ()):
        found.update({f"lines[{line['line_no']}].{n}": line[n] for n in IN_LINE if n in line})
    return found


def changed_by(base: Record | None, record: Record) -> Iterator[tuple[str, Any]]:
    """What a side set to another value than the last agreed one."""
    before = by_path(base or {})
    for path, value in by_path(record).items():
        if path not in before or before[path] != value:
            yield path, value


def disputed(merged: Merged, path: str, role: Role, value: Any) -> bool:
    """Whether a conflict keeps a side's value at `path`, in itself or in its line."""
    whole, _, name = path.rpartition(".")
    for conflict in merged.conflicts:
        side = {CRM: conflict.crm, ERP: conflict.erp}[role]
        if (conflict.path == path and side == value) or (
                conflict.path == whole and side is not None and side[name] == value):
            return True
    return False


@QUIET
@given(st.none() | RECORDS, RECORDS, RECORDS)
def test_without_a_policy_neither_side_is_favoured(base: Record | None, crm: Record,
                                                   erp: Record) -> None:
    one, two = merge(PLAIN, base, crm, erp), merge(PLAIN, base, erp, crm)
    assert one.base == two.base
    assert one.writes == {other(role): record for role, record in two.writes.items()}
    assert [(c.path, c.base, c.crm, c.erp, c.kind) for c in one.conflicts] \
        == [(c.path, c.base, c.erp, c.crm, c.kind) for c in two.conflicts]
    for role, changes in one.changes.items():
        assert [(c.path, c.before, c.after) for c in changes] \
            == [(c.path, c.before, c.after) for c in two.changes[other(role)]]


@QUIET
@given(GOVERNED, st.none() | RECORDS, RECORDS, RECORDS)
def test_once_its_writes_are_made_there_is_nothing_more_to_write(
        governed: Rules, base: Record | None, crm: Record, erp: Record) -> None:
    merged = merge(governed, base, crm, erp)
    again = merge(governed, merged.base, *written(merged, crm, erp))
    assert again.writes == {}
    assert again.base == merged.base
    assert {c.path for c in again.conflicts} == {c.path for c in merged.open_conflicts}


@QUIET
@given(st.none() | RECORDS, RECORDS, RECORDS)
def test_no_change_vanishes(base: Record | None, crm: Record, erp: Record) -> None:
    merged = merge(PLAIN, base, crm, erp)
    agreed = by_path(merged.base)
    sides = written(merged, crm, erp)
    for role, record in ((CRM, crm), (ERP, erp)):
        for path, value in changed_by(base, record):
            stands = path in agreed and agreed[path] == value
            filled = base is None and value is None  # a blank is filled on first contact
            fresh = path.startswith("lines[") and path not in by_path(base or {})
            assert stands or disputed(merged, path, role, value) or (
                (filled or fresh) and value is None)
    for path, value in agreed.items():
        held = [by_path(side).get(path, "nothing") for side in sides]
        if not any(path.startswith(c.path) for c in merged.open_conflicts):
            assert held == [value, value]


@QUIET
@given(st.none() | RECORDS, RECORDS, RECORDS)
def test_a_conflict_keeps_the_base_and_both_values(base: Record | None, crm: Record,
                                                   erp: Record) -> None:
    merged = merge(PLAIN, base, crm, erp)
    before, sides = by_path(base or {}), (by_path(crm), by_path(erp))
    for conflict in merged.conflicts:
        assert conflict.settled_by == ""
        if conflict.kind == "update_against_delete":
            assert None in (conflict.crm, conflict.erp)
            continue
        assert conflict.base == before.get(conflict.path)
        assert (conflict.crm, conflict.erp) == tuple(s[conflict.path] for s in sides)
        for after in written(merged, crm, erp):
            assert by_path(after)[conflict.path] in (conflict.crm, conflict.erp)


@QUIET
@given(RECORDS, RECORDS)
def test_a_side_that_changed_nothing_has_no_say(base: Record, theirs: Record) -> None:
    for crm, erp in ((base, theirs), (theirs, base)):
        merged = merge(PLAIN, base, crm, erp)
        assert (CRM if crm is theirs else ERP) not in merged.writes
        assert {c.kind for c in merged.conflicts} <= {"step_back"}
        if not merged.conflicts:
            assert written(merged, crm, erp) == (theirs, theirs)
            assert merged.base == theirs


@QUIET
@given(GOVERNED, RECORDS)
def test_equal_sides_need_nothing(governed: Rules, record: Record) -> None:
    merged = merge(governed, record, record, record)
    assert (merged.writes, merged.conflicts, merged.base) == ({}, [], record)


@QUIET
@given(GOVERNED, RECORDS, RECORDS, RECORDS, st.sampled_from([CRM, ERP]))
def test_a_write_whose_answer_was_lost_leaves_the_base_of_one_that_was_told(
        governed: Rules, base: Record, crm: Record, erp: Record, role: Role) -> None:
    """One side was written and nobody told; who reads it again agrees on as much as if he had been
    told, and a value that a person gives either side then is his, and no conflict with ours."""
    sides = {CRM: crm, ERP: erp}
    sides[role] = {**sides[role], **merge(governed, base, crm, erp).writes.get(role, {})}
    told = agreed(governed, base, sides[CRM], sides[ERP])
    found = agreed(governed, base, told, sides[role])
    assert found == told
    assert agreed(governed, found, told, sides[role]) == found


@QUIET
@given(GOVERNED, RECORDS, RECORDS, RECORDS)
def test_what_was_not_written_is_not_agreed(governed: Rules, base: Record, sent: Record,
                                            now: Record) -> None:
    before, there = by_path(base), by_path(now)
    for path, value in by_path(agreed(governed, base, sent, now)).items():
        assert value == before.get(path, "nothing") or value == there[path]
