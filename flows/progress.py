"""How far a long run is, as a progress artifact."""

from __future__ import annotations

import asyncio
from collections import Counter
from threading import Lock
from typing import Any
from uuid import UUID

from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact

from connector.ports import Store

EVERY = 5.0
"""Seconds between two looks; a run that is over before the first one has no such artifact."""


class Progress:
    """Told by the engine what is read and written, and by the store what is left.

    How much there is to do is known once it is read: until then it stands at 0 %.
    """

    def __init__(self, store: Store, pair: str, key: str) -> None:
        self._store, self._pair, self._key = store, pair, key
        self._done, self._counting = Counter[str](), Lock()
        self._most, self._percent = 0, 0.0
        self._artifact: UUID | None = None

    def observe(self, entity: str, phase: str, done: int) -> None:  # noqa: ARG002
        """See `connector.engine.session.Observe`."""
        with self._counting:
            self._done[phase] += done

    async def follow(self, work: asyncio.Future[Any]) -> None:
        """Tell how far it is until `work` is done, however it ends."""
        while not (await asyncio.wait({work}, timeout=EVERY))[0]:
            left = await asyncio.to_thread(self._left)
            self._most = max(self._most, left)
            if self._most:
                self._percent = max(self._percent, 100 * (1 - left / self._most))
            await self._tell(f"{left} to work off")
        if self._artifact is not None and not work.cancelled() and work.exception() is None:
            self._percent = 100.0
            await self._tell("done")

    async def _tell(self, what: str) -> None:
        said = f"{self._done['pull']} records read, {self._done['write']} written, {what}"
        if self._artifact is None:
            self._artifact = await acreate_progress_artifact(
                self._percent, key=self._key, description=said)
        else:
            await aupdate_progress_artifact(self._artifact, self._percent, description=said)

    def _left(self) -> int:
        with self._store.begin() as uow:
            return sum(number for (_, _, state), number in uow.inbox_counts(self._pair).items()
                       if state in ("pending", "hinted"))
