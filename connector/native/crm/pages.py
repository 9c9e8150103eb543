"""Reading: a page of records, or one."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fastapi import Response

from connector.native.crm.words import Refused, fit, is_id, stamp, z
from connector.native.database import Database, dumps, loads

LARGEST_PAGE, USUAL_PAGE = 500, 100
FILTERS = {"ids": "id", "external_ref": "reference", "sku": "natural", "vat_number": "natural"}
_ONLY_FOR = {"sku": "products", "vat_number": "accounts"}
_TAKEN = {"limit", "cursor", "updated_since", "include_deleted", *FILTERS}


def page(database: Database, object: str, query: Mapping[str, str]) -> Response:
    """A page of records, ordered by (updatedAt, id). Raises `Refused`.

    `updatedAt` is the time at which a record's transaction began, and a write transaction takes
    up to five seconds: who reads on from a time has to begin five seconds before it. `asOf` is
    the server's time when the call began.
    """
    as_of = database.now()
    for name in query:
        if name not in _TAKEN or _ONLY_FOR.get(name, object) != object:
            raise Refused(400, f"there is no parameter {name} for {object}")
    limit = _limit(query.get("limit", str(USUAL_PAGE)))
    after = _position(query["cursor"]) if "cursor" in query else None
    since = _since(query["updated_since"]) if "updated_since" in query else None
    conditions = [database.rows.c[column].in_(_listed(name, query[name]))
                  for name, column in FILTERS.items() if name in query]
    if query.get("include_deleted") != "true":
        conditions.append(database.rows.c.deleted.is_(False))
    found = database.page(object, after, limit + 1, since=since, conditions=conditions)
    more = b"null"
    if len(found) > limit:
        found = found[:limit]
        more = dumps(_cursor(found[-1].changed, found[-1].id))
    return Response(b'{"data":[' + b",".join([row.body for row in found]) + b'],"nextCursor":'
                    + more + b',"asOf":' + dumps(z(as_of)) + b"}", media_type="application/json")


def one(database: Database, object: str, id: str) -> Response:
    """One record, with its ETag. Raises `Refused`."""
    rows = database.rows
    found = database.page(object, None, 1, conditions=[rows.c.id == id]) if is_id(id) else []
    if not found:
        raise Refused(404, f"there is no {object} {id}")
    if found[0].deleted:
        raise Refused(410, f"{id} was deleted")
    return Response(found[0].body, media_type="application/json",
                    headers={"ETag": loads(found[0].body)["etag"]})


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= LARGEST_PAGE):
        raise Refused(400, f"limit is a whole number from 1 to {LARGEST_PAGE}")
    return int(text)


def _listed(name: str, text: str) -> list[str]:
    values = text.split(",")
    if len(values) > LARGEST_PAGE:
        raise Refused(400, f"at most {LARGEST_PAGE} {name} are taken")
    return [value for value in values if fit(value)]


def _since(text: str) -> str:
    try:
        given = datetime.fromisoformat(text.replace(" ", "+"))
        if given.tzinfo is None:
            raise ValueError("no offset")
        return stamp(given)
    except (ValueError, OverflowError):
        raise Refused(400, "updated_since is an ISO instant with its offset") from None


def _cursor(changed: str, id: str) -> str:
    return base64.urlsafe_b64encode(f"{changed}|{id}".encode()).decode()


def _position(cursor: str) -> tuple[Any, str]:
    try:
        changed, bar, id = base64.urlsafe_b64decode(cursor.encode()).decode().partition("|")
        if bar and fit(changed + id):
            return changed, id
    except ValueError:
        pass
    raise Refused(400, "cursor is none that was given")
