"""Planted bugs of adapters: each breaks one promise, which the torture test has to notice.

A docstring says what the adapter does wrong.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import structlog

from connector.adapters.native_crm import NativeCrm, NativeCrmSettings
from connector.adapters.native_erp import NativeErp, NativeErpSettings
from connector.domain.records import Batch, Intent, Operation, Page, WriteResult
from connector.domain.records import WriteStatus as Status
from connector.errors import AccessDenied, RetryLater
from connector.ports import Clock
from connector.testing.torture.kit import Factory
from tests.torture.simulated_natives import crm_with, erp_with, native_crm, native_erp

CALLS = itertools.count()
LOST = (Status.UNKNOWN, Status.RETRY)


def _with(batch: Batch, **changes: Any) -> Batch:
    return replace(batch, intents=tuple(replace(intent, **changes) for intent in batch.intents))


def _sending(batch: Batch, sent: Any) -> Batch:
    """The batch with other payloads in its updates."""
    return replace(batch, intents=tuple(
        replace(i, payload=sent(i.payload)) if i.operation is Operation.UPDATE else i
        for i in batch.intents))


class LostAnswerTakenForNotMade(NativeCrm):
    """Takes a lost answer for a write that was not made, and makes it again by another key."""

    def write(self, batch: Batch) -> list[WriteResult]:
        results = super().write(batch)
        if all(r.status is Status.UNKNOWN for r in results):
            return super().write(replace(batch, key=f"{batch.key} again"))
        return results


class LostAnswerTakenForMade(NativeErp):
    """Takes an update for made whatever became of the call: it gives back what is there."""

    taken: Sequence[Status] = LOST

    def write(self, batch: Batch) -> list[WriteResult]:
        return [self._as_if(batch.object, intent, result) for intent, result in
                zip(batch.intents, super().write(batch), strict=True)]

    def _as_if(self, object: str, intent: Intent, result: WriteResult) -> WriteResult:
        if result.status not in self.taken or intent.operation is Operation.CREATE:
            return result
        try:
            there = self.get(object, [intent.external_id or ""]).get(intent.external_id or "")
        except RetryLater:
            return result
        return WriteResult(Status.UPDATED, there) if there else result


class StaleTakenForMade(LostAnswerTakenForMade):
    """Takes a write that was refused for its old version for made."""

    taken = (Status.STALE,)


class WritesBlindly(NativeCrm):
    """Sends no version."""

    def write(self, batch: Batch) -> list[WriteResult]:
        return super().write(_with(batch, version=None))


class RevNotSent(NativeErp):
    """Writes with whatever revision the record has by then."""

    def write(self, batch: Batch) -> list[WriteResult]:
        if batch.operation is Operation.CREATE:
            return super().write(batch)
        try:
            now = self.get(batch.object, [i.external_id or "" for i in batch.intents])
        except RetryLater as error:
            return [WriteResult.put_off(error)] * len(batch.intents)
        return super().write(replace(batch, intents=tuple(
            replace(i, version=now[i.external_id or ""].version)
            if i.external_id in now else i for i in batch.intents)))


class CursorRunsAhead(NativeErp):
    """Gives with every page the cursor of the last one."""

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        pages = list(super().pull(object, cursor))
        for page in pages:
            yield replace(page, cursor=pages[-1].cursor)


class NoKeyNoReference(NativeCrm):
    """A create carries neither a key that stays the same nor what it is made for."""

    def write(self, batch: Batch) -> list[WriteResult]:
        return super().write(replace(_with(batch, reference=""), key=f"call {next(CALLS)}"))


class DropsBlanks(NativeCrm):
    """Leaves out of an update what is blank."""

    def write(self, batch: Batch) -> list[WriteResult]:
        return super().write(_sending(batch, lambda payload: {
            name: value for name, value in payload.items() if value is not None}))


class DropsAField(NativeErp):
    """Leaves a field out of every update, and says that it was written."""

    def write(self, batch: Batch) -> list[WriteResult]:
        return super().write(_sending(batch, lambda payload: {
            name: value for name, value in payload.items()
            if name not in ("display_name", "given_name", "label")}))


class BlanksTheRestOfAGroup(NativeErp):
    """Sends a group with nulls for what does not change."""

    def write(self, batch: Batch) -> list[WriteResult]:
        return super().write(_sending(batch, _whole))


def _whole(payload: Mapping[str, Any]) -> dict[str, Any]:
    if "address" not in payload:
        return dict(payload)
    return {**payload, "address": {"line1": None, "town": None, **payload["address"]}}


class HalfAPageTakenForAnEmptyOne(NativeCrm):
    """Takes a page that it couldn't read to its end for an empty one, up to now."""

    def __init__(self, settings: NativeCrmSettings, clock: Clock, *, page: int) -> None:
        super().__init__(settings, clock, page=page)
        self.clock = clock

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        try:
            yield from super().pull(object, cursor)
        except RetryLater:
            yield Page((), json.dumps({"since": self.clock.now().isoformat()}))


