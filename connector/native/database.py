"""A database of records: the body as the JSON that is answered, beside it what is searched by."""

from __future__ import annotations

import contextvars
import json
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Select,
    String,
    Table,
    and_,
    create_engine,
    delete,
    event,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.pool import StaticPool

from connector.native.amounts import Company

CHUNK = 500
commit_delay: contextvars.ContextVar[float] = contextvars.ContextVar("commit_delay", default=0.0)
"""Seconds that the next write transaction takes before it commits; set by the fault switch."""


@dataclass(slots=True)
class Entry:
    """A record: `data` are its fields as answered; `reference` and `natural` are searched by."""

    object: str
    id: Any
    data: dict[str, Any]
    changed: str = ""
    version: int = 0
    deleted: bool = False
    reference: str | None = None
    natural: str | None = None
    new: bool = False


def random_id() -> str:
    """Twenty digits that nobody has had."""
    return uuid.uuid4().hex[:20]


class Database:
    """One app's database, of one company. `unique_reference` refuses a second record with the same
    reference; `new_id` makes IDs, where they are no numbers."""

    def __init__(self, url: str, clock: Callable[[], datetime], *, id_type: Any,
                 unique_reference: bool, company: Company | None = None,
                 new_id: Callable[[], str] = random_id) -> None:
        self.company, self.new_id = company or Company(), new_id
        self.metadata = MetaData()
        self.rows = Table(
            "rows", self.metadata,
            Column("object", String(30), primary_key=True),
            Column("id", id_type, primary_key=True, autoincrement=False),
            Column("changed", String(40), nullable=False),
            Column("version", Integer, nullable=False),
            Column("deleted", Boolean, nullable=False),
            Column("reference", String(255)),
            Column("natural", String(255)),
            Column("body", LargeBinary, nullable=False),
            Index("rows_changed", "object", "changed", "id"),
            Index("rows_reference", "object", "reference", unique=unique_reference),
            Index("rows_natural", "object", "natural"))
        self.extra = Table(
            "extra", self.metadata,
            Column("kind", String(30), primary_key=True),
            Column("key", String(255), primary_key=True),
            Column("at", String(40), nullable=False),
            Column("value", LargeBinary, nullable=False))
        self.engine = _engine(url)
        self.metadata.create_all(self.engine)
        self._clock = clock
        self._lock = threading.Lock()
        # in memory there is one connection, and a reader would end a writer's transaction
        in_memory = isinstance(self.engine.pool, StaticPool)
        self._reading: AbstractContextManager[Any] = self._lock if in_memory else nullcontext()
        self._starts_lock = threading.Lock()
        self._starts: list[datetime] = []
        self._last = datetime.min.replace(tzinfo=UTC)

    def now(self) -> datetime:
        """The server's time; never the same twice, never going back."""
        with self._starts_lock:
            return self._tick()

    def _tick(self) -> datetime:
        self._last = max(self._clock(), self._last + timedelta(microseconds=1))
        return self._last

    def covered_until(self) -> datetime:
        """The time up to which every change is visible: no open transaction began before it."""
        with self._starts_lock:
            now = self._tick()
            return min(self._starts, default=now) - timedelta(microseconds=1)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A write transaction; its changes carry the time of its START, so that commit order is
        not the order of timestamps. One at a time."""
        with self._starts_lock:  # at once: no reader may think a time complete in between
            start = self._tick()
            self._starts.append(start)
        try:
            delay = commit_delay.get()
            if delay:
                time.sleep(delay)
            with self._lock, self.engine.begin() as connection:
                transaction = Transaction(self, connection, start)
                yield transaction
                transaction.flush()
        finally:
            with self._starts_lock:
                self._starts.remove(start)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to read with."""
        with self._reading, self.engine.connect() as connection:
            yield connection

    def page(self, object: str, after: tuple[str, Any] | None, limit: int, *,
             since: str | None = None, conditions: Sequence[Any] = ()) -> list[Row[Any]]:
        """Up to `limit` rows behind (changed, id), in that order."""
        rows = self.rows
        query = select(rows.c.id, rows.c.changed, rows.c.deleted, rows.c.body).where(
            rows.c.object == object, *conditions).order_by(rows.c.changed, rows.c.id).limit(limit)
        if since is not None:
            query = query.where(rows.c.changed >= since)
        if after is not None:
            query = query.where(or_(rows.c.changed > after[0],
                                    and_(rows.c.changed == after[0], rows.c.id > after[1])))
        with self.read() as connection:
            return list(connection.execute(query))

    def close(self) -> None:
        """Give connections back."""
        self.engine.dispose()


