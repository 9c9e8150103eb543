"""The CRM's API: REST under `/api`, bearer token, RFC 9457 problems."""

from __future__ import annotations

import base64
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request, Response
from standardwebhooks.webhooks import Webhook
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from connector.native.amounts import Company
from connector.native.crm import pages
from connector.native.crm.documents import SUMS
from connector.native.crm.keys import Answer, Keys
from connector.native.crm.load import opened
from connector.native.crm.merging import merge
from connector.native.crm.objects import ANSWERED, OBJECTS
from connector.native.crm.words import Refused, z
from connector.native.crm.writes import Done, bring_back, carry_out, restamp
from connector.native.database import Transaction, dumps, loads
from connector.native.faults import Faults, FaultSwitch
from connector.native.fields import schema
from connector.native.hooks import Hooks

LARGEST_BATCH, LARGEST_BODY = 100, 8 * 1024 * 1024
EVENTS = ("created", "updated", "deleted")
Work = Callable[[bytes], Response]


class Crm:
    """One CRM at work."""

    def __init__(self, database: str, token: str, clock: Callable[[], datetime] | None,
                 rate_limit: int | None, company: Company | None,
                 new_id: Callable[[], str] | None) -> None:
        self.database = opened(database, clock, company, new_id)
        self.token, self.rate_limit = token, rate_limit
        self.faults, self.keys = Faults(), Keys()
        self.hooks = Hooks(self.database, sign, self.faults)
        self._second, self._calls = 0, 0

    def admit(self, request: Request, object: str | None) -> None:
        """Let a call in. Raises `Refused`."""
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
            raise Refused(401, "a valid bearer token is expected",
                          headers={"WWW-Authenticate": "Bearer"})
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._calls = second, 0
        self._calls += 1
        if self.rate_limit is not None and self._calls > self.rate_limit:
            raise Refused(429, "too many calls", headers={"Retry-After": "1"})
        if object is not None and object not in OBJECTS:
            raise Refused(404, f"there are no {object}")

    def write(self, object: str, operations: list[Any], told: Callable[[list[Done]], Answer], *,
              key: str | None = None, call: bytes = b"") -> Response:
        """Carry out operations in one transaction; under a key that was used for the same `call`,
        answer as then. Raises `Refused`."""
        with self.keys.held(key), self.database.write() as transaction:
            earlier = self.keys.earlier(transaction, key, call) if key is not None else None
            if earlier is not None:
                return as_response(earlier)
            done = carry_out(transaction, object, operations)
            restamp(transaction)
            answer = told(done)
            if key is not None:
                self.keys.keep(transaction, key, call, answer)
            transaction.events = [e for e in transaction.events if e[0] != SUMS]
            self.hooks.note(transaction, lambda *event: _message(transaction, *event))
        self.hooks.wake()
        return as_response(answer)

    def merge(self, object: str, id: str, body: bytes) -> Response:
        """Make a record part of another one. Raises `Refused`."""
        with self.database.write() as transaction:
            survivor = merge(transaction, object, id, _json(body))
            restamp(transaction)
            self.hooks.note(transaction, lambda *event: _message(transaction, *event))
        self.hooks.wake()
        return as_response(single([Done(200, survivor)]))

    def bring_back(self, object: str, id: str) -> Response:
        """Undo the deletion of a record. Raises `Refused`."""
        with self.database.write() as transaction:
            entry = bring_back(transaction, object, id)
            restamp(transaction)
            transaction.events = [e for e in transaction.events if e[0] != SUMS]
            self.hooks.note(transaction, lambda *event: _message(transaction, *event))
        self.hooks.wake()
        return as_response(single([Done(200, entry)]))

    def webhooks(self) -> Response:
        """The registered webhooks."""
        return as_json([_shown(hook) for hook in self.hooks.registered.values()])

    def register(self, body: bytes) -> Response:
        """Register a webhook. Raises `Refused`."""
        return as_json(_shown(self.hooks.register(_hook(_json(body)))), 201)

    def forget(self, hook_id: str) -> Response:
        """Forget a webhook. Raises `Refused`."""
        if hook_id not in self.hooks.registered:
            raise Refused(404, f"there is no webhook {hook_id}")
        self.hooks.remove(hook_id)
        return Response(status_code=204)


