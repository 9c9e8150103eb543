"""The outbox: batches of writes recorded before they are made, exactly as they are sent."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, select

from connector.domain.records import Batch, Intent, Operation
from connector.store.codec import dump_exact, load_exact
from connector.store.rows import Rows
from connector.store.tables import outbox

_FIELDS = ("key", "entity", "canonical_id", "system", "payload", "record", "reference",
           "external_id", "version")


class OutboxRows(Rows):
    """The part of a unit of work about writes begun."""

    def record_batch(self, pair: str, run_id: str, batch: Batch) -> None:
        intents = [[getattr(intent, name) for name in _FIELDS] for intent in batch.intents]
        self.upsert(outbox, [{
            "pair": pair, "key": batch.key, "run_id": run_id, "object": batch.object,
            "operation": batch.operation.value, "intents": dump_exact(intents),
            "slot": None if self.part is None else self.part.slot}],
            ("pair", "key"))

    def unsettled_batches(self, pair: str) -> list[Batch]:
        rows = self.connection.execute(
            select(outbox).where(outbox.c.pair == pair, *self.mine(outbox.c.slot))
            .order_by(outbox.c.id))
        return [Batch(row.key, row.object, Operation(row.operation), tuple(
            Intent(operation=Operation(row.operation),
                   **dict(zip(_FIELDS, intent, strict=True)))
            for intent in load_exact(row.intents))) for row in rows]

    def settle_batches(self, pair: str, keys: Collection[str]) -> None:
        self.execute_among(delete(outbox).where(outbox.c.pair == pair), outbox.c.key, keys)
