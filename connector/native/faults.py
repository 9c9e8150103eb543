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
    """What goes wrong: `kind`, the next `times` matching calls after `skip` of them.

    A call matches by its method and by how its path begins; both may be left out. `seconds` are
    how long a commit is delayed, or what Retry-After says.
    """

    kind: str
    method: str = ""
    path: str = ""
    times: int = 1
    skip: int = 0
    status: int = 503
    seconds: float = 1.0

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

    def as_rule(self) -> dict[str, Any]:
        """The rule as it would have to be set now."""
        return {"kind": self.kind, "match": {"method": self.method, "path": self.path},
                "times": self.times, "skip": self.skip, "status": self.status,
                "seconds": self.seconds}


class Faults:
    """The faults that are set, for calls and for webhooks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._set: list[Fault] = []

    def call(self, method: str, path: str) -> Fault | None:
        """The fault for a call, if one is meant for it."""
        with self._lock:
            return next((f for f in self._set if f.kind in CALLS and f.matches(method, path)),
                        None)

    def hook(self) -> str:
        """What is to go wrong with the next webhook; empty where nothing is."""
        with self._lock:
            fault = next((f for f in self._set if f.kind in HOOKS and f.matches("", "")), None)
            return fault.kind if fault else ""

    def change(self, rules: Any) -> None:
        """Set other faults. Raises `ValueError` for rules that can't be read."""
        if not isinstance(rules, list):
            raise ValueError("a list of rules is expected")
        faults = [_fault(rule) for rule in rules]
        with self._lock:
            self._set = faults

    def left(self) -> list[dict[str, Any]]:
        """The rules that are still to be met."""
        with self._lock:
            return [fault.as_rule() for fault in self._set if fault.times > 0]


def _fault(rule: Any) -> Fault:
    try:
        own = {name: value for name, value in rule.items() if name != "match"}
        fault = Fault(**own, **rule.get("match", {}))
    except (AttributeError, TypeError) as error:
        raise ValueError(f"{rule!r} is no rule: {error}") from None
    if fault.kind not in CALLS + HOOKS:
        raise ValueError(f"{fault.kind!r} is none of {', '.join(CALLS + HOOKS)}")
    return fault


class FaultSwitch:
    """ASGI middleware: `/_faults` shows (GET), sets (POST) and clears (DELETE) faults; the other
    calls meet them."""

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
        try:
            if scope["method"] == "POST":
                self.faults.change(orjson.loads(await body_of(receive)))
            elif scope["method"] == "DELETE":
                self.faults.change([])
        except ValueError as error:
            await answer(send, 422, orjson.dumps({"detail": str(error)}))
            return
        await answer(send, 200, orjson.dumps(self.faults.left()))

    async def _meet(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.kind == "fail_before":
            await answer(send, fault.status, b'{"detail": "fault: before"}')
        elif fault.kind == "rate_limit":
            await answer(send, 429, b'{"detail": "too many calls"}',
                         [(b"retry-after", str(int(fault.seconds)).encode())])
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
        if fault.kind == "half_body" and whole:
            await send(kept[0])
            await send({"type": "http.response.body", "body": whole[:len(whole) // 2],
                        "more_body": True})
        await hang_up(receive, send)


async def hang_up(receive: Receive, send: Send) -> None:
    """Close the connection, whatever was to be sent yet.

    ASGI has no word for it: an app that raises is answered for with a 500, or its headers are
    already out and, where they promise no body, look like a whole answer. So uvicorn's transport
    is closed; under another server `Dropped` is raised.
    """
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise Dropped
    transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass


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