def create_app(database: str = "sqlite:///native-crm.db", *, token: str = "crm-demo-token",
               clock: Callable[[], datetime] | None = None, faults: bool = False,
               rate_limit: int | None = None, company: Company | None = None,
               new_id: Callable[[], str] | None = None) -> Any:
    """The CRM as an ASGI app. `clock` gives an aware UTC time, `new_id` what follows the prefix of
    an ID; `faults` offers the fault switch; `rate_limit` is in calls a second; `company` says how
    documents are rounded."""
    crm = Crm(database, token, clock, rate_limit, company, new_id)

    @asynccontextmanager
    async def life(_app: FastAPI) -> Any:
        yield
        crm.hooks.stop()
        crm.database.close()

    app = FastAPI(title="Native CRM", version="1", lifespan=life)
    _routes(app, crm)
    _document(app)

    @app.exception_handler(Refused)
    async def refused(_request: Request, refusal: Refused) -> Response:
        return as_problem(refusal)

    @app.exception_handler(ClientDisconnect)
    async def gone(_request: Request, _error: ClientDisconnect) -> Response:
        return Response(status_code=400)  # nobody reads it: the caller went away in mid-call

    @app.exception_handler(HTTPException)
    async def unknown(_request: Request, error: HTTPException) -> Response:
        return as_problem(Refused(error.status_code, str(error.detail), headers=error.headers))

    return FaultSwitch(app, crm.faults) if faults else app


def _routes(app: FastAPI, crm: Crm) -> None:
    async def guarded(request: Request, object: str | None, work: Work) -> Response:
        crm.admit(request, object)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_BODY:
                raise Refused(413, f"at most {LARGEST_BODY} bytes are taken")
        return await run_in_threadpool(work, body)

    def key_of(request: Request) -> str | None:
        return request.headers.get("idempotency-key")

    def call_of(request: Request, body: bytes) -> bytes:
        return f"{request.method} {request.url.path}\n".encode() + body

    @app.get("/api/webhooks")
    async def hooks(request: Request) -> Response:
        return await guarded(request, None, lambda _: crm.webhooks())

    @app.post("/api/webhooks")
    async def add_hook(request: Request) -> Response:
        return await guarded(request, None, crm.register)

    @app.delete("/api/webhooks/{hook_id}")
    async def remove_hook(request: Request, hook_id: str) -> Response:
        return await guarded(request, None, lambda _: crm.forget(hook_id))

    @app.get("/api/{object}")
    async def page(request: Request, object: str) -> Response:
        return await guarded(request, object, lambda _: pages.page(
            crm.database, object, request.query_params))

    @app.get("/api/{object}/{id}")
    async def one(request: Request, object: str, id: str) -> Response:
        return await guarded(request, object, lambda _: pages.one(crm.database, object, id))

    @app.post("/api/{object}")
    async def create(request: Request, object: str) -> Response:
        return await guarded(request, object, lambda body: crm.write(
            object, [{"method": "create", "body": _json(body)}], single, key=key_of(request),
            call=call_of(request, body)))

    @app.patch("/api/{object}/{id}")
    async def change(request: Request, object: str, id: str) -> Response:
        return await guarded(request, object, lambda body: crm.write(object, [
            {"method": "update", "id": id, "body": _json(body),
             "ifMatch": request.headers.get("if-match")}], single))

    @app.post("/api/{object}/{id}/restore")
    async def restored(request: Request, object: str, id: str) -> Response:
        return await guarded(request, object, lambda _: crm.bring_back(object, id))

    @app.post("/api/{object}/{id}/merge")
    async def merged(request: Request, object: str, id: str) -> Response:
        return await guarded(request, object, lambda body: crm.merge(object, id, body))

    @app.delete("/api/{object}/{id}")
    async def remove(request: Request, object: str, id: str) -> Response:
        return await guarded(request, object, lambda _: crm.write(object, [
            {"method": "delete", "id": id, "ifMatch": request.headers.get("if-match")}], single))

    @app.post("/api/{object}/batch")
    async def batch(request: Request, object: str) -> Response:
        return await guarded(request, object, lambda body: crm.write(
            object, _operations(body), several, key=key_of(request), call=call_of(request, body)))


