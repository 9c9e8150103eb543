"""Puts single fields back to what they held before a run, where they still hold what it wrote."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from connector.domain.actions import UNDONE, ActionKind, FieldChange, FieldConflict
from connector.domain.entities import ENTITIES, pack
from connector.domain.ledger import HistoryEntry
from connector.domain.paths import parsed, value_at
from connector.domain.policies import CRM, ERP, Role, other
from connector.domain.records import Operation
from connector.domain.values import shown
from connector.engine.before_images import Written
from connector.engine.group import Group, Work, Write
from connector.engine.merge import agreed
from connector.engine.pair import Pair
from connector.engine.policy import step_back
from connector.engine.works import action_of


@dataclass(slots=True)
class Case:
    """One record: both sides as they are now, and why nothing, or some of it, is put back."""

    group: Group
    images: dict[Role, Written]
    later: list[HistoryEntry]
    done: dict[tuple[Role | None, str], Any]  # what this undo has put back, as the system took it
    reasons: list[str] = field(default_factory=list)


class PutBack:
    """Decides what of a record's fields is put back; `why` stands in the outcomes."""

    def __init__(self, pair: Pair, entity: str, why: str) -> None:
        self.pair, self.entity, self.why = pair, entity, why
        self.rules, self.spec = pair.rules[entity], ENTITIES[entity]

    def put_back(self, case: Case,
                  instead: dict[Role, dict[str, tuple[Any, Any]]]) -> Work | None:
        """The old values of the fields that hold what the run wrote; `instead` gives, for a side,
        what is to be put back there in the place of its fields: (after, before) by path."""
        group, wanted = case.group, dict[Role, dict[str, FieldChange]]()
        for role, seen in group.sides.items():
            if seen.record is None:
                continue
            image = case.images.get(role)
            fields = instead.get(role, {} if image is None or image.created else {
                path: (after, before) for path, (before, after) in image.fields.items()})
            for path, (after, before) in fields.items():
                if self._may(case, role, path, before, after):
                    now = value_at(self.entity, seen.record, path)
                    wanted.setdefault(role, {})[path] = FieldChange(path, now, before, self.why)
        if wanted:
            return self._update(group, wanted)
        # No other conflict of the record is ended by what is done about the whole of it.
        group.conflicts = [c for c in group.conflicts if c.path == "" and c.kind == UNDONE]
        return None

    def _may(self, case: Case, role: Role, path: str, before: Any, after: Any) -> bool:
        """Whether a field can be put back; why not is told, unless it holds the old value."""
        record = case.group.sides[role].record
        assert record is not None
        now = value_at(self.entity, record, path)
        if same(now, before) or ((role, path) in case.done
                                  and same(now, case.done[role, path])):
            return False
        again = next((e for e in case.later if e.target == role
                      and any(_overlap(c.path, path) for c in e.changes)), None)
        line, name = parsed(path)
        rule = (self.rules.header if line is None else self.rules.lines).get(name)
        if again is not None:
            case.reasons.append(f"run {again.run_id} has written {path} of the {role} since")
        elif not same(now, after):
            case.reasons.append(f"{path} of the {role} has changed since, to {shown(now)}")
        elif name and (rule is None or role not in rule.writable):
            case.reasons.append(f"{path} can't be written in the {role} any more")
        elif rule is not None and rule.field.forward_only and step_back(rule.field, now, before):
            case.reasons.append(f"{path} of the {role} only goes forward: it stays {shown(now)}")
        else:
            return True
        return False

    def _update(self, group: Group, wanted: dict[Role, dict[str, FieldChange]]) -> Work:
        writes, records = dict[Role, Write](), dict[Role, dict[str, Any]]()
        for role, seen in group.sides.items():
            if seen.record is not None:
                changed = self._changed(seen.record, wanted.get(role, {}))
                records[role] = {**seen.record, **changed}
                if changed:
                    writes[role] = Write(Operation.UPDATE, changed)
        conflicts = self._held(group, wanted, records)
        group.held = {c.path for c in conflicts}
        paths = {path for changes in wanted.values() for path in changes}
        group.conflicts = [c for c in group.conflicts if c.kind == UNDONE
                           and (c.path in group.held or c.path in paths or not c.path)]
        actions = [action_of(group, ActionKind.UPDATE, role, reason=self.why,
                             changes=wanted[role].values(), conflicts=conflicts)
                   for role in writes]
        base = group.base
        if base is not None and len(records) == 2:
            base = agreed(self.rules, base, records[CRM], records[ERP])
        return Work(group, actions, writes, base=base)

    def _changed(self, record: dict[str, Any], wanted: dict[str, FieldChange]) -> dict[str, Any]:
        """The part of a record that is written: header fields, and the whole list of lines."""
        after = {parsed(path): change.after for path, change in wanted.items()}
        changed = {at.name: value for at, value in after.items() if at.line is None}
        if len(changed) == len(after):
            return changed
        key = self.spec.line_key
        lines = {str(line[key]): (line[key], dict(line)) for line in record.get("lines", ())}
        for at, value in after.items():
            if at.line is None:
                continue
            if at.name:
                lines[at.line][1][at.name] = value
            elif value is None:
                lines.pop(at.line, None)
            else:
                lines[at.line] = value[key], dict(value)
        changed["lines"] = [line for _, line in sorted(lines.values(), key=lambda kept: kept[0])]
        return changed

    def _held(self, group: Group, wanted: dict[Role, dict[str, FieldChange]],
              records: dict[Role, dict[str, Any]]) -> list[FieldConflict]:
        """The conflicts that hold what both sides will differ in."""
        if len(records) < 2:  # in use again, and the other side's was deleted
            return [conflict for role, changes in wanted.items()
                    if "active" in changes and changes["active"].after is True
                    for conflict in self.whole(group, role, pack(self.spec, records[role]))]
        held = []
        for path in sorted({path for changes in wanted.values() for path in changes}):
            crm, erp = (value_at(self.entity, records[role], path) for role in (CRM, ERP))
            known = parsed(path).line is not None or all(path in r for r in records.values())
            if known and not same(crm, erp):
                was = value_at(self.entity, group.base or {}, path)
                held.append(FieldConflict(path, was, crm, erp, kind=UNDONE))
        return held

    def whole(self, group: Group, role: Role, told: Any) -> list[FieldConflict]:
        """The conflict that holds a record which stands on one side only."""
        counterpart = group.sides.get(other(role))
        if counterpart is None:
            return []
        theirs = "deleted" if counterpart.record is None else pack(self.spec, counterpart.record)
        if (theirs == "deleted") == (told == "deleted"):
            return []
        values = {role: told, other(role): theirs}
        return [FieldConflict("", pack(self.spec, group.base or {}), values[CRM], values[ERP],
                              kind=UNDONE)]


def same(now: Any, then: Any) -> bool:
    """Whether two values are one; of a line, what `then` says of it."""
    if isinstance(now, dict) and isinstance(then, dict):
        return all(now.get(name) == value for name, value in then.items())
    return bool(now == then)


def _overlap(one: str, path: str) -> bool:
    """Whether a change at `one` is one of what stands at `path`, or of what that is part of."""
    return one in ("", path) or path.startswith(f"{one}.") or one.startswith(f"{path}.")
