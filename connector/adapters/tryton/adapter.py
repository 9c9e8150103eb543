"""Tryton 8: an ERP spoken to over JSON-RPC, in a user's session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import ClassVar

from connector.adapters.schema import all_there
from connector.adapters.tryton import changes
from connector.adapters.tryton.documents import Invoices, Shipments
from connector.adapters.tryton.kind import Kind
from connector.adapters.tryton.moving import Moving
from connector.adapters.tryton.opportunities import Opportunities
from connector.adapters.tryton.parties import Contacts, Customers
from connector.adapters.tryton.products import Products, StockLevels
from connector.adapters.tryton.rpc import LOOK_BACK_SECONDS, Rpc, TrytonSettings
from connector.adapters.tryton.sale_kinds import Quotations, Sales
from connector.adapters.tryton.sale_writing import SaleWriting
from connector.adapters.tryton.sales import AnySale
from connector.adapters.tryton.writing import Writing
from connector.adapters.webhooks import Webhooks
from connector.domain.records import (
    Batch,
    Capabilities,
    Delivery,
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
from connector.errors import RequestRefused, RetryLater
from connector.ports import Clock

PAGE = 500
_KINDS: tuple[type[Kind], ...] = (Products, StockLevels, Customers, Contacts, Opportunities,
                                  Quotations, Sales, Shipments, Invoices)


class Tryton:
    """Speaks to a Tryton, in the words of its models; see `docs/adapters/tryton.md`."""

    settings_model: ClassVar[type[TrytonSettings]] = TrytonSettings
    capabilities = Capabilities(
        write_batch=100, read_batch=PAGE, look_back=timedelta(seconds=LOOK_BACK_SECONDS),
        write_window=timedelta(0), idempotent_create=IdempotentCreate.SEARCH,
        deletions="tombstone", bulk=True)

    def __init__(self, settings: TrytonSettings, clock: Clock, *, page: int = PAGE) -> None:
        self._rpc = Rpc(settings, clock)
        self._page = page
        self._webhooks = Webhooks(settings.webhooks)
        self._look_back = timedelta(seconds=settings.look_back_seconds)
        self._kinds = {kind.object: kind(self._rpc) for kind in _KINDS}
        self.capabilities = replace(self.capabilities, look_back=self._look_back)

    def check(self) -> str:
        """See the port."""
        (company,) = self._rpc.read("company.company", [["id", "=", self._rpc.context["company"]]],
                                    ["rec_name"])
        return f"Tryton {self._rpc.version()}, {company['rec_name']}"

    def describe(self, object: str) -> ObjectSchema:
        """See the port."""
        kind = self._kind(object)
        return replace(kind.schema, fields=kind.schema.fields | set(kind.more))

    def prepare(self, object: str, fields: Mapping[str, FieldType]) -> list[str]:
        """See the port: references have a home in every object, and there are no fields to add."""
        all_there(object, self.describe(object), fields)
        self._kind(object).prepare()
        return []

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        """See the port."""
        return changes.pull(self._kind(object), cursor, self._page, self._look_back)

    def get(self, object: str, external_ids: Sequence[str]) -> dict[str, RemoteRecord]:
        """See the port."""
        kind, wanted = self._kind(object), set(external_ids)
        found = kind.find(list(filter(None, map(kind.internal, wanted))))
        return {r.external_id: r for _, r in found if r.external_id in wanted}

    def find(self, object: str, references: Sequence[str]) -> dict[str, RemoteRecord]:
        """See the port."""
        kind = self._kind(object)
        ids = kind.referenced(references) if references else {}
        records = {record.external_id: record for _, record in kind.find(list(ids.values()))}
        return {reference: replace(records[str(id)], reference=reference)
                for reference, id in ids.items() if str(id) in records}

    def write(self, batch: Batch) -> list[WriteResult]:
        """See the port. A batch is one call; where Tryton refuses it, it is halved until the
        records that are at fault stand alone."""
        kind = self._kind(batch.object)
        if kind.cannot_write:
            return [WriteResult(WriteStatus.REJECTED, error=kind.cannot_write)
                    for _ in batch.intents]
        writing = self._writing(kind, batch.intents)
        try:
            {Operation.CREATE: writing.create, Operation.UPDATE: writing.update,
             Operation.DELETE: writing.delete}[batch.operation]()
        except RetryLater as error:
            writing.rest(error)
        return [writing.results[n] for n in range(len(batch.intents))]

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Delivery:
        """See the port: it sends none itself."""
        return self._webhooks.delivery(headers, body, at)

    def close(self) -> None:
        """See the port."""
        self._rpc.close()

    def _writing(self, kind: Kind, intents: Sequence[Intent]) -> Writing:
        if isinstance(kind, AnySale):
            return SaleWriting(self._rpc, kind, intents)
        return (Moving if kind.steps else Writing)(self._rpc, kind, intents)

    def _kind(self, object: str) -> Kind:
        if object not in self._kinds:
            raise RequestRefused(f"The adapter serves no object {object!r} of Tryton's.",
                                 hint=f"It has: {', '.join(sorted(self._kinds))}.")
        return self._kinds[object]
