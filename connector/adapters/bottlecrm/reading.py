"""Reads BottleCRM's records: by ID, by reference, and a page of a list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from connector.adapters.bottlecrm import notes, records
from connector.adapters.bottlecrm.calls import Calls, Query
from connector.adapters.bottlecrm.custom import CustomFields
from connector.adapters.bottlecrm.objects import REFERENCE, BottleObject
from connector.adapters.bottlecrm.sweep import Listing
from connector.domain.records import RemoteRecord
from connector.errors import AccessDenied

Row = Mapping[str, Any]


class Reading:
    """What is read of BottleCRM; `page` is the rows of a list that one call gives."""

    def __init__(self, calls: Calls, custom: CustomFields, page: int) -> None:
        self._calls, self._custom, self._page = calls, custom, page
        self._organization: Row | None = None

    def organization(self) -> Row:
        """The organization that the token belongs to, read once."""
        if self._organization is None:
            self._organization = self._calls.body("GET", "/api/org/settings/")
        return self._organization

    def only_an_administrator_sees_all(self) -> None:
        """Others see their own records, and what they do not see would count as deleted. Raises
        `AccessDenied`."""
        role = self._calls.body("GET", "/api/profile/")["user_obj"]["role"]
        if role != "ADMIN":
            raise AccessDenied(f"The token's owner has the role {role} in BottleCRM, and does not "
                               "see every record.",
                               hint="Use a token of an administrator (role ADMIN).")

    def one(self, kind: BottleObject, ext: str) -> RemoteRecord | None:
        """A record as it is now; None where there is none."""
        row = self.row(kind, ext)
        if row is None or (kind.stands_on and not (row["custom_fields"] or {}).get(kind.mark)):
            return None
        return self.record(kind, row)

    def row(self, kind: BottleObject, ext: str) -> Row | None:
        """The same, with all that BottleCRM says about it."""
        answer = self._calls.make("GET", place(kind, ext))
        if answer.status == 404:
            return None
        row: Row = answer.body[kind.within] if kind.within else answer.body
        return row

    def made_for(self, kind: BottleObject, reference: str) -> RemoteRecord | None:
        """The record that was made for a reference, and is finished."""
        query = {f"cf_{kind.mark}": reference} if kind.target else {
            "search": notes.searched(REFERENCE, reference)}
        for row in self.search(kind, query):
            record = self.record(kind, row) if kind.whole_rows else self.one(kind, row["id"])
            if record and record.payload["custom_fields"].get(kind.mark) == reference:
                return record
        return None

    def search(self, kind: BottleObject, query: Query) -> Iterator[Row]:
        """The rows that a search finds."""
        offset = 0
        while True:
            listing = self.listing(kind, offset, self._page, query)
            for part in listing.parts:
                yield from part
            offset += self._page
            if all(len(part) < self._page for part in listing.parts):
                return

    def listing(self, kind: BottleObject, offset: int, size: int, query: Query) -> Listing:
        """A page of a list."""
        body = self._calls.body("GET", kind.path, query={
            "limit": str(size), "offset": str(offset), **kind.query, **query})
        found = [(body[part.within] if part.within else body, part) for part in kind.parts]
        return Listing([inner[part.rows] for inner, part in found],
                       sum(inner[part.count] for inner, part in found))

    def record(self, kind: BottleObject, row: Row) -> RemoteRecord:
        """A row as a record."""
        return records.record(kind, row, self._custom.of(kind.target),
                              str(self.organization()["default_currency"]))


def place(kind: BottleObject, ext: str) -> str:
    """Where a record stands."""
    return f"{kind.path}{quote(ext, safe='')}/"
