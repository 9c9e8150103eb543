"""Shows a run that the command line makes by itself to a Prefect server, as a flow run.

Prefect is not loaded for that, which takes longer than a small sync: its server is told over its
API, from a thread of its own. The run waits for none of it; in the end at most `PATIENCE` seconds.
A server that is away is said once, and does no harm.
"""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from queue import Queue
from typing import Any

import orjson
import requests
import structlog

from connector.domain.ledger import Run, RunState
from connector.errors import RunCancelled
from flows.words import SEE, TAG, account, artifact_key, said_of

PATIENCE = 2.0
"""Seconds for one call, and for all that is still to be told when the run is over."""


class Report:
    """One flow run of the server at `api`; `run_id` is the run's ID in our store."""

    def __init__(self, api: str, kind: str, pair: str, run_id: str, config: str) -> None:
        self._api, self._kind, self._pair = api.rstrip("/"), kind, pair
        self._flow_run = {
            "name": f"{kind}-{pair}", "tags": [TAG, pair, "cli"],
            "parameters": {"config": config, "pair": pair, "run": run_id},
            "state": {"type": "RUNNING", "name": "Running"}}
        self._ended: Queue[tuple[Run | None, BaseException | None]] = Queue(1)
        self._thread = threading.Thread(target=self._tell, name="report", daemon=True)
        self._thread.start()

    def end(self, run: Run | None, error: BaseException | None) -> None:
        """The run is over: `run`, as far as it came, and what it raised, if anything."""
        self._ended.put((run, error))
        self._thread.join(PATIENCE)

    def _tell(self) -> None:
        try:
            with requests.Session() as http:
                http.trust_env = False
                http.headers.update(_authorization())
                self._tell_all(http)
        except (requests.RequestException, KeyError, ValueError) as error:
            structlog.get_logger().warning("not shown in Prefect", api=self._api,
                                           error=type(error).__name__)

    def _tell_all(self, http: requests.Session) -> None:
        flow = self._post(http, "flows/", {"name": self._kind})["id"]
        flow_run = self._post(http, "flow_runs/", {**self._flow_run, "flow_id": flow})["id"]
        run, error = self._ended.get()
        if run is not None and run.state is not RunState.MERGED:
            self._post(http, "artifacts/", {
                "key": artifact_key(self._kind, self._pair), "type": "table",
                "data": orjson.dumps(account(run)).decode(), "flow_run_id": flow_run,
                "description": f"Run {run.id}: {run.state.value}"})
        kind, name, message = _state(run, error)
        self._post(http, "logs/", [{
            "name": "connector", "flow_run_id": flow_run, "message": message,
            "level": 20 if kind == "COMPLETED" else 40,
            "timestamp": datetime.now(UTC).isoformat()}])
        self._post(http, f"flow_runs/{flow_run}/set_state", {
            "state": {"type": kind, "name": name, "message": message}, "force": True})

    def _post(self, http: requests.Session, path: str, body: Any) -> Any:
        answer = http.post(f"{self._api}/{path}", json=body, timeout=PATIENCE)
        answer.raise_for_status()
        return answer.json() if answer.content else None


def _state(run: Run | None, error: BaseException | None) -> tuple[str, str, str]:
    """Type, name and message of the state in which the flow run ends."""
    if isinstance(error, KeyboardInterrupt | RunCancelled):
        return "CANCELLED", "Cancelled", "it was stopped"
    if error is not None:
        return "FAILED", "Failed", f"{type(error).__name__}; {SEE}"
    good, name, message = said_of(run)
    return "COMPLETED" if good else "FAILED", name, message


def _authorization() -> dict[str, str]:
    """As Prefect's own clients prove who they are."""
    key, basic = (os.environ.get(f"PREFECT_API_{name}") for name in ("KEY", "AUTH_STRING"))
    if key:
        return {"Authorization": f"Bearer {key}"}
    if basic:
        from base64 import b64encode

        return {"Authorization": f"Basic {b64encode(basic.encode()).decode()}"}
    return {}
