"""One run of the engine within a flow run: attended from the first page to the last artifact.

The engine works in a thread. When the flow run is cancelled, the engine is told so and ends before
its next write; nothing of it goes on when the flow run is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import get_run_logger
from prefect.artifacts import acreate_table_artifact
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from connector.bootstrap import open_connector
from connector.domain.drift import Drift
from connector.domain.ledger import Run, RunState
from connector.engine.run import Engine
from flows.phases import Tasks
from flows.progress import Progress
from flows.words import SEE, account, artifact_key, drifted, said_of
from flows.zombies import close_zombies, run_id_of


@dataclass(frozen=True, slots=True)
class Order:
    """What a flow run is to do: `kind` is `sync`, `drain` or `reconcile`. Names only: neither
    records nor secrets are given to Prefect."""

    kind: str
    config: Path
    pair: str
    entities: list[str]
    safety_stop: bool
    busy: str | None
    patience: float | None
    report_only: bool = False


@dataclass(slots=True)
class Came:
    """What came of an order, for whoever started the flow in this process."""

    run: Run | None = None
    drift: Drift | None = None
    error: Exception | None = None


CAME: ContextVar[Came | None] = ContextVar("came", default=None)


async def attend(order: Order) -> State[Any]:
    """Carry an order out; the state in which the flow run ends. What an error said is not told to
    Prefect, only its class: it may hold something of a record."""
    came = CAME.get() or Came()
    connector = open_connector(order.config)
    engine: Engine | None = None
    try:
        with suppress(Exception):  # others' remains; the next run looks again
            await close_zombies(connector, order.config, [order.pair])
        engine = connector.engine(
            order.pair, busy=connector.busy(order.pair, order.busy, order.patience),
            phase=Tasks(), run_id=lambda: run_id_of(str(flow_run.id), int(flow_run.run_count)))
        progress = Progress(connector.store, order.pair,
                            artifact_key(order.kind, order.pair, "progress"))
        came.run, came.drift = await _attended(
            engine, progress, lambda: _carry_out(engine, order, progress))
    except Exception as error:
        came.error, came.run = error, getattr(engine, "run", None)
    finally:
        connector.close()
    await _show(order, came)
    return _ended(came)


async def _attended(engine: Engine, progress: Progress, work: Callable[[], Any]) -> Any:
    """The result of `work`, done by the engine in a thread; it has ended when this returns."""
    working = asyncio.get_running_loop().run_in_executor(None, copy_context().run, work)
    try:
        await progress.follow(working)
        return await asyncio.shield(working)
    except BaseException:
        engine.cancel()
        await asyncio.wait({working})
        raise


def _carry_out(engine: Engine, order: Order, progress: Progress) -> tuple[Run, Drift | None]:
    if order.kind == "reconcile":
        return engine.reconcile(order.entities, report_only=order.report_only,
                                safety_stop=order.safety_stop, trigger="prefect",
                                observe=progress.observe)
    begin = engine.drain if order.kind == "drain" else engine.sync
    return begin(order.entities, safety_stop=order.safety_stop, trigger="prefect",
                 observe=progress.observe), None


async def _show(order: Order, came: Came) -> None:
    """The account, and what drifted, as tables."""
    run, log = came.run, get_run_logger()
    if came.error is not None:
        log.error("%s; %s", type(came.error).__name__, SEE)
    if run is None:
        return
    log.info("run %s: %s, %d writes", run.id, run.state.value, sum(run.writes.values()))
    if run.state is not RunState.MERGED:
        await acreate_table_artifact(key=artifact_key(order.kind, order.pair), table=account(run),
                                     description=f"Run {run.id}: {run.state.value}")
    if came.drift is not None:
        await acreate_table_artifact(
            key=artifact_key(order.kind, order.pair, "drift"), table=drifted(came.drift),
            description=f"{came.drift.total} drifted before run {run.id}")


def _ended(came: Came) -> State[Any]:
    if came.error is not None:
        told = f", run {came.run.id}" if came.run else ""
        return Failed(message=f"{type(came.error).__name__}; {SEE}{told}")
    good, name, message = said_of(came.run)
    return Completed(name=name, message=message) if good else Failed(message=message)
