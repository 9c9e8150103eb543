"""A system in memory: for tests, for simulations, and as the simplest adapter to learn from."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, SecretStr

from connector.adapters import signatures
from connector.adapters.webhooks import Webhooks, WebhookSettings
from connector.domain.records import (
    Batch,
    Capabilities,
    Delivery,
    Hint,
    IdempotentCreate,
    Intent,
    ObjectSchema,
    Operation,
    Page,
    RemoteRecord,
    WriteResult,
    WriteStatus,
)
from connector.domain.values import FieldType
from connector.errors import ConnectorError, CursorExpired, RetryLater
from connector.ports import Clock


class MemorySettings(BaseModel):
    """The settings of a memory system: the world it stands in, and its webhooks' secrets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    world: str = "default"
    webhooks: WebhookSettings = WebhookSettings()


@dataclass(slots=True)
class Row:
    """A record of a memory system; `at` is its place in the order of changes, `changed_at` the
    system's time of the last one."""

    external_id: str
    payload: dict[str, Any]
    at: int
    deleted: bool = False
    reference: str | None = None
    changed_at: datetime | None = None
    merged_into: str | None = None

    def record(self) -> RemoteRecord:
        """The record as an adapter gives it."""
        return RemoteRecord(self.external_id, str(self.at), dict(self.payload), self.deleted,
                            self.reference, self.changed_at, self.merged_into)


@dataclass(slots=True)
class MemorySystem:
    """Records by object; every change takes the next number, so that order is never in doubt, and
    the time of `clock`, but a microsecond more than the change before at least.

    While `outage` is set, every call raises it.
    """

    objects: dict[str, dict[str, Row]] = field(default_factory=dict)
    changes: int = 0
    outage: ConnectorError | None = None
    clock: Callable[[], datetime] | None = None
    last_change: datetime | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    def put(self, object: str, external_id: str, payload: Mapping[str, Any],
            reference: str | None = None) -> Row:
        """Create or change a record, as a user of the system would. What changes nothing moves
        nothing."""
        with self.lock:
            old = self.objects.get(object, {}).get(external_id)
            if old and not old.deleted and old.payload == {**old.payload, **payload}:
                return old
            return self.late(object, external_id, payload, reference)()

    def late(self, object: str, external_id: str, payload: Mapping[str, Any],
             reference: str | None = None) -> Callable[[], Row]:
        """A change that takes its place in the order now and shows when the returned call is
        made; until then nobody else may change the record."""
        with self.lock:
            at, now = self._next()

        def commit() -> Row:
            with self.lock:
                rows = self.objects.setdefault(object, {})
                old = rows.get(external_id)
                rows[external_id] = Row(
                    external_id, {**(old.payload if old else {}), **payload}, at,
                    reference=old.reference if old else reference, changed_at=now)
                return rows[external_id]

        return commit

    def created_for(self, object: str, references: Collection[str]) -> dict[str, Row]:
        """The records that are there for these references, by reference."""
        with self.lock:
            return {row.reference: row for row in self.objects.get(object, {}).values()
                    if row.reference is not None and row.reference in references
                    and not row.deleted}

    def delete(self, object: str, external_id: str) -> None:
        """Delete a record; a tombstone stays."""
        with self.lock:
            row = self.objects[object][external_id]
            row.deleted = True
            row.at, row.changed_at = self._next()

    def _next(self) -> tuple[int, datetime | None]:
        """The place and the time of the next change."""
        self.changes += 1
        if self.clock is None:
            return self.changes, None
        now, before = self.clock(), self.last_change
        self.last_change = now if before is None else max(now, before + timedelta(microseconds=1))
        return self.changes, self.last_change

    def merge(self, object: str, external_id: str, into: str) -> None:
        """Make a record part of another one, as a user of the system would."""
        with self.lock:
            self.delete(object, external_id)
            self.objects[object][external_id].merged_into = into
            self.changes += 1
            self.objects[object][into].at = self.changes

    def next_id(self, object: str) -> str:
        """A key that no record has."""
        with self.lock:
            return f"{object[:3]}-{len(self.objects.get(object, {})) + 1}"


WORLDS: dict[tuple[str, str], MemorySystem] = {}


