"""First contact of a record without a link: which canonical record it is, or who has to say so."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from connector.domain.ledger import ConflictState
from connector.domain.policies import Role, other
from connector.domain.records import Change
from connector.engine.known import Known
from connector.engine.match import Ambiguous, Partner, Several, match

Holder = Callable[[Role, str], str | None]
"""The external ID by which a canonical record is linked in a role, or will be."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The counterpart can't be read yet; `wanted` names it in the inbox, `external_id` there."""

    wanted: str
    external_id: str


class FirstContact:
    """Finds the canonical ID of records without a link, for one batch."""

    def __init__(self, known: Known, readable: Collection[int], holder: Holder) -> None:
        self.known, self.readable, self.holder = known, readable, holder
        self.pair, self.entity, self.uow = known.pair, known.entity, known.uow

    def canonical_id(self, change: Change, role: Role) -> str | Ambiguous | Unreadable:
        """The ID of a record: the one it was created for, the one a person named, that of its
        partner, or its own."""
        by_reference = self._by_reference(change, role)
        if by_reference is not None:
            return by_reference
        own = self.pair.canonical_id(self.entity, change.system, change.external_id)
        decision = self._decided.get(own)
        if decision is not None and "link" in decision:
            return self._shared_id(change, role, str(decision["link"]))
        several = self.pair.policies[self.entity].several_in
        partner = match(change, self.known.claims, partial(self.holder, role),
                        self.known.by_key.get(role, {}), self.known.by_key.get(other(role), {}),
                        Several(several == role, several == other(role)))
        if isinstance(partner, Ambiguous):
            return own if decision is not None and decision.get("create") else partner
        return self._of_partner(partner, change, role)

    def _by_reference(self, change: Change, role: Role) -> str | None:
        """A record that says it was created for one of the other side belongs to that one."""
        system, colon, external_id = (change.reference or "").partition(":")
        if not colon or system != self.pair.side(other(role)).system:
            return None
        return self.known.origins.get((system, external_id)) \
            or self.known.own_id(system, external_id)

    def _of_partner(self, partner: Partner, change: Change, role: Role) -> str | Unreadable:
        if partner.canonical_id:
            return partner.canonical_id
        if partner.change is not None and partner.change.id in self.readable:
            return self._shared_id(change, role, partner.change.external_id)
        unreadable = partner.change.external_id if partner.change is not None \
            else self.known.parked.get(other(role), {}).get(change.match_key)
        if unreadable is None:
            return self.known.own_id(change.system, change.external_id)
        theirs = self.pair.side(other(role)).system
        return Unreadable(f"{self.entity}:{theirs}:{unreadable}", unreadable)

    def _shared_id(self, change: Change, role: Role, external_id: str) -> str:
        """The canonical ID shared with a record of the other side; the CRM's record names it."""
        theirs = self.pair.side(other(role)).system
        link = self.known.links.get((theirs, external_id)) or self.uow.links_by_external(
            self.pair.name, self.entity, theirs, [external_id]).get(external_id)
        if link is not None:
            self.known.claimed.update(self.uow.links_by_canonical(
                self.pair.name, self.entity, [link.canonical_id]))
            return link.canonical_id
        if (theirs, external_id) not in self.known.changes:
            self.known.take(self.uow.inbox_by_external(self.pair.name, self.entity, theirs,
                                                       [external_id]).values())
        crm = (change.system, change.external_id) if role == "crm" else (theirs, external_id)
        return self.known.own_id(*crm)

    @cached_property
    def _decided(self) -> dict[str, Mapping[str, Any]]:
        """What persons have decided about first contact, by canonical ID."""
        decided = self.uow.conflicts(self.pair.name, entity=self.entity,
                                     states=(ConflictState.DECIDED,))
        return {c.canonical_id: c.decision for c in decided if c.path == "" and c.decision}
