"""First contact: which record of the other side is the same thing. Pure.

Asked only for a record without a link. A reference that we wrote at creation tells for sure;
else the match key; where more than one record could be meant, a person is asked, unless the pair
says that several records of that side may be one thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from connector.domain.records import Change
from connector.domain.values import Record


@dataclass(frozen=True, slots=True)
class Partner:
    """The same thing on the other side: a canonical record that is already linked, or a change
    that waits in the inbox."""

    canonical_id: str = ""
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """More than one record could be meant; `candidates` are their external IDs."""

    reason: str
    candidates: tuple[str, ...]


NEW = Partner()


def match_key(fields: Sequence[str], record: Record) -> str:
    """The normalised match key of a record; empty where it has none, or where a part is blank."""
    parts = [record.get(name) for name in fields]
    if not parts or any(part is None for part in parts):
        return ""
    return "|".join(" ".join(str(part).casefold().split()) for part in parts)


@dataclass(frozen=True, slots=True)
class Several:
    """On which sides several records may be one thing, seen from the record that is asked for."""

    here: bool = False
    there: bool = False


def match(change: Change, claims: Mapping[str, str], holder: Callable[[str], str | None],
          same_side: Mapping[str, list[Change]], other_side: Mapping[str, list[Change]],
          several: Several = Several()) -> Partner | Ambiguous:
    """The partner of `change`, or `NEW`.

    `claims` are the canonical IDs by match key; `holder` gives the external ID by which a
    canonical record is already linked on the change's own side; `same_side` and `other_side`
    hold the unlinked changes of each side by match key.
    """
    key = change.match_key
    if not key:
        return NEW
    claimed = claims.get(key)
    if claimed is not None:
        taken_by = holder(claimed)
        if taken_by is None or several.here:
            return Partner(canonical_id=claimed)
        return Ambiguous(f"has the same match key as {taken_by}, which is linked already",
                         (taken_by,))
    theirs = other_side.get(key, [])
    ours = [c for c in same_side.get(key, []) if c.external_id != change.external_id]
    if len(theirs) > 1 and not several.there:
        return Ambiguous("more than one record on the other side has its match key",
                         tuple(c.external_id for c in theirs))
    if theirs and ours and not several.here:
        return Ambiguous("more than one record on its own side has its match key",
                         tuple(c.external_id for c in theirs))
    return Partner(change=theirs[0]) if theirs else NEW
