"""Drift: what a comparison of everything found that no cursor had brought up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from connector.domain.policies import Role

MAX_EXAMPLES = 100
"""Records that are named for each entity, side and kind; the others are only counted."""


class DriftKind(StrEnum):
    """How a record has drifted."""

    MISSED = "missed"  # changed, or new, and no cursor brought it up
    GONE = "gone"  # linked, and no longer there, and no tombstone told it
    ALONE = "alone"  # without a counterpart that it should have
    UNEQUAL = "unequal"  # both sides differ under the rules, though nothing is pending


Place = tuple[str, Role, DriftKind]
"""Entity, side and kind."""


@dataclass(frozen=True, slots=True)
class Drifted:
    """A record that has drifted; `reason` says how. An unequal pair is told under the side that
    would be written."""

    kind: DriftKind
    entity: str
    side: Role
    external_id: str
    reason: str


@dataclass(slots=True)
class Drift:
    """What was found: how many records were compared, by entity and side, how many drifted, by
    entity, side and kind, and some of them by name."""

    compared: dict[tuple[str, Role], int] = field(default_factory=dict)
    counts: dict[Place, int] = field(default_factory=dict)
    examples: list[Drifted] = field(default_factory=list)

    @property
    def total(self) -> int:
        """All that has drifted."""
        return sum(self.counts.values())

    def add(self, found: Sequence[Drifted]) -> None:
        """Count records, and keep the first of each kind by name."""
        for one in found:
            place = one.entity, one.side, one.kind
            self.counts[place] = self.counts.get(place, 0) + 1
            if self.counts[place] <= MAX_EXAMPLES:
                self.examples.append(one)

    def table(self) -> list[tuple[str, Role, int, Mapping[DriftKind, int]]]:
        """A row for each entity and side: records compared, and those drifted by kind."""
        return [(entity, side, number, {kind: self.counts.get((entity, side, kind), 0)
                                        for kind in DriftKind})
                for (entity, side), number in self.compared.items()]
