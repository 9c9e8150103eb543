"""One partition of an inbox, worked off as a flow run of a work pool or a task on a Dask cluster.

Parameters carry names and numbers only; what is to be done stands in the store.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")

from prefect import flow, get_run_logger, task

from connector.bootstrap import open_connector
from connector.domain.partitions import Partition
from connector.errors import LeaseLost


def parameters(config: Path, partition: Partition) -> dict[str, Any]:
    """What a flow run or task for a partition is given."""
    return {"config": str(config), **asdict(partition)}


def work_off(config: str, partition: Partition) -> str:
    """Work a partition off in this process; what came of it. Where it fails it is left to the run,
    which meets the error itself, if that still stands."""
    connector = open_connector(Path(config))
    try:
        done = connector.drain_partition(partition)
        return "done" if done else "nothing to do: done already, or somebody works on it"
    except LeaseLost as error:
        return f"nothing more to do: {error}"
    finally:
        connector.close()


# An `async` flow: a plain one waits a second at its end for Prefect's heartbeat thread.
@flow(name="partition", persist_result=False, validate_parameters=True)
async def partition_flow(config: str, pair: str, run_id: str, entity: str, slot: int,
                         token: int) -> None:
    """Work off one partition, in a worker of a work pool."""
    came = await asyncio.to_thread(work_off, config, Partition(pair, run_id, entity, slot, token))
    get_run_logger().info("%s, partition %d: %s", entity, slot, came)


@task(name="partition", task_run_name="{entity}-{slot}", persist_result=False)
def partition_task(config: str, pair: str, run_id: str, entity: str, slot: int,
                   token: int) -> None:
    """Work off one partition, in a worker of a Dask cluster."""
    came = work_off(config, Partition(pair, run_id, entity, slot, token))
    get_run_logger().info("%s, partition %d: %s", entity, slot, came)
