"""Three-way merge of one record, field by field; lines by their key. Pure.

A side that did not change a field has no say in it; the same change on both sides agrees; all
else is a conflict, which the field's policy settles or leaves to a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from connector.domain.actions import UNDONE, FieldChange, FieldConflict
from connector.domain.amounts import of_document
from connector.domain.paths import path_of
from connector.domain.policies import CRM, ERP, Role, other
from connector.domain.values import MISSING, Record
from connector.engine.pair import Rules
from connector.engine.policy import UNTOLD, Moments, Verdict, preferred, settle
from connector.engine.torn import priced, torn, with_amounts
from connector.errors import RecordFailed

Decisions = Mapping[str, Mapping[str, Any]]
Lines = dict[Any, Record]


class _Given(NamedTuple):
    """What persons have decided, by path, and when each side was last changed."""

    decisions: Decisions
    moments: Moments

    def on(self, path: str) -> tuple[Mapping[str, Any] | None, Moments]:
        """What is given for one path."""
        return self.decisions.get(path), self.moments


@dataclass(slots=True)
class Merged:
    """What each side has to be told, what a person has to settle, and the next base.

    `writes[role]` is a partial record: changed header fields and, if any line changes, the whole
    list of lines. `base` is what both sides agree on once the writes are made.
    """

    base: dict[str, Any]
    writes: dict[Role, dict[str, Any]] = field(default_factory=dict)
    changes: dict[Role, list[FieldChange]] = field(default_factory=dict)
    conflicts: list[FieldConflict] = field(default_factory=list)

    @property
    def open_conflicts(self) -> list[FieldConflict]:
        """Those that wait for a person."""
        return [c for c in self.conflicts if not c.settled_by]


def merge(rules: Rules, base: Record | None, crm: Record, erp: Record,
          decisions: Decisions | None = None, moments: Moments = UNTOLD) -> Merged:
    """Merge the present records of both sides against their last agreed one (None: first
    contact). Raises `RecordFailed` where a conflict's policy is `fail`."""
    known: Record = base or {}
    given = _Given(decisions or {}, moments)
    merged = Merged(base=dict(known))
    apart = torn(rules, base, crm, erp)
    if apart and "take" in given.decisions.get("currency", {}):
        given = given._replace(decisions=with_amounts(rules, given.decisions, crm, erp))
        apart = None
    held = priced(rules) if apart else frozenset()
    if apart:
        merged.conflicts.append(apart)
    for name, rule in rules.header.items():
        if rule.field.computed or name in held:
            continue
        value = crm.get(name, MISSING)
        if value == erp.get(name, MISSING):
            if value is not MISSING:
                merged.base[name] = value
            continue
        values = {CRM: value, ERP: erp.get(name, MISSING)}
        was = known.get(name, MISSING)
        _take(merged, merged.base, name, name, values,
              settle(rule, name, was, values, *given.on(name)), merged.writes)
    if rules.lines and not apart:
        _merge_lines(rules, merged, known, {CRM: crm, ERP: erp}, given)
    if not merged.writes and not merged.open_conflicts:
        _compare_computed(rules, merged, crm, erp)
    return merged


def _take(merged: Merged, base: dict[str, Any], name: str, path: str, values: Mapping[Role, Any],
          verdict: Verdict, writes: dict[Role, dict[str, Any]]) -> None:
    """Carry one verdict into the merge's result."""
    if verdict.conflict is not None:
        merged.conflicts.append(verdict.conflict)
    if verdict.agreed:
        base[name] = values[CRM]
        return
    if verdict.winner is None and verdict.value is MISSING:
        return
    value = verdict.value if verdict.winner is None else values[verdict.winner]
    base[name] = value
    for role in (CRM, ERP):
        if values[role] != value:
            writes.setdefault(role, {})[name] = value
            merged.changes.setdefault(role, []).append(
                FieldChange(path, values[role], value, verdict.rule))


