"""Records as a system gives them, in canonical words, many at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from connector.domain.records import RemoteRecord
from connector.engine.known import Planned, references
from connector.engine.pair import Side
from connector.engine.session import Session
from connector.errors import RecordFailed
from connector.ports import UnitOfWork

Decoded = dict[str, Any] | RecordFailed
"""A canonical record, or why there is none."""


def in_canonical_words(session: Session, uow: UnitOfWork, entity: str, side: Side,
            records: Iterable[tuple[RemoteRecord, Mapping[str, Any] | None]]
            ) -> dict[str, Decoded]:
    """Records, each given with the canonical record last known of it, by external ID."""
    mapping, given = side.mappings[entity], list(records)
    known = references(uow, session.pair, side,
                       [ref for record, _ in given for ref in mapping.references(record.payload)],
                       Planned())
    found: dict[str, Decoded] = {}
    for record, before in given:
        try:
            found[record.external_id] = mapping.decode(
                record.payload, lambda parent, ext: known.get((parent, ext)), before)
        except RecordFailed as failure:
            found[record.external_id] = failure
    return found
