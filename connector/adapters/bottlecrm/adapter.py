"""BottleCRM as a system: the adapter's verbs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from pydantic import Field, SecretStr

from connector.adapters.auth import Bearer
from connector.adapters.bottlecrm.calls import Calls
from connector.adapters.bottlecrm.custom import PREFIX, CustomFields, custom_keys, no_such_fields
from connector.adapters.bottlecrm.objects import OBJECTS, BottleObject
from connector.adapters.bottlecrm.reading import Reading
from connector.adapters.bottlecrm.sweep import every_row
from connector.adapters.bottlecrm.webhooks import read_delivery
from connector.adapters.bottlecrm.writing import Writing
from connector.adapters.http import Connection, HttpSettings
from connector.adapters.webhooks import Webhooks
from connector.domain.records import (
    Batch,
    Capabilities,
    Delivery,
    IdempotentCreate,
    ObjectSchema,
    Page,
    RemoteRecord,
    WriteResult,
)
from connector.domain.values import FieldType
from connector.errors import CursorExpired, RequestRefused
from connector.ports import Clock

PAGE = 500


class BottleCrmSettings(HttpSettings):
    """The settings of a BottleCRM."""

    token: SecretStr = Field(description="a personal access token of an administrator")


class BottleCrm:
    """Speaks to a BottleCRM.

    It has no filter by time: every pull reads all there is. It has no lock either: a record is
    read anew just before it is written, and again after, since it drops what it does not know.
    """

    settings_model: ClassVar[type[BottleCrmSettings]] = BottleCrmSettings
    capabilities = Capabilities(
        write_batch=20, read_batch=100, look_back=timedelta(0), write_window=timedelta(seconds=1),
        idempotent_create=IdempotentCreate.SEARCH, deletions="absence", bulk=False,
        webhooks="t-v1", sync_state=True)

    def __init__(self, settings: BottleCrmSettings, clock: Clock, *, page: int = PAGE) -> None:
        self._clock, self._page = clock, page
        self._http = Connection(settings, Bearer(settings.token), clock)
        self._webhooks = Webhooks(settings.webhooks, read_delivery)
        calls = Calls(self._http)
        self._custom = CustomFields(calls.body)
        self._reading = Reading(calls, self._custom, page)
        self._writing = Writing(calls, self._reading, self._custom, clock)

    def check(self) -> str:
        """See the port."""
        name = self._reading.organization()["name"]
        self._reading.only_an_administrator_sees_all()
        return f"BottleCRM ({name})"

    def describe(self, object: str) -> ObjectSchema:
        """See the port."""
        kind = _kind(object)
        custom = self._custom.read_again(kind.target) if kind.target else kind.notes
        return ObjectSchema(frozenset({*kind.fields, *(PREFIX + key for key in custom)}),
                            kind.lines_read)

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
        if kind.told in fields:
            wanted[kind.told] = FieldType.TEXT
        added = self._custom.add(kind.target, {**wanted, kind.mark: FieldType.TEXT})
        return [PREFIX + key for key in added]

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        """See the port; a cursor says when the last sweep began, and each sweep reads all."""
        _swept_at(cursor)
        kind = _kind(object)
        self._reading.only_an_administrator_sees_all()
        if kind.target:
            self._custom.read_again(kind.target)
        now = json.dumps({"swept_at": self._clock.now().isoformat()})
        empty = True
        for rows in every_row(lambda offset, size: self._reading.listing(
                kind, offset, size, {}), self._page):
            empty = False
            if kind.whole_rows:
                yield Page(tuple(self._reading.record(kind, row) for row in rows), now)
            else:
                yield Page(tuple(self.get(object, [row["id"] for row in rows]).values()), now)
        if empty:
            yield Page((), now)

    def get(self, object: str, external_ids: Sequence[str]) -> dict[str, RemoteRecord]:
        """See the port."""
        kind = _kind(object)
        found = self._http.in_parallel(lambda ext: self._reading.one(kind, ext), external_ids)
        return {record.external_id: record for record in found if record}

    def find(self, object: str, references: Sequence[str]) -> dict[str, RemoteRecord]:
        """See the port."""
        kind = _kind(object)
        found = self._http.in_parallel(lambda ref: self._reading.made_for(kind, ref), references)
        return {ref: record for ref, record in zip(references, found, strict=True) if record}

    def write(self, batch: Batch) -> list[WriteResult]:
        """See the port; each intent by itself, some at a time."""
        kind = _kind(batch.object)
        return self._http.in_parallel(lambda intent: self._writing.one(kind, intent),
                                      batch.intents)

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Delivery:
        """See the port."""
        return self._webhooks.delivery(headers, body, at)

    def close(self) -> None:
        """See the port."""
        self._http.close()


def _kind(object: str) -> BottleObject:
    if object not in OBJECTS:
        raise RequestRefused(f"BottleCRM has no object {object!r} that is synced.",
                             hint=f"There are: {', '.join(OBJECTS)}.")
    return OBJECTS[object]


def _swept_at(cursor: str | None) -> None:
    """Refuse a cursor that no sweep of ours gave."""
    try:
        if cursor is not None:
            datetime.fromisoformat(json.loads(cursor)["swept_at"])
    except (ValueError, KeyError, TypeError):
        raise CursorExpired(f"{cursor!r} is no cursor of a BottleCRM.") from None
