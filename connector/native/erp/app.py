"""The ERP's API: `/v1`, API key, keyset pages, bulk calls of five hundred."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request, Response
from sqlalchemy import Integer
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from connector.native.amounts import Company
from connector.native.database import Database, Entry, Transaction, dumps, loads
from connector.native.erp import actions, amendments, billing, orders
from connector.native.erp.merging import merge
from connector.native.erp.objects import ANSWERED, OBJECTS
from connector.native.erp.rows import stamp, write_rows
from connector.native.erp.words import LARGEST_ID, Refused, is_id, local, utc_text
from connector.native.faults import Faults, FaultSwitch
from connector.native.fields import schema
from connector.native.hooks import Hooks

LARGEST_PAGE, LARGEST_BULK = 1000, 500
FILTERS = {"external_ref": "reference", "item_code": "natural", "vat_no": "natural"}
_FILTERED = {"item_code": "items", "vat_no": "customers"}


class Erp:
    """One ERP at work."""

    def __init__(self, database: str, api_key: str, clock: Callable[[], datetime],
                 company: Company | None) -> None:
        self.database = Database(database, clock, id_type=Integer, unique_reference=True,
                                 company=company)
        self.api_key, self.faults = api_key, Faults()
        self.hooks = Hooks(self.database, sign, self.faults)

    def page(self, object: str, query: Mapping[str, str]) -> Response:
        """A page of records strictly behind (modified, id), in that order."""
        rows = self.database.rows
        covered = self.database.covered_until()
        limit = max(1, min(_int(query.get("limit", "200")), LARGEST_PAGE))
        after = None
        if "after_modified" in query:
            after = utc_text(query["after_modified"]), _int(query.get("after_id", "0"))
        conditions: list[Any] = [
            rows.c[column].in_(query[name].split(",")[:LARGEST_PAGE])
            for name, column in FILTERS.items()
            if name in query and _FILTERED.get(name, object) == object]
        if "ids" in query:
            conditions.append(rows.c.id.in_([_int(i) for i in query["ids"].split(",")]))
        if query.get("archived") != "include":
            conditions.append(rows.c.deleted.is_(False))
        found = self.database.page(object, after, limit + 1, since=after[0] if after else None,
                                   conditions=conditions)
        return Response(
            b'{"rows":[' + b",".join([row.body for row in found[:limit]]) + b'],"more":'
            + (b"true" if len(found) > limit else b"false") + b',"covered_until":'
            + dumps(local(covered)) + b"}", media_type="application/json")

    def one(self, object: str, id: str) -> Response:
        """One record."""
        rows = self.database.rows
        found = self.database.page(object, None, 1, conditions=[rows.c.id == _int(id)])
        if not found:
            raise Refused("E404", f"there is no {object} {id}")
        return Response(found[0].body, media_type="application/json")

    def bulk(self, object: str, rows: Sequence[Any]) -> list[dict[str, Any]]:
        """Create and change rows in one transaction; a result for each, in order."""
        with self._writing() as transaction:
            done = write_rows(transaction, object, rows, amendments.change)
            if object == "payments":
                done = [paid(transaction, d) for d in done]
            stamp(transaction)
            return [result(d) for d in done]

    def act(self, action: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Carry out an action on orders; a result for each, in order, with the order as it is
        then."""
        with self._writing() as transaction:
            actions.preload(transaction, rows)
            done = [_acted(transaction, action, row) for row in rows]
            stamp(transaction)
            return [{**result(d), **({"row": e.data} if e else {})} for d, e in done]

    def take_back(self, delivery_id: str) -> dict[str, Any]:
        """A cancelled delivery."""
        with self._writing() as transaction:
            delivery = orders.take_back(transaction, _int(delivery_id))
            stamp(transaction)
            return delivery.data

    def credit(self, invoice_id: str, given: Any) -> dict[str, Any]:
        """A credit note."""
        with self._writing() as transaction:
            lines = given.get("lines") if isinstance(given, dict) else None
            note = billing.credit(transaction, _int(invoice_id), lines)
            stamp(transaction)
            return note.data

    def merge(self, customer_id: str, body: Any) -> dict[str, Any]:
        """Make a customer part of another one; returns that one. Raises `Refused`."""
        with self._writing() as transaction:
            survivor = merge(transaction, _int(customer_id), body)
            stamp(transaction)
            return survivor.data

    def _writing(self) -> Any:
        return _Writing(self)


