"""Decided steps and what came of them. A plan is a list of actions: data, never deeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from connector.domain.policies import Role


class OutcomeKind(StrEnum):
    """What came of one record read: exactly one of these."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    WAITING = "waiting"
    CONFLICT = "conflict"
    FAILED = "failed"


class ActionKind(StrEnum):
    """A decided step for one record."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    LINK_UP = "link"  # the same thing was found on the other side
    SKIP = "skip"
    WAIT = "wait"
    CONFLICT = "conflict"
    FAIL = "fail"
    NONE = "unchanged"


AMBIGUOUS = "ambiguous_match"
"""The kind of a conflict that asks a person which record a record is."""

UNDONE = "undone"
"""The kind of a conflict that holds a difference which an undo made: nothing is carried over until
a person has said so, or both sides agree."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that a write changes: `path` is `phone` or `lines[10].quantity`, or empty where the
    whole record was deleted; values are canonical (a whole record is packed); `rule` says why the
    new value won."""

    path: str
    before: Any
    after: Any
    rule: str


@dataclass(frozen=True, slots=True)
class FieldConflict:
    """Both sides changed a field differently. `settled_by` is empty while a person is wanted.

    Of a total, `base` is what the declared rounding gives, where one is declared.
    """

    path: str
    base: Any
    crm: Any
    erp: Any
    settled_by: str = ""
    kind: str = "both_changed"  # both_changed | put_back | step_back | total_differs | undone | ...


@dataclass(frozen=True, slots=True)
class Action:
    """A decided step for one canonical record.

    `target` is the side written to. `changes` are the field diffs of an update or the values of
    a create. `versions` are those the decision rests on, by role; an apply of a saved plan
    refuses where one has moved.
    """

    kind: ActionKind
    entity: str
    canonical_id: str
    title: str
    target: Role | None = None
    external_ids: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    changes: tuple[FieldChange, ...] = ()
    conflicts: tuple[FieldConflict, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one action, as kept: `before` and `after` are the written fields by path.

    `counted` is false for a write that follows from another one's result and answers no record
    read. `side` is the role of the record that was read.
    """

    kind: OutcomeKind
    entity: str
    side: Role
    external_id: str
    canonical_id: str = ""
    target: Role | None = None
    changes: tuple[FieldChange, ...] = ()
    reason: str = ""
    counted: bool = True


@dataclass(slots=True)
class Tally:
    """Counts of one entity and side in one run: records read, and their outcomes."""

    read: int = 0
    outcomes: dict[OutcomeKind, int] = field(
        default_factory=lambda: dict.fromkeys(OutcomeKind, 0))

    def add(self, more: Tally) -> None:
        """Count what another one has counted."""
        self.read += more.read
        for kind, number in more.outcomes.items():
            self.outcomes[kind] += number

    @property
    def accounted(self) -> bool:
        """Whether every record read has exactly one outcome."""
        return self.read == sum(self.outcomes.values())
