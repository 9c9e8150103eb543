"""The native CRM: REST with ETags, batches of a hundred, idempotency keys and tombstones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import SecretStr

from connector.adapters.http import Answer, Bearer, Connection, HttpSettings
from connector.adapters.schema import from_openapi
from connector.domain.records import (
    Batch,
    Capabilities,
    IdempotentCreate,
    Intent,
    ObjectSchema,
    Operation,
    Page,
    RemoteRecord,
    WriteResult,
    WriteStatus,
)
from connector.errors import CursorExpired, RequestRefused, RetryLater
from connector.ports import Clock

PAGE = 500


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
        write_batch=100, read_batch=PAGE, look_back=timedelta(seconds=5), locks=True,
        idempotent_create=IdempotentCreate.KEY, deletions="tombstone", bulk=True,
        webhooks="standard")

    def __init__(self, settings: NativeCrmSettings, clock: Clock) -> None:
        self._http = Connection(settings, Bearer(settings.token.get_secret_value()), clock)

    def check(self) -> str:
        """See the port."""
        self._http.call("GET", "/api/users", query={"limit": "1"})
        return "native CRM"

    def describe(self, object: str) -> ObjectSchema:
        """See the port."""
        return from_openapi(self._http.call("GET", "/openapi.json").body, object)

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        """See the port; a cursor is the server's own time up to which was read."""
        query = {"limit": str(PAGE), "include_deleted": "true"}
        if cursor is not None:
            query["updated_since"] = self._behind(cursor)
        while True:
            body = self._http.call("GET", f"/api/{object}", query=query).body
            records = tuple(_record(row) for row in body["data"])
            more = body["nextCursor"]
            reached = body["data"][-1]["updatedAt"] if more else body["asOf"]
            yield Page(records, json.dumps({"since": reached}))
            if not more:
                return
            query["cursor"] = more

    def _behind(self, cursor: str) -> str:
        try:
            since = datetime.fromisoformat(json.loads(cursor)["since"])
        except (ValueError, KeyError, TypeError):
            raise CursorExpired(f"{cursor!r} is no cursor of a native CRM.") from None
        return (since - self.capabilities.look_back).isoformat().replace("+00:00", "Z")

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
        body = self._http.call("GET", f"/api/{object}", query={
            name: ",".join(values), "limit": str(PAGE), "include_deleted": "true"}).body
        return [_record(row) for row in body["data"]]

    def write(self, batch: Batch) -> list[WriteResult]:
        """See the port; the batch's key makes a repeated call answer as the first one did."""
        operations = [_operation(batch.operation, intent) for intent in batch.intents]
        try:
            answer = self._http.call(
                "POST", f"/api/{batch.object}/batch", body={"operations": operations},
                headers={"Idempotency-Key": batch.key}, accept=(409, 413, 422))
        except RetryLater as error:
            return [WriteResult(WriteStatus.UNKNOWN, error=str(error))] * len(batch.intents)
        if answer.status == 409:
            return [WriteResult(WriteStatus.UNKNOWN, error="the same batch is still being "
                                "written")] * len(batch.intents)
        if answer.status != 207:
            raise RequestRefused(f"The CRM refused a batch of {batch.object}: {_why(answer)}.")
        return [_result(row) for row in answer.body["results"]]

    def close(self) -> None:
        """See the port."""
        self._http.close()


def _record(row: Mapping[str, Any]) -> RemoteRecord:
    return RemoteRecord(row["id"], row["etag"], row, bool(row.get("deleted")),
                        row.get("externalRef"))


def _operation(operation: Operation, intent: Intent) -> dict[str, Any]:
    if operation is Operation.CREATE:
        return {"method": "create", "body": {**intent.payload, "externalRef": intent.reference}}
    row: dict[str, Any] = {"method": operation.value, "id": intent.external_id,
                           "ifMatch": intent.version or None}
    if operation is Operation.UPDATE:
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


def _why(answer: Answer) -> str:
    return _problem(answer.body) if isinstance(answer.body, Mapping) else str(answer.status)
