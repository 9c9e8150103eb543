"""The outbox: writes recorded before they are made, exactly as they are sent."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, select

from connector.domain.records import Batch, Intent, Operation
from connector.store.codec import dump_exact, load_exact
from connector.store.rows import Rows, chunks
from connector.store.tables import outbox

_FIELDS = ("key", "entity", "canonical_id", "system", "operation", "payload", "record",
           "reference", "external_id", "version")


class OutboxRows(Rows):
    """The part of a unit of work about writes begun."""

    def record_intents(self, pair: str, run_id: str, batch: Batch) -> None:
        rows = [{"key": intent.key, "pair": pair, "run_id": run_id, "batch_key": batch.key,
                 "object": batch.object, "operation": batch.operation.value,
                 "intent": dump_exact({name: getattr(intent, name) for name in _FIELDS})}
                for intent in batch.intents]
        self.upsert(outbox, rows, ("key",))

    def unsettled_batches(self, pair: str) -> list[Batch]:
        rows = self.connection.execute(
            select(outbox).where(outbox.c.pair == pair).order_by(outbox.c.id))
        found: dict[str, tuple[str, Operation, list[Intent]]] = {}
        for row in rows:
            at = found.setdefault(row.batch_key, (row.object, Operation(row.operation), []))
            kept = load_exact(row.intent)
            kept["operation"] = Operation(kept["operation"])
            at[2].append(Intent(**kept))
        return [Batch(key, object, operation, tuple(intents))
                for key, (object, operation, intents) in found.items()]

    def settle_intents(self, keys: Collection[str]) -> None:
        for chunk in chunks(keys):
            self.connection.execute(delete(outbox).where(outbox.c.key.in_(chunk)))