class DeniedTakenForTheEnd(NativeErp):
    """Takes 401 and 429 for the end of the pages, up to now."""

    def __init__(self, settings: NativeErpSettings, clock: Clock, *, page: int) -> None:
        super().__init__(settings, clock, page=page)
        self.clock = clock

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        try:
            yield from super().pull(object, cursor)
        except (AccessDenied, RetryLater):
            now = self.clock.now().isoformat()
            yield Page((), json.dumps({"modified": now, "id": 0}))


class RepeatsWithoutReference(NativeErp):
    """Makes a create whose answer was lost again, without what it is made for."""

    def write(self, batch: Batch) -> list[WriteResult]:
        if batch.operation is not Operation.CREATE:
            return super().write(batch)
        results = super().write(batch)
        if all(r.status is Status.UNKNOWN for r in results):
            return super().write(_with(batch, reference=None))
        return results


class LogsWhatItWrites(NativeErp):
    """Puts what it writes into the log."""

    def write(self, batch: Batch) -> list[WriteResult]:
        structlog.get_logger().debug("writing", rows=[intent.payload for intent in batch.intents])
        return super().write(batch)


class Bug(NamedTuple):
    """An adapter with a bug: the system it speaks to, the first seed from 0 that catches it, and
    the invariant that breaks."""

    planted: Factory
    honest: Factory
    seed: int
    invariant: str


def _crm(kind: type[NativeCrm], seed: int, invariant: str) -> Bug:
    return Bug(crm_with(kind), native_crm, seed, invariant)


def _erp(kind: type[NativeErp], seed: int, invariant: str) -> Bug:
    return Bug(erp_with(kind), native_erp, seed, invariant)


BUGS = {
    "LostAnswerTakenForNotMade": _crm(LostAnswerTakenForNotMade, 62, "I3"),
    "LostAnswerTakenForMade": _erp(LostAnswerTakenForMade, 1, "I3"),
    "StaleTakenForMade": _erp(StaleTakenForMade, 1, "I3"),
    "WritesBlindly": _crm(WritesBlindly, 1, "I3"),
    "RevNotSent": _erp(RevNotSent, 31, "I3"),
    "CursorRunsAhead": _erp(CursorRunsAhead, 50, "I1"),
    "NoKeyNoReference": _crm(NoKeyNoReference, 21, "I2"),
    "RepeatsWithoutReference": _erp(RepeatsWithoutReference, 17, "I3"),
    "DropsBlanks": _crm(DropsBlanks, 0, "I3"),
    "DropsAField": _erp(DropsAField, 1, "I3"),
    "BlanksTheRestOfAGroup": _erp(BlanksTheRestOfAGroup, 2, "I3"),
    "HalfAPageTakenForAnEmptyOne": _crm(HalfAPageTakenForAnEmptyOne, 0, "I2"),
    "LogsWhatItWrites": _erp(LogsWhatItWrites, 0, "I10"),
    "DeniedTakenForTheEnd": _erp(DeniedTakenForTheEnd, 2, "I1"),
}
