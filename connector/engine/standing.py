"""How the records of one side stand with the other one, read off what is kept: dead letters,
conflicts and what waits in the inbox. Nothing of it is remembered, so nothing of it can go stale.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from connector.domain.actions import AMBIGUOUS, UNDONE
from connector.domain.ledger import Conflict
from connector.domain.policies import other
from connector.domain.records import Link
from connector.domain.telling import SyncState, Unsettled, shortened
from connector.engine.deletion import UPDATE_AGAINST_DELETE
from connector.engine.entries import LIVE
from connector.engine.hand_off import PROPOSAL
from connector.engine.pair import Pair, Side
from connector.ports import UnitOfWork

_WHY = {"both_changed": "both sides changed it", "step_back": "it would go a step back",
        "total_differs": "the two sides work it out differently",
        "total_not_by_rule": "it is not what the lines come to",
        "currency_against_amount": "one side changed the currency, the other an amount",
        "never_agrees": "each side changes what the other is told",
        UPDATE_AGAINST_DELETE: "one side changed it, the other deleted it",
        UNDONE: "a run was undone; a person has to say who is right"}
_RANK = {SyncState.FAILED: 0, SyncState.CONFLICT: 1, SyncState.WAITING: 2, SyncState.IN_SYNC: 3}


class Standing(NamedTuple):
    """How a record stands, and why, in plain words."""

    state: SyncState
    reason: str = ""


@dataclass(slots=True)
class Standings:
    """By external ID of one side: how the records stand that are not just in sync, and in which
    version those are that are parked or wait. Of `moving` ones nothing is known until they are
    taken up."""

    amiss: dict[str, Standing] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    moving: set[str] = field(default_factory=set)

    def of(self, external_id: str, link: Link | None) -> Standing | None:
        """How a record stands; None where it is no concern of the other side, as an alias is."""
        if link is not None and link.alias:
            return None
        linked = link is not None and link.seen is not None
        return self.amiss.get(external_id) or (Standing(SyncState.IN_SYNC) if linked else None)

    def note(self, external_id: str, state: SyncState, reason: str) -> None:
        """Something is amiss with a record; the worst of it is told."""
        there = self.amiss.get(external_id)
        if there is None or _RANK[state] < _RANK[there.state]:
            self.amiss[external_id] = Standing(state, shortened(reason))


def standings(uow: UnitOfWork, pair: Pair, entity: str, side: Side) -> Standings:
    """How the records of one entity stand that are not just in sync."""
    found = Standings()
    parked, rows = uow.parked(pair.name, entity), uow.unsettled(pair.name, entity)
    live = uow.conflicts(pair.name, entity=entity, states=LIVE)
    conflicts = {conflict.canonical_id: _asked(conflict) for conflict in reversed(live)}
    own = _counterparts(uow, pair, entity, side, [
        *((letter.system, letter.external_id) for letter in parked),
        *((row.system, row.external_id) for row in rows)], conflicts)
    for letter in parked:
        if letter.system == side.system:
            found.versions[letter.external_id] = letter.version
        if (ext := own.get((letter.system, letter.external_id))) is not None:
            found.note(ext, SyncState.FAILED, letter.message)
    for row in rows:
        if row.system == side.system:
            found.versions[row.external_id] = row.version
        ext = own.get((row.system, row.external_id))
        if ext is not None and row.wanted is None:
            found.moving.add(ext)
        elif ext is not None:
            found.note(ext, *_waits(row, entity, side, conflicts))
    for canonical_id, standing in conflicts.items():
        if (ext := own.get(("", canonical_id))) is not None:
            found.note(ext, *standing)
    _of_what_it_becomes(uow, pair, entity, side, found)
    return found


def _counterparts(uow: UnitOfWork, pair: Pair, entity: str, side: Side,
                  records: Iterable[tuple[str, str]],
                  canonical_ids: Iterable[str]) -> dict[tuple[str, str], str]:
    """The external ID at `side` of each record (system, external ID), and of each canonical ID
    (under no system), that has one there."""
    every = list(records)
    theirs = pair.side(other(side.role)).system
    linked = uow.canonical_ids(pair.name, entity, theirs,
                               {ext for system, ext in every if system == theirs})
    there = uow.external_ids(pair.name, entity, side.system,
                             {*linked.values(), *canonical_ids})
    found = {("", canonical_id): ext for canonical_id, ext in there.items()}
    found.update({(theirs, ext): there[canonical_id] for ext, canonical_id in linked.items()
                  if canonical_id in there})
    found.update({(system, ext): ext for system, ext in every if system == side.system})
    return found


def _asked(conflict: Conflict) -> Standing:
    if conflict.kind == AMBIGUOUS:
        return Standing(SyncState.CONFLICT, "it may be several records of the other side; a "
                        "person has to say")
    if conflict.kind == PROPOSAL:
        return Standing(SyncState.WAITING, "the change was proposed to the erp, which has yet to "
                        "answer")
    why = _WHY.get(conflict.kind, conflict.kind.replace("_", " "))
    return Standing(SyncState.CONFLICT, f"{conflict.path}: {why}" if conflict.path else why)


def _waits(row: Unsettled, entity: str, side: Side,
           conflicts: dict[str, Standing]) -> Standing:
    """Why a row of the inbox waits: for a person, a counterpart, or a record it refers to."""
    wanted = row.wanted or ""
    kind, _, rest = wanted.partition(":")
    if kind == "conflict":
        return conflicts.get(rest) or Standing(SyncState.CONFLICT, "a person has to say which "
                                               "record of the other side it is")
    if "@" in rest:
        return Standing(SyncState.WAITING, f"waits for its {kind} to come up in the "
                        f"{rest.rpartition('@')[2]}")
    system, _, external_id = rest.partition(":")
    of_the_other = "" if system == side.system else f" of the {system}"
    if kind == entity:
        return Standing(SyncState.WAITING, f"waits for its counterpart {external_id}, which can't "
                        "be read yet")
    return Standing(SyncState.WAITING, f"waits for {kind} {external_id}{of_the_other}")


def _of_what_it_becomes(uow: UnitOfWork, pair: Pair, entity: str, side: Side,
                        found: Standings) -> None:
    """A document that was to be made from a record stands nowhere: what is amiss with it is told
    at the record."""
    becomes = pair.policies[entity].becomes
    if becomes is None or becomes.made_in == side.role:
        return
    prefix = f"{entity}:"
    for letter in uow.parked(pair.name, becomes.entity):
        if letter.system == side.system and letter.external_id.startswith(prefix):
            found.note(letter.external_id.removeprefix(prefix), SyncState.FAILED,
                       f"{becomes.entity}: {letter.message}")
    for row in uow.unsettled(pair.name, becomes.entity):
        if row.system == side.system and row.external_id.startswith(prefix) and row.wanted:
            state, reason = _waits(row, becomes.entity, side, {})
            found.note(row.external_id.removeprefix(prefix), state,
                       f"{becomes.entity}: {reason}")
