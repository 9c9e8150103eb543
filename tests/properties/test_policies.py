"""All rules of a field and of a deletion, in all combinations: what each of them promises, that
neither side is favoured but by name, that nothing is asked or written twice, that nothing
vanishes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.domain.actions import FieldConflict
from connector.domain.entities import ENTITIES
from connector.domain.policies import (
    CRM,
    ERP,
    Direction,
    EntityPolicy,
    FieldPolicy,
    NewerWins,
    OnBlank,
    OnDelete,
    Resolution,
    Role,
    other,
)
from connector.domain.values import MISSING
from connector.engine.group import Group, Seen, Work
from connector.engine.merge import merge
from connector.engine.pair import Rule, Rules
from connector.engine.plan import decide
from connector.engine.policy import LEFT, UNTOLD, Moments, Verdict, changed, settle

BOTH: frozenset[Role] = frozenset((CRM, ERP))
ROLES: tuple[Role, Role] = (CRM, ERP)
NOON, MINUTE = datetime(2026, 11, 24, 12, tzinfo=UTC), timedelta(minutes=1)
RESOLUTIONS: list[Resolution | NewerWins] = [
    *(r for r in get_args(Resolution) if r != "fail"),
    *(NewerWins(tie, MINUTE) for tie in (None, CRM, ERP))]
OWNERS: list[Role | None] = [None, CRM, ERP]
MOMENTS: list[Moments] = [UNTOLD, *({CRM: NOON + a * MINUTE, ERP: NOON + b * MINUTE}
                                    for a, b in ((0, 0), (0, 5), (5, 0)))]
POLICIES = [FieldPolicy(*parts) for parts in product(
    get_args(Direction), OWNERS, RESOLUTIONS, get_args(OnBlank))]
VALUES = list(product((MISSING, None, "a"), (None, "a", "b"), (None, "a", "b")))
SPEC = ENTITIES["customer"].fields["email"]
SWAPPED = {"crm": "erp", "erp": "crm"}


def verdicts(policy: FieldPolicy) -> Iterator[tuple[Any, dict[Role, Any], Moments, Verdict]]:
    """The verdict on every base and pair of values, at different times."""
    rule = Rule("email", SPEC, policy, BOTH)
    timed = MOMENTS if isinstance(policy.conflict, NewerWins) else MOMENTS[:1]
    for (base, crm, erp), moments in product(VALUES, timed):
        values: dict[Role, Any] = {CRM: crm, ERP: erp}
        yield base, values, moments, settle(rule, "email", base, values, None, moments)


def mirrored(policy: FieldPolicy) -> FieldPolicy:
    """The same rules with the sides exchanged."""
    direction, conflict = policy.direction, policy.conflict
    if direction in ("to_crm", "to_erp"):
        direction = "to_erp" if direction == "to_crm" else "to_crm"
    if isinstance(conflict, NewerWins):
        conflict = replace(conflict, tie=other(conflict.tie) if conflict.tie else None)
    elif conflict.startswith("prefer"):
        side = conflict.split("_")[1]
        conflict = conflict.replace(side, SWAPPED[side])  # type: ignore[assignment]
    return replace(policy, direction=direction, conflict=conflict,
                   owner=other(policy.owner) if policy.owner else None)


def name(policy: FieldPolicy) -> str:
    conflict = policy.conflict
    told = f"newer, tie {conflict.tie}" if isinstance(conflict, NewerWins) else conflict
    return f"{policy.direction}-{policy.owner}-{told}-{policy.on_blank}"


def lost(verdict: Verdict, values: dict[Role, Any]) -> Role | None:
    """The side whose value is overwritten."""
    return None if verdict.winner is None or values[CRM] == values[ERP] else other(verdict.winner)


every = pytest.mark.parametrize("policy", POLICIES, ids=name)


@every
def test_neither_side_is_favoured_but_by_name(policy: FieldPolicy) -> None:
    mirror = Rule("email", SPEC, mirrored(policy), BOTH)
    for base, values, moments, verdict in verdicts(policy):
        there = settle(mirror, "email", base, {CRM: values[ERP], ERP: values[CRM]}, None,
                       {CRM: moments[ERP], ERP: moments[CRM]})
        assert there.winner == (other(verdict.winner) if verdict.winner else None)
        assert (there.agreed, bool(there.conflict)) == (verdict.agreed, bool(verdict.conflict))


@every
def test_each_rule_keeps_what_it_promises(policy: FieldPolicy) -> None:
    for base, values, _, verdict in verdicts(policy):
        if values[CRM] == values[ERP]:
            assert verdict.agreed
            continue
        loser = lost(verdict, values)
        if policy.direction == "create_only":
            assert verdict == LEFT
        if policy.direction in ("to_crm", "to_erp"):
            assert loser in (None, CRM if policy.direction == "to_crm" else ERP)
        if policy.direction == "two_way" and policy.owner is not None and loser == policy.owner:
            assert (base, values[loser]) == (MISSING, None)
        if policy.direction == "two_way" and policy.owner is None and base is not MISSING:
            still = [role for role in ROLES if not changed(base, values[role])]
            assert loser is None or not still or loser in still
        if loser is not None and policy.on_blank == "ignore":
            assert values[other(loser)] is not None
        if loser is not None and policy.on_blank == "fill_only":
            assert values[loser] is None


@every
def test_what_is_overwritten_is_kept(policy: FieldPolicy) -> None:
    for base, values, _, verdict in verdicts(policy):
        loser, conflict = lost(verdict, values), verdict.conflict
        if conflict is not None:
            assert (conflict.base, conflict.crm, conflict.erp) == (
                None if base is MISSING else base, values[CRM], values[ERP])
            assert bool(conflict.settled_by) == (verdict.winner is not None)
        if loser is not None and changed(base, values[loser]) and values[loser] is not None:
            assert conflict is not None


@every
def test_a_verdict_carried_out_calls_for_no_other(policy: FieldPolicy) -> None:
    rule = Rule("email", SPEC, policy, BOTH)
    for base, values, moments, verdict in verdicts(policy):
        after, agreed = values, base
        if verdict.agreed or verdict.winner is not None:
            agreed = values[verdict.winner or CRM]
            after = {CRM: agreed, ERP: agreed}
        again = settle(rule, "email", agreed, after, None, moments)
        if after is values:
            assert again == verdict
        else:
            assert again.agreed


# ---- whole records

FIELDS = ("name", "city", "email", "active")
WORDS = st.sampled_from([None, "a", "b"])
RECORDS = st.fixed_dictionaries({"name": WORDS, "city": WORDS, "email": WORDS,
                                 "active": st.booleans()})
FIELD_POLICIES = st.sampled_from(POLICIES)
TIMES = st.sampled_from(MOMENTS)


def rules(fields: dict[str, FieldPolicy], on_delete: OnDelete = "deactivate",
          archives: frozenset[Role] = frozenset()) -> Rules:
    """A customer's rules; every field writable on both sides."""
    policy, spec = EntityPolicy(fields=fields, on_delete=on_delete), ENTITIES["customer"]
    return Rules(spec, policy, {n: Rule(n, spec.fields[n], policy.of(n), BOTH) for n in FIELDS},
                 {}, frozenset(), archives)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(st.sampled_from(FIELDS), FIELD_POLICIES), st.none() | RECORDS, RECORDS,
       RECORDS, TIMES)
