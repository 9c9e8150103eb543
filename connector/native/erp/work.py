"""One write transaction in the ERP's terms: rows by ID, reference and natural key, numbers, the
time."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

from connector.native.database import Entry, Transaction
from connector.native.erp.kinds import LARGEST_ID, ZONE, local
from connector.native.erp.objects import NUMBERED, natural_key

FIRST_NUMBER = 10_000


class Refused(Exception):
    """A row is refused: a `code` whose digits are the HTTP status, a message, the fields to
    blame; `existing` is the row that is there already, `subject` the one an action was about."""

    def __init__(self, code: str, msg: str, fields: Mapping[str, str] | None = None, *,
                 existing: Entry | None = None, subject: Entry | None = None) -> None:
        super().__init__(msg)
        self.code, self.msg, self.fields = code, msg, dict(fields or {})
        self.existing, self.subject = existing, subject

    @property
    def status(self) -> int:
        """The HTTP status that belongs to the code."""
        return int(self.code[1:4])

    def told(self) -> dict[str, Any]:
        """The error as it is answered."""
        error: dict[str, Any] = {"code": self.code, "msg": self.msg, "fields": self.fields}
        if self.existing is not None:
            error |= {"existing_id": self.existing.id, "row": self.existing.data}
        return {"error": error}


class Work:
    """What the rows of one call share."""

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction
        self.stamp = local(transaction.now)
        self._found: dict[tuple[str, str, str], Entry | None] = {}
        self._next: dict[str, int] = {}
        self._first_warehouse: str | None = None
        self.siblings: dict[int, list[Entry]] = {}

    def day(self, later: int = 0) -> str:
        """Today's local date, or so many days later."""
        return (self.transaction.now.astimezone(ZONE) + timedelta(days=later)).strftime("%d.%m.%Y")

    def load(self, object: str, ids: Collection[Any]) -> None:
        """Load rows that will be asked for; what can't be an ID is passed over."""
        self.transaction.load(object, [i for i in ids if _is_id(i)])

    def get(self, object: str, id: Any) -> Entry | None:
        """A row by its ID."""
        return self.transaction.get(object, id) if _is_id(id) else None

    def find(self, object: str, column: str, values: Collection[Any]) -> None:
        """Load rows that will be asked for by `reference` or `natural`."""
        wanted = dict.fromkeys(v for v in values
                               if isinstance(v, str) and (object, column, v) not in self._found)
        if wanted:
            found = self.transaction.by(object, column, wanted.keys())
            self._found.update({(object, column, v): found.get(v) for v in wanted})

    def by(self, object: str, column: str, value: str) -> Entry | None:
        """A row by its `reference` or `natural` key."""
        key = (object, column, value)
        if key not in self._found:
            self.find(object, column, [value])
        return self._found[key]

    def first_warehouse(self) -> str | None:
        """The code of the warehouse that was there first."""
        if self._first_warehouse is None:
            every = self.transaction.every("warehouses")
            self._first_warehouse = every[0].data["code"] if every else None
        return self._first_warehouse

    def add(self, object: str, data: Mapping[str, Any], id: int | None = None) -> Entry:
        """A new row with the next ID, and the number that goes with it."""
        id = id or self._next.get(object) or self.transaction.next_ids(object, 1)[0]
        self._next[object] = max(id + 1, self._next.get(object, 0))
        own = {"id": id, **data}
        if object in NUMBERED:
            name, prefix = NUMBERED[object]
            own[name] = data.get(name) or f"{prefix}{FIRST_NUMBER + id}"
        if object == "customers":
            own["created"] = self.stamp
        entry = Entry(object, id, own, reference=own.get("external_ref"),
                      deleted=own.get("archived", False), natural=natural_key(object, own))
        self.transaction.add(entry)
        self.touch(entry)
        self._remember(entry)
        return entry

    def replace(self, entry: Entry, data: dict[str, Any]) -> None:
        """Give a row other contents."""
        entry.data, entry.deleted = data, data.get("archived", False)
        key = natural_key(entry.object, data)
        if key != entry.natural:
            if entry.natural is not None:
                self._found.pop((entry.object, "natural", entry.natural), None)
            entry.natural = key
        self._remember(entry)
        self.touch(entry)

    def touch(self, entry: Entry) -> None:
        """A row has changed: its revision and its time move."""
        self.transaction.touch(entry)
        entry.data["rev"] = entry.version
        entry.data["modified"] = self.stamp

    def _remember(self, entry: Entry) -> None:
        for column, value in (("natural", entry.natural), ("reference", entry.reference)):
            if value is not None:
                self._found[entry.object, column, value] = entry


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST_ID