class _Writing:
    """A write transaction with its webhooks."""

    def __init__(self, erp: Erp) -> None:
        self._erp, self._context = erp, erp.database.write()

    def __enter__(self) -> Transaction:
        self._transaction = self._context.__enter__()
        return self._transaction

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self._erp.hooks.note(self._transaction, self._message)
        self._context.__exit__(*error)
        self._erp.hooks.wake()

    def _message(self, object: str, id: Any, _event: str) -> tuple[str, bytes]:
        entry = self._transaction.get(object, id)
        return object, dumps({"topic": object, "event": "changed", "id": id,
                              "rev": entry.version if entry else 0})


def result(done: Entry | Refused) -> dict[str, Any]:
    """What came of a row, as it is answered."""
    if isinstance(done, Refused):
        return {"ok": False, "error": done.body}
    return {"ok": True, "created": done.new, "row": done.data}


def paid(transaction: Transaction, done: Entry | Refused) -> Entry | Refused:
    """A new payment, booked on its invoice; taken back where that is refused."""
    if isinstance(done, Refused) or not done.new:
        return done
    try:
        billing.pay(transaction, done.data)
    except Refused as refusal:
        done.natural = None
        transaction.drop(done)
        transaction.events.remove((done.object, done.id, "created"))
        return refusal
    return done


def _acted(transaction: Transaction, action: str,
           row: Any) -> tuple[Entry | Refused, Entry | None]:
    try:
        order = actions.act(transaction, action, row)
        return order, order
    except Refused as refusal:
        id = row.get("id") if isinstance(row, dict) else None
        return refusal, transaction.get("sales_orders", id) if is_id(id) else None


def create_app(database: str = "sqlite:///native-erp.db", *, api_key: str = "erp-demo-key",
               clock: Callable[[], datetime] | None = None, faults: bool = False,
               company: Company | None = None) -> Any:
    """The ERP as an ASGI app. `clock` gives an aware UTC time; `faults` offers the fault switch;
    `company` says which currency its books are in and how documents are rounded."""
    erp = Erp(database, api_key, clock or (lambda: datetime.now(UTC)), company)

    @asynccontextmanager
    async def life(_app: FastAPI) -> Any:
        yield
        erp.hooks.stop()
        erp.database.close()

    app = FastAPI(title="Native ERP", version="1", lifespan=life)
    _routes(app, erp)
    _document(app)

    @app.exception_handler(ClientDisconnect)
    async def gone(_request: Request, _error: ClientDisconnect) -> Response:
        return Response(status_code=400)  # nobody reads it: the caller went away in mid-call

    return FaultSwitch(app, erp.faults) if faults else app


