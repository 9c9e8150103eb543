"""Has partitions worked off by the workers of a Prefect work pool, each as a flow run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from httpx import HTTPError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.exceptions import PrefectException
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.types.entrypoint import EntrypointType

from connector.config import ScaleConfig
from connector.domain.partitions import Partition
from connector.errors import ConfigInvalid
from flows.partitions import parameters, partition_flow

BETWEEN_LOOKS = 2.0
"""Seconds between two looks at how the flow runs stand."""


class PoolSpread:
    """A work pool. Where its server is away the run works everything off by itself."""

    def __init__(self, config: Path, scale: ScaleConfig, api: str | None) -> None:
        self._config, self._pool = config, str(scale.work_pool)
        self._api = api or PREFECT_API_URL.value()
        if not self._api:
            raise ConfigInvalid("`scale.by: prefect` needs a Prefect server.",
                                hint="Name it: PREFECT_API_URL, or `serve.prefect` in the config.")
        self._deployments: dict[str, UUID] = {}
        self._runs: dict[Partition, UUID] = {}
        self._final: set[UUID] = set()
        self._looked_at = 0.0

    def begin(self, partitions: Sequence[Partition], /) -> None:
        """Make a flow run for each."""
        self._runs, self._final, self._looked_at = {}, set(), 0.0
        try:
            with self._client() as client:
                deployment = self._deployment(partitions[0].pair)
                for part in partitions:
                    self._runs[part] = client.create_flow_run_from_deployment(
                        deployment, parameters=parameters(self._config, part),
                        name=f"{part.entity}-{part.slot}",
                        tags=["connector", part.pair, f"run:{part.run_id}"]).id
        except (HTTPError, PrefectException) as error:
            structlog.get_logger().warning("no flow runs were made", error=type(error).__name__,
                                           work_pool=self._pool)

    def awaits(self, partition: Partition, /) -> bool:
        """Whether its flow run has not ended yet. Where that can't be told, it is left alone for as
        long as the run is patient."""
        run = self._runs.get(partition)
        if run is None:
            return False
        if time.monotonic() - self._looked_at > BETWEEN_LOOKS:
            self._looked_at = time.monotonic()
            self._look()
        return run not in self._final

    def end(self) -> None:
        """Let what did not begin be: it finds that there is nothing to do."""
        self._runs = {}

    def close(self) -> None:
        """See the port: nothing is held."""

    def _look(self) -> None:
        try:
            with self._client() as client:
                runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(
                    id=FlowRunFilterId(any_=list(self._runs.values()))))
        except (HTTPError, PrefectException):
            return
        there = {run.id for run in runs}
        self._final = {run.id for run in runs if run.state is not None and run.state.is_final()}
        self._final |= set(self._runs.values()) - there  # somebody has deleted them

    def _deployment(self, pair: str) -> UUID:
        if pair not in self._deployments:
            made: Any = partition_flow.to_deployment(
                pair, work_pool_name=self._pool, tags=["connector", pair],
                entrypoint_type=EntrypointType.MODULE_PATH)
            self._deployments[pair] = made.apply()
        return self._deployments[pair]

    @contextmanager
    def _client(self) -> Iterator[SyncPrefectClient]:
        with temporary_settings({PREFECT_API_URL: self._api}), \
                get_client(sync_client=True) as client:
            yield client
