"""What all parts of a unit of work share: one connection, bulk upserts, chunked look-ups."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Connection,
    Delete,
    Executable,
    Row,
    Select,
    Table,
    Text,
    Update,
    any_,
    bindparam,
    cast,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from connector.domain.partitions import Partition

CHUNK = 500
"""Values in one list of a statement."""


class Rows:
    """One open transaction, begun `at`, of the whole pair or `within` a partition."""

    def __init__(self, connection: Connection, at: datetime | None = None) -> None:
        self.connection, self.at = connection, at
        self.part: Partition | None = None
        self._dialect = postgresql if connection.dialect.name == "postgresql" else sqlite

    def within(self, partition: Partition) -> None:
        """From now on only what is in this partition is there to be worked off, and what is taken
        in or begun belongs to it."""
        self.part = partition

    def mine(self, slot: Column[Any]) -> tuple[ColumnElement[bool], ...]:
        """What narrows a query to the partition."""
        return () if self.part is None else (slot == self.part.slot,)

    def slot_of(self, entity: str) -> int | None:
        """The slot of what is taken in of an entity."""
        return self.part.slot if self.part is not None and self.part.entity == entity else None

    def upsert(self, table: Table, rows: Sequence[dict[str, Any]], keys: Sequence[str],
               keep: Collection[str] = ()) -> None:
        """Insert rows, or replace those with the same `keys`; columns in `keep` stay."""
        if not rows:
            return
        insert: Any = self._dialect.insert(table)
        changed = [name for name in rows[0] if name not in keys and name not in keep]
        if changed:
            insert = insert.on_conflict_do_update(
                index_elements=list(keys), set_={name: insert.excluded[name] for name in changed})
        else:
            insert = insert.on_conflict_do_nothing(index_elements=list(keys))
        self.many(insert, rows)

    def replace(self, table: Table, rows: Sequence[dict[str, Any]], keys: Sequence[str]) -> None:
        """Insert rows; one with the same `keys` gives way, so that its place, by id, is last."""
        insert: Any = self._dialect.insert(table)
        if self._dialect is sqlite:
            self.many(insert.prefix_with("OR REPLACE"), rows)
            return
        # Delete and insert would fail where another transaction inserts the same row meanwhile.
        self.many(insert.on_conflict_do_update(
            index_elements=list(keys), set_={"id": insert.excluded["id"], **{
                name: insert.excluded[name] for name in rows[0] if name not in keys}}), rows)

    def many(self, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute a statement for many rows of plain values, straight at the driver: what
        SQLAlchemy does for each value would cost more than the database does."""
        compiled: Any = statement.compile(  # type: ignore[attr-defined]
            dialect=self.connection.dialect, column_keys=list(rows[0]))
        if compiled.positional:
            names = compiled.positiontup
            self.connection.exec_driver_sql(
                str(compiled), [tuple([row[name] for name in names]) for row in rows])
        else:
            self.connection.exec_driver_sql(str(compiled), [dict(row) for row in rows])

    def insert_new(self, table: Table, rows: Sequence[dict[str, Any]],
                   keys: Sequence[str]) -> None:
        """Insert rows; one whose `keys` are there already is left out."""
        if rows:
            insert: Any = self._dialect.insert(table)
            self.many(insert.on_conflict_do_nothing(index_elements=list(keys)), rows)

    def where_in(self, query: Select[Any], column: Column[Any],
                 values: Collection[Any]) -> Iterator[Row[Any]]:
        """The rows of `query` whose `column` is one of `values`, in chunks."""
        if not values:
            return
        query = query.where(self.among(column))
        for chunk in chunks(values):
            yield from self.connection.execute(query, {"among": self.listed(chunk)})

    def execute_among(self, statement: Update | Delete, column: Column[Any],
                      values: Collection[Any]) -> int:
        """Change or delete the rows whose `column` is one of `values`; returns how many."""
        if not values:
            return 0
        statement = statement.where(self.among(column))
        return sum(self.connection.execute(statement, {"among": self.listed(chunk)}).rowcount
                   for chunk in chunks(values))

    def among(self, column: Column[Any]) -> ColumnElement[bool]:
        """`column` is one of the values bound as `among`; one statement for any number of them,
        which an IN list is not: it would be compiled anew for every length."""
        if self._dialect is postgresql:
            return column == any_(bindparam("among", type_=ARRAY(column.type)))
        each = func.json_each(bindparam("among", type_=Text)).table_valued("value")
        return column.in_(select(each.c.value))

    def text_of(self, column: Column[Any]) -> ColumnElement[str]:
        """A column of bytes, which are UTF-8, as text."""
        if self._dialect is postgresql:
            return func.convert_from(column, "UTF8", type_=Text)
        return cast(column, Text)

    def listed(self, values: list[Any]) -> Any:
        """Values as `among` takes them."""
        return values if self._dialect is postgresql else orjson.dumps(values).decode()


def chunks(values: Collection[Any]) -> Iterator[list[Any]]:
    """`values` in lists of at most `CHUNK`."""
    every = list(values)
    for start in range(0, len(every), CHUNK):
        yield every[start:start + CHUNK]
