"""The native CRM: REST with ETags, batches of a hundred, idempotency keys and tombstones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from pydantic import SecretStr

from connector.adapters import signatures
from connector.adapters.auth import Bearer
from connector.adapters.batches import write_rows
from connector.adapters.http import Connection, HttpSettings
from connector.adapters.schema import all_there, from_openapi
from connector.adapters.webhooks import Webhooks
from connector.domain.records import (
    Batch,
    Capabilities,
    Delivery,
    Endpoint,
    Hint,
    IdempotentCreate,
    Intent,
    ObjectSchema,
    Operation,
    Page,
    RemoteRecord,
    WriteResult,
    WriteStatus,
)
from connector.domain.values import FieldType
from connector.errors import CursorExpired
from connector.ports import Clock

PAGE = 500
_EVENTS = ("created", "updated", "deleted")
_PAGE = ("data", "nextCursor", "asOf")


class NativeCrmSettings(HttpSettings):
    """The settings of a native CRM."""

    token: SecretStr


class NativeCrm:
    """Speaks to a native CRM.

    It gives no bound below which nothing changes any more, but its longest write transaction
    takes five seconds: a pull starts that far behind its cursor.
    """

    settings_model: ClassVar[type[NativeCrmSettings]] = NativeCrmSettings
    capabilities = Capabilities(
        write_batch=100, read_batch=PAGE, look_back=timedelta(seconds=5), write_window=timedelta(0),
        idempotent_create=IdempotentCreate.KEY, deletions="tombstone", bulk=True,
        webhooks="standard", change_times=True, sync_state=True)

    def __init__(self, settings: NativeCrmSettings, clock: Clock, *, page: int = PAGE) -> None:
        self._http = Connection(settings, Bearer(settings.token), clock)
        self._page = page
        self._webhooks = Webhooks(settings.webhooks, _delivery)
        if settings.webhooks.signature is None:
            for secret in settings.webhooks.secrets:
                signatures.standard_key(secret)

    def check(self) -> str:
        """See the port."""
        self._http.call("GET", "/api/users", query={"limit": "1"}, holds=("data",))
        return "native CRM"

    def describe(self, object: str) -> ObjectSchema:
        """See the port."""
        return from_openapi(self._http.call("GET", "/openapi.json", holds=("paths",)).body, object)

    def prepare(self, object: str, fields: Mapping[str, FieldType]) -> list[str]:
        """See the port: references have a field of their own, and there are no others to add."""
        all_there(object, self.describe(object), fields)
        return []

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        """See the port; a cursor is the server's own time up to which was read.

        A change may come up late, behind a page that reaches into the look-back. So no cursor of
        a pull stands behind the time at which its first such page was asked for, however long the
        pages after it take.
        """
        query = {"limit": str(self._page), "include_deleted": "true"}
        if cursor is not None:
            query["updated_since"] = _z(_since(cursor) - self.capabilities.look_back)
        settled: datetime | None = None
        while True:
            body = self._http.call("GET", f"/api/{object}", query=query, holds=_PAGE).body
            as_of, more = _time(body["asOf"]), body["nextCursor"]
            reached = _time(body["data"][-1]["updatedAt"]) if more else as_of
            if settled is None and reached > as_of - self.capabilities.look_back:
                settled = as_of
            since = reached if settled is None else min(reached, settled)
            yield Page(tuple(_record(row) for row in body["data"]),
                       json.dumps({"since": _z(since)}))
            if not more:
                return
            query["cursor"] = more

    def get(self, object: str, external_ids: Sequence[str]) -> dict[str, RemoteRecord]:
        """See the port."""
        return {r.external_id: r for r in self._filtered(object, "ids", external_ids)}

    def find(self, object: str, references: Sequence[str]) -> dict[str, RemoteRecord]:
        """See the port."""
        found = self._filtered(object, "external_ref", references)
        return {r.reference: r for r in found if r.reference and not r.deleted}

    def _filtered(self, object: str, name: str, values: Sequence[str]) -> list[RemoteRecord]:
        if not values:
            return []
        query = {name: ",".join(values), "limit": str(PAGE), "include_deleted": "true"}
        found: list[RemoteRecord] = []
        while True:
            body = self._http.call("GET", f"/api/{object}", query=query, holds=_PAGE).body
            found += [_record(row) for row in body["data"]]
            if not body["nextCursor"]:
                return found
            query["cursor"] = body["nextCursor"]

    def write(self, batch: Batch) -> list[WriteResult]:
        """See the port; the batch's key makes a repeated call answer as the first one did."""
        def send(operations: list[Any], part: str) -> list[WriteResult]:
            body = self._http.call(
                "POST", f"/api/{batch.object}/batch", body={"operations": operations},
                headers={"Idempotency-Key": batch.key + part}, again=(409,),
                holds=("results",)).body
            return [_result(row) for row in body["results"]]

        return write_rows(batch.intents, _operation, send)

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Delivery:
        """See the port: signed as Standard Webhooks 1.0.0 says."""
        return self._webhooks.delivery(headers, body, at)

    def endpoints(self) -> list[Endpoint]:
        """See the port."""
        return [_endpoint(row) for row in self._http.call("GET", "/api/webhooks").body]

    def add_endpoint(self, url: str, objects: Sequence[str]) -> Endpoint:
        """See the port."""
        events = [f"{object}.{event}" for object in objects for event in _EVENTS]
        return _endpoint(self._http.call("POST", "/api/webhooks", repeatable=False, body={
            "url": url, "events": events, "secret": self._webhooks.secret()},
            holds=("id",)).body)

    def remove_endpoint(self, endpoint_id: str) -> None:
        """See the port."""
        self._http.call("DELETE", f"/api/webhooks/{quote(endpoint_id, safe='')}", accept=(404,))

    def close(self) -> None:
        """See the port."""
        self._http.close()


