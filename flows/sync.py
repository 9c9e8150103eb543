"""A sync as a Prefect flow run: named, tagged, with its account as a table artifact.

The engine does the work; this module holds no rule about records. Parameters carry names only,
never payloads or secrets.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")

from prefect import flow, get_run_logger, tags
from prefect.artifacts import acreate_table_artifact

from connector.bootstrap import open_connector
from connector.domain.ledger import Run, RunState


def _run_once(config: Path, pair: str, entities: list[str], reconcile: bool,
              safety_stop: bool, patience: float) -> Run:
    connector = open_connector(config)
    try:
        engine = connector.engine(pair, patience=patience)
        if reconcile:
            return engine.reconcile(entities, safety_stop=safety_stop, trigger="prefect")[0]
        return engine.sync(entities, safety_stop=safety_stop, trigger="prefect")
    finally:
        connector.close()


# An `async` flow: a plain one waits a second at its end for Prefect's heartbeat thread.
@flow(name="sync", flow_run_name="sync-{pair}", persist_result=False, validate_parameters=True)
async def sync_flow(config: str, pair: str, entities: list[str] | None = None,
                    reconcile: bool = False, safety_stop: bool = True,
                    patience: float = 0) -> Run:
    """Bring a pair into agreement; fails where a record read has no outcome. Where another run
    works on the pair it waits for `patience` seconds."""
    run = await asyncio.to_thread(_run_once, Path(config), pair, entities or [], reconcile,
                                  safety_stop, patience)
    get_run_logger().info("run %s: %s, %d writes", run.id, run.state.value,
                          sum(run.writes.values()))
    await acreate_table_artifact(key=f"sync-{pair}".lower().replace("_", "-"),
                                 table=account(run), description=f"Run {run.id}")
    if run.state is RunState.FAILED:
        raise RuntimeError(run.message)
    return run


def account(run: Run) -> list[dict[str, Any]]:
    """A run's account as table rows: what was read on each side, and what came of it."""
    return [{"entity": entity, "read from": role, "read": tally.read,
             **{kind.value: number for kind, number in tally.outcomes.items()}}
            for (entity, role), tally in sorted(run.tallies.items()) if tally.read]


def run(config: Path, pair: str | None, entities: list[str], safety_stop: bool) -> Run:
    """What `connector sync --prefect` calls."""
    connector = open_connector(config)
    name = connector.pair_name(pair)
    connector.close()
    with tags("connector", name):
        return asyncio.run(sync_flow(str(config.resolve()), name, entities,
                                     safety_stop=safety_stop))
