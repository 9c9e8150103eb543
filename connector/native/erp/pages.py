"""Reading: pages in the order of change, and single rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from connector.native.database import Database, dumps
from connector.native.erp.kinds import LARGEST_ID, local, local_time
from connector.native.erp.work import Refused

LARGEST_PAGE, USUAL_PAGE = 1000, 200
_FILTERS = {("items", "item_code"): "natural", ("customers", "vat_no"): "natural"}


def page(database: Database, object: str, query: Mapping[str, str]) -> bytes:
    """Rows strictly after (`after_modified`, `after_id`), ordered by (modified, id).

    `covered_until` is taken before the rows are read: every transaction that began up to then is
    among what can be seen. Raises `Refused` for a query that can't be read.
    """
    rows = database.rows.c
    limit = _whole(query, "limit", USUAL_PAGE, LARGEST_PAGE)
    after = _position(query)
    conditions: list[Any] = []
    if query.get("archived") != "include":
        conditions.append(rows.deleted.is_(False))
    if "ids" in query:
        conditions.append(rows.id.in_([row_id(text) for text in _list(query["ids"])]))
    if "external_ref" in query:
        conditions.append(rows.reference.in_(_list(query["external_ref"])))
    for (kind, name), column in _FILTERS.items():
        if kind == object and name in query:
            conditions.append(rows[column] == query[name])
    covered = database.covered_until()
    found = database.page(object, after, limit + 1, since=after[0] if after else None,
                          conditions=conditions)
    more = len(found) > limit
    return b"".join((b'{"rows":[', b",".join([row.body for row in found[:limit]]),
                     b'],"more":', dumps(more), b',"covered_until":', dumps(local(covered)), b"}"))


def one(database: Database, object: str, id: str) -> bytes:
    """One row, archived or not; raises `Refused`."""
    rows = database.rows.c
    found = database.page(object, None, 1, conditions=[rows.id == row_id(id)])
    if not found:
        raise Refused("E404", f"there is no row {id} of {object}")
    return bytes(found[0].body)


def _position(query: Mapping[str, str]) -> tuple[str, int] | None:
    if "after_modified" not in query:
        return None
    try:
        at = datetime.fromisoformat(local_time(query["after_modified"]))
    except ValueError as error:
        raise Refused("E400-QUERY", f"after_modified: {error}") from None
    return (at.astimezone(UTC).isoformat(timespec="microseconds"),
            _whole(query, "after_id", 0, LARGEST_ID, lowest=0))


def _whole(query: Mapping[str, str], name: str, usual: int, highest: int,
           lowest: int = 1) -> int:
    text = query.get(name, str(usual))
    if not (text.isascii() and text.isdigit() and lowest <= int(text[:12]) <= highest):
        raise Refused("E400-QUERY", f"{name} is a number from {lowest} to {highest}")
    return int(text)


def _list(text: str) -> list[str]:
    values = text.split(",")
    if len(values) > LARGEST_PAGE:
        raise Refused("E400-QUERY", f"at most {LARGEST_PAGE} values are taken")
    return values


def row_id(text: str) -> int:
    """An ID out of an address; 0, which no row has, for what can't be one."""
    known = text.isascii() and text.isdigit() and int(text[:12]) <= LARGEST_ID
    return int(text[:12]) if known else 0
