"""Writes BottleCRM's records one by one: read anew before, and read back after."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from connector.adapters.bottlecrm import records
from connector.adapters.bottlecrm.apart import write_lines
from connector.adapters.bottlecrm.calls import Calls, Rejected
from connector.adapters.bottlecrm.custom import CustomFields
from connector.adapters.bottlecrm.objects import OBJECTS, UNFINISHED, BottleObject
from connector.adapters.bottlecrm.reading import Reading, place
from connector.domain.records import (
    Intent,
    Operation,
    RemoteRecord,
    WriteResult,
    WriteStatus,
)
from connector.errors import OutcomeUnknown, RequestRefused, RetryLater
from connector.ports import Clock

Payload = Mapping[str, Any]


class Writing:
    """What is written to BottleCRM. It has no lock and takes what it does not know without a
    word, so both are looked after here."""

    def __init__(self, calls: Calls, reading: Reading, custom: CustomFields, clock: Clock) -> None:
        self._calls, self._reading, self._custom, self._clock = calls, reading, custom, clock

    def one(self, kind: BottleObject, intent: Intent) -> WriteResult:
        """Make one write; raises `AccessDenied` only."""
        make = {Operation.CREATE: self._create, Operation.UPDATE: self._update,
                Operation.DELETE: self._delete}[intent.operation]
        try:
            return make(kind, intent)
        except RetryLater as error:
            return WriteResult.put_off(error)
        except (Rejected, RequestRefused) as error:
            return WriteResult(WriteStatus.REJECTED, error=str(error))
        except ValueError as error:
            return WriteResult(WriteStatus.REJECTED, error=f"It can't be sent: {error}.")

    def _create(self, kind: BottleObject, intent: Intent) -> WriteResult:
        there = self._reading.made_for(kind, intent.reference)
        if there and kind.issue and there.payload["status"] == "Draft":
            self._issue(kind, there.external_id, there.payload)
            return self._written(WriteStatus.CREATED, kind, there.external_id, {})
        if there:
            return WriteResult(WriteStatus.CREATED, there)
        payload = self._with_a_contact(intent.payload)
        self._refuse_what_would_be_dropped(kind, payload, creating=True)
        self._refuse_a_taken_sku(payload, None)
        if kind.stands_on:
            ext = self._mark(kind, intent)
        elif kind.lines_apart and payload.get("line_items"):
            ext = self._post_with_lines(kind, intent)
        else:
            ext = self._post(kind, payload, intent.reference)
        self._issue(kind, ext, payload)
        return self._written(WriteStatus.CREATED, kind, ext, payload)

    def _post(self, kind: BottleObject, payload: Payload, reference: str) -> str:
        answer = self._calls.make("POST", kind.path, repeatable=False,
                                  body=records.body(kind, payload, None, reference))
        if answer.status == 404:
            raise Rejected(f"There is no {kind.path}.")
        return _id(answer.body)

    def _post_with_lines(self, kind: BottleObject, intent: Intent) -> str:
        """Make a record and then its lines. Until all are there its reference says so, and it is
        not found by it; whoever comes again goes on with it."""
        begun = self._reading.made_for(kind, intent.reference + UNFINISHED)
        ext = begun.external_id if begun else self._post(kind, intent.payload,
                                                         intent.reference + UNFINISHED)
        write_lines(self._calls, place(kind, ext), intent.payload["line_items"],
                    begun.payload["line_items"] if begun else ())
        try:
            self._calls.make(kind.method, place(kind, ext),
                             body={"custom_fields": {kind.mark: intent.reference}})
        except RetryLater as error:
            raise OutcomeUnknown(f"It was made, and not marked as finished: {error}",
                                 after=error.after) from error
        return ext

    def _mark(self, kind: BottleObject, intent: Intent) -> str:
        """Make a record bear what is created, so that there is never a second one of it."""
        ext = str(intent.payload.get(kind.stands_on) or "")
        row = self._reading.row(kind, ext) if ext else None
        if row is None:
            raise Rejected("In BottleCRM an order is an estimate that was accepted, and there is "
                           "none for it.")
        if any(row.get(name) != value for name, value in kind.query.items()):
            raise Rejected(f"The estimate {row['estimate_number']} is {row['status']}: only one "
                           "that its customer accepted can be an order.")
        borne = (row["custom_fields"] or {}).get(kind.mark)
        if borne:
            raise Rejected(f"The estimate {row['estimate_number']} is the order for {borne} "
                           "already.")
        self._calls.make(kind.method, place(kind, ext), repeatable=False,
                         body=records.body(kind, intent.payload, None, intent.reference))
        return ext

    def _update(self, kind: BottleObject, intent: Intent) -> WriteResult:
        self._refuse_what_would_be_dropped(kind, intent.payload)
        ext = intent.external_id or ""
        current, moved = self._current(kind, ext, intent.version)
        if current is None or moved:
            return moved or _gone(kind, ext)
        self._refuse_a_taken_sku(intent.payload, ext)
        body = records.body(kind, intent.payload, current.payload)
        if body and self._calls.make(kind.method, place(kind, ext), body=body).status == 404:
            return _gone(kind, ext)
        if kind.lines_apart and "line_items" in intent.payload:
            write_lines(self._calls, place(kind, ext), intent.payload["line_items"] or (),
                        current.payload["line_items"])
        return self._written(WriteStatus.UPDATED, kind, ext, intent.payload)

    def _delete(self, kind: BottleObject, intent: Intent) -> WriteResult:
        ext = intent.external_id or ""
        current, moved = self._current(kind, ext, intent.version)
        if current is None or moved:
            return moved or _gone(kind, ext)
        if kind.stands_on:  # what it stands on stays
            answer = self._calls.make(kind.method, place(kind, ext), body={
                "custom_fields": {kind.mark: None, kind.told: None}})
        else:
            answer = self._calls.make("DELETE", place(kind, ext))
        return _gone(kind, ext) if answer.status == 404 else WriteResult(WriteStatus.DELETED)

    def _current(self, kind: BottleObject, ext: str,
                 version: str | None) -> tuple[RemoteRecord | None, WriteResult | None]:
        """The record just before it is written, and STALE where it is not as it was read."""
        current = self._reading.one(kind, ext)
        if current is not None and version and current.version != version:
            return current, WriteResult(WriteStatus.STALE,
                                        error="It has changed since it was read.")
        return current, None

    def _written(self, status: WriteStatus, kind: BottleObject, ext: str,
                 payload: Payload) -> WriteResult:
        """The record after a write, and what of the payload it does not hold."""
        try:
            unpaid = self._pay(kind, ext, payload.get("amount_due"))
            record = self._reading.one(kind, ext)
        except RetryLater as error:
            raise OutcomeUnknown(f"It was written, but could not be read back: {error}",
                                 after=error.after) from error
        if record is None:
            return _gone(kind, ext)
        kept = records.not_kept(payload, record.payload)
        refusal = f"BottleCRM did not keep {', '.join(kept)}." if kept else ""
        return WriteResult(status, record, refusal=f"{refusal} {unpaid}".strip())

    def _issue(self, kind: BottleObject, ext: str, payload: Payload) -> None:
        """Make an invoice of the ERP count as owed: a Draft does not. BottleCRM calls that
        sending, and mails it to `client_email`; one that has such an address is left a Draft."""
        if not kind.issue or payload.get("client_email"):
            return
        try:
            self._calls.make("POST", place(kind, ext) + kind.issue)
        except RetryLater as error:
            raise OutcomeUnknown(f"It was made, and is still a Draft: {error}",
                                 after=error.after) from error

    def _pay(self, kind: BottleObject, ext: str, balance: Any) -> str:
        """Bring an invoice's balance down by a payment; what was refused of it, if anything.

        What is to be paid is worked out from the invoice as it is, so that a repeat pays nothing.
        """
        if balance is None:
            return ""
        now = self._reading.row(kind, ext)
        paid = Decimal(str(now["amount_due"])) - Decimal(str(balance)) if now else Decimal(0)
        if paid < 0:
            return "It takes no payment back: that is done in BottleCRM."
        if paid == 0:
            return ""
        try:
            self._calls.make("POST", f"{place(kind, ext)}payments/", repeatable=False, body={
                "amount": f"{paid:.2f}", "payment_method": "OTHER",
                "payment_date": self._clock.now().date().isoformat(),
                "notes": "Recorded by the ERP."})
        except Rejected as error:
            return str(error)
        return ""

    def _with_a_contact(self, payload: Payload) -> Payload:
        """A document wants a contact of its account; the first one there is, where none is said."""
        if payload.get("contact_id") or not payload.get("account_id"):
            return payload
        account = self._reading.row(OBJECTS["accounts"], str(payload["account_id"])) or {}
        people = account.get("contacts") or []
        if not people:
            raise Rejected("BottleCRM wants a contact on it, and the account "
                           f"{account.get('name') or payload['account_id']} has none. "
                           "Add one to the account there, and sync again.")
        return {**payload, "contact_id": people[0]["id"]}

    def _refuse_what_would_be_dropped(self, kind: BottleObject, payload: Payload, *,
                                      creating: bool = False) -> None:
        custom = dict(payload.get("custom_fields") or {})
        if creating and kind.target:
            custom[kind.mark] = ""
        sent = {**payload, "custom_fields": custom}
        unknown = records.unknown(kind, sent, self._custom.of(kind.target))
        if unknown and kind.target:  # someone may have added them since
            unknown = records.unknown(kind, sent, self._custom.read_again(kind.target))
        if unknown:
            raise Rejected(f"BottleCRM has no {', '.join(unknown)} that can be written. Mend the "
                           "mapping, or add custom fields by `connector prepare`.")
        if records.mixed_rates(payload):
            raise Rejected("Its lines are taxed at several rates; BottleCRM charges one rate for "
                           "a whole document. Split it, or keep it out of the sync.")

    def _refuse_a_taken_sku(self, payload: Payload, own: str | None) -> None:
        """BottleCRM answers a number that is taken with a failure of its own, without words."""
        sku = payload.get("sku")
        if sku and any(row["sku"] == sku and row["id"] != own for row in self._reading.search(
                OBJECTS["products"], {"search": str(sku)})):
            raise Rejected(f"sku: another product has the number {sku}.")


def _gone(kind: BottleObject, ext: str) -> WriteResult:
    return WriteResult(WriteStatus.GONE, error=f"There is no {kind.path}{ext}/ any more.")


def _id(answer: Any) -> str:
    """The ID of what was made; it stands in the answer, or in the record within it."""
    within = [answer, *answer.values()] if isinstance(answer, Mapping) else []
    for node in within:
        if isinstance(node, Mapping) and isinstance(node.get("id"), str):
            return str(node["id"])
    raise OutcomeUnknown("BottleCRM's answer names no record.",
                         hint="It is verified before anything else is written.")
