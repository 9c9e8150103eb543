"""The stage of the crash test: two small systems, what is done in them by name, and a process that
dies at the boundary it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from connector.domain.ledger import Conflict, ConflictState
from connector.domain.policies import CRM, ERP, Role, SafetyStop, other
from connector.engine.plan import fingerprint
from connector.engine.plan_file import Gate
from connector.store.unit_of_work import SqlStore
from connector.testing.torture.company import (
    AMOUNTS,
    LINES,
    NEW,
    OBJECTS,
    PARENTS,
    POLICIES,
    TEXTS,
    VAT,
    tokens,
)
from connector.testing.torture.faults import Faults, FaultyAdapter, Kind, Rates
from connector.testing.torture.rest import until_idle
from connector.testing.torture.world import World, amount, in_use

Lines = list[dict[str, Any]]

@dataclass(slots=True)
class Boundaries(Faults):
    """Counts the boundaries that are passed; the process dies where it is `dying`. `once` are the
    faults that strike at the first place where they can."""

    chance: Random = field(default_factory=lambda: Random(0))
    rates: Rates = field(default_factory=Rates)
    dying: Callable[[int], bool] = lambda _boundary: False
    passed: int = 0
    counting: bool = False
    once: Counter[str] = field(default_factory=Counter)

    def happens(self, name: str) -> bool:
        if self.once[name] < 1:
            return False
        self.once[name] -= 1
        self.count[name] += 1
        self.note(name)
        return True

    def dies(self, _point: str) -> bool:
        self.passed += self.counting
        dies = self.counting and self.dying(self.passed)
        self.count["died"] += dies
        return dies


class Stage(World):
    """Two small systems. They make a record twice where they are told to, and are read page by page
    with no look-back, which would mend what a crash has lost."""

    def __init__(self, boundaries: Boundaries, store: SqlStore, *, tells: bool = False) -> None:
        kind = Kind(page=2, look_back=0, unique=False)
        super().__init__(boundaries, store, {CRM: kind, ERP: kind},
                         {**POLICIES, "customer": replace(
                             POLICIES["customer"],
                             safety_stop=SafetyStop(delete_percent=50, at_least=2))},
                         tells=tells)
        self.boundaries = boundaries
        self.meddling: list[Callable[[], object]] = []
        self.at_rest: dict[str, Callable[[], bool]] = {}  # what has to hold, by what is said else

    def look_back(self, role: Role, changes: int) -> None:
        """Let a system's changes show late, and pulls look back for them."""
        self.systems[role].look_back = changes
        adapter = self.pair.side(role).adapter
        assert isinstance(adapter, FaultyAdapter)
        adapter.look_back = changes

    # ---- what the users do

    def customer(self, role: Role, vat: str = "", **more: Any) -> str:
        """A new customer."""
        object = OBJECTS[role]["customer"]
        return self.create(role, "customer", {
            **{name: self.token() for name in TEXTS[object]},
            VAT[role]: vat or f"DE{self.edits.number}",
            "currency" if role == CRM else "cur": "EUR", AMOUNTS[object]: amount(object, 1050),
            **in_use(role), **more})

    def contact(self, role: Role, customer: str) -> str:
        """A new contact of a customer."""
        object = OBJECTS[role]["contact"]
        return self.create(role, "contact", {**{name: self.token() for name in TEXTS[object]},
                                             PARENTS[object][0]: customer, **in_use(role)})

    def document(self, role: Role, entity: str, customer: str, *, lines: int = 2,
                 price: int = 1990) -> str:
        """A new quote or order of a customer."""
        object = OBJECTS[role][entity]
        return self.create(
            role, entity, {**{name: self.token() for name in TEXTS[object]},
                           PARENTS[object][0]: customer, **NEW[object]},
            [self.line(object, 10 * number, price) for number in range(1, lines + 1)])

    def line(self, object: str, number: int, price: int = 1990) -> dict[str, Any]:
        """A new line of a document."""
        _, key, text, quantity, each = LINES[object]
        return {key: number, text: self.token(), quantity: amount(object, 300),
                each: amount(object, price)}

    def edit(self, role: Role, entity: str, external_id: str, **changes: Any) -> None:
        """Other values for a record; for its first text, where none are given."""
        object = OBJECTS[role][entity]
        self.change(role, object, external_id, changes or {TEXTS[object][0]: self.token()})

    def lines(self, role: Role, entity: str, external_id: str) -> Lines:
        """The lines of a document, to be edited."""
        object = OBJECTS[role][entity]
        row = self.systems[role].objects[object][external_id]
        return [dict(line) for line in row.payload[LINES[object][0]]]

    def remove(self, role: Role, entity: str, external_id: str) -> None:
        """Delete a record."""
        self.delete(role, OBJECTS[role][entity], external_id)

    def parent(self, role: Role, entity: str, external_id: str) -> str:
        """The customer that a record names, by its external ID."""
        object = OBJECTS[role][entity]
        return str(self.systems[role].objects[object][external_id].payload[PARENTS[object][0]])

    def meddle(self, *_whom: Any) -> None:
        """What the scenario has told somebody to do at this moment."""
        self.meddled()

    def overtake(self) -> None:
        """See `World`; first somebody does what the scenario has told him."""
        self.meddled()
        super().overtake()

    def meddled(self) -> None:
        """Let everybody have done what he was told to do."""
        while self.meddling:
            self.meddling.pop()()

    # ---- what the connector did

    def both(self, role: Role, entity: str, external_id: str) -> dict[Role, str]:
        """The external IDs of a linked record."""
        with self.store.begin() as uow:
            own = uow.canonical_ids(self.pair.name, entity, role, [external_id])[external_id]
            (theirs,) = uow.external_ids(self.pair.name, entity, other(role), [own]).values()
        return {role: external_id, other(role): theirs}

    def agree(self) -> None:
        """Bring both systems into agreement, undisturbed."""
        until_idle(self)

    def sync(self) -> object:
        """One sync."""
        return self.engine().sync(safety_stop=False)

    def conflicts(self) -> list[Conflict]:
        """The conflicts that wait for a person."""
        with self.store.begin() as uow:
            return uow.conflicts(self.pair.name, states=(ConflictState.OPEN,))

    def conflict(self) -> Conflict | None:
        """The first one of them, if there is one."""
        found = self.conflicts()
        return found[0] if found else None

    def answer(self, decision: Mapping[str, Any]) -> Callable[[], object]:
        """A person's answer to the conflict that is open now, given again where it still is. He
        sees both values."""
        asked = self._asked()

        def resolve() -> object:
            with self.store.begin() as uow:
                conflict = uow.conflict(asked.id)
            if conflict is None or conflict.state is not ConflictState.OPEN:
                return self.sync()
            return self.engine().resolve(conflict, decision)

        return resolve

    def decide(self, decision: Mapping[str, Any]) -> None:
        """A person's answer to the conflict that is open now, which the next run carries out."""
        asked = self._asked()
        with self.store.begin() as uow:
            uow.decide_conflict(asked.id, decision)

    def _asked(self) -> Conflict:
        """The conflict that is open now; a person looks at it."""
        asked = self.conflict()
        assert asked is not None
        self.edits.seen |= tokens([asked.base, asked.crm, asked.erp])
        return asked

    def replay(self) -> object:
        """Try once more what is parked."""
        with self.store.begin() as uow:
            letters = uow.dead_letters(self.pair.name)
        return self.engine().replay(letters) if letters else self.sync()

    def gate(self) -> Gate:
        """What a plan made now allows."""
        gate: dict[str, frozenset[str]] = {}
        for action in self.engine().plan().actions:
            gate[action.canonical_id] = gate.get(action.canonical_id, frozenset()) | {
                fingerprint(action)}
        return gate
