"""BottleCRM as a system: sweeps, searches, and writes one by one that are read back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import quote

from pydantic import Field, SecretStr

from connector.adapters.auth import Bearer
from connector.adapters.bottlecrm import notes, records
from connector.adapters.bottlecrm.custom import PREFIX, CustomFields, custom_keys, no_such_fields
from connector.adapters.bottlecrm.objects import (
    LINE_FIELDS,
    OBJECTS,
    PROGRESS,
    REFERENCE,
    BottleObject,
)
from connector.adapters.bottlecrm.sweep import Listing, every_row
from connector.adapters.http import Answer, Connection, HttpSettings
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
from connector.domain.values import FieldType
from connector.errors import (
    AccessDenied,
    CursorExpired,
    OutcomeUnknown,
    RequestRefused,
    RetryLater,
)
from connector.ports import Clock

PAGE = 500
_TOLD = (400, 403, 404, 405, 409)
_REFUSED = (400, 405, 409)


class BottleCrmSettings(HttpSettings):
    """The settings of a BottleCRM."""

    token: SecretStr = Field(description="a personal access token of an administrator")
    estimate_status: str = Field(
        "", description="read only estimates in this state (Accepted); all where empty")


class Rejected(Exception):
    """BottleCRM, or its limits, won't have a write; the message says why."""


