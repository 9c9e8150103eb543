"""What the store keeps for people: runs, conflicts, dead letters and the story of a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from connector.domain.actions import FieldChange, OutcomeKind, Tally
from connector.domain.policies import Role


class RunState(StrEnum):
    """How a run stands."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    PAUSED = "paused"  # a budget was spent; the next run goes on
    ABANDONED = "abandoned"  # its process died; a later run took over
    CANCELLED = "cancelled"  # somebody stopped it; the next run goes on
    MERGED = "merged"  # another run worked on the pair, and takes up what this one was to do


@dataclass(frozen=True, slots=True)
class Request:
    """What a run that comes while another one works on its pair leaves with that one: `kind` is
    `sync` or `drain`. It is kept until a run has done it."""

    kind: str
    entities: tuple[str, ...]
    id: int = 0

    def covers(self, other: Request) -> bool:
        """Whether who begins to do this has done the other one, too, when it is done."""
        return self.kind in ("sync", other.kind) and set(other.entities) <= set(self.entities)


@dataclass(frozen=True, slots=True)
class Run:
    """One execution; `tallies` by (entity, role), `writes` by (entity, role, operation), and by
    (entity, role) how many records were `told` how they stand."""

    id: str
    pair: str
    trigger: str
    state: RunState
    started_at: datetime
    ended_at: datetime | None = None
    message: str = ""
    tallies: Mapping[tuple[str, Role], Tally] = field(default_factory=dict)
    writes: Mapping[tuple[str, Role, str], int] = field(default_factory=dict)
    told: Mapping[tuple[str, Role], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """How the connection to a system stands: `used` calls of the last 24 hours, where they are
    counted; no call before `not_before`; since `denied_at` the system has not taken our
    credentials, and said `denied`."""

    used: int = 0
    not_before: datetime | None = None
    denied_at: datetime | None = None
    denied: str = ""


class ConflictState(StrEnum):
    """How a conflict stands."""

    OPEN = "open"
    DECIDED = "decided"  # a person has said who wins; the next run carries it out
    SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class Conflict:
    """A kept conflict, with the base and both values (packed); `path` is empty where the whole
    record is in question (an ambiguous match, an update against a delete)."""

    id: int
    entity: str
    canonical_id: str
    path: str
    kind: str
    base: Any
    crm: Any
    erp: Any
    state: ConflictState
    title: str = ""
    settled_by: str = ""
    decision: Mapping[str, Any] | None = None
    run_id: str = ""
    opened_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record parked after failing; resolved by itself when the same record later succeeds.

    `version` is the one it was read in. From `next_try_at` on the next sync tries it again; None
    where only a person does.
    """

    id: int
    trace_key: str
    entity: str
    system: str
    external_id: str
    stage: str
    error: str
    message: str
    payload: Mapping[str, Any]
    attempts: int
    run_id: str
    at: datetime
    version: str = ""
    next_try_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One outcome that touched a record: which run wrote which fields where, and why."""

    run_id: str
    at: datetime
    kind: OutcomeKind
    side: Role
    external_id: str
    target: Role | None
    changes: tuple[FieldChange, ...]
    reason: str
