"""The CRM's API: REST under `/api`, bearer token, RFC 9457 problems."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import FastAPI, Request, Response
from sqlalchemy import String, true
from starlette.concurrency import run_in_threadpool

from connector.native.crm.objects import ANSWERED, OBJECTS
from connector.native.crm.writes import Done, carry_out, problem, restamp
from connector.native.database import Database, Transaction, dumps, loads
from connector.native.faults import Faults, FaultSwitch
from connector.native.fields import schema
from connector.native.hooks import Hooks

LARGEST_PAGE, LARGEST_BATCH, LARGEST_BODY = 500, 100, 8 * 1024 * 1024
KEY_LIFE = timedelta(hours=24)
_FILTERS = {"external_ref": "reference", "ids": "id", "sku": "natural", "vat_number": "natural"}


class Crm:
    """One CRM at work."""

    def __init__(self, database: str, token: str, clock: Callable[[], datetime],
                 rate_limit: int | None) -> None:
        self.database = Database(database, clock, id_type=String(40), unique_reference=False)
        self.token, self.rate_limit = token, rate_limit
        self.faults = Faults()
        self.hooks = Hooks(self.database, sign, self.faults)
        self.in_flight: set[str] = set()
        self._second, self._calls = 0, 0

    def refusal(self, request: Request) -> Response | None:
        """Why a call isn't taken, if it isn't."""
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
            return told(401, "a valid bearer token is expected")
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._calls = second, 0
        self._calls += 1
        if self.rate_limit is not None and self._calls > self.rate_limit:
            return told(429, "too many calls", headers={"Retry-After": "1"})
        return None

    # ---- reading

    def page(self, object: str, query: Mapping[str, str]) -> Response:
        """A page of records, ordered by (updatedAt, id)."""
        rows = self.database.rows
        as_of = self.database.now()
        try:
            limit = max(1, min(int(query.get("limit", "100")), LARGEST_PAGE))
            after = _position(query["cursor"]) if "cursor" in query else None
            since = _utc(query["updated_since"]) if "updated_since" in query else None
        except ValueError as error:
            return told(400, str(error))
        conditions: list[Any] = [
            rows.c[column].in_(query[name].split(",")[:LARGEST_PAGE])
            for name, column in _FILTERS.items() if name in query]
        hidden = query.get("include_deleted") != "true"
        conditions.append(rows.c.deleted.is_(False) if hidden else true())
        found = self.database.page(object, after, limit, since=since, conditions=conditions)
        more = b"null"
        if len(found) == limit:
            more = dumps(_cursor(found[-1].changed, found[-1].id))
        return Response(b'{"data":[' + b",".join(row.body for row in found)
                        + b'],"nextCursor":' + more + b',"asOf":' + dumps(_z(as_of)) + b"}",
                        media_type="application/json")

    def one(self, object: str, id: str) -> Response:
        """One record, with its ETag."""
        rows = self.database.rows
        found = self.database.page(object, None, 1, conditions=[rows.c.id == id])
        if not found:
            return told(404, f"there is no {object} {id}")
        if found[0].deleted:
            return told(410, f"{id} was deleted")
        return Response(found[0].body, media_type="application/json",
                        headers={"ETag": loads(found[0].body)["etag"]})

    # ---- writing

    def write(self, object: str, operations: list[dict[str, Any]], key: str | None, body: bytes,
              answer: Callable[[list[Done]], tuple[int, bytes]]) -> Response:
        """Carry out operations in one transaction; a repeated key is answered as the first time.

        Idempotency keys follow the IETF draft (draft-ietf-httpapi-idempotency-key-header-07): 422
        for the same key with another body, 409 while the first one is being worked on.
        """
        if key is None:
            return self._write(object, operations, None, b"", answer)
        if key in self.in_flight:
            return told(409, "a call with this key is in flight", headers={"Retry-After": "1"})
        self.in_flight.add(key)
        try:
            return self._write(object, operations, key, hashlib.sha256(body).digest(), answer)
        finally:
            self.in_flight.discard(key)

    def _write(self, object: str, operations: list[dict[str, Any]], key: str | None,
               digest: bytes, answer: Callable[[list[Done]], tuple[int, bytes]]) -> Response:
        with self.database.write() as transaction:
            if key is not None:
                kept = self._remembered(transaction, key)
                if kept is not None:
                    return kept.answer_to(digest)
            done = carry_out(transaction, object, operations)
            restamp(transaction)
            status, content = answer(done)
            if key is not None:
                transaction.keep("key", key, dumps({
                    "digest": digest.hex(), "status": status, "content": content.decode()}))
            self.hooks.note(transaction, _message)
        self.hooks.wake()
        headers = {}
        if len(done) == 1 and done[0].entry is not None and status in (200, 201):
            headers["ETag"] = str(done[0].entry.data["etag"])
        kind = "application/json" if status < 400 else "application/problem+json"
        return Response(content, status, media_type=kind, headers=headers)

    def _remembered(self, transaction: Transaction, key: str) -> Remembered | None:
        kept = transaction.kept("key", key)
        return None if kept is None else Remembered(**loads(kept))


class Remembered:
    """The answer that was given to a call with an idempotency key."""

    def __init__(self, digest: str, status: int, content: str) -> None:
        self.digest, self.status, self.content = digest, status, content

    def answer_to(self, digest: bytes) -> Response:
        """The same answer to the same call; 422 to another one."""
        if digest.hex() != self.digest:
            return told(422, "this key was used with another body")
        return Response(self.content, self.status, media_type="application/json")


def create_app(database: str = "sqlite:///native-crm.db", *, token: str = "crm-demo-token",
               clock: Callable[[], datetime] | None = None, faults: bool = False,
               rate_limit: int | None = None) -> Any:
    """The CRM as an ASGI app. `clock` gives an aware UTC time; `faults` offers the fault switch;
    `rate_limit` is in calls a second."""
    crm = Crm(database, token, clock or (lambda: datetime.now(UTC)), rate_limit)

    @asynccontextmanager
    async def life(_app: FastAPI) -> Any:
        yield
        crm.hooks.stop()
        crm.database.close()

    app = FastAPI(title="Native CRM", version="1", lifespan=life)
    _routes(app, crm)
    _document(app)
    return FaultSwitch(app, crm.faults) if faults else app


def _routes(app: FastAPI, crm: Crm) -> None:
    async def guarded(request: Request, object: str | None,
                      work: Callable[[], Response]) -> Response:
        refusal = crm.refusal(request)
        if refusal is None and object is not None and object not in OBJECTS:
            refusal = told(404, f"there are no {object}")
        if refusal is not None:
            return refusal
        return await run_in_threadpool(work)

    @app.get("/api/webhooks")
    async def hooks(request: Request) -> Response:
        return await guarded(request, None, lambda: as_json(list(crm.hooks.registered.values())))

    @app.post("/api/webhooks")
    async def add_hook(request: Request) -> Response:
        given = _json(await request.body()) or {}
        return await guarded(request, None, lambda: as_json(_registered(crm, given), 201))

    @app.delete("/api/webhooks/{hook_id}")
    async def remove_hook(request: Request, hook_id: str) -> Response:
        def work() -> Response:
            crm.hooks.remove(hook_id)
            return Response(status_code=204)
        return await guarded(request, None, work)

    @app.get("/api/{object}")
    async def page(request: Request, object: str) -> Response:
        return await guarded(request, object, lambda: crm.page(object, request.query_params))

    @app.get("/api/{object}/{id}")
    async def one(request: Request, object: str, id: str) -> Response:
        return await guarded(request, object, lambda: crm.one(object, id))

    @app.post("/api/{object}")
    async def create(request: Request, object: str) -> Response:
        body = await request.body()
        operations = [{"method": "create", "body": _json(body)}]
        return await guarded(request, object, lambda: crm.write(
            object, operations, request.headers.get("idempotency-key"), body, single))

    @app.patch("/api/{object}/{id}")
    async def change(request: Request, object: str, id: str) -> Response:
        operation = {"method": "update", "id": id, "body": _json(await request.body()),
                     "ifMatch": request.headers.get("if-match")}
        return await guarded(request, object,
                             lambda: crm.write(object, [operation], None, b"", single))

    @app.delete("/api/{object}/{id}")
    async def remove(request: Request, object: str, id: str) -> Response:
        operation = {"method": "delete", "id": id, "ifMatch": request.headers.get("if-match")}
        return await guarded(request, object,
                             lambda: crm.write(object, [operation], None, b"", single))

    @app.post("/api/{object}/batch")
    async def batch(request: Request, object: str) -> Response:
        body = await request.body()
        operations = (_json(body) or {}).get("operations") if len(body) <= LARGEST_BODY else None
        if not isinstance(operations, list) or not all(isinstance(o, dict) for o in operations):
            return told(422, "a list of operations is expected")
        if len(operations) > LARGEST_BATCH:
            return told(413, f"at most {LARGEST_BATCH} operations are taken")
        return await guarded(request, object, lambda: crm.write(
            object, operations, request.headers.get("idempotency-key"), body, several))


def single(done: list[Done]) -> tuple[int, bytes]:
    """The answer to one operation."""
    (only,) = done
    if only.problem is not None:
        return only.status, dumps(only.problem)
    return only.status, b"" if only.status == 204 or only.entry is None else dumps(only.entry.data)


def several(done: list[Done]) -> tuple[int, bytes]:
    """The answer to a batch: a result for each operation (207)."""
    return 207, dumps({"results": [
        {"status": d.status, "error": d.problem} if d.problem is not None else
        {"status": d.status, "body": d.entry.data if d.entry and d.status != 204 else None}
        for d in done]})


def load(database: str, records: Mapping[str, Iterable[Mapping[str, Any]]]) -> dict[str, int]:
    """Put records into a database directly, in the API's own words; returns how many by object.

    A record may carry its own `id`, so that others can refer to it. Raises `ValueError` for the
    first one that is not valid.
    """
    crm = Crm(database, "", lambda: datetime.now(UTC), None)
    counts = {}
    try:
        for object, rows in records.items():
            with crm.database.write() as transaction:
                counts[object] = _load(transaction, object, list(rows))
    finally:
        crm.database.close()
    return counts


def _load(transaction: Transaction, object: str, rows: list[Mapping[str, Any]]) -> int:
    operations = [{"method": "create", "body": {k: v for k, v in row.items() if k != "id"}}
                  for row in rows]
    for row, done in zip(rows, carry_out(transaction, object, operations), strict=True):
        if done.entry is None:
            raise ValueError(f"{object} {row}: {done.problem}")
        if "id" in row:
            transaction.rename(done.entry, str(row["id"]))
            done.entry.data["id"] = done.entry.id
    restamp(transaction)
    return len(rows)


def sign(delivery: str, body: bytes, secret: str) -> dict[str, str]:
    """The headers of a delivery, signed as Standard Webhooks 1.0.0 says."""
    from standardwebhooks.webhooks import Webhook

    now = datetime.now(UTC)
    return {"webhook-id": delivery, "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(secret).sign(delivery, now, body.decode())}


def _registered(crm: Crm, given: Mapping[str, Any]) -> dict[str, Any]:
    secret = given.get("secret") or "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    return crm.hooks.register({"url": str(given.get("url", "")),
                               "topics": list(given.get("events") or ["*"]), "secret": secret})


def _message(object: str, id: Any, event: str) -> tuple[str, bytes]:
    topic = f"{object}.{event}"
    return topic, dumps({"type": topic, "timestamp": _z(datetime.now(UTC)),
                         "data": {"object": object, "id": id}})


def _document(app: FastAPI) -> None:
    """Put the objects' fields into the OpenAPI document."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        document.setdefault("components", {})["schemas"] = {
            name: schema(spec) for name, spec in ANSWERED.items()}
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def told(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """A problem as an answer."""
    return Response(dumps(problem(status, detail)), status, dict(headers or {}),
                    media_type="application/problem+json")


def as_json(value: Any, status: int = 200) -> Response:
    """Anything as an answer."""
    return Response(dumps(value), status, media_type="application/json")


def _json(body: bytes) -> Any:
    try:
        return loads(body)
    except ValueError:
        return None


def _utc(text: str) -> str:
    given = datetime.fromisoformat(text)
    if given.tzinfo is None:
        raise ValueError("updated_since needs a zone")
    return given.astimezone(UTC).isoformat(timespec="microseconds")


def _z(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _cursor(changed: str, id: str) -> str:
    return base64.urlsafe_b64encode(f"{changed}|{id}".encode()).decode()


def _position(cursor: str) -> tuple[str, str]:
    changed, _, id = base64.urlsafe_b64decode(cursor.encode()).decode().partition("|")
    return changed, id