class BottleCrm:
    """Speaks to a BottleCRM.

    It has no filter by time: every pull reads all there is. It has no lock either: a record is
    read anew just before it is written, and again after, since it drops what it does not know.
    """

    settings_model: ClassVar[type[BottleCrmSettings]] = BottleCrmSettings
    capabilities = Capabilities(
        write_batch=20, read_batch=100, look_back=timedelta(0), write_window=timedelta(seconds=1),
        idempotent_create=IdempotentCreate.SEARCH, deletions="absence", bulk=False,
        webhooks="t-v1")

    def __init__(self, settings: BottleCrmSettings, clock: Clock, *, page: int = PAGE) -> None:
        self._http = Connection(settings, Bearer(settings.token), clock)
        self._settings, self._clock, self._page = settings, clock, page
        self._custom = CustomFields(self._body)
        self._org: Mapping[str, Any] | None = None

    def check(self) -> str:
        """See the port."""
        return f"BottleCRM ({self._organization()['name']})"

    def describe(self, object: str) -> ObjectSchema:
        """See the port."""
        kind = _kind(object)
        custom = self._custom.read_again(kind.target) if kind.target else kind.notes
        return ObjectSchema(frozenset({*kind.fields, *(PREFIX + key for key in custom)}),
                            LINE_FIELDS | {"net_amount"} if kind.has_lines else frozenset())

    def prepare(self, object: str, fields: Mapping[str, FieldType]) -> list[str]:
        """See the port: adds definitions of custom fields, and one for references."""
        kind = _kind(object)
        wanted = custom_keys(fields)
        missing = sorted(path for path in fields
                         if not path.startswith(PREFIX) and path not in kind.fields)
        if not kind.target:
            missing += sorted(PREFIX + key for key in wanted if key not in kind.notes)
        if missing:
            raise no_such_fields(object, missing)
        if not kind.target:
            return []
        if PROGRESS in fields:
            wanted[PROGRESS] = FieldType.TEXT
        added = self._custom.add(kind.target, {**wanted, REFERENCE: FieldType.TEXT})
        return [PREFIX + key for key in added]

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        """See the port; a cursor says when the last sweep began, and each sweep reads all."""
        _swept_at(cursor)
        kind = _kind(object)
        now = json.dumps({"swept_at": self._clock.now().isoformat()})
        if kind.target:
            self._custom.read_again(kind.target)
        empty = True
        for rows in every_row(lambda offset, size: self._listing(kind, offset, size), self._page):
            empty = False
            if kind.whole_rows:
                yield Page(tuple(self._record(kind, row) for row in rows), now)
            else:
                found = self._http.in_parallel(lambda ext: self._read(kind, ext),
                                               [row["id"] for row in rows])
                yield Page(tuple(record for record in found if record), now)
        if empty:
            yield Page((), now)

    def get(self, object: str, external_ids: Sequence[str]) -> dict[str, RemoteRecord]:
        """See the port."""
        kind = _kind(object)
        found = self._http.in_parallel(lambda ext: self._read(kind, ext), external_ids)
        return {record.external_id: record for record in found if record}

    def find(self, object: str, references: Sequence[str]) -> dict[str, RemoteRecord]:
        """See the port."""
        kind = _kind(object)
        found = self._http.in_parallel(lambda ref: self._made_for(kind, ref), references)
        return {ref: record for ref, record in zip(references, found, strict=True) if record}

    def write(self, batch: Batch) -> list[WriteResult]:
        """See the port; each intent by itself, some at a time."""
        kind = _kind(batch.object)
        make = {Operation.CREATE: self._create, Operation.UPDATE: self._update,
                Operation.DELETE: self._delete}[batch.operation]

        def one(intent: Intent) -> WriteResult:
            try:
                return make(kind, intent)
            except OutcomeUnknown as error:
                return WriteResult(WriteStatus.UNKNOWN, error=str(error))
            except RetryLater as error:
                return WriteResult(WriteStatus.RETRY, error=str(error))
            except (Rejected, RequestRefused) as error:
                return WriteResult(WriteStatus.REJECTED, error=str(error))
            except ValueError as error:
                return WriteResult(WriteStatus.REJECTED, error=f"It can't be sent: {error}.")

        return self._http.in_parallel(one, batch.intents)

    def close(self) -> None:
        """See the port."""
        self._http.close()

    # ---- writing

    def _create(self, kind: BottleObject, intent: Intent) -> WriteResult:
        there = self._made_for(kind, intent.reference)
        if there:
            return WriteResult(WriteStatus.CREATED, there)
        payload = self._complete(kind, intent.payload)
        self._refuse_what_would_be_dropped(kind, payload, creating=True)
        self._refuse_taken_sku(payload, None)
        answer = self._call("POST", kind.path, repeatable=False,
                            body=records.body(kind, payload, None, intent.reference))
        made = answer.body if isinstance(answer.body, Mapping) else {}
        made = next((v for v in made.values() if isinstance(v, Mapping) and "id" in v), made)
        return self._after(WriteStatus.CREATED, kind, made["id"], payload)

    def _update(self, kind: BottleObject, intent: Intent) -> WriteResult:
        self._refuse_what_would_be_dropped(kind, intent.payload)
        ext = intent.external_id or ""
        current = self._read(kind, ext)
        if current is None:
            return WriteResult(WriteStatus.GONE, error=f"There is no {kind.path}{ext} any more.")
        if intent.version and current.version != intent.version:
            return WriteResult(WriteStatus.STALE, error="It has changed since it was read.")
        self._refuse_taken_sku(intent.payload, ext)
        body = records.body(kind, intent.payload, current.payload)
        if body and self._call(kind.method, _at(kind, ext), body=body).status == 404:
            return WriteResult(WriteStatus.GONE, error=f"There is no {kind.path}{ext} any more.")
        return self._after(WriteStatus.UPDATED, kind, ext, intent.payload)

    def _delete(self, kind: BottleObject, intent: Intent) -> WriteResult:
        ext = intent.external_id or ""
        current = self._read(kind, ext)
        if current is None:
            return WriteResult(WriteStatus.GONE, error=f"There is no {kind.path}{ext} any more.")
        if intent.version and current.version != intent.version:
            return WriteResult(WriteStatus.STALE, error="It has changed since it was read.")
        self._call("DELETE", _at(kind, ext))
        return WriteResult(WriteStatus.DELETED)

    def _after(self, status: WriteStatus, kind: BottleObject, ext: str,
               payload: Mapping[str, Any]) -> WriteResult:
        """The record after a write, and what of the payload it does not hold."""
        unpaid = self._pay(ext, payload) if "amount_due" in payload else ""
        try:
            record = self._read(kind, ext)
        except RetryLater as error:
            raise OutcomeUnknown(f"It was written, but could not be read back: {error}",
                                 after=error.after) from error
        if record is None:
            return WriteResult(WriteStatus.GONE, error="It was deleted while it was written.")
        kept = records.not_kept(payload, record.payload)
        refusal = f"BottleCRM did not keep {', '.join(kept)}." if kept else ""
        return WriteResult(status, record, refusal=f"{refusal} {unpaid}".strip())

    def _pay(self, ext: str, payload: Mapping[str, Any]) -> str:
        """Bring an invoice's balance down by a payment; what was refused of it, if anything."""
        if payload["amount_due"] is None:
            return ""
        path = f"/api/invoices/{quote(ext, safe='')}/"
        now = self._call("GET", path).body["invoice"]
        paid = Decimal(str(now["amount_due"])) - Decimal(str(payload["amount_due"]))
        if paid < 0:
            return "It takes no payment back: that is done in BottleCRM."
        if paid == 0:
            return ""
        try:
            self._call("POST", f"{path}payments/", repeatable=False, body={
                "amount": f"{paid:.2f}", "payment_method": "OTHER",
                "payment_date": self._clock.now().date().isoformat(),
                "notes": "Recorded by the ERP."})
        except Rejected as error:
            return str(error)
        return ""

    def _complete(self, kind: BottleObject, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """A document wants a contact of its account; the first one there is, where none is said."""
        if not kind.has_lines or payload.get("contact_id") or not payload.get("account_id"):
            return payload
        account = self._read_raw(OBJECTS["accounts"], str(payload["account_id"])) or {}
        people = account.get("contacts") or []
        if not people:
            raise Rejected("BottleCRM wants a contact on it, and the account "
                           f"{account.get('name') or payload['account_id']} has none. "
                           "Add one to the account there, and sync again.")
        return {**payload, "contact_id": people[0]["id"]}

    def _refuse_what_would_be_dropped(self, kind: BottleObject, payload: Mapping[str, Any], *,
                                      creating: bool = False) -> None:
        """Everything BottleCRM would ignore is refused before it is sent."""
        wanted = {"custom_fields": {**(payload.get("custom_fields") or {}),
                                    **({REFERENCE: ""} if creating and kind.target else {})}}
        defined = self._defined(kind)
        unknown = records.unknown(kind, {**payload, **wanted}, defined)
        if unknown and kind.target:  # someone may have added them since
            unknown = records.unknown(kind, {**payload, **wanted},
                                      self._custom.read_again(kind.target))
        if unknown:
            raise Rejected(f"BottleCRM has no {', '.join(unknown)} that can be written. Mend the "
                           "mapping, or let `connector init` or an administrator add the fields.")
        if records.mixed_rates(payload):
            raise Rejected("Its lines are taxed at several rates; BottleCRM charges one rate for "
                           "a whole document. Split it, or keep it out of the sync.")

    def _refuse_taken_sku(self, payload: Mapping[str, Any], own: str | None) -> None:
        """BottleCRM answers a number that is taken with a failure of its own, without words."""
        sku = payload.get("sku")
        if sku and any(row["sku"] == sku and row["id"] != own
                       for row in self._search(OBJECTS["products"], {"search": str(sku)})):
            raise Rejected(f"sku: another product has the number {sku}.")

    # ---- reading

    def _read(self, kind: BottleObject, ext: str) -> RemoteRecord | None:
        row = self._read_raw(kind, ext)
        return None if row is None else self._record(kind, row)

    def _read_raw(self, kind: BottleObject, ext: str) -> Mapping[str, Any] | None:
        answer = self._call("GET", _at(kind, ext))
        if answer.status == 404:
            return None
        row: Mapping[str, Any] = answer.body[kind.within] if kind.within else answer.body
        return row

    def _made_for(self, kind: BottleObject, reference: str) -> RemoteRecord | None:
        """The record that was made for a reference."""
        query = {f"cf_{REFERENCE}": reference} if kind.target else {
            "search": notes.searched(REFERENCE, reference)}
        for row in self._search(kind, query):
            record = self._record(kind, row) if kind.whole_rows else self._read(kind, row["id"])
            if record is not None and record.reference == reference:
                return record
        return None

    def _search(self, kind: BottleObject, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        for rows in every_row(lambda offset, size: self._listing(kind, offset, size, query),
                              self._page):
            yield from rows

    def _listing(self, kind: BottleObject, offset: int, size: int,
                 query: Mapping[str, str] | None = None) -> Listing:
        status = self._settings.estimate_status if kind.target == "Estimate" else ""
        asked = {"limit": str(size), "offset": str(offset), **kind.order, **(query or {}),
                 **({"status": status} if status and not query else {})}
        body = self._body("GET", kind.path, query=asked)
        found = [(body[part.within] if part.within else body, part) for part in kind.parts]
        return Listing([inner[part.rows] for inner, part in found],
                       sum(inner[part.count] for inner, part in found))

    def _record(self, kind: BottleObject, row: Mapping[str, Any]) -> RemoteRecord:
        return records.record(kind, row, self._defined(kind),
                              str(self._organization()["default_currency"]))

    def _defined(self, kind: BottleObject) -> frozenset[str]:
        return self._custom.of(kind.target) if kind.target else frozenset()

    def _organization(self) -> Mapping[str, Any]:
        """The organization the token belongs to, read once."""
        if self._org is None:
            self._org = self._body("GET", "/api/org/settings/")
        return self._org

    # ---- calls

    def _body(self, method: str, path: str, *, query: Mapping[str, str] | None = None,
              body: Any = None) -> Any:
        """An answer's body. Raises `RequestRefused` for a refusal."""
        try:
            answer = self._call(method, path, query=query, body=body)
        except Rejected as error:
            raise RequestRefused(f"{self._settings.name}: {method} {path}: {error}") from None
        if answer.status == 404:
            raise RequestRefused(f"{self._settings.name}: there is no {path}.",
                                 hint="Check the URL: it has no /api at its end.")
        return answer.body

    def _call(self, method: str, path: str, *, query: Mapping[str, str] | None = None,
              body: Any = None, repeatable: bool = True) -> Answer:
        """An answer, which may be a 404. Raises `Rejected` for a refusal, in BottleCRM's words,
        and `AccessDenied`."""
        answer = self._http.call(method, path, query=query, body=body, repeatable=repeatable,
                                 accept=_TOLD)
        if answer.status == 403:
            raise AccessDenied(
                f"{self._settings.name}: {method} {path}: {records.refused(answer.body)}.",
                hint="Check the token, and that its owner is an administrator.")
        if answer.status in _REFUSED:
            raise Rejected(f"{records.refused(answer.body)}.")
        return answer


def _kind(object: str) -> BottleObject:
    if object not in OBJECTS:
        raise RequestRefused(f"BottleCRM has no object {object!r} that is synced.",
                             hint=f"There are: {', '.join(OBJECTS)}.")
    return OBJECTS[object]


def _at(kind: BottleObject, ext: str) -> str:
    return f"{kind.path}{quote(ext, safe='')}/"


def _swept_at(cursor: str | None) -> None:
    """Refuse a cursor that no sweep of ours gave."""
    try:
        if cursor is not None:
            datetime.fromisoformat(json.loads(cursor)["swept_at"])
    except (ValueError, KeyError, TypeError):
        raise CursorExpired(f"{cursor!r} is no cursor of a BottleCRM.") from None
