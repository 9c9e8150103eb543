"""Decides what is to be done for a group. Pure: a plan is data, only `apply` acts."""

from __future__ import annotations

import hashlib

from connector.domain.actions import Action, ActionKind
from connector.domain.policies import Role, other
from connector.domain.values import Record
from connector.engine.deletion import settled
from connector.engine.group import Group, Seen, Work
from connector.engine.pair import Rules
from connector.engine.works import agreement, creation, only


def decide(rules: Rules, group: Group) -> Work:
    """The work that brings both sides of a group into agreement.

    Raises `RecordFailed` where a conflict's policy is `fail`.
    """
    if len(group.sides) == 1:
        role, seen = next(iter(group.sides.items()))
        return _alone(rules, group, role, seen)
    return settled(rules, group) or agreement(rules, group)


def _alone(rules: Rules, group: Group, role: Role, seen: Seen) -> Work:
    """A record without a counterpart."""
    if seen.record is None:
        return only(group, ActionKind.SKIP, f"deleted in the {role} before it had a counterpart")
    born_in = rules.policy.born_in
    made = seen.virtual or _made_from_another(rules, seen.record)
    if born_in not in ("either", role) and not made:
        return only(group, ActionKind.SKIP,
                    f"new {group.entity} records are made in the {born_in} only")
    return creation(rules, group, other(role), seen.record)


def _made_from_another(rules: Rules, record: Record) -> bool:
    return any(record.get(name) is not None for name in rules.made_from)


def fingerprint(action: Action) -> str:
    """Tells whether two actions decide the same: kind, record, target, versions and values."""
    text = repr((action.kind, action.entity, action.canonical_id, action.target,
                 sorted(action.versions.items()),
                 [(c.path, str(c.after)) for c in action.changes]))
    return hashlib.sha256(text.encode()).hexdigest()