def _delivery(headers: Mapping[str, str], body: bytes, secrets: Sequence[SecretStr],
              at: datetime) -> Delivery:
    id = signatures.standard(headers, body, secrets, at)
    told = signatures.read_body(body).get("data")
    return Delivery(id, (Hint(signatures.named(told, "object"), signatures.named(told, "id")),))


def _endpoint(row: Mapping[str, Any]) -> Endpoint:
    objects = dict.fromkeys(event.partition(".")[0] for event in row["events"])
    return Endpoint(row["id"], row["url"], tuple(objects) if "*" not in objects else ())


def _since(cursor: str) -> datetime:
    try:
        since = datetime.fromisoformat(json.loads(cursor)["since"])
        return since.astimezone(UTC) if since.tzinfo else since.replace(tzinfo=UTC)
    except (ValueError, KeyError, TypeError, OverflowError):
        raise CursorExpired(f"{cursor!r} is no cursor of a native CRM.") from None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _z(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _record(row: Mapping[str, Any]) -> RemoteRecord:
    return RemoteRecord(row["id"], row["etag"], row, bool(row.get("deleted")),
                        row.get("externalRef"), _time(row["updatedAt"]), row.get("mergedInto"))


def _operation(intent: Intent) -> dict[str, Any]:
    if intent.operation is Operation.CREATE:
        return {"method": "create", "body": {**intent.payload, "externalRef": intent.reference}}
    row: dict[str, Any] = {"method": intent.operation.value, "id": intent.external_id,
                           "ifMatch": intent.version or None}
    if intent.operation is Operation.UPDATE:
        row["body"] = intent.payload
    return row


_STATUS = {201: WriteStatus.CREATED, 200: WriteStatus.UPDATED, 204: WriteStatus.DELETED,
           412: WriteStatus.STALE, 404: WriteStatus.GONE, 410: WriteStatus.GONE}


def _result(row: Mapping[str, Any]) -> WriteResult:
    status = _STATUS.get(row["status"], WriteStatus.REJECTED)
    if status in (WriteStatus.CREATED, WriteStatus.UPDATED):
        return WriteResult(status, _record(row["body"]))
    if status is WriteStatus.DELETED:
        return WriteResult(status)
    return WriteResult(status, error=f"The CRM refused it: {_problem(row.get('error') or {})}.")


def _problem(problem: Mapping[str, Any]) -> str:
    fields = "; ".join(f"{e['field']}: {e['message']}" for e in problem.get("errors", ()))
    return fields or str(problem.get("detail") or problem.get("title") or "no reason given")
