"""The native ERP: bulk calls of five hundred, revisions in the body, a unique reference."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from pydantic import SecretStr

from connector.adapters import signatures
from connector.adapters.auth import HeaderKey
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
from connector.errors import CursorExpired, RetryLater
from connector.ports import Clock

PAGE = 500
Place = tuple[str, int]
"""Where a pull stands: the (modified, id) of the record read last."""
_PAGE = ("rows", "more", "covered_until")
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
        write_batch=500, read_batch=PAGE, look_back=timedelta(0), write_window=timedelta(0),
        idempotent_create=IdempotentCreate.UNIQUE_REFERENCE, deletions="archive", bulk=True,
        webhooks="t-v1", permanent=("quotations", "sales_orders", "deliveries", "invoices",
                                    "stock_levels", "warehouses"), change_times=True)

    def __init__(self, settings: NativeErpSettings, clock: Clock, *, page: int = PAGE) -> None:
        self._http = Connection(settings, HeaderKey("X-Api-Key", settings.api_key), clock)
        self._page = page
        self._webhooks = Webhooks(settings.webhooks, _delivery)

    def check(self) -> str:
        """See the port."""
        self._http.call("GET", "/v1/warehouses", query={"limit": "1"}, holds=("rows",))
        return "native ERP"

    def describe(self, object: str) -> ObjectSchema:
        """See the port."""
        return from_openapi(self._http.call("GET", "/openapi.json", holds=("paths",)).body, object)

    def prepare(self, object: str, fields: Mapping[str, FieldType]) -> list[str]:
        """See the port: references have a field of their own, and there are no others to add."""
        all_there(object, self.describe(object), fields)
        return []

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        """See the port; a cursor is the (modified, id) read last.

        A change may come up late, behind a page that reaches past what the server called complete
        then. So no cursor of a pull stands behind that time, whatever later pages say.
        """
        query = {"limit": str(self._page), "archived": "include"}
        place = None if cursor is None else _place(cursor)
        complete: Place | None = None
        while True:
            if place is not None:
                query.update(after_modified=place[0], after_id=str(place[1]))
            body = self._http.call("GET", f"/v1/{object}", query=query, holds=_PAGE).body
            rows = body["rows"]
            if rows:
                place = rows[-1]["modified"], rows[-1]["id"]
            covered: Place = body["covered_until"], 0
            if complete is None and (place is None or _time(place) > _time(covered)):
                complete = covered
            yield Page(tuple(_record(row) for row in rows), _cursor(complete or place or covered))
            if not body["more"]:
                return

    def get(self, object: str, external_ids: Sequence[str]) -> dict[str, RemoteRecord]:
        """See the port."""
        known = [ext for ext in external_ids if _is_number(ext)]
        return {r.external_id: r for r in self._filtered(object, "ids", known)}

    def find(self, object: str, references: Sequence[str]) -> dict[str, RemoteRecord]:
        """See the port."""
        found = self._filtered(object, "external_ref", references)
        return {r.reference: r for r in found if r.reference}

    def _filtered(self, object: str, name: str, values: Sequence[str]) -> list[RemoteRecord]:
        if not values:
            return []
        body = self._http.call("GET", f"/v1/{object}", holds=_PAGE, query={
            name: ",".join(values), "limit": str(PAGE), "archived": "include"}).body
        return [_record(row) for row in body["rows"]]

    def write(self, batch: Batch) -> list[WriteResult]:
        """See the port; order states are carried out as actions after the rows are written.

        A create may be sent again, for its reference is unique; a change may not: what it finds
        changed could be its own work.
        """
        orders = batch.object == "sales_orders"

        def send(rows: list[Any], _part: str) -> list[WriteResult]:
            body = self._http.call("POST", f"/v1/{batch.object}/bulk", body={"rows": rows},
                                   repeatable=batch.operation is Operation.CREATE,
                                   holds=("rows",)).body
            return [_result(batch.operation, row) for row in body["rows"]]

        results = write_rows(batch.intents, _order_row if orders else _row, send)
        return self._acted(batch.intents, results) if orders else results

    def _acted(self, intents: Sequence[Intent],
               results: list[WriteResult]) -> list[WriteResult]:
        """The results after the orders' states were moved to what the payloads ask for."""
        wanted: dict[str, dict[int, RemoteRecord]] = {}
        for i, (intent, result) in enumerate(zip(intents, results, strict=True)):
            state = None if "amendment" in intent.payload else intent.payload.get("state")
            if result.record is None or state in (None, result.record.payload["state"]):
                continue
            if state in _ACTIONS:
                wanted.setdefault(_ACTIONS[state], {})[i] = result.record
            else:
                results[i] = replace(result, refusal=(
                    f"The ERP reaches the state {state!r} by its own documents."))
        for action, records in wanted.items():
            for i, told in zip(records, self._act(action, list(records.values())), strict=True):
                results[i] = _after_action(results[i], told)
        return results

    def _act(self, action: str, orders: Sequence[RemoteRecord]) -> list[WriteResult]:
        """The orders as they are after the action, or UNKNOWN without a record where that is not
        known: repeating an action does no harm."""
        rows = [{"id": int(order.external_id)} for order in orders]
        try:
            body = self._http.call("POST", f"/v1/sales_orders/actions/{action}",
                                   body={"rows": rows}, holds=("rows",)).body
        except RetryLater as error:
            return [WriteResult(WriteStatus.UNKNOWN, error=str(error))] * len(rows)
        return [WriteResult(WriteStatus.UPDATED,
                            _record(row["row"]) if row.get("row") else order,
                            refusal="" if row["ok"] else _error(row["error"]))
                for order, row in zip(orders, body["rows"], strict=True)]

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Delivery:
        """See the port."""
        return self._webhooks.delivery(headers, body, at)

    def endpoints(self) -> list[Endpoint]:
        """See the port."""
        return [_endpoint(row) for row in self._http.call("GET", "/v1/hooks").body]

    def add_endpoint(self, url: str, objects: Sequence[str]) -> Endpoint:
        """See the port."""
        return _endpoint(self._http.call("POST", "/v1/hooks", repeatable=False, body={
            "url": url, "topics": list(objects), "secret": self._webhooks.secret()},
            holds=("id",)).body)

    def remove_endpoint(self, endpoint_id: str) -> None:
        """See the port."""
        self._http.call("DELETE", f"/v1/hooks/{quote(endpoint_id, safe='')}")

    def close(self) -> None:
        """See the port."""
        self._http.close()


