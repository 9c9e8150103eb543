"""The receiver of webhooks, as an ASGI app.

`POST /webhooks/{system}`: size, rate, body, signature, commit, 202. Whatever is wrong with a
delivery is told by a status of its own, and never by a 500.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from connector.bootstrap import Connector
from connector.domain.records import Delivery
from connector.errors import ConnectorError, DeliveryRefused
from connector.ports import Adapter, Clock, Store
from connector.web.intake import Intake
from connector.web.rates import Rate

LARGEST_BODY = 1024 * 1024
"""Bytes of a delivery."""
SLOWEST_BODY = 10.0
"""Seconds in which a delivery has to be sent whole."""


PER_SECOND = 1000.0
"""Deliveries of one system that are let in."""


class Refused(Exception):
    """A delivery that is answered with `status`."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status, self.headers = status, headers


class Receiver:
    """Takes the deliveries of systems in; `counted` says how many had which status."""

    def __init__(self, adapters: Mapping[str, Adapter], store: Store, clock: Clock,
                 intake: Intake, per_second: float) -> None:
        self._adapters, self._store, self._clock = adapters, store, clock
        self.intake = intake
        self._rates = {system: Rate(per_second) for system in adapters}
        self.counted: dict[tuple[str, int], int] = defaultdict(int)

    def close(self) -> None:
        """Keep what has come, then stop."""
        self.intake.close()

    async def receive(self, request: Request) -> Response:
        """One delivery."""
        system = request.path_params["system"]
        try:
            new = await self._taken(system, request)
            answer = _json(202, {"status": "accepted" if new else "known"})
        except Refused as refused:
            answer = _json(refused.status, {"error": str(refused)}, refused.headers)
        except ConnectorError as error:
            structlog.get_logger().error("a delivery was not kept", system=system,
                                         error=type(error).__name__)
            answer = _json(503, {"error": "try again later"}, {"Retry-After": "5"})
        known = system if system in self._adapters else ""
        self.counted[known, answer.status_code] += 1
        return answer

    async def _taken(self, system: str, request: Request) -> bool:
        adapter = self._adapters.get(system)
        if adapter is None:
            raise Refused(404, "no such system")
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > LARGEST_BODY:
            raise Refused(413, f"at most {LARGEST_BODY} bytes are taken")
        if not self._rates[system].admit():
            raise Refused(429, "too many deliveries", **{"Retry-After": "1"})
        body = await _body(request)
        return await self.intake.keep(system, self._proved(system, adapter, request, body))

    def _proved(self, system: str, adapter: Adapter, request: Request, body: bytes) -> Delivery:
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            return adapter.parse_webhook(headers, body, self._clock.now())
        except DeliveryRefused as refusal:
            reason = refusal.message
            structlog.get_logger().info("delivery refused", system=system, reason=reason)
        except Exception as error:  # an adapter that others wrote: nobody gets a 500 for that
            reason = "it can't be read"
            structlog.get_logger().error("an adapter failed to read a delivery", system=system,
                                         error=type(error).__name__)
        raise Refused(401, reason)

    async def health(self, _request: Request) -> Response:
        """The process lives."""
        return _json(200, {"status": "ok"})

    async def ready(self, _request: Request) -> Response:
        """Deliveries can be kept: the store answers, and the intake is at work."""
        def store_answers() -> bool:
            try:
                with self._store.begin() as uow:
                    uow.note_deliveries(self._clock.now(), ())
                    return True
            except ConnectorError:
                return False

        ready = self.intake.at_work and await run_in_threadpool(store_answers)
        return _json(200 if ready else 503, {"status": "ready" if ready else "not ready"})


def open_receiver(connector: Connector, arrived: Callable[[set[str]], None],
                  per_second: float = PER_SECOND) -> Receiver:
    """A receiver for all systems of a config; `arrived` is told the pairs that have something to
    do. Raises `ConfigInvalid` where the settings of one are wrong."""
    adapters = {system: connector.adapter(system) for system in connector.config.systems}
    intake = Intake(connector.store, connector.clock, connector.shared(), arrived)
    return Receiver(adapters, connector.store, connector.clock, intake, per_second)


def create_app(receiver: Receiver, metrics: Callable[[], bytes] | None = None) -> Starlette:
    """The receiver's routes, and one for `metrics` in Prometheus' text format."""
    routes = [Route("/webhooks/{system}", receiver.receive, methods=["POST"]),
              Route("/health", receiver.health), Route("/ready", receiver.ready)]

    async def told(_request: Request) -> Response:
        assert metrics is not None
        return Response(await run_in_threadpool(metrics), media_type="text/plain; version=0.0.4")

    return Starlette(routes=[*routes, *([Route("/metrics", told)] if metrics else [])])


async def _body(request: Request) -> bytes:
    """The raw body. Raises `Refused` where it is too large, or comes too slowly."""
    body = bytearray()
    try:
        async with asyncio.timeout(SLOWEST_BODY):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_BODY:
                    raise Refused(413, f"at most {LARGEST_BODY} bytes are taken")
    except TimeoutError:
        raise Refused(408, "the delivery came too slowly") from None
    except ClientDisconnect:
        raise Refused(400, "the sender went away") from None
    return bytes(body)


def _json(status: int, content: Any, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, "application/json")
