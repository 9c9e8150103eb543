"""The people who work with the connector itself: they answer its questions, try parked records once
more, tie records together, part them, and take runs back."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from random import Random
from typing import Any

from connector.domain.actions import AMBIGUOUS
from connector.domain.ledger import Conflict, ConflictState
from connector.domain.policies import CRM, ERP, Role, other
from connector.errors import ConnectorError
from connector.testing.torture.company import OBJECTS, tokens
from connector.testing.torture.faults import Died
from connector.testing.torture.world import World


class Operators:
    """Do something between two syncs, in some companies never and in others often. They have a
    source of chance of their own, so that everybody else does what he did without them."""

    def __init__(self, chance: Random, world: World) -> None:
        self.chance, self.world = chance, world
        self._busy = chance.choice((0.0, 0.0, 0.2, 0.6))

    def act(self) -> None:
        """One thing that one of them does; he may meet any fault that a sync may."""
        if self.chance.random() < self._busy:
            with suppress(ConnectorError, Died):
                self.chance.choice((self._answer, self._answer, self._replay, self._undo,
                                    self._join, self._split))()

    def _answer(self) -> None:
        """Answer a question; who does sees both values."""
        world = self.world
        with world.store.begin() as uow:
            asked = uow.conflicts(world.pair.name, states=(ConflictState.OPEN,))
        if not asked:
            return
        conflict = self.chance.choice(asked)
        decision = self._matched(conflict) if conflict.kind == AMBIGUOUS else {
            "take": self.chance.choice((CRM, ERP))}
        world.edits.seen |= tokens([conflict.base, conflict.crm, conflict.erp])
        world.faults.note(f"answer {conflict.entity} {conflict.path} {conflict.kind} {decision}")
        world.engine().resolve(conflict, decision)

    def _matched(self, conflict: Conflict) -> Mapping[str, Any]:
        """Which record of the other side a new one is, or that it is none of them."""
        world, entity = self.world, conflict.entity
        mine: Role = CRM if conflict.canonical_id == world.pair.canonical_id(
            entity, CRM, str(conflict.crm)) else ERP
        named = str(conflict.erp if mine == CRM else conflict.crm).split(", ")
        there = world.living(other(mine), OBJECTS[other(mine)][entity])
        fits = [external_id for external_id in named if external_id in there]
        if fits and self.chance.random() < 0.5:
            return {"link": self.chance.choice(fits)}
        world.distinct.add((mine, str(conflict.crm if mine == CRM else conflict.erp)))
        return {"create": True}

    def _replay(self) -> None:
        with self.world.store.begin() as uow:
            letters = uow.dead_letters(self.world.pair.name)
        if letters:
            self.world.faults.note("replay")
            self.world.engine().replay(letters)

    def _undo(self) -> None:
        """Take back what one of the last runs wrote."""
        world = self.world
        with world.store.begin() as uow:
            runs = [run for run in uow.runs(world.pair.name, 5) if any(run.writes.values())]
        if runs:
            run = self.chance.choice(runs)
            world.faults.note("undo")
            world.engine().undo(run.id)

    def _join(self) -> None:
        """Say that two customers of one system are one."""
        role, linked = self._linked()
        if len(linked) > 1:
            one, into = self.chance.sample(linked, 2)
            self.world.faults.note(f"join {role} {one} {into}")
            self.world.engine().join("customer", (role, one), (role, into))

    def _split(self) -> None:
        """Say that a customer is another one than those it was tied to."""
        role, linked = self._linked()
        if linked:
            one = self.chance.choice(linked)
            self.world.faults.note(f"split {role} {one}")
            self.world.parted = True
            self._each_is_its_own(role, one)
            self.world.engine().split("customer", (role, one))

    def _each_is_its_own(self, role: Role, one: str) -> None:
        """Each of what was one customer gets a counterpart, and what was replaced on one side stays
        on the other, once they are parted."""
        world = self.world
        with world.store.begin() as uow:
            own = uow.canonical_ids(world.pair.name, "customer", role, [one])[one]
            tied = uow.links_by_canonical(world.pair.name, "customer", [own])[own]
        places = {(link.system, link.external_id) for link in tied}
        for side in (CRM, ERP):
            for row in world.rows(side, OBJECTS[side]["customer"]):
                if (side, row.external_id) not in places:
                    continue
                world.distinct.add((side, row.external_id))
                if not row.deleted:
                    for token in tokens(dict(row.payload)):
                        world.edits.replaced.pop(token, None)

    def _linked(self) -> tuple[Role, list[str]]:
        """The living customers of one side that are linked."""
        role: Role = self.chance.choice((CRM, ERP))
        living = self.world.living(role, OBJECTS[role]["customer"])
        with self.world.store.begin() as uow:
            found = uow.canonical_ids(self.world.pair.name, "customer", role, living)
        return role, sorted(found)
