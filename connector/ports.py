"""The sockets of the engine: what an adapter, a store and a clock must offer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from connector.domain.actions import FieldConflict, Outcome
from connector.domain.alerts import Alert, Backlog
from connector.domain.budget import Limits, Turn
from connector.domain.ledger import (
    Conflict,
    ConflictState,
    ConnectionState,
    DeadLetter,
    HistoryEntry,
    Run,
)
from connector.domain.records import (
    Batch,
    Capabilities,
    Change,
    Delivery,
    Endpoint,
    Link,
    ObjectSchema,
    Page,
    RemoteRecord,
    Snapshot,
    Stake,
    WriteResult,
)
from connector.domain.values import FieldType

INTERACTIVE: ContextVar[bool] = ContextVar("interactive", default=False)
"""Whether a person waits for what is being done; such calls may use a budget's reserve."""


class Clock(Protocol):
    """Where the time comes from; virtual in simulations."""

    def now(self) -> datetime:
        """The present instant, UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        ...


class Adapter(Protocol):
    """Our code for one kind of system: it speaks the system's words and knows no others.

    Every call may raise `RetryLater` (`SystemUnreachable`, `RateLimited`), `AccessDenied` or
    `RequestRefused`. An adapter is safe to call from several threads.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What the system can do."""
        ...

    def check(self) -> str:
        """Prove that the system answers and the credentials work; returns its name and version."""
        ...

    def describe(self, object: str) -> ObjectSchema:
        """The fields of an object, as the system documents them."""
        ...

    def prepare(self, object: str, fields: Mapping[str, FieldType]) -> list[str]:
        """Make an object of the system ready: add those of `fields`, by path, that it lacks, and
        whatever the adapter keeps its references in. Returns the paths that were added. Raises
        `RequestRefused` where a field is missing and can't be added."""
        ...

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        """The records changed since `cursor` (all, where None), page by page, deletions too.

        Every page's cursor, if kept, lets a later pull start behind that page without losing a
        change, late commits included. A cursor the system no longer knows raises
        `CursorExpired`.
        """
        ...

    def get(self, object: str, external_ids: Sequence[str]) -> dict[str, RemoteRecord]:
        """The named records as they are now, by external ID; absent where there is none."""
        ...

    def find(self, object: str, references: Sequence[str]) -> dict[str, RemoteRecord]:
        """The records created with these references (`origin:origin_id`), by reference."""
        ...

    def write(self, batch: Batch) -> list[WriteResult]:
        """Make the batch's writes; one result for each intent, in order.

        A failure of the call as a whole is told in every result (RETRY where it surely was not
        made, UNKNOWN where it may have been), except `AccessDenied`, which is raised.
        """
        ...

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Delivery:
        """What a delivery that came at the instant `at` says has changed; header names are in
        lower case. Raises `DeliveryRefused` where its signature isn't that of one of our secrets,
        where it was signed long before or after `at`, and where it can't be read; nothing else,
        whatever is sent."""
        ...

    def close(self) -> None:
        """Give connections back."""
        ...


@runtime_checkable
class RegistersWebhooks(Protocol):
    """What an adapter may offer besides, where its system lets us say where webhooks go. Every
    call may raise what those of an adapter may."""

    def endpoints(self) -> list[Endpoint]:
        """Where the system sends its webhooks."""
        ...

    def add_endpoint(self, url: str, objects: Sequence[str]) -> Endpoint:
        """Have it send those about `objects` to `url`, signed with the first secret of the config.
        Raises `ConfigInvalid` where there is none."""
        ...

    def remove_endpoint(self, endpoint_id: str) -> None:
        """Have it send there no more."""
        ...


class Meter(Protocol):
    """Counts the calls that are made to each system."""

    def take_turn(self, system: str, limits: Limits, *, interactive: bool) -> Turn:
        """When the next call may go; it is counted, unless the turn is not given."""
        ...

    def hold_off(self, system: str, until: datetime) -> None:
        """The system wants no call before `until`."""
        ...


class Store(Meter, Protocol):
    """Where state lives between runs; it counts calls for all processes that share it."""

    def begin(self, *, durable: bool = False) -> AbstractContextManager[UnitOfWork]:
        """One transaction: commits at the end of the block, rolls back on an error. What it kept
        outlives the process; where it is `durable`, a power cut as well.

        Raises `StoreContended` where another transaction stood in its way."""
        ...

    def tended(self) -> AbstractContextManager[None]:
        """While the block lasts, housekeeping is done beside the transactions and none of them
        stops for it: for a process that serves."""
        ...

    def acquire_lease(self, pair: str, holder: str, ttl: float) -> int:
        """Take the pair's lease for `ttl` seconds and return its fencing token.

        `holder` is `host:pid`. A lease whose time is up, or whose holder was a process of this
        host that lives no more, is taken over. Raises `LeaseHeld`.
        """
        ...

    def renew_lease(self, pair: str, token: int, ttl: float) -> None:
        """Hold it for `ttl` seconds more; raises `LeaseLost` where another token was given out."""
        ...

    def release_lease(self, pair: str, token: int) -> None:
        """Give it back, if it is still ours."""
        ...

    def close(self) -> None:
        """Give connections back."""
        ...