def _routes(app: FastAPI, erp: Erp) -> None:
    async def guarded(request: Request, object: str | None,
                      work: Callable[[], Response]) -> Response:
        try:
            given = request.headers.get("x-api-key", "")
            if not hmac.compare_digest(given.encode(), erp.api_key.encode()):
                raise Refused("E403-KEY", "a valid X-Api-Key is expected")
            if object is not None and object not in OBJECTS:
                raise Refused("E404-OBJECT", f"there are no {object}")
            return await run_in_threadpool(work)
        except Refused as refusal:
            return as_json({"error": refusal.body}, refusal.status)

    def first(results: list[dict[str, Any]], created: int) -> Response:
        (only,) = results
        if only["ok"]:
            return as_json(only["row"], created)
        return as_json({"error": only["error"]}, int(only["error"]["code"][1:4]))

    @app.get("/v1/hooks")
    async def hooks(request: Request) -> Response:
        return await guarded(request, None, lambda: as_json(list(erp.hooks.registered.values())))

    @app.post("/v1/hooks")
    async def add_hook(request: Request) -> Response:
        given = _json(await request.body())
        return await guarded(request, None,
                             lambda: as_json(erp.hooks.register(_hook(given)), 201))

    @app.delete("/v1/hooks/{hook_id}")
    async def remove_hook(request: Request, hook_id: str) -> Response:
        def work() -> Response:
            erp.hooks.remove(hook_id)
            return as_json({})
        return await guarded(request, None, work)

    @app.post("/v1/sales_orders/actions/{action}")
    async def act(request: Request, action: str) -> Response:
        rows = _rows(await request.body())
        return await guarded(request, None,
                             lambda: as_json({"rows": erp.act(action, _taken(rows))}))

    @app.post("/v1/invoices/{invoice_id}/credit")
    async def credit(request: Request, invoice_id: str) -> Response:
        given = _json(await request.body())
        return await guarded(request, None, lambda: as_json(erp.credit(invoice_id, given), 201))

    @app.post("/v1/deliveries/{delivery_id}/cancel")
    async def take_back(request: Request, delivery_id: str) -> Response:
        return await guarded(request, None, lambda: as_json(erp.take_back(delivery_id)))

    @app.post("/v1/customers/{customer_id}/merge")
    async def merged(request: Request, customer_id: str) -> Response:
        body = _json(await request.body())
        return await guarded(request, None, lambda: as_json(erp.merge(customer_id, body)))

    @app.post("/v1/{object}/bulk")
    async def bulk(request: Request, object: str) -> Response:
        rows = _rows(await request.body())
        return await guarded(request, object,
                             lambda: as_json({"rows": erp.bulk(object, _taken(rows))}))

    @app.get("/v1/{object}")
    async def page(request: Request, object: str) -> Response:
        return await guarded(request, object, lambda: erp.page(object, request.query_params))

    @app.get("/v1/{object}/{id}")
    async def one(request: Request, object: str, id: str) -> Response:
        return await guarded(request, object, lambda: erp.one(object, id))

    @app.post("/v1/{object}")
    async def create(request: Request, object: str) -> Response:
        body = _json(await request.body())
        return await guarded(request, object, lambda: first(erp.bulk(object, [body]), 201))

    @app.patch("/v1/{object}/{id}")
    async def change(request: Request, object: str, id: str) -> Response:
        body = _json(await request.body())
        if isinstance(body, dict):
            body["id"] = _id(id)
        return await guarded(request, object, lambda: first(erp.bulk(object, [body]), 200))


def sign(delivery: str, body: bytes, secret: str) -> dict[str, str]:
    """The headers of a delivery: `t=<unix time>,v1=<hex HMAC-SHA256 of "t.body">`."""
    at = str(int(time.time()))
    digest = hmac.new(secret.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"X-Erp-Signature": f"t={at},v1={digest}", "X-Erp-Delivery": delivery[-32:]}


def _hook(given: Any) -> dict[str, Any]:
    """A webhook as it is registered; a secret is made up where none is given."""
    given = given if isinstance(given, dict) else {}
    url, topics = given.get("url"), given.get("topics") or ["*"]
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise Refused("E422-FIELD", "a hook needs its address", {"url": "an address is expected"})
    if not isinstance(topics, list) or not set(map(str, topics)) <= {"*", *OBJECTS}:
        raise Refused("E422-FIELD", "a hook needs known topics",
                      {"topics": f"* or some of {', '.join(OBJECTS)} are expected"})
    return {"url": url, "topics": topics,
            "secret": str(given.get("secret") or secrets.token_hex(24))}


def _document(app: FastAPI) -> None:
    """Put the objects' fields into the OpenAPI document."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        document.setdefault("components", {})["schemas"] = {
            name: schema(spec) for name, spec in ANSWERED.items()}
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def as_json(value: Any, status: int = 200) -> Response:
    """Anything as an answer."""
    return Response(dumps(value), status, media_type="application/json")


def _json(body: bytes) -> Any:
    try:
        return loads(body)
    except ValueError:
        return None


def _rows(body: bytes) -> Any:
    given = _json(body)
    return given.get("rows") if isinstance(given, dict) else None


def _taken(rows: Any) -> list[Any]:
    if not isinstance(rows, list):
        raise Refused("E422-FIELD", "a list of rows is expected")
    if len(rows) > LARGEST_BULK:
        raise Refused("E413-ROWS", f"at most {LARGEST_BULK} rows are taken")
    return rows


def _int(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:12]) <= LARGEST_ID):
        raise Refused("E400-NUMBER", f"{text[:40]!r} is no whole number")
    return int(text)


def _id(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else -1
