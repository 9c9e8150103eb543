"""Work, put together: what to do with a group once that is decided. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from connector.domain.actions import Action, ActionKind, FieldChange, FieldConflict
from connector.domain.paths import path_of
from connector.domain.policies import CRM, ERP, Role
from connector.domain.records import Operation
from connector.engine.group import Group, Work, Write
from connector.engine.hand_off import Amended, amend, handed_over
from connector.engine.merge import Merged, for_creation, merge
from connector.engine.pair import Rules

MAX_DEPTH = 3
"""Writes in a row that may follow from each other's results before a person is asked."""


def action_of(group: Group, kind: ActionKind, target: Role | None = None, *, reason: str = "",
              changes: Iterable[FieldChange] = (),
              conflicts: Iterable[FieldConflict] = ()) -> Action:
    """A step for a group."""
    return Action(kind, group.entity, group.canonical_id, group.title, target,
                  {role: seen.external_id for role, seen in group.sides.items()},
                  {role: seen.version for role, seen in group.sides.items()},
                  tuple(changes), tuple(conflicts), reason)


def only(group: Group, kind: ActionKind, reason: str, **more: Any) -> Work:
    """A step that writes nothing."""
    return Work(group, [action_of(group, kind, reason=reason, **more)], base=group.base)


def creation(rules: Rules, group: Group, target: Role, record: Mapping[str, Any], *,
             reason: str = "", conflicts: Iterable[FieldConflict] = ()) -> Work:
    """A new record at `target`, made from the other side's."""
    given = for_creation(rules, record, target)
    return Work(group, [action_of(group, ActionKind.CREATE, target, changes=all_new(rules, given),
                                  reason=reason, conflicts=conflicts)],
                {target: Write(Operation.CREATE, given)}, base=given)


def all_new(rules: Rules, given: Mapping[str, Any]) -> tuple[FieldChange, ...]:
    """The changes that a creation makes, field by field and line by line."""
    return (*(FieldChange(name, None, value, "new")
              for name, value in given.items() if name != "lines"),
            *(FieldChange(path_of(line[rules.entity.line_key]), None, line, "new")
              for line in given.get("lines", ())))


def agreement(rules: Rules, group: Group, revived: Mapping[Role, str] | None = None,
              conflicts: Iterable[FieldConflict] = ()) -> Work:
    """What brings both present sides into agreement; an inactive side that is `revived` is
    active again, for the reason given."""
    sides = {role: _as_active(group, role, role in (revived or {})) for role in (CRM, ERP)}
    ruled = rules.asking(group.orphaned) if group.orphaned else rules
    amended = amend(rules, group, sides[CRM], sides[ERP]) if handed_over(rules, group) \
        else Amended(merge(ruled, group.base, sides[CRM], sides[ERP], group.decisions,
                           group.moments))
    merged = amended.merged
    for role, why in (revived or {}).items():
        merged.writes.setdefault(role, {})["active"] = True
        merged.changes.setdefault(role, []).append(FieldChange("active", False, True, why))
    merged.conflicts += conflicts
    for role, names in group.stale.items():
        _name_anew(rules, merged, role, sides[role], names)
    if merged.writes and group.depth >= MAX_DEPTH:
        return _never_agrees(group, merged)
    actions = [action_of(group, ActionKind.UPDATE, role, changes=merged.changes[role],
                         conflicts=merged.conflicts, reason=amended.reason)
               for role in merged.writes]
    if not actions:
        kind = ActionKind.NONE
        if merged.open_conflicts:
            kind = ActionKind.CONFLICT
        elif not {CRM, ERP} <= group.linked:
            kind = ActionKind.LINK_UP
        back = ", ".join(sorted(group.came_back))
        reason = amended.reason or (f"it came back in the {back}" if back else "")
        actions = [action_of(group, kind, conflicts=merged.conflicts, reason=reason)]
    writes = {role: Write(Operation.UPDATE, record) for role, record in merged.writes.items()}
    return Work(group, actions, writes, base=merged.base, asks=amended.asks)


def _name_anew(rules: Rules, merged: Merged, role: Role, record: Mapping[str, Any],
               names: frozenset[str]) -> None:
    """Write references once more that name a deleted record whose place another one took."""
    for name in sorted(names):
        writable = rules.lines_writable if name == "lines" else \
            rules.header[name].writable if name in rules.header else frozenset()
        if role in writable and name not in merged.writes.get(role, {}):
            merged.writes.setdefault(role, {})[name] = record[name]
            merged.changes.setdefault(role, []).append(FieldChange(
                name, record[name], record[name], "another record took its place"))


def _as_active(group: Group, role: Role, revived: bool) -> dict[str, Any]:
    record = group.sides[role].record
    assert record is not None
    return {**record, "active": True} if revived else record


def _never_agrees(group: Group, merged: Merged) -> Work:
    """Each side keeps changing what the other one is told: a person has to mend the mapping."""
    conflicts = [FieldConflict(change.path, (group.base or {}).get(change.path),
                               group.sides[CRM].record.get(change.path),  # type: ignore[union-attr]
                               group.sides[ERP].record.get(change.path),  # type: ignore[union-attr]
                               kind="never_agrees")
                 for changes in merged.changes.values() for change in changes]
    return only(group, ActionKind.CONFLICT, "each side changes what the other is told",
                conflicts=conflicts)