class UnitOfWork(Protocol):
    """All reading and writing within one transaction. Everything is asked for in bulk: no method
    runs one query for each record."""

    def hold_lease(self, pair: str, token: int) -> None:
        """Hold the pair's lease until this transaction ends: nobody takes it over meanwhile.
        Raises `LeaseLost` where another token was given out, or it was given back."""
        ...

    # cursors
    def cursor(self, pair: str, entity: str, system: str) -> str | None:
        """How far this side of an entity has been read."""
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

    def hinted(self, pair: str, entity: str, system: str, limit: int) -> dict[int, str]:
        """External IDs by the ID of their hint, the oldest first."""
        ...

    def settle_hints(self, hint_ids: Collection[int]) -> None:
        """Drop hints whose records have been read since they were seen. One that came for the
        same record meanwhile has another ID, and stays."""
        ...

    # links and snapshots
    def links_by_external(self, pair: str, entity: str, system: str,
                          external_ids: Collection[str]) -> dict[str, Link]:
        """Links by external ID."""
        ...

    def links_after(self, pair: str, entity: str, system: str, after: str,
                    limit: int) -> list[Link]:
        """Links of one side whose external ID comes after `after`, in the order of those."""
        ...

    def links_by_canonical(self, pair: str, entity: str,
                           canonical_ids: Collection[str]) -> dict[str, list[Link]]:
        """All links of each canonical ID: those that are no alias first, then the oldest."""
        ...

    def versions(self, pair: str, entity: str, system: str,
                 external_ids: Collection[str]) -> dict[str, str]:
        """Only the versions last seen, by external ID."""
        ...

    def living(self, pair: str, entity: str, system: str) -> set[str]:
        """The external IDs of all records of one side that are linked or in the inbox, and not
        known to be deleted."""
        ...

    def canonical_ids(self, pair: str, entity: str, system: str,
                      external_ids: Collection[str]) -> dict[str, str]:
        """Only the canonical IDs, by external ID."""
        ...

    def external_ids(self, pair: str, entity: str, system: str,
                     canonical_ids: Collection[str]) -> dict[str, str]:
        """Only the external IDs, by canonical ID; an alias's only where there is nothing else."""
        ...

    def replaced(self, pair: str, entity: str, system: str,
                 external_ids: Collection[str]) -> set[str]:
        """Those of them that name a deleted record in whose place another one stands."""
        ...

    def referring(self, pair: str, entity: str, system: str,
                  canonical_ids: Collection[str]) -> list[str]:
        """The external IDs of one side's living records that name one of these, as last seen;
        some that name none may be among them. Reads all links of that side: for rare events."""
        ...

    def save_links(self, pair: str, links: Sequence[Link]) -> None:
        """Insert or replace links, by (entity, system, external_id)."""
        ...

    def remove_links(self, pair: str, entity: str, system: str,
                     external_ids: Collection[str]) -> None:
        """Untie records."""
        ...

    def snapshots(self, pair: str, entity: str,
                  canonical_ids: Collection[str]) -> dict[str, Snapshot]:
        """Snapshots by canonical ID."""
        ...

    def save_snapshots(self, pair: str, snapshots: Sequence[Snapshot]) -> None:
        """Insert or replace snapshots."""
        ...

    def remove_snapshots(self, pair: str, entity: str, canonical_ids: Collection[str]) -> None:
        """Forget what was agreed."""
        ...

    # canonical IDs that became part of another one
    def redirects(self, pair: str) -> dict[str, str]:
        """What became of each canonical ID that is none any more; few, for merges are rare."""
        ...

    def redirect(self, pair: str, entity: str, canonical_id: str, became: str | None) -> None:
        """Let whoever names `canonical_id` mean `became` from now on, claims too; None ends
        that."""
        ...

    # claims: which canonical ID a match key belongs to
    def claims(self, pair: str, entity: str, keys: Collection[str]) -> dict[str, str]:
        """Canonical ID by match key, where it is claimed."""
        ...

    def claim(self, pair: str, entity: str, claims: Mapping[str, str]) -> None:
        """Claim match keys; a key that another canonical ID holds stays with that one."""
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

    # connections
    def connections(self, now: datetime) -> dict[str, ConnectionState]:
        """What is known of the connection to each system, as it is `now`."""
        ...

    def deny(self, system: str, message: str, at: datetime) -> None:
        """A system no longer takes our credentials."""
        ...

    def admit(self, systems: Collection[str]) -> None:
        """These systems take our credentials again."""
        ...

    # alerts
    def backlog(self, pair: str) -> Backlog:
        """What waits in a pair."""
        ...

    def alerts(self) -> list[Alert]:
        """The alerts that last, and those that are over where somebody has still to be told."""
        ...

    def save_alerts(self, alerts: Sequence[Alert]) -> None:
        """Insert or replace alerts, by pair, rule and subject."""
        ...

    def remove_alerts(self, alerts: Sequence[Alert]) -> None:
        """Forget alerts that are over."""
        ...

    # runs and outcomes
    def save_run(self, run: Run) -> None:
        """Insert or replace a run with its tallies and writes."""
        ...

    def runs(self, pair: str, limit: int) -> list[Run]:
        """The latest runs, newest first."""
        ...

    def forget_run(self, run_id: str) -> None:
        """Drop a run of which there is nothing to tell."""
        ...

    def run(self, pair: str, run_id: str) -> Run | None:
        """One run."""
        ...

    def abandon_runs(self, pair: str, at: datetime) -> None:
        """Mark runs left running by a dead process."""
        ...

    def add_outcomes(self, pair: str, run_id: str, at: datetime,
                     outcomes: Sequence[Outcome]) -> None:
        """Append outcomes, with their field changes packed as JSON."""
        ...

    def history(self, pair: str, entity: str, canonical_id: str) -> list[HistoryEntry]:
        """The outcomes that touched a record, oldest first."""
        ...

    def written_in(self, pair: str, run_id: str, entity: str, after: str,
                   limit: int) -> list[str]:
        """The canonical IDs of the records that a run wrote, those after `after`, in order."""
        ...

    def writes(self, pair: str, entity: str,
               canonical_ids: Collection[str]) -> dict[str, list[HistoryEntry]]:
        """All outcomes that wrote these records, whatever the run, oldest first."""
        ...

    # conflicts
    def open_conflicts(self, pair: str, entity: str, run_id: str, at: datetime,
                       found: Sequence[tuple[str, str, FieldConflict]]) -> None:
        """Keep conflicts given as (canonical_id, title, conflict). An unsettled one of the same
        path gets the new values (a decision on it is dropped if they differ); one that is
        `settled_by` a rule is kept as settled."""
        ...

    def conflicts(self, pair: str, *, entity: str | None = None,
                  canonical_ids: Collection[str] | None = None,
                  states: Collection[ConflictState] = (ConflictState.OPEN,)) -> list[Conflict]:
        """Conflicts, oldest first."""
        ...

    def conflict(self, conflict_id: int) -> Conflict | None:
        """One conflict."""
        ...

    def decide_conflict(self, conflict_id: int, decision: Mapping[str, Any]) -> None:
        """Keep a person's decision: `{"take": "crm"}`, `{"take": "erp"}`, `{"value": ...}`, or for
        an ambiguous match `{"link": EXTERNAL_ID}` or `{"create": true}`."""
        ...

    def settle_conflicts(self, pair: str, entity: str, settled: Mapping[int, str]) -> None:
        """Close conflicts, each by the rule or person named."""
        ...

    # dead letters
    def bury(self, pair: str, run_id: str, at: datetime,
             failures: Sequence[tuple[Change, str, str, str]]) -> None:
        """Park changes given as (change, stage, error class, message); one row for each trace
        key, counting attempts and telling when it is tried again; the changes leave the inbox."""
        ...

    def resolve_dead_letters(self, pair: str, trace_keys: Collection[str]) -> None:
        """The records have succeeded."""
        ...

    def dead_versions(self, pair: str, entity: str, system: str,
                      external_ids: Collection[str]) -> dict[str, str]:
        """Only the versions in which records were parked, by external ID."""
        ...

    def dead_attempts(self, pair: str, trace_keys: Collection[str]) -> dict[str, int]:
        """How often each of these records was parked, by trace key; absent where it isn't."""
        ...

    def dead_by_match_key(self, pair: str, entity: str, system: str,
                          keys: Collection[str]) -> dict[str, str]:
        """The external IDs of parked records without a link, by match key."""
        ...

    def dead_letters(self, pair: str, *, entity: str | None = None) -> list[DeadLetter]:
        """Parked records, oldest first."""
        ...

    def due_dead_letters(self, pair: str, entities: Collection[str], at: datetime, after: int,
                         limit: int) -> list[DeadLetter]:
        """Parked records of these entities with `id` > `after` that are to be tried again at `at`
        or before, in the order of their ids."""
        ...

    def dead_letter(self, letter_id: int) -> DeadLetter | None:
        """One parked record."""
        ...

    def remove_dead_letter(self, letter_id: int) -> None:
        """Discard it; what waits for the record is taken up again."""
        ...
