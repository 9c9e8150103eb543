"""Decides about a record that was deleted or archived on a side, or has come back there. Pure.

Links outlive a deletion: what refers to the record is still understood, and where it comes back
it is the same one. Where a system archives instead of deleting, `active` turned false is the
deletion; by `deactivate` it is carried over like any other field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from connector.domain.actions import UNDONE, ActionKind, FieldChange, FieldConflict
from connector.domain.entities import ENTITIES, pack
from connector.domain.policies import CRM, ERP, OnDelete, Role, other
from connector.domain.records import Operation
from connector.engine.group import Group, Work, Write
from connector.engine.pair import Rule, Rules
from connector.engine.works import action_of, agreement, creation, only

UPDATE_AGAINST_DELETE = "update_against_delete"


class _Case(NamedTuple):
    """A record that is gone from (or archived on) one side and stands on the other: what a
    person has said of it, what he is asked, and whether it was edited since both agreed."""

    gone: Role
    survivor: Role
    record: dict[str, Any]
    how: str  # deleted | archived
    policy: OnDelete
    decision: Role | None
    asked: str  # the kind of the conflict that a person is asked about already
    edited: bool

    @property
    def open(self) -> bool:
        """Whether a person has to say what happens."""
        return self.decision is None and (bool(self.asked) or self.policy == "manual" or (
            self.edited and self.policy != "restore"))

    @property
    def restores(self) -> bool:
        """Whether the record stands, and comes up again where it is gone."""
        return not self.open and (self.decision == self.survivor if self.decision
                                  else self.policy == "restore")

    @property
    def kept_reason(self) -> str:
        return f"{self.how} in the {self.gone}; kept in the {self.survivor}"


def settled(rules: Rules, group: Group) -> Work | None:
    """The work for a group in which a deletion has a say; None where its sides are merged."""
    gone = [role for role in (CRM, ERP) if group.sides[role].record is None]
    if len(gone) == 2:
        return only(group, ActionKind.SKIP, "deleted on both sides")
    if gone:
        return _deleted(rules, group, gone[0])
    archived = _archived(rules, group)
    if archived is not None and rules.policy.on_delete != "deactivate":
        return _archived_work(rules, group, _case(rules, group, archived, "archived"))
    revived = _revived(rules, group)
    return agreement(rules, group, revived) if revived else None


def _case(rules: Rules, group: Group, gone: Role, how: str) -> _Case:
    record = group.sides[other(gone)].record
    assert record is not None
    asked = next((conflict.kind for conflict in group.conflicts if conflict.path == ""), "")
    return _Case(gone, other(gone), record, how, rules.policy.on_delete,
                 group.decisions.get("", {}).get("take"), asked, _edited(rules, group, record))


# ---- deleted

def _deleted(rules: Rules, group: Group, gone: Role) -> Work:
    case = _case(rules, group, gone, "deleted")
    news = gone in group.deleted_now
    if case.policy == "unlink":
        return only(group, ActionKind.SKIP, case.kept_reason)
    if not news and case.survivor in group.came_back | group.unarchived:
        return creation(rules, group, gone, case.record,
                        reason=f"it came back in the {case.survivor}")
    if not news and case.decision is None and not case.asked:
        return only(group, ActionKind.SKIP, f"its counterpart in the {gone} was deleted")
    if case.open:
        return _question(group, case)
    if case.restores and case.asked == UNDONE:
        return creation(rules, group, gone, case.record, reason="decided by a person")
    if case.restores and case.policy == "restore":
        return creation(rules, group, gone, case.record, reason=f"deleted in the {gone}; restored",
                        conflicts=_overruled(group, case))
    if case.restores:
        return only(group, ActionKind.SKIP, case.kept_reason)
    if case.policy == "propagate":
        return _deletion(group, case)
    return _deactivation(rules, group, case)


def _deletion(group: Group, case: _Case) -> Work:
    was = FieldChange("", pack(ENTITIES[group.entity], case.record), None, "on_delete: propagate")
    return Work(group, [action_of(group, ActionKind.DELETE, case.survivor, changes=[was])],
                {case.survivor: Write(Operation.DELETE, {})}, base=group.base)


def _deactivation(rules: Rules, group: Group, case: _Case) -> Work:
    rule = rules.header.get("active")
    if rule is None or case.survivor not in rule.writable:
        return only(group, ActionKind.SKIP, case.kept_reason)
    if case.record.get("active") is False:
        return only(group, ActionKind.NONE, f"inactive in the {case.survivor} already")
    change = FieldChange("active", case.record.get("active"), False, "on_delete: deactivate")
    return Work(group, [action_of(group, ActionKind.UPDATE, case.survivor, changes=[change])],
                {case.survivor: Write(Operation.UPDATE, {"active": False})},
                base={**(group.base or {}), "active": False})


# ---- archived

def _archived(rules: Rules, group: Group) -> Role | None:
    """The side on which the record was archived since both sides agreed that it is in use."""
    rule = rules.header.get("active")
    if any(c.kind == UNDONE and c.path == "active" for c in group.conflicts):
        return None
    if rule is None or not _has_a_say(rule) or (group.base or {}).get("active") is not True:
        return None
    idle = [role for role, seen in group.sides.items()
            if seen.record is not None and seen.record.get("active") is False]
    return idle[0] if len(idle) == 1 and idle[0] in rules.archives else None


def _archived_work(rules: Rules, group: Group, case: _Case) -> Work | None:
    if case.policy == "unlink":
        return only(group, ActionKind.SKIP, case.kept_reason)
    if case.open:
        return _question(group, case)
    if case.restores:
        return agreement(rules, group, {case.gone: f"archived in the {case.gone}; restored"},
                         _overruled(group, case))
    return _deletion(group, case) if case.policy == "propagate" else None


# ---- come back

def _revived(rules: Rules, group: Group) -> dict[Role, str]:
    """The sides that were deactivated for a deletion, whose counterpart has come back in use."""
    rule, revived = rules.header.get("active"), dict[Role, str]()
    if rule is None:
        return revived
    for role in group.came_back:
        back, idle = group.sides[role].record or {}, group.sides[other(role)].record or {}
        if back.get("active") is True and idle.get("active") is False \
                and other(role) in rule.writable \
                and (group.base or {}).get("active") is not True:
            revived[other(role)] = f"it came back in the {role}"
    return revived


# ---- what a person is asked

def _question(group: Group, case: _Case) -> Work:
    kind = case.asked or (UPDATE_AGAINST_DELETE if case.edited else "deleted")
    reason = f"{case.how} in the {case.gone}"
    if kind == UPDATE_AGAINST_DELETE:
        reason += f", changed in the {case.survivor}"
    return only(group, ActionKind.CONFLICT, reason, conflicts=[_conflict(group, case, kind)])


def _overruled(group: Group, case: _Case) -> list[FieldConflict]:
    """A deletion that an edit stood against, kept although a rule has settled it."""
    if not case.edited or case.decision is not None:
        return []
    return [_conflict(group, case, UPDATE_AGAINST_DELETE, "on_delete: restore")]


def _conflict(group: Group, case: _Case, kind: str, settled_by: str = "") -> FieldConflict:
    spec = ENTITIES[group.entity]
    values: dict[Role, Any] = {case.gone: case.how, case.survivor: pack(spec, case.record)}
    return FieldConflict("", pack(spec, group.base or {}), values[CRM], values[ERP], settled_by,
                         kind)


def _edited(rules: Rules, group: Group, record: dict[str, Any]) -> bool:
    """Whether the survivor holds something that was entered since both sides last agreed. That it
    is out of use by now says what the deletion says, and may be our own doing: a run that died
    before it kept what it had written."""
    base = group.base or {}
    header = any(name in base and record.get(name) != base[name]
                 for name, rule in rules.header.items() if rule.writable and _has_a_say(rule)
                 and not (name == "active" and record.get(name) is False))
    return header or ("lines" in base and "lines" in record
                      and _told(rules, base["lines"]) != _told(rules, record["lines"]))


def _told(rules: Rules, lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What both sides have a say in, of each line."""
    names = [name for name, rule in rules.lines.items() if rule.writable and _has_a_say(rule)]
    return [{name: line[name] for name in names if name in line} for line in lines]


def _has_a_say(rule: Rule) -> bool:
    return rule.policy.owner is None and rule.policy.direction == "two_way"