def single(done: list[Done]) -> Answer:
    """The answer to one operation."""
    (only,) = done
    if only.entry is None:
        return Answer(only.status, dumps(only.problem))
    if only.status == 204:
        return Answer(204, b"")
    return Answer(only.status, dumps(only.entry.data), only.entry.data["etag"])


def several(done: list[Done]) -> Answer:
    """The answer to a batch: a result for each operation (207)."""
    return Answer(207, dumps({"results": [
        {"status": d.status, "error": d.problem} if d.entry is None else
        {"status": d.status, "body": d.entry.data if d.status != 204 else None}
        for d in done]}))


def as_response(answer: Answer) -> Response:
    """An answer to a write, over HTTP."""
    kind = "application/json" if answer.status < 400 else "application/problem+json"
    return Response(answer.content or None, answer.status, {"ETag": answer.etag} if answer.etag
                    else None, media_type=kind if answer.content else None)


def as_problem(refusal: Refused) -> Response:
    """A refusal, over HTTP."""
    return Response(dumps(refusal.problem), refusal.status, refusal.headers,
                    media_type="application/problem+json")


def as_json(value: Any, status: int = 200) -> Response:
    """Anything, over HTTP."""
    return Response(dumps(value), status, media_type="application/json")


def sign(delivery: str, body: bytes, secret: str) -> dict[str, str]:
    """The headers of a delivery, signed as Standard Webhooks 1.0.0 says."""
    now = datetime.now(UTC)
    id = f"msg_{delivery[-32:]}"  # without a full stop, which parts the signed text
    return {"webhook-id": id, "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(secret).sign(id, now, body.decode())}


def _hook(given: Any) -> dict[str, Any]:
    """A webhook as it is kept; a secret is made up where none is given."""
    errors = {}
    url, events, secret = (given.get(name) if isinstance(given, dict) else None
                           for name in ("url", "events", "secret"))
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        errors["url"] = "an http(s) address is expected"
    known = {"*", *(f"{object}.{event}" for object in OBJECTS for event in EVENTS)}
    if not isinstance(events or [], list) or not set(map(str, events or [])) <= known:
        errors["events"] = "a list is expected, of * or of such as accounts.updated"
    if secret is not None and not _is_secret(secret):
        errors["secret"] = "whsec_ and base64 are expected"
    if errors:
        raise Refused(422, "the webhook is not valid", errors)
    return {"url": url, "topics": events or ["*"], "secret": secret or
            "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()}


def _is_secret(secret: Any) -> bool:
    try:
        return isinstance(secret, str) and secret.startswith("whsec_") and bool(
            base64.b64decode(secret.removeprefix("whsec_"), validate=True))
    except ValueError:
        return False


def _shown(hook: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": hook["id"], "url": hook["url"], "events": hook["topics"],
            "secret": hook["secret"]}


def _message(transaction: Transaction, object: str, id: Any, event: str) -> tuple[str, bytes]:
    entry = transaction.get(object, id)
    topic = f"{object}.{event}"
    return topic, dumps({"type": topic, "timestamp": z(transaction.now), "data": {
        "object": object, "id": id, "etag": entry.data["etag"] if entry else None}})


def _document(app: FastAPI) -> None:
    """Put the objects' fields into the OpenAPI document."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        document.setdefault("components", {})["schemas"] = {
            name: schema(spec) for name, spec in ANSWERED.items()}
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _json(body: bytes) -> Any:
    try:
        return loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is no JSON") from None


def _operations(body: bytes) -> list[Any]:
    given = _json(body)
    operations = given.get("operations") if isinstance(given, dict) else None
    if not isinstance(operations, list):
        raise Refused(422, "a list of operations is expected",
                      {"operations": "a list is expected"})
    if len(operations) > LARGEST_BATCH:
        raise Refused(413, f"at most {LARGEST_BATCH} operations are taken")
    return operations