def _merge_lines(rules: Rules, merged: Merged, known: Record, records: Mapping[Role, Record],
                 given: _Given) -> None:
    if any("lines" not in record for record in records.values()):
        return
    keyed = {role: _by_key(rules, record) for role, record in records.items()}
    before = _by_key(rules, known)
    next_base: Lines = {}
    results: dict[Role, Lines] = {CRM: {}, ERP: {}}
    touched: set[Role] = set()
    for key in sorted({*keyed[CRM], *keyed[ERP]}):
        _merge_line(rules, merged, key, before.get(key), {r: keyed[r].get(key) for r in keyed},
                    given, next_base, results, touched)
    merged.base["lines"] = [next_base[key] for key in sorted(next_base)]
    for role in touched:
        merged.writes.setdefault(role, {})["lines"] = [
            results[role][key] for key in sorted(results[role])]


def _by_key(rules: Rules, record: Record) -> Lines:
    return {line[rules.entity.line_key]: line for line in record.get("lines", ())}


def _merge_line(rules: Rules, merged: Merged, key: Any, was: Record | None,
                lines: Mapping[Role, Record | None], given: _Given, next_base: Lines,
                results: dict[Role, Lines], touched: set[Role]) -> None:
    """One line that at least one side has."""
    missing = next((role for role in (CRM, ERP) if lines[role] is None), None)
    if missing is None:
        _merge_line_fields(rules, merged, key, was, lines, given, next_base, results, touched)
        return
    path = path_of(key)
    holder = other(missing)
    line = lines[holder]
    assert line is not None
    keeper = _keeper_of_line(rules, merged, path, was, holder, line, given)
    if keeper is None:  # left to a person: each side stays as it is
        results[holder][key] = line
        if was is not None:
            next_base[key] = was
    elif keeper == holder:
        results[CRM][key] = results[ERP][key] = next_base[key] = line
        _tell_of_line(rules, merged, path, missing, None, line, touched)
    else:
        _tell_of_line(rules, merged, path, holder, line, None, touched)


def _keeper_of_line(rules: Rules, merged: Merged, path: str, was: Record | None, holder: Role,
                    line: Record, given: _Given) -> Role | None:
    """The side whose having (or not having) the line stands."""
    decision, moments = given.on(path)
    present = {holder: dict(line), other(holder): None}
    if decision is not None and "hold" in decision:
        merged.conflicts.append(FieldConflict(path, None if was is None else dict(was),
                                              present[CRM], present[ERP], kind=UNDONE))
        return None
    if decision is not None and "take" in decision:
        return decision["take"]  # type: ignore[no-any-return]
    if other(holder) not in rules.lines_writable:
        return other(holder) if holder in rules.lines_writable else None
    if holder not in rules.lines_writable:
        return holder
    if was is None:
        return holder
    if all(was.get(n) == line.get(n) for n in rules.lines):
        return other(holder)
    what = f"{path} was removed in the {other(holder)} and changed in the {holder}"
    keeper, why = preferred(rules.policy.of("lines").conflict, path, what,
                            present, moments) or (None, "")
    merged.conflicts.append(FieldConflict(path, dict(was), present[CRM], present[ERP],
                                          why, "update_against_delete"))
    return keeper


def _tell_of_line(rules: Rules, merged: Merged, path: str, role: Role, before: Record | None,
                  after: Record | None, touched: set[Role]) -> None:
    if role not in rules.lines_writable:
        return
    touched.add(role)
    rule = f"line {'added' if after else 'removed'} in the {other(role)}"
    merged.changes.setdefault(role, []).append(FieldChange(path, before, after, rule))


def _merge_line_fields(rules: Rules, merged: Merged, key: Any, was: Record | None,
                       lines: Mapping[Role, Record | None], given: _Given, next_base: Lines,
                       results: dict[Role, Lines], touched: set[Role]) -> None:
    known = was or {}
    base = dict(known)
    writes: dict[Role, dict[str, Any]] = {}
    for name, rule in rules.lines.items():
        values = {role: (line or {}).get(name, MISSING) for role, line in lines.items()}
        field_path = path_of(key, name)
        before = known.get(name, MISSING)
        _take(merged, base, name, field_path, values,
              settle(rule, field_path, before, values, *given.on(field_path)), writes)
    next_base[key] = base
    for role in (CRM, ERP):
        results[role][key] = {**(lines[role] or {}), **writes.get(role, {})}
        if role in writes:
            touched.add(role)


