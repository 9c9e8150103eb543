"""What a unit of work offers about changes read: cursors, the inbox, hints, and the outbox."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from connector.domain.records import (
    Batch,
    Change,
    Stake,
)


class Inbox(Protocol):
    """Changes on their way: read, told of, and being written."""

    # cursors
    def cursors(self, pair: str, system: str) -> dict[str, str]:
        """How far this side has been read, by entity; none for what has never been read."""
        ...

    def save_cursor(self, pair: str, entity: str, system: str, cursor: str | None) -> None:
        """Keep how far it has been read; None means everything has to be read again."""
        ...

    # inbox
    def receive(self, pair: str, changes: Sequence[Change]) -> None:
        """Put changes into the inbox (their `id` is ignored). A newer change of the same
        (entity, system, external_id) replaces the older one and makes a waiting one pending."""
        ...

    def pending(self, pair: str, entity: str, after: int, limit: int) -> list[Change]:
        """Pending changes with `id` > `after`, in the order of their ids."""
        ...

    def inbox_by_external(self, pair: str, entity: str, system: str,
                          external_ids: Collection[str]) -> dict[str, Change]:
        """Changes in the inbox of one side (pending or waiting), by external ID."""
        ...

    def inbox_versions(self, pair: str, entity: str, system: str,
                       external_ids: Collection[str]) -> dict[str, str]:
        """Only the versions of changes in the inbox, by external ID."""
        ...

    def inbox_by_match_key(self, pair: str, entity: str, system: str, keys: Collection[str],
                           known: Mapping[int, Change]) -> dict[str, list[Change]]:
        """Changes in the inbox of one side (pending or waiting) that have these match keys;
        those in `known`, by ID, are not loaded again."""
        ...

    def merges(self, pair: str, entity: str) -> list[Change]:
        """Pending changes of records that became part of another one, in the order of their
        ids."""
        ...

    def unkeyed(self, pair: str, entity: str, system: str, after: int,
                limit: int) -> list[Change]:
        """Changes of one side in the inbox that have neither a match key nor a link, with `id` >
        `after`, in the order of their ids."""
        ...

    def set_match_keys(self, pair: str, keys: Mapping[int, str]) -> None:
        """Give changes in the inbox their match keys."""
        ...

    def stake(self, pair: str, entity: str, system: str) -> Stake:
        """How much of what is linked is about to change."""
        ...

    def settle(self, change_ids: Collection[int]) -> None:
        """Take settled changes out of the inbox."""
        ...

    def wait(self, pair: str, waits: Mapping[int, str]) -> None:
        """Let changes wait, each for the link it names (`customer:crm:A1` or `customer:ID@erp`)."""
        ...

    def release(self, pair: str, wanted: Collection[str]) -> int:
        """Make those pending that wait for these links; returns how many."""
        ...

    def inbox_counts(self, pair: str) -> dict[tuple[str, str, str], int]:
        """Rows by (entity, system, state): pending, waiting, or hinted for records that are yet
        to be read."""
        ...

    # hints, and the deliveries that bring them
    def note_deliveries(self, at: datetime,
                        deliveries: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Keep that deliveries, as (system, delivery ID), came; returns those that are new."""
        ...

    def forget_deliveries(self, before: datetime, limit: int) -> int:
        """Drop deliveries that came before then, at most `limit`; returns how many."""
        ...

    def hint(self, pair: str, records: Collection[tuple[str, str, str]]) -> None:
        """Keep that records, as (entity, system, external ID), have changed: one hint for each
        record, the latest, which has an ID of its own."""
        ...

    def hinted(self, pair: str, system: str, after: int,
               limit: int) -> dict[int, tuple[str, str]]:
        """Records of one side, as (entity, external ID), by the ID of their hint, for IDs >
        `after`, the oldest first."""
        ...

    def settle_hints(self, hint_ids: Collection[int]) -> None:
        """Drop hints whose records have been read since they were seen. One that came for the
        same record meanwhile has another ID, and stays."""
        ...

    # outbox
    def record_batch(self, pair: str, run_id: str, batch: Batch) -> None:
        """Keep a batch, exactly, before it is written."""
        ...

    def unsettled_batches(self, pair: str) -> list[Batch]:
        """Batches whose writing was begun and whose results were never kept, in order."""
        ...

    def settle_batches(self, pair: str, keys: Collection[str]) -> None:
        """Take batches out of the outbox: their results are kept."""
        ...
