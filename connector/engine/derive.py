"""Documents made from documents: an accepted quote becomes exactly one order.

The order's canonical ID follows from the quote's external ID, its reference at the target too, so
however often a quote is seen, and whatever crashes in between, it is one and the same order.
"""

from __future__ import annotations

from typing import Any

from connector.domain.entities import ENTITIES, pack
from connector.domain.policies import Becomes, other
from connector.domain.records import Change
from connector.engine.group import Group, Seen
from connector.engine.pair import Pair

_ITS_OWN = {"number", "status", "remark"}


def derived_change(pair: Pair, becomes: Becomes, group: Group) -> Change | None:
    """The change that brings up the document which `group` has become, if it has."""
    base = group.base or {}
    source = other(becomes.made_in)
    seen = group.sides.get(source)
    if base.get(becomes.when_field) != becomes.when_value or seen is None or seen.record is None:
        return None
    record = derived_record(becomes, group.entity, group.canonical_id, seen.record)
    return Change(0, becomes.entity, pair.side(source).system, _own_id(group, seen),
                  seen.version, pack(ENTITIES[becomes.entity], record),
                  derived_from=group.canonical_id)


def derived_name(pair: Pair, becomes: Becomes, group: Group) -> str | None:
    """The trace key of the document that `group` would become; None where its source is unknown."""
    source = other(becomes.made_in)
    seen = group.sides.get(source)
    if seen is None:
        return None
    return f"{becomes.entity}/{pair.side(source).system}/{_own_id(group, seen)}"


def _own_id(group: Group, seen: Seen) -> str:
    """What stands for the external ID of a document that stands in no system at its source."""
    return f"{group.entity}:{seen.external_id}"


def derived_record(becomes: Becomes, source: str, canonical_id: str,
                   record: dict[str, Any]) -> dict[str, Any]:
    """The new document's canonical record: the fields both kinds share, less those that each
    document has of its own."""
    target = ENTITIES[becomes.entity]
    shared = {name: value for name, value in record.items()
              if name in target.fields and name not in _ITS_OWN
              and not target.fields[name].computed}
    lines = [{n: v for n, v in line.items() if n in target.line_fields}
             for line in record.get("lines", ())]
    return {**shared, source: canonical_id, **becomes.values, "lines": lines}
