"""Two memory systems whose records go and come back in any of the ways that systems know."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from connector.adapters.memory import MemoryAdapter, MemorySettings, MemorySystem
from connector.domain.ledger import Conflict, ConflictState, Run, RunState
from connector.domain.policies import CRM, ERP, EntityPolicy, OnDelete, Role
from connector.domain.records import (
    Intent,
    Operation,
    Page,
    RemoteRecord,
    WriteResult,
)
from connector.engine.pair import Pair, Side
from connector.engine.run import Engine
from connector.store.open import open_store
from connector.store.unit_of_work import SqlStore
from connector.testing.clock import VirtualClock
from connector.testing.torture.company import OBJECTS
from connector.testing.torture.world import LOADED

IN_USE = {CRM: {"active": True}, ERP: {"locked": False}}
ARCHIVED = {CRM: {"active": False}, ERP: {"locked": True}}
TOWN = {CRM: "town", ERP: "place"}
NAME = {CRM: "title", ERP: "name1"}
_worlds = count()


class Tombstones(MemoryAdapter):
    """A deleted record comes marked as deleted."""

    shows = "tombstone"
    role: Role

    def vanish(self, object: str, external_id: str) -> None:
        """Delete a record, as a user of the system does."""
        self.system.delete(object, external_id)


class Archive(Tombstones):
    """A record is never deleted: it is archived."""

    shows = "archive"

    def vanish(self, object: str, external_id: str) -> None:
        self.system.put(object, external_id, ARCHIVED[self.role])

    def write_one(self, object: str, intent: Intent) -> WriteResult:
        if intent.operation is Operation.DELETE:
            intent = replace(intent, operation=Operation.UPDATE, payload=ARCHIVED[self.role])
        return super().write_one(object, intent)


class Silent(Tombstones):
    """A deleted record shows nowhere any more."""

    shows = "none"

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        for page in super().pull(object, cursor):
            yield replace(page, records=tuple(r for r in page.records if not r.deleted))

    def get(self, object: str, external_ids: Sequence[str]) -> dict[str, RemoteRecord]:
        return {ext: record for ext, record in super().get(object, external_ids).items()
                if not record.deleted}


class Absence(Silent):
    """A deleted record is missing among all the others."""

    shows = "absence"

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        return super().pull(object, None)


KINDS: dict[str, type[Tombstones]] = {kind.shows: kind
                                      for kind in (Tombstones, Archive, Absence, Silent)}


@dataclass
class Company:
    """One customer, Acme of Berlin, born in the CRM and known to both systems."""

    on_delete: OnDelete
    kinds: dict[Role, str]
    entities: Sequence[str] = ("customer",)
    adapters: dict[Role, Tombstones] = field(init=False)
    store: SqlStore = field(init=False)
    clock: VirtualClock = field(default_factory=VirtualClock)
    crash: Callable[[str], None] = lambda _point: None

    def __post_init__(self) -> None:
        self.store, world = open_store("sqlite://", self.clock), f"deletions {next(_worlds)}"
        self.adapters = {}
        for role in (CRM, ERP):
            adapter = KINDS[self.kinds[role]](MemorySettings(name=role, world=world), self.clock)
            adapter.role = role
            adapter.capabilities = replace(adapter.capabilities, deletions=self.kinds[role])
            self.adapters[role] = adapter
        sides = (Side(role, role, self.adapters[role], LOADED[role]) for role in (CRM, ERP))
        policies = {entity: EntityPolicy(match=("vat_number",) if entity == "customer" else (),
                                         on_delete=self.on_delete) for entity in self.entities}
        self.pair = Pair("main", *sides, policies)
        self.system(CRM).put("accounts", "A", {
            "title": "Acme", "town": "Berlin", "currency": "EUR", "tax_no": "DE1", **IN_USE[CRM]})
        self.sync()

    @property
    def engine(self) -> Engine:
        """The connector, freshly started."""
        return Engine(self.pair, self.store, self.clock, crash=lambda point: self.crash(point),
                      in_flight=0)


    def system(self, role: Role) -> MemorySystem:
        """One of the systems."""
        return self.adapters[role].system

    def sync(self) -> Run:
        """A sync that has to account for every record."""
        run = self.engine.sync()
        assert run.state is RunState.COMPLETED, run.message
        return run

    def quiet(self) -> None:
        """Nothing is left to be done, even where everything is compared."""
        before = [c.id for c in self.conflicts()]
        assert not any(self.sync().writes.values())
        if "none" not in self.kinds.values():  # else comparing everything shows what did not
            self.compared()
        assert [c.id for c in self.conflicts()] == before

    def compared(self) -> None:
        """Comparing everything finds nothing."""
        run, drift = self.engine.reconcile()
        assert not any(run.writes.values())
        assert drift.total == 0, drift.examples

    def vanish(self, role: Role, external_id: str = "") -> None:
        """A user deletes or archives the customer."""
        self.adapters[role].vanish(OBJECTS[role]["customer"], external_id or self.living(role)[0])

    def come_back(self, role: Role, external_id: str) -> None:
        """A user undoes that."""
        self.system(role).put(OBJECTS[role]["customer"], external_id, IN_USE[role])

    def edit(self, role: Role, town: str = "Bonn") -> None:
        """A user moves the customer to another town."""
        self.system(role).put(OBJECTS[role]["customer"], self.living(role)[-1],
                              {TOWN[role]: town})

    def rows(self, role: Role) -> dict[str, dict[str, Any]]:
        """The customers that are there, by external ID."""
        rows = self.system(role).objects.get(OBJECTS[role]["customer"], {})
        return {ext: row.payload for ext, row in rows.items() if not row.deleted}

    def living(self, role: Role) -> list[str]:
        """Their external IDs."""
        return list(self.rows(role))

    def state(self, role: Role) -> str:
        """Whether the customer is `gone`, `idle` or in `use`; there must not be two."""
        rows = list(self.rows(role).values())
        assert len(rows) < 2
        if not rows:
            return "gone"
        (flag, value), = IN_USE[role].items()
        return "use" if rows[0][flag] is value else "idle"

    def towns(self) -> set[str]:
        """Where the customer is, by all that are there."""
        return {row[TOWN[role]] for role in (CRM, ERP) for row in self.rows(role).values()}

    def conflicts(self, *states: ConflictState) -> list[Conflict]:
        """Conflicts in these states; all, where none is named."""
        with self.store.begin() as uow:
            return uow.conflicts("main", states=states or tuple(ConflictState))

    def identity(self) -> dict[tuple[str, str], tuple[str, bool, bool]]:
        """By system and external ID: the canonical ID, whether an alias, whether living."""
        with self.store.begin() as uow:
            ids = set[str]()
            for role in (CRM, ERP):
                object = OBJECTS[role]["customer"]
                ids |= set(uow.canonical_ids("main", "customer", role,
                                             list(self.system(role).objects[object])).values())
            return {(x.system, x.external_id): (x.canonical_id, x.alias, x.seen is not None)
                    for found in uow.links_by_canonical("main", "customer", ids).values()
                    for x in found}
