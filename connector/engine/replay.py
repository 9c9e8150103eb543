"""Takes parked records up again: by itself once they are due, when a person says so, or with a
payload that a person has edited."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from connector.domain.ledger import DeadLetter
from connector.domain.records import Payload
from connector.engine.known import Planned
from connector.engine.pair import Pair
from connector.engine.reread import BATCH, keyed, reread
from connector.engine.session import Session
from connector.errors import RunFailed

Records = Mapping[str, Sequence[tuple[str, str]]]
"""Records (system, external ID) by entity."""


def records_of(pair: Pair, letters: Iterable[DeadLetter]) -> Records:
    """The records that have to be read again for parked ones."""
    records: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for letter in letters:
        source, origin = _origin(pair, letter)
        records[source].append((letter.system, origin))
    return records


def _origin(pair: Pair, letter: DeadLetter) -> tuple[str, str]:
    """The entity and external ID that a parked record begins with: those of the document it is
    made from, where it stands in no system."""
    source, colon, origin = letter.external_id.partition(":")
    if colon and source in pair.policies:
        return source, origin
    return letter.entity, letter.external_id


def take_up(session: Session, records: Records) -> None:
    """Read records again, as they are now, into the inbox."""
    for entity, wanted in records.items():
        for side in session.pair.sides:
            mine = [external_id for system, external_id in wanted if system == side.system]
            changes = reread(session, entity, side.role, mine, Planned()) if mine else {}
            with session.store.begin() as uow:
                uow.receive(session.pair.name, list(changes.values()))


def take_up_due(session: Session, entities: Collection[str]) -> None:
    """Take up the parked records that are to be tried again by now. Raises `RetryLater` where a
    system is away."""
    after, now = 0, session.clock.now()
    while True:
        with session.store.begin() as uow:
            letters = uow.due_dead_letters(session.pair.name, entities, now, after, BATCH)
        if not letters:
            return
        session.keep_alive()
        take_up(session, records_of(session.pair, letters))
        after = letters[-1].id


def take_up_edited(session: Session, letter: DeadLetter, payload: Payload, note: str) -> None:
    """Put a parked record into the inbox with an edited payload. Raises `RunFailed` where the
    edit isn't one of what is there now."""
    if _origin(session.pair, letter) != (letter.entity, letter.external_id):
        raise RunFailed(f"{letter.trace_key} stands in no system: it is made from another record.",
                        hint="Mend that one, then replay the dead letter.")
    role = session.pair.role_of(letter.system)
    change = reread(session, letter.entity, role, [letter.external_id], Planned())[
        letter.external_id]
    if change.deleted or (letter.version and change.version != letter.version):
        what = "was deleted" if change.deleted else "has changed"
        raise RunFailed(f"{letter.trace_key} {what} since it was parked.",
                        hint="Sync, or replay the dead letter as it is now.")
    session.notes[letter.trace_key] = note
    side, edited = session.pair.side(role), replace(change, payload=payload, match_key="")
    with session.store.begin() as uow:
        linked = uow.versions(session.pair.name, letter.entity, side.system, [letter.external_id])
        uow.receive(session.pair.name, keyed(session, uow, letter.entity, side, [edited], linked,
                                             Planned()))
