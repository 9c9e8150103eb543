"""What all parts of a unit of work share: one connection, bulk upserts, chunked look-ups."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Row, Select, Table
from sqlalchemy.dialects import postgresql, sqlite

CHUNK = 500
"""Values in one IN list; SQLite's oldest limit on variables is 999."""


class Rows:
    """One open transaction."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._dialect = postgresql if connection.dialect.name == "postgresql" else sqlite

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
        self.connection.execute(insert, list(rows))

    def insert_new(self, table: Table, rows: Sequence[dict[str, Any]],
                   keys: Sequence[str]) -> None:
        """Insert rows; one whose `keys` are there already is left out."""
        if rows:
            self.connection.execute(
                self._dialect.insert(table).on_conflict_do_nothing(index_elements=list(keys)),
                list(rows))

    def where_in(self, query: Select[Any], column: Column[Any],
                 values: Collection[Any]) -> Iterator[Row[Any]]:
        """The rows of `query` whose `column` is one of `values`, in chunks."""
        for chunk in chunks(values):
            yield from self.connection.execute(query.where(column.in_(chunk)))


def chunks(values: Collection[Any]) -> Iterator[list[Any]]:
    """`values` in lists of at most `CHUNK`."""
    every = list(values)
    for start in range(0, len(every), CHUNK):
        yield every[start:start + CHUNK]