def test_merging_under_any_rules_loses_nothing_and_ends(
        fields: dict[str, FieldPolicy], base: Any, crm: dict[str, Any], erp: dict[str, Any],
        moments: Moments) -> None:
    governed = rules(fields)
    merged = merge(governed, base, crm, erp, moments=moments)
    sides = {CRM: {**crm, **merged.writes.get(CRM, {})}, ERP: {**erp, **merged.writes.get(ERP, {})}}
    kept = {(c.path, role, value) for c in merged.conflicts
            for role, value in ((CRM, c.crm), (ERP, c.erp))}
    for role, record in ((CRM, crm), (ERP, erp)):
        for field, value in record.items():
            before = MISSING if base is None else base[field]
            if value is not None and changed(before, value):
                assert sides[role][field] == value or (field, role, value) in kept
    again = merge(governed, merged.base, sides[CRM], sides[ERP], moments=moments)
    assert (again.writes, again.base) == ({}, merged.base)
    assert [c for c in again.conflicts if c.settled_by] == []


GROUPS = st.tuples(RECORDS, st.sampled_from(ROLES), RECORDS | st.just("as it was"),
                   st.booleans())


def carried_out(group: Group, work: Work) -> Group:
    """The group as it is once its work is done."""
    sides = {}
    for role, seen in group.sides.items():
        write = work.writes.get(role)
        record = seen.record
        if write is not None:
            record = None if write.operation == "delete" else {
                **dict.fromkeys(FIELDS), **(record or {}), **write.record}
        sides[role] = replace(seen, record=record)
    return Group(group.entity, group.canonical_id, work.base, sides, linked=set(group.linked))


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(get_args(OnDelete)), GROUPS)
def test_a_deletion_under_any_rule_is_fair_ends_and_loses_nothing(
        on_delete: OnDelete, drawn: tuple[dict[str, Any], Role, Any, bool]) -> None:
    base, gone, edit, archives = drawn
    base = {**base, "active": True}
    survivor = base if edit == "as it was" else {**edit, "active": True}

    def of(gone: Role) -> tuple[Rules, Group]:
        left = {**base, "active": False} if archives else None
        sides = {gone: Seen("1", "v", left), other(gone): Seen("2", "v", dict(survivor))}
        return (rules({}, on_delete, frozenset({gone}) if archives else frozenset()),
                Group("customer", "c", dict(base), {r: sides[r] for r in ROLES}, linked=set(ROLES),
                      deleted_now=set() if archives else {gone}))

    works = {role: decide(*of(role)) for role in ROLES}
    here, there = works[gone], works[other(gone)]
    assert {role: (w.operation, dict(w.record)) for role, w in here.writes.items()} == {
        other(role): (w.operation, dict(w.record)) for role, w in there.writes.items()}
    governed, group = of(gone)
    after = carried_out(group, here)
    conflicts: list[FieldConflict] = [c for action in here.actions for c in action.conflicts]
    held = [seen.record for seen in after.sides.values() if seen.record is not None]
    if on_delete == "restore":
        assert [record["active"] for record in held] == [True, True]
    if survivor != base:
        edited = {n: v for n, v in survivor.items() if v != base[n] and v is not None}
        assert any(edited.items() <= record.items() for record in held) or any(
            edited.items() <= side.items() for c in conflicts for side in (c.crm, c.erp)
            if isinstance(side, dict))
    again = decide(governed, after)
    assert again.writes == {}
    asked = [c.kind for action in again.actions for c in action.conflicts]
    assert asked in ([], [c.kind for c in conflicts if not c.settled_by])
