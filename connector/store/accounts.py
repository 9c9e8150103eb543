"""A run's account as it is kept: records read and what came of them, and what was written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from connector.domain.actions import OutcomeKind, Tally
from connector.domain.policies import Role
from connector.store.codec import dump

Tallies = Mapping[tuple[str, Role], Tally]
Writes = Mapping[tuple[str, Role, str], int]


def packed_account(tallies: Tallies, writes: Writes, **more: Any) -> bytes:
    """An account as JSON, with `more` beside it."""
    return dump({
        "tallies": [[entity, role, tally.read, {k.value: n for k, n in tally.outcomes.items() if n}]
                    for (entity, role), tally in tallies.items()],
        "writes": [[*key, number] for key, number in writes.items()], **more})


def unpacked_account(account: Mapping[str, Any]) -> tuple[Tallies, Writes]:
    """The tallies and writes of an account."""
    tallies = {}
    for entity, role, read, counts in account["tallies"]:
        tally = Tally(read)
        tally.outcomes.update({OutcomeKind(kind): number for kind, number in counts.items()})
        tallies[entity, cast(Role, role)] = tally
    return tallies, {(entity, cast(Role, role), operation): number
                     for entity, role, operation, number in account["writes"]}
