"""What a run wrote to a record, side by side with what was there before. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from connector.domain.actions import OutcomeKind
from connector.domain.entities import Entity, unpack
from connector.domain.ledger import HistoryEntry
from connector.domain.paths import parsed, path_of
from connector.domain.policies import Role


@dataclass(slots=True)
class Written:
    """What one run wrote to one side of a record: whether it made it, the record it deleted, and
    by path the first value before and the last value after."""

    created: bool = False
    removed: dict[str, Any] | None = None
    fields: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    def take(self, path: str, before: Any, after: Any) -> None:
        """One more change, in the order in which they were made."""
        line, name = parsed(path)
        whole = path_of(line) if line is not None and name else ""
        if whole in self.fields and self.fields[whole][1] is not None:
            first, last = self.fields[whole]
            self.fields[whole] = first, {**last, name: after}
            return
        if line is not None and not name and before is not None:
            inner = {p: v for p, v in self.fields.items() if parsed(p).line == line and p != path}
            for changed, (first, _) in inner.items():
                before = {**before, parsed(changed).name: first}
                del self.fields[changed]
        self.fields[path] = self.fields.get(path, (before, None))[0], after


def written_by(entity: Entity, run_id: str,
               entries: Iterable[HistoryEntry]) -> dict[Role, Written]:
    """What a run wrote to each side of a record, from the outcomes that wrote it."""
    images: dict[Role, Written] = {}
    for entry in entries:
        if entry.run_id != run_id or entry.target is None:
            continue
        image = images.setdefault(entry.target, Written())
        image.created = image.created or entry.kind is OutcomeKind.CREATED
        for change in entry.changes:
            if change.path == "":
                image.removed = unpack(entity, change.before)
            else:
                image.take(change.path, value_of(entity, change.path, change.before),
                           value_of(entity, change.path, change.after))
    return images


def value_of(entity: Entity, path: str, packed: Any) -> Any:
    """A kept value as the canonical value of what stands at `path`."""
    if packed is None:
        return None
    line_key, name = parsed(path)
    if line_key is None:
        return unpack(entity, {path: packed})[path]
    line: Mapping[str, Any] = {name: packed} if name else packed
    found = unpack(entity, {"lines": [line]})["lines"][0]
    return found[name] if name else found
