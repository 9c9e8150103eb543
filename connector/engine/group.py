"""A group: everything known of one canonical record while it is worked on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connector.domain.actions import UNDONE, Action
from connector.domain.entities import ENTITIES, unpack
from connector.domain.ledger import Conflict, ConflictState
from connector.domain.paths import field_at, parsed, value_at
from connector.domain.policies import CRM, ERP, Role, other
from connector.domain.records import Change, Link, Operation
from connector.domain.values import Record
from connector.engine.answers import typed_value


@dataclass(slots=True)
class Seen:
    """One side of a record: `record` is canonical, None where it was deleted. `virtual` marks a
    record that stands in no system: the CRM side of an order made from a quote. `changed_at` is
    when others than we changed it last, by that system's clock."""

    external_id: str
    version: str
    record: dict[str, Any] | None
    virtual: bool = False
    changed_at: datetime | None = None


@dataclass(slots=True)
class Group:
    """The sides of one canonical record, its last agreed record, the changes that brought it up
    and the conflicts kept for it. `match_keys` are to be claimed for it; `retired` are the links
    in whose place another record has come. On the sides in `deleted_now` the record was there
    until now, on those in `came_back` it was deleted and is there again, on those in `unarchived`
    it was inactive and is in use again. `stale` are the fields, by side, that name a deleted
    record whose place another one took, `orphaned` those in which the sides name different things,
    one of which stands nowhere any more."""

    entity: str
    canonical_id: str
    base: dict[str, Any] | None = None
    sides: dict[Role, Seen] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    match_keys: set[str] = field(default_factory=set)
    linked: set[Role] = field(default_factory=set)
    retired: list[Link] = field(default_factory=list)
    deleted_now: set[Role] = field(default_factory=set)
    refused: int = 0  # how often its changes were parked: a try after a refusal is a new call
    came_back: set[Role] = field(default_factory=set)
    unarchived: set[Role] = field(default_factory=set)
    stale: dict[Role, frozenset[str]] = field(default_factory=dict)
    orphaned: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)  # paths at which an undo is making a difference
    depth: int = 0  # how many writes in a row followed from each other's results

    @property
    def decisions(self) -> dict[str, dict[str, Any]]:
        """What persons have decided, by path; values as canonical ones. A decision holds for what
        it was made on: where a side has moved since, it is asked anew."""
        decided: dict[str, dict[str, Any]] = {path: {"hold": UNDONE} for path in self.holds}
        for conflict in self.conflicts:
            if conflict.state is not ConflictState.DECIDED or conflict.decision is None:
                continue
            decision = dict(conflict.decision)
            if "value" in decision:
                decision["value"] = typed_value(
                    self.entity, conflict.path, decision["value"],
                    like=(conflict.base, conflict.crm, conflict.erp))
            if self._stands(conflict, decision):
                decided[conflict.path] = decision
        return decided

    @property
    def holds(self) -> set[str]:
        """The paths at which the sides differ because a person has undone what a run wrote."""
        return self.held | {c.path for c in self.conflicts
                            if c.kind == UNDONE and c.state is ConflictState.OPEN}

    def _stands(self, conflict: Conflict, decision: Mapping[str, Any]) -> bool:
        """Whether both sides hold what they held when they were decided upon, or, where an
        interrupted run has written it already, what was decided."""
        if field_at(self.entity, conflict.path) is None:
            return "take" not in decision or bool(parsed(conflict.path).name) \
                or self._still(conflict, decision["take"])
        held = {role: typed_value(self.entity, conflict.path, value)
                for role, value in ((CRM, conflict.crm), (ERP, conflict.erp))}
        outcome = decision["value"] if "value" in decision else held[decision["take"]]
        return all(value_at(self.entity, seen.record, conflict.path) in (held[role], outcome)
                   for role, seen in self.sides.items() if seen.record is not None)

    def _still(self, conflict: Conflict, winner: Role) -> bool:
        """Whether the record, or the line, that a side lacked when it was decided upon stands where
        it stood, and as it was where it is to go. That it is out of use may be our own doing, by a
        run that died."""
        held = {CRM: conflict.crm, ERP: conflict.erp}
        now = {role: None if seen.record is None else value_at(
            self.entity, seen.record, conflict.path) for role, seen in self.sides.items()}
        if isinstance(held[winner], dict):
            return winner not in now or now[winner] is not None
        if held[winner] in (None, "deleted") and now.get(winner) is not None:
            return False
        kept, goes = held[other(winner)], now.get(other(winner))
        if goes is None or not isinstance(kept, dict):
            return True
        spec = ENTITIES[self.entity]
        if conflict.path:
            return bool(goes == unpack(spec, {"lines": [kept]})["lines"][0])
        ours = {"active": False} if goes.get("active") is False else {}
        return bool(goes == {**unpack(spec, kept), **ours})

    @property
    def moments(self) -> dict[Role, datetime | None]:
        """When each side was last changed by others than us."""
        return {role: seen.changed_at for role, seen in self.sides.items()}

    @property
    def title(self) -> str:
        """What a person calls the record."""
        for seen in self.sides.values():
            if seen.record is not None:
                return title(seen.record)
        return title(self.base or {})


def title(record: Record) -> str:
    """What a person calls the record: its name, number or SKU."""
    for name in ("name", "number", "sku", "warehouse"):
        if record.get(name):
            return str(record[name])
    person = " ".join(str(record[n]) for n in ("first_name", "last_name") if record.get(n))
    return person or str(record.get("email") or record.get("customer_reference") or "(unnamed)")


@dataclass(frozen=True, slots=True)
class Write:
    """What one side has to be told: `record` is a partial canonical record."""

    operation: Operation
    record: Mapping[str, Any]


@dataclass(slots=True)
class Work:
    """A group with what was decided for it: the actions to show, the writes to make, and the
    base that holds once all of them are made."""

    group: Group
    actions: list[Action]
    writes: dict[Role, Write] = field(default_factory=dict)
    base: dict[str, Any] | None = None
    asks: str = ""  # names the change that the ERP is asked for
