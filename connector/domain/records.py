"""What passes between the engine and a system, and what ties the two sides together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from connector.errors import OutcomeUnknown, RetryLater

Payload = Mapping[str, Any]
"""A record in a system's own words, as its API gives or takes it (JSON, numbers as Decimal)."""


@dataclass(frozen=True, slots=True)
class RemoteRecord:
    """A record as a system gave it; `reference` is the origin it was created for, if it says.

    `changed_at` is the server's own time of the last change (UTC), None where it tells none.
    `merged_into` is the record of the same system that a deleted one became part of.
    """

    external_id: str
    version: str
    payload: Payload
    deleted: bool = False
    reference: str | None = None
    changed_at: datetime | None = None
    merged_into: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some records in the order the system changed them, and where to read on after them."""

    records: tuple[RemoteRecord, ...]
    cursor: str


class IdempotentCreate(StrEnum):
    """How a repeated create is kept from making a second record."""

    KEY = "key"  # the system remembers our key and replays its answer
    UNIQUE_REFERENCE = "unique_reference"  # the reference is unique there; a repeat is refused
    SEARCH = "search"  # neither: the adapter looks the reference up before it creates


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a system can do, as data; the engine asks these, never a system's name.

    Where `deletions` is `absence`, every pull reads all records there are, and a linked one that
    is no longer among them is gone. Every adapter refuses a write against an old version: where
    the system itself can't, the adapter reads the record anew just before it writes, and
    `write_window` is the time in which it would overwrite someone else's edit. Records of the
    objects in `permanent` can't be deleted or archived: documents that stay once they are made.
    Where `sync_state` is true, its records have room for how they stand with the other side, and a
    change of that alone changes nothing else of them: no totals, no status, no approval.
    """

    write_batch: int  # records in one write call
    read_batch: int  # records in one `get` or `find` call
    look_back: timedelta  # how far behind a cursor a late commit may still appear
    write_window: timedelta  # how long an edit by others may slip in before a write; 0: it can't
    idempotent_create: IdempotentCreate
    deletions: str  # tombstone | archive | absence | none: how a deletion shows when pulling
    bulk: bool  # one call writes many records
    webhooks: str = ""  # how its webhooks are signed; empty where it sends none
    permanent: tuple[str, ...] = ()
    change_times: bool = False  # every record tells when it last changed, by the server's clock
    sync_state: bool = False  # its records may be told how they stand


@dataclass(frozen=True, slots=True)
class ObjectSchema:
    """The fields of one of a system's objects, as paths (`tax.vat_no`); lines under `lines`."""

    fields: frozenset[str]
    line_fields: frozenset[str] = frozenset()


class Operation(StrEnum):
    """What an intent does at its target."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Intent:
    """A write recorded before it is made.

    `payload` is exactly what is sent, also on a retry. `reference` (`origin:origin_id`) marks a
    created record as ours. `record` is the packed canonical record that both sides hold if the
    write succeeds.
    """

    key: str
    entity: str
    canonical_id: str
    system: str
    operation: Operation
    payload: Payload
    record: Mapping[str, Any]
    reference: str
    external_id: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Intents of one operation written by one call; `key` is the same whenever it is repeated."""

    key: str
    object: str
    operation: Operation
    intents: tuple[Intent, ...]


class WriteStatus(StrEnum):
    """What came of one intent."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    STALE = "stale"  # the record has changed since it was read
    GONE = "gone"  # there is no such record (any more)
    REJECTED = "rejected"  # the system won't have it
    RETRY = "retry"  # not made; the same write may succeed later
    UNKNOWN = "unknown"  # may or may not have been made


@dataclass(frozen=True, slots=True)
class WriteResult:
    """One result for each intent of a batch, in its order.

    `record` is the record after the write. `refusal` says which part of a successful write the
    system declined (an order that was created but not confirmed). `cause` is the failure of the
    call behind a RETRY or UNKNOWN, where there was one.
    """

    status: WriteStatus
    record: RemoteRecord | None = None
    error: str = ""
    refusal: str = ""
    cause: RetryLater | None = field(default=None, compare=False, repr=False)

    @classmethod
    def put_off(cls, cause: RetryLater) -> WriteResult:
        """The result of a write whose call failed: UNKNOWN where it may have been made."""
        unknown = isinstance(cause, OutcomeUnknown)
        return cls(WriteStatus.UNKNOWN if unknown else WriteStatus.RETRY, error=str(cause),
                   cause=cause)


@dataclass(frozen=True, slots=True)
class Link:
    """Ties a record of a system to a canonical ID; `seen` is its packed canonical record as last
    seen, or None where it was deleted there. `changed_at` is when others than we changed it last,
    by that system's clock.

    One record of a side is kept in agreement with the other side's; an `alias` is another one of
    the same thing: what refers to it is understood, it is never written (its `seen` is empty).
    """

    entity: str
    canonical_id: str
    system: str
    external_id: str
    version: str
    seen: Mapping[str, Any] | None
    changed_at: datetime | None = None
    alias: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The last agreed record, packed: the base of the three-way merge."""

    entity: str
    canonical_id: str
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """An inbox row: a record as it was read and not yet settled.

    `derived_from` is set on a record that stands in no system: an order made from a quote.
    `match_key` is empty where it has none. `payload` is empty for a hint, which is read again.
    `merged_into` is the record of the same system that a deleted one became part of.
    """

    id: int
    entity: str
    system: str
    external_id: str
    version: str
    payload: Payload = field(default_factory=dict)
    deleted: bool = False
    reference: str | None = None
    match_key: str = ""
    hint: bool = False
    derived_from: str = ""
    changed_at: datetime | None = None
    merged_into: str = ""

    @property
    def trace_key(self) -> str:
        """Names the record in dead letters, logs and messages."""
        return f"{self.entity}/{self.system}/{self.external_id}"


@dataclass(frozen=True, slots=True)
class Hint:
    """A record of which a webhook says that it changed, in the system's words: never what."""

    object: str
    external_id: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook delivery that proved true; `id` is the same when it is delivered again."""

    id: str
    hints: tuple[Hint, ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a system sends its webhooks, and about which objects; none named means all."""

    id: str
    url: str
    objects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stake:
    """What is at stake on one side of an entity: its linked records, and how many of them were
    read as deleted or in another version and wait in the inbox."""

    linked: int
    deleted: int
    changed: int
