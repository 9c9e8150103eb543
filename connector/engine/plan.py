"""Decides what is to be done for a group. Pure: a plan is data, only `apply` acts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from connector.domain.actions import Action, ActionKind, FieldChange, FieldConflict
from connector.domain.policies import CRM, ERP, Role, other
from connector.domain.records import Operation
from connector.engine.group import Group, Seen, Work, Write
from connector.engine.merge import Merged, for_creation, merge
from connector.engine.pair import Rule, Rules

MAX_DEPTH = 3
"""Writes in a row that may follow from each other's results before a person is asked."""


def decide(rules: Rules, group: Group) -> Work:
    """The work that brings both sides of a group into agreement.

    Raises `RecordFailed` where a conflict's policy is `fail`.
    """
    if len(group.sides) == 1:
        role, seen = next(iter(group.sides.items()))
        return _alone(rules, group, role, seen)
    gone = [role for role in (CRM, ERP) if group.sides[role].record is None]
    if gone:
        return _deleted(rules, group, gone)
    return _merged(rules, group)


def _action(group: Group, kind: ActionKind, target: Role | None = None, *, reason: str = "",
            changes: Iterable[FieldChange] = (),
            conflicts: Iterable[FieldConflict] = ()) -> Action:
    return Action(kind, group.entity, group.canonical_id, group.title, target,
                  {role: seen.external_id for role, seen in group.sides.items()},
                  {role: seen.version for role, seen in group.sides.items()},
                  tuple(changes), tuple(conflicts), reason)


def _only(group: Group, kind: ActionKind, reason: str, **more: Any) -> Work:
    return Work(group, [_action(group, kind, reason=reason, **more)], base=group.base)


def _alone(rules: Rules, group: Group, role: Role, seen: Seen) -> Work:
    """A record without a counterpart."""
    target = other(role)
    if seen.record is None:
        work = _only(group, ActionKind.SKIP, f"deleted in the {role} before it had a counterpart")
        work.ends = True
        return work
    born_in = rules.policy.born_in
    if born_in not in ("either", role) and not seen.virtual:
        return _only(group, ActionKind.SKIP,
                     f"new {group.entity} records are made in the {born_in} only")
    given = for_creation(rules, seen.record, target)
    changes = [FieldChange(name, None, value, "new")
               for name, value in given.items() if name != "lines"]
    changes += [FieldChange(f"lines[{line[rules.entity.line_key]}]", None, line, "new")
                for line in given.get("lines", ())]
    return Work(group, [_action(group, ActionKind.CREATE, target, changes=changes)],
                {target: Write(Operation.CREATE, given)}, base=given)


def _merged(rules: Rules, group: Group) -> Work:
    """A record that stands on both sides."""
    crm, erp = group.sides[CRM], group.sides[ERP]
    assert crm.record is not None
    assert erp.record is not None
    merged = merge(rules, group.base, crm.record, erp.record, group.decisions, group.moments)
    if merged.writes and group.depth >= MAX_DEPTH:
        return _never_agrees(group, merged)
    actions = [_action(group, ActionKind.UPDATE, role, changes=merged.changes[role],
                       conflicts=merged.conflicts)
               for role in merged.writes]
    if not actions:
        kind = ActionKind.NONE
        if merged.open_conflicts:
            kind = ActionKind.CONFLICT
        elif not {CRM, ERP} <= group.linked:
            kind = ActionKind.LINK_UP
        actions = [_action(group, kind, conflicts=merged.conflicts)]
    writes = {role: Write(Operation.UPDATE, record) for role, record in merged.writes.items()}
    return Work(group, actions, writes, base=merged.base)


def _never_agrees(group: Group, merged: Merged) -> Work:
    """Each side keeps changing what the other one is told: a person has to mend the mapping."""
    conflicts = [FieldConflict(change.path, (group.base or {}).get(change.path),
                               group.sides[CRM].record.get(change.path),  # type: ignore[union-attr]
                               group.sides[ERP].record.get(change.path),  # type: ignore[union-attr]
                               kind="never_agrees")
                 for changes in merged.changes.values() for change in changes]
    return _only(group, ActionKind.CONFLICT, "each side changes what the other is told",
                 conflicts=conflicts)