def _compare_computed(rules: Rules, merged: Merged, crm: Record, erp: Record) -> None:
    """Where both sides work a figure out by themselves, it has to be the same, and what the
    declared rounding gives: to the minor unit, or to what the entity's rules let pass."""
    by_rule = _by_rule(rules, merged.base)
    for name in rules.computed:
        of_crm, of_erp = crm.get(name), erp.get(name)
        if of_crm is None or of_erp is None:
            continue
        figures = [of_crm, of_erp, by_rule.get(name, of_crm)]
        if max(figures) - min(figures) <= rules.policy.total_tolerance:
            merged.base[name] = of_crm
            continue
        kind = "total_differs" if of_crm != of_erp else "total_not_by_rule"
        merged.conflicts.append(FieldConflict(name, by_rule.get(name, merged.base.get(name)),
                                              of_crm, of_erp, kind=kind))


def _by_rule(rules: Rules, record: Record) -> Mapping[str, Decimal]:
    """What the declared rounding gives for the lines that both sides agree on; nothing where none
    is declared, or there are no lines to go by."""
    if rules.policy.rounding is None or not record.get("lines"):
        return {}
    try:
        amounts = of_document(record, rules.policy.rounding)
    except ArithmeticError as error:
        raise RecordFailed(f"what its lines come to can't be worked out: {error}.", stage="merge",
                           field="total", hint="Mend the prices, quantities and percentages of "
                           "the lines.") from None
    return {"net": amounts.net, "tax": amounts.tax, "total": amounts.total}


def agreed(rules: Rules, base: Record, crm: Record, erp: Record) -> dict[str, Any]:
    """`base` with all that both sides hold alike by now: their last agreed record, where a merge
    was carried out in part. Of an update whose answer was lost, `base` with as much of what it
    was to bring about as the record shows: the two are given in the place of the sides."""
    known = {**base, **{name: crm[name] for name in rules.header
                        if name in crm and name in erp and crm[name] == erp[name]}}
    if rules.lines and "lines" in crm and "lines" in erp:
        lines = {CRM: _by_key(rules, crm), ERP: _by_key(rules, erp)}
        before = _by_key(rules, base)
        next_base: Lines = {key: was for key, was in before.items()
                            if key in lines[CRM] or key in lines[ERP]}
        for key in lines[CRM].keys() & lines[ERP].keys():
            ours, theirs = lines[CRM][key], lines[ERP][key]
            next_base[key] = {**before.get(key, {}), **{
                name: ours[name] for name in rules.lines
                if name in ours and name in theirs and ours[name] == theirs[name]}}
        known["lines"] = [next_base[key] for key in sorted(next_base)]
    return known


def carried_on(rules: Rules, record: Record, before: Record, after: Record) -> dict[str, Any]:
    """`record` with what changed from `before` to `after`, field by field and line by line."""
    known = {**record, **{name: value for name, value in after.items()
                          if name != "lines" and (name not in before or before[name] != value)}}
    if rules.lines and "lines" in after:
        lines, was, now = (_by_key(rules, r) for r in (record, before, after))
        lines.update({key: line for key, line in now.items() if line != was.get(key)})
        known["lines"] = [lines[key] for key in sorted(lines)
                          if key in now or key not in was]
    return known


def for_creation(rules: Rules, record: Record, target: Role) -> dict[str, Any]:
    """The part of `record` that a new counterpart at `target` is given: what may be written
    there and goes that way. Blank fields are left to the target."""
    header, of_line = rules.given[target]
    given = {name: value for name in header if (value := record.get(name)) is not None}
    if rules.lines and "lines" in record and target in rules.lines_writable:
        given["lines"] = [{n: value for n in of_line if (value := line.get(n)) is not None}
                          for line in record["lines"]]
    return given