def _delivery(headers: Mapping[str, str], body: bytes, secrets: Sequence[SecretStr],
              at: datetime) -> Delivery:
    signatures.t_v1(headers.get("x-signature", ""), body, secrets, at)
    told = signatures.read_body(body)
    return Delivery(signatures.named(told, "delivery"), (
        Hint(signatures.named(told, "object"), signatures.named(told, "id")),))


class MemoryAdapter:
    """Speaks to a memory system.

    `page` is how many records a page holds, `look_back` how many changes a late one may be behind
    (counted as seconds in the capabilities).
    """

    settings_model: ClassVar[type[MemorySettings]] = MemorySettings
    capabilities = Capabilities(
        write_batch=50, read_batch=100, look_back=timedelta(0), write_window=timedelta(0),
        idempotent_create=IdempotentCreate.UNIQUE_REFERENCE, deletions="tombstone", bulk=True,
        webhooks="t-v1", change_times=True, sync_state=True)

    def __init__(self, settings: MemorySettings, clock: Clock, *, page: int = 100,
                 look_back: int = 0) -> None:
        self.clock, self.page, self.look_back = clock, page, look_back
        self._webhooks = Webhooks(settings.webhooks, _delivery)
        self.system = WORLDS.setdefault((settings.world, settings.name), MemorySystem())
        self.system.clock = self.system.clock or clock.now
        self.capabilities = replace(self.capabilities, look_back=timedelta(seconds=look_back))

    def check(self) -> str:
        """See the port."""
        self._reach()
        return "memory"

    def describe(self, object: str) -> ObjectSchema:
        """See the port: whatever the records hold."""
        self._reach()
        with self.system.lock:
            rows = self.system.objects.get(object, {}).values()
            return ObjectSchema(frozenset(name for row in rows for name in row.payload))

    def prepare(self, _object: str, _fields: Mapping[str, FieldType]) -> list[str]:
        """See the port: it takes any field."""
        self._reach()
        return []

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        """See the port; a cursor is the number of the last change read.

        No cursor stands behind the changes that there were when the pull first read into the
        look-back: a late one may still come up there, however long the pull goes on.
        """
        if cursor is not None and not (cursor.isascii() and cursor.isdigit()):
            raise CursorExpired(f"{cursor!r} is no cursor of a memory system.")
        after = max(0, int(cursor or 0) - self.look_back)
        settled: int | None = None
        while True:
            self._reach()
            with self.system.lock:
                rows = sorted((r for r in self.system.objects.get(object, {}).values()
                               if r.at > after), key=lambda r: r.at)[:self.page]
                records, now = tuple(row.record() for row in rows), self.system.changes
            if not rows:
                return
            after = rows[-1].at
            if settled is None and after > now - self.look_back:
                settled = now
            yield Page(records, str(after if settled is None else min(after, settled)))

    def get(self, object: str, external_ids: Sequence[str]) -> dict[str, RemoteRecord]:
        """See the port."""
        self._reach()
        with self.system.lock:
            rows = self.system.objects.get(object, {})
            return {ext: rows[ext].record() for ext in external_ids if ext in rows}

    def find(self, object: str, references: Sequence[str]) -> dict[str, RemoteRecord]:
        """See the port."""
        self._reach()
        with self.system.lock:
            return {reference: row.record() for reference, row
                    in self.system.created_for(object, set(references)).items()}

    def write(self, batch: Batch) -> list[WriteResult]:
        """See the port."""
        try:
            self._reach()
        except RetryLater as error:
            return [WriteResult.put_off(error)] * len(batch.intents)
        with self.system.lock:
            return [self.write_one(batch.object, intent) for intent in batch.intents]

    def _reach(self) -> None:
        if self.system.outage is not None:
            raise self.system.outage

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
        there = self.system.created_for(object, [intent.reference]).get(intent.reference)
        if there is not None:
            return WriteResult(WriteStatus.CREATED, there.record())
        row = self.system.put(object, self.system.next_id(object), intent.payload,
                              intent.reference)
        return WriteResult(WriteStatus.CREATED, row.record())

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Delivery:
        """See the port."""
        return self._webhooks.delivery(headers, body, at)

    def close(self) -> None:
        """See the port."""