class Transaction:
    """Records loaded in bulk, changed in memory, saved at the end by a few statements."""

    def __init__(self, database: Database, connection: Connection, now: datetime) -> None:
        self.database, self.connection, self.now = database, connection, now
        self.stamp = now.astimezone(UTC).isoformat(timespec="microseconds")
        self._known: dict[tuple[str, Any], Entry | None] = {}
        self._dirty: dict[tuple[str, Any], Entry] = {}
        self._found: dict[tuple[str, str, str], Entry | None] = {}
        self._counted: dict[str, int] = {}
        self.events: list[tuple[str, Any, str]] = []

    def load(self, object: str, ids: Collection[Any]) -> None:
        """Load records that will be asked for."""
        rows = self.database.rows
        missing = [i for i in dict.fromkeys(ids) if (object, i) not in self._known]
        for entry in self._rows(select(rows).where(rows.c.object == object), rows.c.id, missing):
            self._known[object, entry.id] = entry
        for wanted in missing:
            self._known.setdefault((object, wanted), None)

    def get(self, object: str, id: Any) -> Entry | None:
        """A record; one query where it was not loaded before."""
        if (object, id) not in self._known:
            self.load(object, [id])
        return self._known[object, id]

    def by(self, object: str, column: str, values: Collection[str]) -> dict[str, Entry]:
        """Records by `reference` or `natural`, those of this transaction included."""
        rows = self.database.rows
        missing = [v for v in dict.fromkeys(values) if (object, column, v) not in self._found]
        for value in missing:
            self._found[object, column, value] = None
        for loaded in self._rows(select(rows).where(rows.c.object == object), rows.c[column],
                                 missing):
            self._note(self._known.setdefault((object, loaded.id), loaded) or loaded)
        return {value: entry for value in values
                if (entry := self._found[object, column, value]) is not None
                and getattr(entry, column) == value}

    def _note(self, entry: Entry) -> None:
        """Let a record be found by what it is searched by."""
        for column in ("reference", "natural"):
            value = getattr(entry, column)
            if value is not None:
                self._found[entry.object, column, value] = entry

    def every(self, object: str, conditions: Sequence[Any] = ()) -> list[Entry]:
        """All records of an object, by ID; for the few objects that stay small."""
        rows = self.database.rows
        found = self.connection.execute(
            select(rows).where(rows.c.object == object, *conditions).order_by(rows.c.id))
        return [e for row in found
                if (e := self._known.setdefault((object, row.id), _entry(row))) is not None]

    def _rows(self, query: Select[Any], column: Column[Any],
              values: Sequence[Any]) -> Iterator[Entry]:
        for start in range(0, len(values), CHUNK):
            for row in self.connection.execute(
                    query.where(column.in_(values[start:start + CHUNK]))):
                yield _entry(row)

    def next_ids(self, object: str, number: int) -> range:
        """The next whole-number IDs of an object."""
        rows = self.database.rows
        last = self.connection.execute(
            select(func.max(rows.c.id)).where(rows.c.object == object)).scalar() or 0
        pending = [i for kind, i in self._dirty if kind == object]
        first = max([last, *pending]) + 1
        return range(first, first + number)

    def next_number(self, object: str) -> int:
        """A number for a new record of an object: 1, 2, …; none is given twice."""
        if object not in self._counted:
            rows = self.database.rows
            saved = self.connection.execute(
                select(func.count()).where(rows.c.object == object)).scalar() or 0
            self._counted[object] = saved + sum(
                entry.new and entry.object == object for entry in self._dirty.values())
        self._counted[object] += 1
        return self._counted[object]

    def add(self, entry: Entry) -> Entry:
        """A new record."""
        entry.new = True
        self._known[entry.object, entry.id] = entry
        self._note(entry)
        self.touch(entry, "created")
        return entry

    def touch(self, entry: Entry, event: str = "updated") -> None:
        """A record has changed; it is saved once, whatever happens to it."""
        if (entry.object, entry.id) not in self._dirty:
            entry.version += 1
            self.events.append((entry.object, entry.id, event))
        entry.changed = self.stamp
        self._note(entry)
        self._dirty[entry.object, entry.id] = entry

    def changed(self) -> list[Entry]:
        """What has changed so far."""
        return list(self._dirty.values())

    def drop(self, entry: Entry) -> None:
        """Take a new record back before it is saved."""
        del self._dirty[entry.object, entry.id]
        del self._known[entry.object, entry.id]
        for column in ("reference", "natural"):
            self._found.pop((entry.object, column, getattr(entry, column)), None)

    def flush(self) -> None:
        """Save what has changed."""
        rows = self.database.rows
        new = [_values(e) for e in self._dirty.values() if e.new]
        changed = [e for e in self._dirty.values() if not e.new]
        if changed:
            self._forget(changed)
        if new or changed:
            self.connection.execute(insert(rows), new + [_values(e) for e in changed])
        self._dirty.clear()

    def _forget(self, changed: Sequence[Entry]) -> None:
        rows = self.database.rows
        by_object: dict[str, list[Any]] = {}
        for entry in changed:
            by_object.setdefault(entry.object, []).append(entry.id)
        for object, ids in by_object.items():
            for start in range(0, len(ids), CHUNK):
                self.connection.execute(delete(rows).where(
                    rows.c.object == object, rows.c.id.in_(ids[start:start + CHUNK])))

    def keep(self, kind: str, key: str, value: bytes) -> None:
        """Keep something beside the records: a remembered answer, a webhook, a delivery."""
        extra = self.database.extra
        if self.connection.execute(
                update(extra).where(extra.c.kind == kind, extra.c.key == key)
                .values(at=self.stamp, value=value)).rowcount == 0:
            self.connection.execute(insert(extra).values(kind=kind, key=key, at=self.stamp,
                                                         value=value))

    def kept(self, kind: str, key: str, since: str = "") -> bytes | None:
        """What was kept under this name, at `since` (a stamp) or later."""
        extra = self.database.extra
        return self.connection.execute(
            select(extra.c.value).where(extra.c.kind == kind, extra.c.key == key,
                                        extra.c.at >= since)).scalar_one_or_none()

    def forget(self, kind: str, before: str) -> None:
        """Forget what of a kind was kept before a stamp."""
        extra = self.database.extra
        self.connection.execute(
            delete(extra).where(extra.c.kind == kind, extra.c.at < before))


def _values(entry: Entry) -> dict[str, Any]:
    return {"object": entry.object, "id": entry.id, "changed": entry.changed,
            "version": entry.version, "deleted": entry.deleted, "reference": entry.reference,
            "natural": entry.natural, "body": dumps(entry.data)}


def _entry(row: Row[Any]) -> Entry:
    return Entry(row.object, row.id, loads(row.body), row.changed, row.version, row.deleted,
                 row.reference, row.natural)


def loads(data: bytes | str) -> Any:
    """JSON with exact numbers."""
    return json.loads(data, parse_float=Decimal)


def dumps(value: Any) -> bytes:
    """JSON with exact numbers."""
    return orjson.dumps(value, default=_exact)


def _exact(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(f"{value:f}")
    raise TypeError(f"{type(value).__name__} is no JSON")


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True)
    options: dict[str, Any] = {"connect_args": {"check_same_thread": False}}
    if url in ("sqlite://", "sqlite:///:memory:"):
        options["poolclass"] = StaticPool
    engine = create_engine(url, **options)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA busy_timeout=10000")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    return engine
