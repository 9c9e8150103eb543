"""What all parts of a unit of work share: one connection, bulk upserts, chunked look-ups."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Connection,
    CursorResult,
    Delete,
    Dialect,
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


class _Text(NamedTuple):
    """A statement as the driver takes it; `names` are the values in the order of their places, None
    where it takes them by name, and `fixed` those that the statement itself gives."""

    sql: str
    names: tuple[str, ...] | None
    fixed: dict[str, Any]


class Prepared:
    """A statement that is made once for the program, and by its parameters' names is told from
    others: to make it anew takes longer than a small one runs. Its columns come as the driver
    gives them."""

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        self._texts: dict[str, _Text] = {}

    def execute(self, connection: Connection, values: Mapping[str, Any]) -> CursorResult[Any]:
        """Execute it with the values of its parameters."""
        dialect = connection.dialect
        if dialect.name not in self._texts:
            self._texts[dialect.name] = _text(dialect, self._statement)
        sql, names, fixed = self._texts[dialect.name]
        given = {**fixed, **values}
        return connection.exec_driver_sql(
            sql, given if names is None else tuple([given[name] for name in names]))


class Among:
    """A query for the rows whose `column` is one of some values. Where it is made once for the
    program, its other parameters go by name (see `same`)."""

    def __init__(self, query: Select[Any], column: Column[Any]) -> None:
        self._query, self._column = query, column
        self._made: dict[str, Select[Any]] = {}

    def on(self, dialect: str) -> Select[Any]:
        """The query as a database takes it."""
        if dialect not in self._made:
            self._made[dialect] = self._query.where(_among(dialect, self._column))
        return self._made[dialect]


def same(*columns: Column[Any]) -> list[ColumnElement[bool]]:
    """Each of the columns holds the value that is bound by its name."""
    return [column == bindparam(column.name) for column in columns]


class Rows:
    """One open transaction, begun `at`, of the whole pair or `within` a partition."""

    def __init__(self, connection: Connection, at: datetime | None = None) -> None:
        self.connection, self.at = connection, at
        self.part: Partition | None = None
        self._dialect = _dialects(connection.dialect)

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

    def prepared(self, statement: Prepared, **values: Any) -> CursorResult[Any]:
        """Execute a prepared statement."""
        return statement.execute(self.connection, values)

    def upsert(self, table: Table, rows: Sequence[dict[str, Any]], keys: Sequence[str],
               keep: Collection[str] = ()) -> None:
        """Insert rows, or replace those with the same `keys`; columns in `keep` stay."""
        if rows:
            self._execute(_upsert(self.connection.dialect, table, tuple(rows[0]), tuple(keys),
                                  frozenset(keep)), rows)

    def replace(self, table: Table, rows: Sequence[dict[str, Any]], keys: Sequence[str]) -> None:
        """Insert rows; one with the same `keys` gives way, so that its place, by id, is last."""
        if rows:
            self._execute(_replace(self.connection.dialect, table, tuple(rows[0]), tuple(keys)),
                          rows)

    def insert_new(self, table: Table, rows: Sequence[dict[str, Any]],
                   keys: Sequence[str]) -> None:
        """Insert rows; one whose `keys` are there already is left out."""
        if rows:
            self._execute(_insert_new(self.connection.dialect, table, tuple(rows[0]),
                                      tuple(keys)), rows)

    def many(self, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute a statement for many rows of plain values."""
        self._execute(_text(self.connection.dialect, statement, tuple(rows[0])), rows)

    def _execute(self, text: _Text, rows: Sequence[Mapping[str, Any]]) -> None:
        """Straight at the driver: what SQLAlchemy does for each value would cost more than the
        database does."""
        self.connection.exec_driver_sql(text.sql, [
            tuple([row[name] for name in text.names]) for row in rows
        ] if text.names is not None else [dict(row) for row in rows])

    def where_in(self, query: Among, values: Collection[Any],
                 **given: Any) -> Iterator[Row[Any]]:
        """The rows of `query` whose column is one of `values`, in chunks; `given` are its other
        parameters."""
        statement = query.on(self.connection.dialect.name)
        for chunk in chunks(values):
            yield from self.connection.execute(statement, {**given, "among": self.listed(chunk)})

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
        return _among(self.connection.dialect.name, column)

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


# Text of statements that are made anew in almost every transaction; to make it takes as long as a
# small statement takes. Tables and dialects are few, and live as long as the program.

def _text(dialect: Dialect, statement: Executable,
          names: tuple[str, ...] | None = None) -> _Text:
    compiled: Any = statement.compile(  # type: ignore[attr-defined]
        dialect=dialect, column_keys=None if names is None else list(names))
    return _Text(str(compiled), tuple(compiled.positiontup) if compiled.positional else None,
                 compiled.construct_params(_check=False))


@lru_cache(256)
def _among(dialect: str, column: Column[Any]) -> ColumnElement[bool]:
    if dialect == "postgresql":
        return column == any_(bindparam("among", type_=ARRAY(column.type)))
    each = func.json_each(bindparam("among", type_=Text)).table_valued("value")
    return column.in_(select(each.c.value))


@lru_cache(256)
def _upsert(dialect: Dialect, table: Table, names: tuple[str, ...], keys: tuple[str, ...],
            keep: frozenset[str]) -> _Text:
    insert: Any = _dialects(dialect).insert(table)
    changed = [name for name in names if name not in keys and name not in keep]
    if changed:
        insert = insert.on_conflict_do_update(
            index_elements=list(keys), set_={name: insert.excluded[name] for name in changed})
    else:
        insert = insert.on_conflict_do_nothing(index_elements=list(keys))
    return _text(dialect, insert, names)


@lru_cache(256)
def _replace(dialect: Dialect, table: Table, names: tuple[str, ...],
             keys: tuple[str, ...]) -> _Text:
    insert: Any = _dialects(dialect).insert(table)
    if dialect.name == "sqlite":
        insert = insert.prefix_with("OR REPLACE")
    else:  # delete and insert would fail where another transaction inserts the same row meanwhile
        insert = insert.on_conflict_do_update(
            index_elements=list(keys), set_={"id": insert.excluded["id"], **{
                name: insert.excluded[name] for name in names if name not in keys}})
    return _text(dialect, insert, names)


@lru_cache(256)
def _insert_new(dialect: Dialect, table: Table, names: tuple[str, ...],
                keys: tuple[str, ...]) -> _Text:
    insert: Any = _dialects(dialect).insert(table)
    return _text(dialect, insert.on_conflict_do_nothing(index_elements=list(keys)), names)


def _dialects(dialect: Dialect) -> Any:
    return postgresql if dialect.name == "postgresql" else sqlite
