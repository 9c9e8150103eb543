"""The flows: `sync`, `reconcile` and `drain` of a pair.

The engine does the work; there is no rule about records here. Parameters carry names only, never
payloads or secrets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from prefect import flow, tags
from prefect.client.schemas.objects import State

from connector.bootstrap import open_connector
from connector.domain.drift import Drift
from connector.domain.ledger import Run
from flows.attend import CAME, Came, Order, attend
from flows.words import TAG


# `async` flows: a plain one waits a second at its end for Prefect's heartbeat thread.
@flow(name="sync", flow_run_name="sync-{pair}", persist_result=False)
async def sync_flow(config: str, pair: str, entities: list[str] | None = None,
                    safety_stop: bool = True, busy: str | None = None,
                    patience: float | None = None) -> State[Any]:
    """Bring a pair into agreement. Where another run works on it, `busy` (queue, merge) and
    `patience` (seconds) say what to do; as the config says, where they are not given."""
    return await attend(Order("sync", Path(config), pair, entities or [], safety_stop, busy,
                              patience))


@flow(name="reconcile", flow_run_name="reconcile-{pair}", persist_result=False)
async def reconcile_flow(config: str, pair: str, entities: list[str] | None = None,
                         safety_stop: bool = True, report_only: bool = False,
                         patience: float | None = None) -> State[Any]:
    """Compare everything on both sides of a pair, show what drifted, and repair it, unless it is
    to be reported only."""
    return await attend(Order("reconcile", Path(config), pair, entities or [], safety_stop, None,
                              patience, report_only))


@flow(name="drain", flow_run_name="drain-{pair}", persist_result=False)
async def drain_flow(config: str, pair: str, entities: list[str] | None = None,
                     safety_stop: bool = True, busy: str | None = None,
                     patience: float | None = None) -> State[Any]:
    """Work off what webhooks have told of a pair and what waits in its inbox."""
    return await attend(Order("drain", Path(config), pair, entities or [], safety_stop, busy,
                              patience))


FLOWS: dict[str, Callable[..., Coroutine[Any, Any, Any]]] = {
    "sync": sync_flow, "reconcile": reconcile_flow, "drain": drain_flow}


def run(kind: str, config: Path, pair: str | None,
        parameters: dict[str, Any]) -> tuple[Run, Drift | None]:
    """What `--prefect` calls: run a flow here and now. Raises what the engine raised."""
    connector = open_connector(config)
    name = connector.pair_name(pair)
    connector.close()
    came = Came()
    CAME.set(came)
    with tags(TAG, name):
        asyncio.run(FLOWS[kind](str(config.resolve()), name, return_state=True, **parameters))
    if came.error is not None:
        raise came.error
    if came.run is None:
        raise KeyboardInterrupt
    return came.run, came.drift
