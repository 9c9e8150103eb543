"""What a unit of work offers for people: runs, conflicts, dead letters, alerts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from connector.domain.actions import FieldConflict, Outcome
from connector.domain.alerts import Alert, Backlog
from connector.domain.ledger import (
    Conflict,
    ConflictState,
    ConnectionState,
    DeadLetter,
    HistoryEntry,
    Request,
    Run,
)
from connector.domain.records import (
    Change,
)


class Ledger(Protocol):
    """What is kept to be looked at and decided upon."""

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

    def offer(self, pair: str, token: int, run_id: str) -> None:
        """From now on until the pair's lease is given back, requests can be left with this run,
        which holds it."""
        ...

    def requests(self, pair: str) -> list[Request]:
        """What was left with runs of the pair and is not done, oldest first."""
        ...

    def settle_requests(self, request_ids: Collection[int]) -> None:
        """These are done."""
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
