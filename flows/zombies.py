"""Closes flow runs that nobody works on any more.

A process that is killed, or whose machine is gone, leaves its flow run running for ever: Prefect
asks nobody. Our store knows better: a flow run has a run of its own there, under an ID that follows
from the flow run's, and whether that one is at work is said by the pair's lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Crashed

from connector.bootstrap import Connector
from connector.domain.ledger import Run, RunState
from flows.words import TAG

OPEN = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
GRACE = timedelta(minutes=2)
"""How long a process may take to begin, or to end after its run has."""


def run_id_of(flow_run_id: str, attempt: int) -> str:
    """The ID of a flow run's run; a flow run that somebody starts anew has another one."""
    first = UUID(flow_run_id).hex[:12]
    return first if attempt <= 1 else f"{first[:9]}-{attempt}"


def dead(state: StateType, since: datetime, run: Run | None, patience: float,
         now: datetime) -> bool:
    """Whether nobody works on a flow run that has been in `state` since then; `run` is its own run
    as the store has it, `patience` for how many seconds it may have to wait for its turn."""
    if run is None:
        return now - since > GRACE + timedelta(
            seconds=patience if state is StateType.RUNNING else 0)
    if run.state is RunState.RUNNING:
        return False
    return run.state is RunState.ABANDONED or now - (run.ended_at or since) > GRACE


async def close_zombies(connector: Connector, config: Path, pairs: Sequence[str]) -> list[str]:
    """Close the flow runs of these pairs that nobody works on, and runs that dead processes left
    running in the store; the names of those flow runs."""
    closed = []
    async with get_client() as client:
        for pair in pairs:
            await asyncio.to_thread(connector.close_abandoned, pair)
            for flow_run in await client.read_flow_runs(flow_run_filter=FlowRunFilter(
                    tags=FlowRunFilterTags(all_=[TAG, pair]),
                    state=FlowRunFilterState(type=FlowRunFilterStateType(any_=OPEN)))):
                if flow_run.parameters.get("config") == str(config) \
                        and await asyncio.to_thread(_dead, connector, pair, flow_run):
                    await client.set_flow_run_state(flow_run.id, Crashed(
                        message="The process that worked on it has ended."), force=True)
                    closed.append(flow_run.name)
    return closed


def _dead(connector: Connector, pair: str, flow_run: FlowRun) -> bool:
    if flow_run.state is None:
        return False
    given = flow_run.parameters
    # Who reports a run, or works on a partition of one, names it.
    run_id = given.get("run") or given.get("run_id") \
        or run_id_of(str(flow_run.id), flow_run.run_count)
    with connector.store.begin() as uow:
        run = uow.run(pair, run_id)
    patience = connector.busy(pair, None, given.get("patience")).patience
    return dead(flow_run.state.type, flow_run.state.timestamp, run, patience,
                connector.clock.now())
