"""A system in memory: for tests, for simulations, and as the simplest adapter to learn from."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from connector.domain.records import (
    Batch,
    Capabilities,
    IdempotentCreate,
    Intent,
    ObjectSchema,
    Operation,
    Page,
    RemoteRecord,
    WriteResult,
    WriteStatus,
)
from connector.errors import CursorExpired
from connector.ports import Clock


class MemorySettings(BaseModel):
    """The settings of a memory system: the name of the world it stands in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    world: str = "default"


@dataclass(slots=True)
class Row:
    """A record of a memory system; `at` is its place in the order of changes."""

    external_id: str
    payload: dict[str, Any]
    at: int
    deleted: bool = False
    reference: str | None = None

    def record(self) -> RemoteRecord:
        """The record as an adapter gives it."""
        return RemoteRecord(self.external_id, str(self.at), dict(self.payload), self.deleted,
                            self.reference)


@dataclass(slots=True)
class MemorySystem:
    """Records by object; every change takes the next number, so that order is never in doubt."""

    objects: dict[str, dict[str, Row]] = field(default_factory=dict)
    changes: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    def put(self, object: str, external_id: str, payload: Mapping[str, Any],
            reference: str | None = None) -> Row:
        """Create or change a record, as a user of the system would."""
        with self.lock:
            self.changes += 1
            rows = self.objects.setdefault(object, {})
            old = rows.get(external_id)
            row = Row(external_id, {**(old.payload if old else {}), **payload}, self.changes,
                      reference=old.reference if old else reference)
            rows[external_id] = row
            return row

    def delete(self, object: str, external_id: str) -> None:
        """Delete a record; a tombstone stays."""
        with self.lock:
            self.changes += 1
            row = self.objects[object][external_id]
            row.deleted, row.at = True, self.changes

    def next_id(self, object: str) -> str:
        """A key that no record has."""
        with self.lock:
            return f"{object[:3]}-{len(self.objects.get(object, {})) + 1}"


WORLDS: dict[tuple[str, str], MemorySystem] = {}


class MemoryAdapter:
    """Speaks to a memory system."""

    settings_model: ClassVar[type[MemorySettings]] = MemorySettings
    capabilities = Capabilities(
        write_batch=50, read_batch=100, look_back=timedelta(0), locks=True,
        idempotent_create=IdempotentCreate.UNIQUE_REFERENCE, deletions="tombstone", bulk=True)

    def __init__(self, settings: MemorySettings, clock: Clock, *, page: int = 100) -> None:
        self.clock, self.page = clock, page
        self.system = WORLDS.setdefault((settings.world, settings.name), MemorySystem())

    def check(self) -> str:
        """See the port."""
        return "memory"

    def describe(self, object: str) -> ObjectSchema:
        """See the port: whatever the records hold."""
        rows = self.system.objects.get(object, {}).values()
        return ObjectSchema(frozenset(name for row in rows for name in row.payload))

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        """See the port; a cursor is the number of the last change read."""
        if cursor is not None and not cursor.isdigit():
            raise CursorExpired(f"{cursor!r} is no cursor of a memory system.")
        after = int(cursor or 0)
        while True:
            with self.system.lock:
                rows = sorted((r for r in self.system.objects.get(object, {}).values()
                               if r.at > after), key=lambda r: r.at)[:self.page]
                records = tuple(row.record() for row in rows)
            if not rows:
                return
            after = rows[-1].at
            yield Page(records, str(after))

    def get(self, object: str, external_ids: Sequence[str]) -> dict[str, RemoteRecord]:
        """See the port."""
        with self.system.lock:
            rows = self.system.objects.get(object, {})
            return {ext: rows[ext].record() for ext in external_ids if ext in rows}

    def find(self, object: str, references: Sequence[str]) -> dict[str, RemoteRecord]:
        """See the port."""
        wanted = set(references)
        with self.system.lock:
            return {row.reference: row.record()
                    for row in self.system.objects.get(object, {}).values()
                    if row.reference in wanted and not row.deleted}

    def write(self, batch: Batch) -> list[WriteResult]:
        """See the port."""
        with self.system.lock:
            return [self.write_one(batch.object, intent) for intent in batch.intents]

    def write_one(self, object: str, intent: Intent) -> WriteResult:
        """Make one write."""
        rows = self.system.objects.setdefault(object, {})
        if intent.operation is Operation.CREATE:
            return self._create(object, intent)
        row = rows.get(intent.external_id or "")
        if row is None or row.deleted:
            return WriteResult(WriteStatus.GONE, error="there is no such record")
        if str(row.at) != intent.version:
            return WriteResult(WriteStatus.STALE, error="it has changed since it was read")
        if intent.operation is Operation.DELETE:
            self.system.delete(object, row.external_id)
            return WriteResult(WriteStatus.DELETED)
        changed = self.system.put(object, row.external_id, intent.payload)
        return WriteResult(WriteStatus.UPDATED, changed.record())

    def _create(self, object: str, intent: Intent) -> WriteResult:
        there = self.find(object, [intent.reference]).get(intent.reference)
        if there is not None:
            return WriteResult(WriteStatus.CREATED, there)
        row = self.system.put(object, self.system.next_id(object), intent.payload,
                              intent.reference)
        return WriteResult(WriteStatus.CREATED, row.record())

    def close(self) -> None:
        """See the port."""
