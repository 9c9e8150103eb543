"""What webhooks tell arrives without a pull: a company at work, seed by seed, its connector only
draining."""

from __future__ import annotations

from contextlib import suppress
from random import Random

import pytest

from connector.domain.policies import CRM
from connector.engine.pacing import LONGEST, Pace
from connector.errors import ConnectorError
from connector.store.open import open_store
from connector.testing.clock import VirtualClock
from connector.testing.torture.company import OBJECTS, Books
from connector.testing.torture.faults import Died, Faults, Rates
from connector.testing.torture.invariants import broken
from connector.testing.torture.users import Crowded


class Telling(Crowded):
    """Every change of a record is hinted at, also one made while the connector works, and those
    that the connector makes itself."""

    told: dict[str, int]
    pace: Pace | None

    def tell(self) -> None:
        """Hint at what has changed since the last time."""
        for role, system in self.systems.items():
            since = self.told.get(role, 0)
            self.told[role] = system.changes
            hints = [(entity, role, row.external_id) for entity, object in OBJECTS[role].items()
                     for row in system.objects.get(object, {}).values() if row.at > since]
            with self.store.begin() as uow:
                uow.hint(self.pair.name, hints)

    def meddle(self, system: Books, object: str, external_id: str | None) -> None:
        """A user edits the record, or does anything else, while the connector writes; the webhook
        comes before it is done."""
        if self.chance.random() < 0.5:
            super().meddle(system, object, external_id)
        else:
            self.act()
        self.tell()

    def drain(self) -> dict[tuple[str, str, str], int]:
        """A drain that accounts for everything; gives its writes."""
        run = self.engine().drain(safety_stop=False, pace=self.pace)
        self.tell()
        assert all(tally.accounted for tally in run.tallies.values())
        return {key: number for key, number in run.writes.items() if number}

    def drain_until_idle(self) -> None:
        """Drain until nothing is written any more, not even after trying what is parked again."""
        for _ in range(20):
            self.tell()
            self.clock.sleep(LONGEST.total_seconds())
            if self.drain():
                continue
            with self.store.begin() as uow:
                letters = uow.dead_letters(self.pair.name)
            if not letters or not any(self.engine().replay([letter]).writes for letter in letters):
                return
        raise AssertionError("it never comes to rest")


@pytest.mark.parametrize("seed", range(40))
def test_a_sync_after_drains_finds_nothing_to_do(seed: int) -> None:
    chance = Random(seed)
    faults = Faults(chance, Rates(edited_under_hands=0.3, away_on_read=0.05, away_on_write=0.05,
                                  lost_answer=0.05, refused=0.02, died=0.02))
    store = open_store("sqlite://", VirtualClock())
    world = Telling(chance, faults, store)
    world.told, world.pace = {}, Pace(world.clock) if seed % 2 else None
    for _ in range(6):
        for _ in range(chance.randint(1, 6)):
            world.act()
        world.tell()
        world.clock.sleep(chance.choice([0, 2, 90]))
        with suppress(ConnectorError, Died):
            world.engine().drain(safety_stop=False, pace=world.pace)
    faults.on = False
    world.mend()
    world.clock.sleep(90)
    world.drain_until_idle()
    with store.begin() as uow:
        assert not [state for *_, state in uow.inbox_counts(world.pair.name) if state == "hinted"]
        assert uow.cursors(world.pair.name, CRM).get("customer") is None
    run, drift = world.engine().reconcile(safety_stop=False)
    assert drift.total == 0, drift.examples
    assert not any(run.writes.values()), dict(run.writes)
    assert broken(world) == []
    store.close()