def _delivery(headers: Mapping[str, str], body: bytes, secrets: Sequence[SecretStr],
              at: datetime) -> Delivery:
    signatures.t_v1(headers.get("x-erp-signature", ""), body, secrets, at)
    told = signatures.read_body(body)
    return Delivery(signatures.named(headers, "x-erp-delivery"), (
        Hint(signatures.named(told, "topic"), signatures.named(told, "id")),))


def _endpoint(row: Mapping[str, Any]) -> Endpoint:
    return Endpoint(row["id"], row["url"], tuple(row["topics"]) if "*" not in row["topics"] else ())


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _time(place: Place) -> datetime:
    return datetime.fromisoformat(place[0])


def _cursor(place: Place) -> str:
    return json.dumps({"modified": place[0], "id": place[1]})


def _place(cursor: str) -> Place:
    try:
        kept = json.loads(cursor)
        place = str(kept["modified"]), int(kept["id"])
        if _time(place).tzinfo is not None:
            return place
    except (ValueError, KeyError, TypeError):
        pass
    raise CursorExpired(f"{cursor!r} is no cursor of a native ERP.")


def _record(row: Mapping[str, Any]) -> RemoteRecord:
    into = row.get("merged_into")
    return RemoteRecord(str(row["id"]), str(row["rev"]), row, into is not None,
                        row.get("external_ref"),
                        datetime.fromisoformat(row["modified"]).astimezone(UTC),
                        None if into is None else str(into))


def _row(intent: Intent) -> dict[str, Any]:
    if intent.operation is Operation.CREATE:
        return {**intent.payload, "external_ref": intent.reference}
    id = intent.external_id or ""
    row = {"id": int(id) if _is_number(id) else 0, **intent.payload}
    if intent.version:
        row["rev"] = int(intent.version)
    if intent.operation is Operation.DELETE:
        row["archived"] = True
    return row


def _after_action(written: WriteResult, told: WriteResult) -> WriteResult:
    """A written order's result after its action. Where it is not known what came of that, a
    change is planned anew from what is there; a create is made, and has to be told as such."""
    if told.record is not None:
        return replace(told, status=written.status)
    if written.status is WriteStatus.CREATED:
        return replace(written, refusal=told.error)
    return told


def _order_row(intent: Intent) -> dict[str, Any]:
    """An order's row without its state, which is no field to write; where a change is asked for,
    the ERP is told which state is wanted."""
    row = {name: value for name, value in _row(intent).items() if name != "state"}
    if "amendment" in row and "state" in intent.payload:
        row["amendment"] = {**row["amendment"], "wanted_state": intent.payload["state"]}
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

