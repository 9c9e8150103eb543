"""What Prefect is told of a run: its account, counts and classes of errors, never what an error
said, for that may hold something of a record. Loads nothing of Prefect."""

from __future__ import annotations

import re
from typing import Any

from connector.domain.drift import Drift
from connector.domain.ledger import Run, RunState
from connector.engine.run import needs_attention

TAG = "connector"
"""All our flow runs and deployments have it, and the pair's name."""
SEE = "see `connector status`"


def account(run: Run) -> list[dict[str, Any]]:
    """A run's account as table rows: what was read on each side, and what came of it."""
    return [{"entity": entity, "read from": role, "read": tally.read,
             **{kind.value: number for kind, number in tally.outcomes.items()}}
            for (entity, role), tally in sorted(run.tallies.items()) if tally.read]


def drifted(drift: Drift) -> list[dict[str, Any]]:
    """What drifted as table rows."""
    return [{"entity": entity, "side": side, "compared": number,
             **{kind.value: n for kind, n in counts.items()}}
            for entity, side, number, counts in drift.table()]


def artifact_key(*words: str) -> str:
    """An artifact's key: Prefect takes small letters, figures and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")


def said_of(run: Run | None) -> tuple[bool, str, str]:
    """Whether a run that broke off nowhere ended well, the name of the state in which its flow run
    ends, and a message for it."""
    if run is None or run.state is RunState.FAILED:
        return False, "Failed", f"not every record read is accounted for; {SEE}"
    if run.state is RunState.MERGED:
        return True, "Merged", run.message
    failed = "; some records failed, see `connector dead-letters list`"
    return True, "Completed", f"run {run.id}{failed if needs_attention(run) else ''}"
