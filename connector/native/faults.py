"""The fault switch: makes the next calls go wrong, for tests. Off unless an app is told to offer
it."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import orjson

from connector.native.database import commit_delay

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CALLS = ("fail_before", "fail_after", "drop_after", "delay_commit", "rate_limit", "half_body")
HOOKS = ("webhook_lose", "webhook_double", "webhook_reorder")


class Dropped(Exception):
    """The connection is broken off on purpose."""


@dataclass(slots=True)
class Fault:
    """What goes wrong: `kind`, the next `times` matching calls after `skip` of them."""

    kind: str
    method: str = ""
    path: str = ""
    times: int = 1
    skip: int = 0
    status: int = 503
    seconds: float = 0.0

    def matches(self, method: str, path: str) -> bool:
        """Whether a call is meant; counts it."""
        if self.times <= 0 or (self.method and self.method != method) \
                or not path.startswith(self.path):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


class Faults:
    """The faults that are set, for calls and for webhooks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.set: list[Fault] = []

    def call(self, method: str, path: str) -> Fault | None:
        """The fault for a call, if one is meant for it."""
        with self._lock:
            return next((f for f in self.set if f.kind in CALLS and f.matches(method, path)), None)

    def hook(self) -> str:
        """What is to go wrong with the next webhook; empty where nothing is."""
        with self._lock:
            fault = next((f for f in self.set if f.kind in HOOKS and f.matches("", "")), None)
            return fault.kind if fault else ""

    def change(self, rules: list[dict[str, Any]]) -> None:
        """Set other faults."""
        with self._lock:
            self.set = [Fault(rule["kind"], rule.get("match", {}).get("method", ""),
                              rule.get("match", {}).get("path", ""), rule.get("times", 1),
                              rule.get("skip", 0), rule.get("status", 503),
                              rule.get("seconds", 0.0)) for rule in rules]


class FaultSwitch:
    """ASGI middleware: `POST /_faults` sets faults, `DELETE` clears them, the rest meets them."""

    def __init__(self, app: App, faults: Faults) -> None:
        self.app, self.faults = app, faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["path"] == "/_faults":
            await self._switch(scope, receive, send)
        else:
            fault = self.faults.call(scope["method"], scope["path"])
            if fault is None:
                await self.app(scope, receive, send)
            else:
                await self._meet(fault, scope, receive, send)

    async def _switch(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            self.faults.change(orjson.loads(await body_of(receive)))
        elif scope["method"] == "DELETE":
            self.faults.change([])
        await answer(send, 200, orjson.dumps([f.kind for f in self.faults.set if f.times > 0]))

    async def _meet(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.kind == "fail_before":
            await answer(send, fault.status, b'{"detail": "fault: before"}')
        elif fault.kind == "rate_limit":
            await answer(send, 429, b'{"detail": "too many calls"}', [(b"retry-after", b"1")])
        elif fault.kind == "delay_commit":
            commit_delay.set(fault.seconds)
            await self.app(scope, receive, send)
        else:
            await self._after(fault, scope, receive, send)

    async def _after(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry the call out, then lose or spoil the answer."""
        kept: list[Message] = []

        async def keep(message: Message) -> None:
            kept.append(message)

        await self.app(scope, receive, keep)
        if fault.kind == "fail_after":
            await answer(send, fault.status, b'{"detail": "fault: after"}')
            return
        whole = b"".join(m.get("body", b"") for m in kept)
        await send(kept[0])
        if fault.kind == "half_body":
            await send({"type": "http.response.body", "body": whole[:len(whole) // 2],
                        "more_body": True})
        raise Dropped


async def body_of(receive: Receive) -> bytes:
    """A request's whole body."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def answer(send: Send, status: int, body: bytes,
                 headers: list[tuple[bytes, bytes]] | None = None) -> None:
    """A JSON answer."""
    await send({"type": "http.response.start", "status": status, "headers": [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()), *(headers or [])]})
    await send({"type": "http.response.body", "body": body})
