"""What is looked at once the faults are over, whatever was simulated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from connector.domain.policies import Role
from connector.domain.records import Link
from connector.engine.pair import Pair
from connector.engine.run import Engine
from connector.store.unit_of_work import SqlStore
from connector.testing.clock import VirtualClock


@dataclass(slots=True)
class Edits:
    """What the users did: every value they gave (a token), those that somebody saw before he
    replaced or deleted them, and those replaced alone."""

    given: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    replaced: dict[str, str] = field(default_factory=dict)  # by token, where
    number: int = 0


class AtRest(Protocol):
    """Two systems that users worked with, and the connector between them."""

    pair: Pair
    store: SqlStore
    edits: Edits
    violations: list[str]

    @property
    def clock(self) -> VirtualClock:
        """Where all time comes from."""
        ...

    def engine(self) -> Engine:
        """The connector, freshly started."""
        ...

    def payloads(self, role: Role, entity: str) -> Mapping[str, dict[str, Any]]:
        """The payloads of the records of a side that are not deleted, by external ID."""
        ...


def tied_to(world: AtRest, role: Role, entity: str, external_id: str) -> list[Link]:
    """All links of the thing that a record is, its own too; none where it is not linked."""
    with world.store.begin() as uow:
        own = uow.canonical_ids(world.pair.name, entity, role, [external_id]).values()
        return [link for links in uow.links_by_canonical(world.pair.name, entity, own).values()
                for link in links]
