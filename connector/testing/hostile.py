"""Adapters that break one promise each, to prove that the suite finds it out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from connector.adapters.memory import MemoryAdapter
from connector.domain.records import (
    Batch,
    Intent,
    Operation,
    Page,
    RemoteRecord,
    WriteResult,
    WriteStatus,
)


class ReadsTwice(MemoryAdapter):
    """Gives a record again on the next page."""

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        for page in super().pull(object, cursor):
            yield page
            yield page


class CursorRunsAhead(MemoryAdapter):
    """Its cursor stands behind the last change, whatever page it belongs to."""

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        for page in super().pull(object, cursor):
            yield replace(page, cursor=str(self.system.changes))


class ForgetsChanges(MemoryAdapter):
    """Shows new records, but not changed ones."""

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        known = int(cursor or 0) if (cursor or "0").isdigit() else 0
        for page in super().pull(object, cursor):
            yield replace(page, records=tuple(
                r for r in page.records if not known or r.reference != "other:2"))


class SwallowsCursors(MemoryAdapter):
    """Takes a cursor it doesn't know for a new start."""

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        return super().pull(object, cursor if (cursor or "0").isdigit() else None)


class VersionStandsStill(MemoryAdapter):
    """Its version never changes."""

    def get(self, object: str, external_ids: Sequence[str]) -> dict[str, RemoteRecord]:
        return {ext: replace(record, version="1")
                for ext, record in super().get(object, external_ids).items()}


class LastWriterWins(MemoryAdapter):
    """Writes over whatever is there."""

    def write_one(self, object: str, intent: Intent) -> WriteResult:
        row = self.system.objects.get(object, {}).get(intent.external_id or "")
        return super().write_one(object, replace(intent, version=str(row.at)) if row else intent)


class ForgetsReferences(MemoryAdapter):
    """Creates records that don't say what they were created for."""

    def write_one(self, object: str, intent: Intent) -> WriteResult:
        result = super().write_one(object, intent)
        return replace(result, record=replace(result.record, reference=None)) \
            if result.record else result


class CreatesBlindly(MemoryAdapter):
    """A repeated create makes another record."""

    def write_one(self, object: str, intent: Intent) -> WriteResult:
        if intent.operation is not Operation.CREATE:
            return super().write_one(object, intent)
        row = self.system.put(object, self.system.next_id(object), intent.payload,
                              intent.reference)
        return WriteResult(WriteStatus.CREATED, row.record())


class ResultsOutOfOrder(MemoryAdapter):
    """Gives a batch's results in the order it pleases."""

    def write(self, batch: Batch) -> list[WriteResult]:
        return super().write(batch)[::-1]


class GoneIsFine(MemoryAdapter):
    """A write to a record that is not there is said to be made."""

    def write_one(self, object: str, intent: Intent) -> WriteResult:
        result = super().write_one(object, intent)
        return replace(result, status=WriteStatus.UPDATED) \
            if result.status is WriteStatus.GONE else result


class FindsNothing(MemoryAdapter):
    """Doesn't find records by their reference."""

    def find(self, object: str, references: Sequence[str]) -> dict[str, RemoteRecord]:
        return {}


class InventsRecords(MemoryAdapter):
    """Gives something for every ID asked for."""

    def get(self, object: str, external_ids: Sequence[str]) -> dict[str, RemoteRecord]:
        return {ext: super(InventsRecords, self).get(object, [ext]).get(
            ext, RemoteRecord(ext, "1", {})) for ext in external_ids}


class HidesDeletions(MemoryAdapter):
    """Leaves deleted records out."""

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        for page in super().pull(object, cursor):
            yield replace(page, records=tuple(r for r in page.records if not r.deleted))


class CutsText(MemoryAdapter):
    """Keeps the first hundred characters of text, and only ASCII."""

    def write_one(self, object: str, intent: Intent) -> WriteResult:
        cut = {k: v.encode("ascii", "ignore").decode()[:100] if isinstance(v, str) else v
               for k, v in intent.payload.items()}
        return super().write_one(object, replace(intent, payload=cut))


class RoundsNumbers(MemoryAdapter):
    """Keeps numbers as floats."""

    def write_one(self, object: str, intent: Intent) -> WriteResult:
        rounded = {k: float(v) if k == "amount" else v for k, v in intent.payload.items()}
        return super().write_one(object, replace(intent, payload=rounded))


CAUGHT_BY: dict[type[MemoryAdapter], str] = {
    ReadsTwice: "test_a_pull_reads_every_record_once",
    CursorRunsAhead: "test_a_cursor_is_text_and_leads_on_from_every_page",
    ForgetsChanges: "test_a_pull_from_the_end_brings_what_changed_since",
    SwallowsCursors: "test_a_strange_cursor_is_told",
    VersionStandsStill: "test_the_version_moves_with_the_record_and_only_then",
    LastWriterWins: "test_a_stale_write_changes_nothing",
    ForgetsReferences: "test_a_create_returns_the_record_with_its_reference",
    CreatesBlindly: "test_a_repeated_create_makes_no_second_record",
    ResultsOutOfOrder: "test_results_stand_in_order_and_one_bad_record_harms_no_other",
    GoneIsFine: "test_a_record_that_is_not_there_is_told",
    FindsNothing: "test_records_are_found_by_reference",
    InventsRecords: "test_get_leaves_out_what_is_not_there",
    HidesDeletions: "test_a_deletion_shows",
    CutsText: "test_text_survives",
    RoundsNumbers: "test_numbers_survive_exactly",
}
"""Each hostile adapter, and the promise it breaks."""
