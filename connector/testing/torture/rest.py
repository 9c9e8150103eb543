"""Brings a simulated company to rest once the faults are over."""

from __future__ import annotations

from collections.abc import Callable

from connector.domain.ledger import Run
from connector.testing.torture.at_rest import AtRest
from connector.testing.torture.invariants import broken
from connector.testing.torture.world import World

MOST_ROUNDS, MOST_REPLAYS = 20, 4


def rest(world: AtRest) -> int:
    """Sync until nothing is written, and try once more what is parked; returns how many syncs it
    took."""
    rounds = until_idle(world)
    for _ in range(MOST_REPLAYS):
        with world.store.begin() as uow:
            letters = uow.dead_letters(world.pair.name)
        if not letters:
            break
        for letter in letters:
            world.clock.sleep(90)
            world.engine().replay([letter])
        rounds += until_idle(world)
    return rounds


def settled(world: World) -> list[str]:
    """What does not hold at rest; then a full pass has to find nothing to write. That comes last,
    for it would mend what a sync has missed."""
    return at_rest(world, lambda: broken(world))


def at_rest(world: AtRest, broken: Callable[[], list[str]]) -> list[str]:
    """The same, by invariants of another company's."""
    found = broken()
    world.clock.sleep(90)
    run, drift = world.engine().reconcile(safety_stop=False)
    if drift.total:
        found.append(f"I6: after rest there is drift: {drift.examples}")
    if any((*run.writes.values(), *run.told.values())):
        found.append(f"I6: a full pass after rest writes {dict(run.writes)}, and tells "
                     f"{dict(run.told)}")
        found += [told for told in broken() if told not in found]
    return found


def until_idle(world: AtRest) -> int:
    """Sync until nothing is written or told any more; returns how many syncs it took."""
    for number in range(1, MOST_ROUNDS + 1):
        run = _sync(world)
        if not any((*run.writes.values(), *run.told.values())):
            return number
    world.violations.append(f"I6: it never comes to rest within {MOST_ROUNDS} syncs")
    return MOST_ROUNDS


def _sync(world: AtRest) -> Run:
    world.clock.sleep(90)
    run = world.engine().sync(safety_stop=False)
    astray = [key for key, tally in run.tallies.items() if not tally.accounted]
    if astray:
        world.violations.append(f"I5: reads are not accounted for: {astray}")
    return run
