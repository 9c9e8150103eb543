"""Runs an app: for a person until stopped, or for a test in a thread of its own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import uvicorn


class _Announced(uvicorn.Server):
    """A server that tells its base URL once it takes calls."""

    def __init__(self, config: uvicorn.Config, up: Callable[[str], None]) -> None:
        super().__init__(config)
        self._up = up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._up(f"http://{host}:{port}")


def serve(app: Any, host: str, port: int, up: Callable[[str], None] = lambda _url: None) -> None:
    """Serve until stopped; `up` is told the base URL once calls are taken. Port 0 is any free
    one."""
    config = uvicorn.Config(app, host=host, port=port, log_level="warning", access_log=False)
    with suppress(KeyboardInterrupt):
        _Announced(config, up).run()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(app: Any) -> Iterator[str]:
    """Serve in a thread and give the base URL; stops at the end of the block.

    Raises `RuntimeError` where the app does not start.
    """
    with running_together(app) as (url,):
        yield url


@contextmanager
def running_together(*apps: Any) -> Iterator[list[str]]:
    """Serve several apps, each in a thread of its own; they start and stop at the same time."""
    with ExitStack() as stack:
        served = [_in_thread(app, stack.enter_context(socket.socket())) for app in apps]
        try:
            yield [_url_once_up(*one) for one in served]
        finally:
            for server, _, _ in served:
                server.should_exit = True
            for _, thread, _ in served:
                thread.join(10)


_Served = tuple[uvicorn.Server, threading.Thread, int]


def _in_thread(app: Any, listening: socket.socket) -> _Served:
    listening.bind(("127.0.0.1", 0))  # bound here, so that nobody else can take the port
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False,
                                           timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    return server, thread, listening.getsockname()[1]


def _url_once_up(server: uvicorn.Server, thread: threading.Thread, port: int) -> str:
    deadline = time.monotonic() + 20
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the server did not start")
        time.sleep(0.01)
    return f"http://127.0.0.1:{port}"