def _deleted(rules: Rules, group: Group, gone: list[Role]) -> Work:
    """A record that was deleted on one side, or both."""
    if len(gone) == 2:  # the links stay, for those who still refer to it
        return _only(group, ActionKind.SKIP, "deleted on both sides")
    survivor = other(gone[0])
    record = group.sides[survivor].record
    assert record is not None
    policy = rules.policy.on_delete
    decision = group.decisions.get("", {}).get("take")
    asked = any(conflict.path == "" for conflict in group.conflicts)
    if gone[0] not in group.deleted_now and decision is None and not asked:
        return _only(group, ActionKind.SKIP, f"its counterpart in the {gone[0]} was deleted")
    if (asked or _edited(rules, group, record)) and decision is None and policy != "unlink":
        return _only(group, ActionKind.CONFLICT, f"deleted in the {gone[0]}, changed in the "
                     f"{survivor}", conflicts=[_deletion(group, gone[0], "update_against_delete")])
    if policy == "manual" and decision is None:
        return _only(group, ActionKind.CONFLICT, f"deleted in the {gone[0]}",
                     conflicts=[_deletion(group, gone[0], "deleted")])
    return _carry_deletion(rules, group, survivor, record,
                           "unlink" if decision == survivor else policy)


def _carry_deletion(rules: Rules, group: Group, survivor: Role, record: dict[str, Any],
                    policy: str) -> Work:
    rule = rules.header.get("active")
    if policy == "propagate":
        return Work(group, [_action(group, ActionKind.DELETE, survivor)],
                    {survivor: Write(Operation.DELETE, {})}, base=group.base, ends=True)
    if policy == "unlink" or rule is None or survivor not in rule.writable:
        work = _only(group, ActionKind.SKIP,
                     f"deleted in the {other(survivor)}; kept in the {survivor}")
        work.ends = policy == "unlink"
        return work
    if record.get("active") is False:
        return _only(group, ActionKind.NONE, f"inactive in the {survivor} already")
    change = FieldChange("active", record.get("active"), False, "on_delete: deactivate")
    return Work(group, [_action(group, ActionKind.UPDATE, survivor, changes=[change])],
                {survivor: Write(Operation.UPDATE, {"active": False})},
                base={**(group.base or {}), "active": False})


def _edited(rules: Rules, group: Group, record: dict[str, Any]) -> bool:
    """Whether the survivor holds something that was entered since both sides last agreed."""
    base = group.base or {}
    header = any(name in base and record.get(name) != base[name]
                 for name, rule in rules.header.items() if rule.writable and _has_a_say(rule))
    return header or ("lines" in base and "lines" in record
                      and _told(rules, base["lines"]) != _told(rules, record["lines"]))


def _told(rules: Rules, lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What both sides have a say in, of each line."""
    names = [name for name, rule in rules.lines.items() if rule.writable and _has_a_say(rule)]
    return [{name: line[name] for name in names if name in line} for line in lines]


def _has_a_say(rule: Rule) -> bool:
    return rule.policy.owner is None and rule.policy.direction == "two_way"


def _deletion(group: Group, gone: Role, kind: str) -> FieldConflict:
    values = {gone: "deleted", other(gone): group.title}
    return FieldConflict("", None, values[CRM], values[ERP], kind=kind)


def fingerprint(action: Action) -> str:
    """Tells whether two actions decide the same: kind, record, target, versions and values."""
    text = repr((action.kind, action.entity, action.canonical_id, action.target,
                 sorted(action.versions.items()),
                 [(c.path, str(c.after)) for c in action.changes]))
    return hashlib.sha256(text.encode()).hexdigest()
