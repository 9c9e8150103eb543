"""Keeps the schedules of a config with Prefect: its server, if none is given, and the process that
starts the runs. Prefect itself is imported by those processes only.

Where the server can't be reached schedules pause, and say so; they go on once it can.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import requests
import structlog

QUIET = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1",
         "PREFECT_LOGGING_LEVEL": "WARNING", "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
         "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs"}
CHECKED_EVERY = 5.0
"""Seconds between two looks at the server and at the processes."""
LONGEST = 60.0
"""Seconds before a process that ended by itself is started again; doubled each time."""


class Schedules:
    """The schedules at work; `state` says whether they are, and if not, why."""

    def __init__(self, config: Path, api: str | None, port: int) -> None:
        given = api or os.environ.get("PREFECT_API_URL")
        self.api = (given or f"http://127.0.0.1:{port}/api").rstrip("/")
        self.state = "starting"
        env = {**os.environ, **QUIET, "PREFECT_API_URL": self.api}
        # Its console would else ask at the port that is usual.
        alone = {**env, "PREFECT_SERVER_UI_API_URL": self.api}
        own = None if given else _Process(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1",
             "--port", str(port)], {k: v for k, v in alone.items() if k != "PREFECT_API_URL"})
        self._server = own
        self._runner = _Process([sys.executable, "-m", "flows.runner", str(config.resolve())], env)
        self._http = requests.Session()
        self._http.trust_env = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="schedules", daemon=True)

    def start(self) -> None:
        """Begin; returns at once, for the server takes some seconds."""
        self._thread.start()

    def stop(self) -> None:
        """Pause the schedules, and end what was started."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._runner.end()
        if self._server is not None:
            self._server.end()

    def _work(self) -> None:
        while not self._stop.is_set():
            reached = self._reached()
            if not reached and self._server is not None:
                self._server.keep()
            if reached:
                self._runner.keep()
            self._say("running" if reached and self._runner.at_work else
                      f"paused: Prefect can't be reached at {self.api}" if not reached else
                      "paused: the process that starts the runs has ended")
            self._stop.wait(CHECKED_EVERY)

    def _reached(self) -> bool:
        try:
            return self._http.get(f"{self.api}/health", timeout=3).ok
        except requests.RequestException:
            return False

    def _say(self, state: str) -> None:
        if state != self.state:
            log = structlog.get_logger()
            (log.info if state == "running" else log.warning)("schedules", state=state)
        self.state = state


class _Process:
    """A process that is started again when it ends by itself, after growing waits."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self._command, self._env = command, env
        self._process: subprocess.Popen[bytes] | None = None
        self._rounds, self._tries = 0, 0

    @property
    def at_work(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def keep(self) -> None:
        """Start it where it doesn't run, unless it ended just now."""
        if self.at_work:
            return
        if self._rounds > 0:
            self._rounds -= 1
            return
        self._rounds = int(min(CHECKED_EVERY * 2 ** self._tries, LONGEST) / CHECKED_EVERY) - 1
        self._tries = min(self._tries + 1, 10)
        self.end()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flows.leash", *self._command], env=self._env,
            stdin=subprocess.PIPE, stdout=sys.stderr.fileno(), start_new_session=True)

    def end(self) -> None:
        """Let it end, and wait for that."""
        if self._process is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()  # the leash takes that as the sign
        self._process.wait()
        self._process = None
