"""The native ERP: bulk calls of five hundred, revisions in the body, a unique reference."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import SecretStr

from connector.adapters.http import Connection, HeaderKey, HttpSettings
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
from connector.errors import CursorExpired, RetryLater
from connector.ports import Clock

PAGE = 500
_ACTIONS = {"confirmed": "confirm", "void": "cancel"}


class NativeErpSettings(HttpSettings):
    """The settings of a native ERP."""

    api_key: SecretStr


class NativeErp:
    """Speaks to a native ERP.

    It tells with every page up to when its changes are complete (`covered_until`), so a pull need
    not look back. The state of a sales order is not a field to write: it moves by actions.
    """

    settings_model: ClassVar[type[NativeErpSettings]] = NativeErpSettings
    capabilities = Capabilities(
        write_batch=500, read_batch=PAGE, look_back=timedelta(0), locks=True,
        idempotent_create=IdempotentCreate.UNIQUE_REFERENCE, deletions="archive", bulk=True,
        webhooks="t-v1")

    def __init__(self, settings: NativeErpSettings, clock: Clock) -> None:
        self._http = Connection(
            settings, HeaderKey("X-Api-Key", settings.api_key.get_secret_value()), clock)

    def check(self) -> str:
        """See the port."""
        self._http.call("GET", "/v1/warehouses", query={"limit": "1"})
        return "native ERP"

    def describe(self, object: str) -> ObjectSchema:
        """See the port."""
        return from_openapi(self._http.call("GET", "/openapi.json").body, object)

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        """See the port; a cursor is the (modified, id) read last, never past what is complete."""
        query = {"limit": str(PAGE), "archived": "include"}
        if cursor is not None:
            query.update(_position(cursor))
        while True:
            body = self._http.call("GET", f"/v1/{object}", query=query).body
            rows = body["rows"]
            if rows:
                query["after_modified"] = rows[-1]["modified"]
                query["after_id"] = str(rows[-1]["id"])
            yield Page(tuple(_record(row) for row in rows),
                       _complete(query, body["covered_until"]))
            if not body["more"]:
                return

    def get(self, object: str, external_ids: Sequence[str]) -> dict[str, RemoteRecord]:
        """See the port."""
        known = [ext for ext in external_ids if ext.isdigit()]
        return {r.external_id: r for r in self._filtered(object, "ids", known)}

    def find(self, object: str, references: Sequence[str]) -> dict[str, RemoteRecord]:
        """See the port."""
        found = self._filtered(object, "external_ref", references)
        return {r.reference: r for r in found if r.reference}

    def _filtered(self, object: str, name: str, values: Sequence[str]) -> list[RemoteRecord]:
        if not values:
            return []
        body = self._http.call("GET", f"/v1/{object}", query={
            name: ",".join(values), "limit": str(PAGE), "archived": "include"}).body
        return [_record(row) for row in body["rows"]]

    def write(self, batch: Batch) -> list[WriteResult]:
        """See the port; order states are carried out as actions after the rows are written."""
        by_action = batch.object == "sales_orders"
        rows = [_row(batch.operation, intent, by_action) for intent in batch.intents]
        try:
            answer = self._http.call("POST", f"/v1/{batch.object}/bulk", body={"rows": rows},
                                     repeatable=batch.operation is Operation.CREATE)
        except RetryLater as error:
            return [WriteResult(WriteStatus.UNKNOWN, error=str(error))] * len(rows)
        results = [_result(batch.operation, row) for row in answer.body["rows"]]
        return self._acted(batch.intents, results) if by_action else results

    def _acted(self, intents: Sequence[Intent],
               results: list[WriteResult]) -> list[WriteResult]:
        """The results after the orders' states were moved to what the payloads ask for."""
        wanted: dict[str, list[int]] = {}
        for i, (intent, result) in enumerate(zip(intents, results, strict=True)):
            state = intent.payload.get("state")
            if result.record is None or state in (None, result.record.payload["state"]):
                continue
            if state in _ACTIONS:
                wanted.setdefault(_ACTIONS[state], []).append(i)
            else:
                results[i] = replace(result, refusal=(
                    f"The ERP reaches the state {state!r} by its own documents only."))
        for action, at in wanted.items():
            self._act(action, at, results)
        return results

    def _act(self, action: str, at: list[int], results: list[WriteResult]) -> None:
        rows = []
        for i in at:
            record = results[i].record
            assert record is not None
            rows.append({"id": int(record.external_id)})
        try:
            body = self._http.call("POST", f"/v1/sales_orders/actions/{action}",
                                   body={"rows": rows}).body
        except RetryLater as error:
            for i in at:
                results[i] = replace(results[i], refusal=str(error))
            return
        for i, row in zip(at, body["rows"], strict=True):
            record = _record(row["row"]) if row.get("row") else results[i].record
            results[i] = replace(results[i], record=record,
                                 refusal="" if row["ok"] else _error(row["error"]))

    def close(self) -> None:
        """See the port."""
        self._http.close()


def _position(cursor: str) -> dict[str, str]:
    try:
        kept = json.loads(cursor)
        return {"after_modified": str(kept["modified"]), "after_id": str(kept["id"])}
    except (ValueError, KeyError, TypeError):
        raise CursorExpired(f"{cursor!r} is no cursor of a native ERP.") from None


def _complete(query: Mapping[str, str], covered_until: str) -> str:
    """The cursor behind a page: where it ends, but not past what the server calls complete."""
    modified, last = query.get("after_modified"), query.get("after_id", "0")
    covered = datetime.fromisoformat(covered_until)
    if modified is None or datetime.fromisoformat(modified) > covered:
        modified, last = covered_until, "0"
    return json.dumps({"modified": modified, "id": last})


def _record(row: Mapping[str, Any]) -> RemoteRecord:
    return RemoteRecord(str(row["id"]), str(row["rev"]), row, False, row.get("external_ref"))


def _row(operation: Operation, intent: Intent, by_action: bool) -> dict[str, Any]:
    payload = {name: value for name, value in intent.payload.items()
               if not (by_action and name == "state")}
    if operation is Operation.CREATE:
        return {**payload, "external_ref": intent.reference}
    row = {"id": int(intent.external_id or 0), **payload}
    if intent.version:
        row["rev"] = int(intent.version)
    if operation is Operation.DELETE:
        row["archived"] = True
    return row


def _result(operation: Operation, row: Mapping[str, Any]) -> WriteResult:
    if row["ok"]:
        status = WriteStatus.CREATED if operation is Operation.CREATE else WriteStatus.UPDATED
        return WriteResult(status, _record(row["row"]))
    error = row["error"]
    if error["code"] == "E409-REF":  # an earlier try of the same create went through
        return WriteResult(WriteStatus.CREATED, _record(error["row"]))
    if error["code"] == "E409-REV":
        return WriteResult(WriteStatus.STALE, error=_error(error))
    if error["code"] == "E404":
        return WriteResult(WriteStatus.GONE, error=_error(error))
    return WriteResult(WriteStatus.REJECTED, error=_error(error))


def _error(error: Mapping[str, Any]) -> str:
    fields = "; ".join(f"{name}: {text}" for name, text in (error.get("fields") or {}).items())
    return f"The ERP refused it: {error['msg']}{' (' + fields + ')' if fields else ''}."

