"""A system to prove an adapter on, and what the tests of it do again and again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from connector.domain.records import Batch, Intent, Operation, Page, RemoteRecord, WriteResult
from connector.ports import Adapter


@dataclass(frozen=True, slots=True)
class AdapterWorld:
    """A system to prove an adapter on, without records at first.

    `payload(n)` is a new record's payload, each n another one; let the adapter read pages of about
    three records. `text_field`, `long_text_field` (which takes 4,000 characters and null) and
    `decimal_field` name fields of it, `decimal_values` what a Decimal is written as. `invalid` is
    a payload that the system refuses. `late` begins an edit in a transaction that is open until
    the returned call is made. `wrong_credentials` and `unreachable` are adapters that can't get
    in. Where the system sends webhooks, `event` is the body it sends about a record, and `sign` the
    headers it sends a body with at an instant.
    """

    adapter: Adapter
    object_name: str
    payload: Callable[[int], dict[str, Any]]
    text_field: str
    edit: Callable[[str, Mapping[str, Any]], Any]
    delete: Callable[[str], Any]
    decimal_field: str = ""
    decimal_values: Sequence[Any] = ()
    long_text_field: str = ""
    invalid: Mapping[str, Any] | None = None
    late: Callable[[str, Mapping[str, Any]], Callable[[], Any]] | None = None
    wrong_credentials: Adapter | None = None
    unreachable: Adapter | None = None
    event: Callable[[str], bytes] | None = None
    sign: Callable[[bytes, datetime], Mapping[str, str]] | None = None


def intent(n: int, payload: Mapping[str, Any], operation: Operation = Operation.CREATE, *,
           record: RemoteRecord | None = None) -> Intent:
    """An intent for the n-th record, or for one that is there."""
    return Intent(f"{operation}:{n}", "thing", str(n), "system", operation, payload, {},
                  f"other:{n}", record.external_id if record else None,
                  record.version if record else None)


def batch(world: AdapterWorld, intents: Sequence[Intent], key: str = "key") -> Batch:
    """A batch of intents of one operation."""
    return Batch(key, world.object_name, intents[0].operation, tuple(intents))


def create(world: AdapterWorld, *numbers: int) -> list[RemoteRecord]:
    """Records made through the adapter."""
    size = world.adapter.capabilities.write_batch
    made = []
    for start in range(0, len(numbers), size):
        some = numbers[start:start + size]
        results = world.adapter.write(batch(
            world, [intent(n, world.payload(n)) for n in some], f"create {some[0]}"))
        made += [written(r) for r in results]
    return made


def change(world: AdapterWorld, record: RemoteRecord, changes: Mapping[str, Any],
           key: str = "change") -> WriteResult:
    """One change made through the adapter."""
    (result,) = world.adapter.write(batch(
        world, [intent(0, changes, Operation.UPDATE, record=record)], key))
    return result


def written(result: WriteResult) -> RemoteRecord:
    """The record that a result brings, which it has to."""
    assert result.record is not None, result.error
    return result.record


def moment(record: RemoteRecord) -> datetime:
    """When a record was last changed, which it has to tell, in UTC."""
    assert record.changed_at is not None
    assert record.changed_at.utcoffset() == timedelta(0)
    return record.changed_at


def pull(world: AdapterWorld, cursor: str | None = None) -> list[Page]:
    """All pages since a cursor."""
    return list(world.adapter.pull(world.object_name, cursor))


def texts(world: AdapterWorld, pages: Sequence[Page]) -> set[str]:
    """What stands in the text field of the records in pages."""
    return {record.payload[world.text_field] for page in pages for record in page.records}


def one(world: AdapterWorld, external_id: str) -> RemoteRecord:
    """A record as it is now."""
    return world.adapter.get(world.object_name, [external_id])[external_id]


def ids(pages: Sequence[Page]) -> list[str]:
    """The external IDs in pages."""
    return [record.external_id for page in pages for record in page.records]
