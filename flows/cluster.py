"""Has partitions worked off by the workers of a Dask cluster, each as a task of a flow run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import distributed
from prefect import flow
from prefect.futures import wait
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect_dask.task_runners import DaskTaskRunner

from connector.config import ScaleConfig
from connector.domain.partitions import Partition
from flows.partitions import parameters, partition_task

PATIENCE = 30.0
"""Seconds that a flow run has at the end to note what has come of it."""


@flow(name="partitions", persist_result=False, validate_parameters=False)
def partitions_flow(config: Path, partitions: Sequence[Partition]) -> None:
    """Work off partitions, each as a task."""
    wait([partition_task.submit(**parameters(config, part)) for part in partitions])


class ClusterSpread:
    """A Dask cluster: the one that the config names, or worker processes of this run's own."""

    def __init__(self, config: Path, scale: ScaleConfig, api: str | None) -> None:
        self._config, self._api = config, api
        self._address, self._workers = scale.cluster, scale.workers
        self._own: distributed.LocalCluster | None = None
        self._flow: Thread | None = None

    def begin(self, partitions: Sequence[Partition], /) -> None:
        """Hand them to the cluster, in a flow run beside this one."""
        self.end()
        runner = DaskTaskRunner(address=self._where())
        self._flow = Thread(target=self._run, args=(runner, list(partitions)), name="dask",
                            daemon=True)
        self._flow.start()

    def awaits(self, _partition: Partition, /) -> bool:
        """Whether the flow run goes on."""
        return self._flow is not None and self._flow.is_alive()

    def end(self) -> None:
        """Let the flow run end: there is nothing more to do in it."""
        if self._flow is not None:
            self._flow.join(PATIENCE)
            self._flow = None

    def close(self) -> None:
        """End worker processes that were started for the run."""
        self.end()
        if self._own is not None:
            self._own.close()
            self._own = None

    def _where(self) -> str:
        if self._address is not None:
            return self._address
        if self._own is None:
            self._own = distributed.LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=self._workers, threads_per_worker=1, processes=True,
                dashboard_address=None)
        return str(self._own.scheduler_address)

    def _run(self, runner: Any, partitions: Sequence[Partition]) -> None:
        with temporary_settings({PREFECT_API_URL: self._api} if self._api else {}):
            partitions_flow.with_options(task_runner=runner)(self._config, partitions)
