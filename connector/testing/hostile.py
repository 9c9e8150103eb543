"""Adapters that break one promise each, to prove that the suite finds it out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from connector.adapters.memory import MemoryAdapter
from connector.adapters.wire import loads
from connector.domain.records import (
    Batch,
    Delivery,
    Hint,
    Intent,
    ObjectSchema,
    Operation,
    Page,
    RemoteRecord,
    WriteResult,
    WriteStatus,
)
from connector.domain.values import FieldType
from connector.errors import AccessDenied, DeliveryRefused, SystemUnreachable


class ReadsTwice(MemoryAdapter):
    """Gives a record again on the next page."""

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        for page in super().pull(object, cursor):
            yield page
            yield page


class CursorRunsAhead(MemoryAdapter):
    """Every page's cursor stands behind the last page."""

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        pages = list(super().pull(object, cursor))
        for page in pages:
            yield replace(page, cursor=pages[-1].cursor)


class ShowsNewOnesOnly(MemoryAdapter):
    """From a cursor on, shows what was created, but not what was changed."""

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        for page in super().pull(object, cursor):
            yield replace(page, records=tuple(
                r for r in page.records if cursor is None or r.deleted
                or r.payload["name"].startswith("thing")))


class PagesByOffset(MemoryAdapter):
    """Cuts what there is at first into pages, and says that it has read up to the end."""

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        pages = list(super().pull(object, cursor))
        yield from pages[:-1]
        for page in pages[-1:]:
            yield replace(page, cursor=str(self.system.changes))


class LooksNotBack(MemoryAdapter):
    """Starts at its cursor, though changes may come up behind it."""

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        known = cursor is not None and cursor.isdigit()
        return super().pull(object, str(int(cursor or 0) + self.look_back) if known else cursor)


class StopsAfterTenPages(MemoryAdapter):
    """Leaves out what does not fit on ten pages."""

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        for _, page in zip(range(10), super().pull(object, cursor), strict=False):
            yield page


class SwallowsCursors(MemoryAdapter):
    """Takes a cursor it doesn't know for a new start."""

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        return super().pull(object, cursor if (cursor or "0").isdigit() else None)


class VersionStandsStill(MemoryAdapter):
    """Its version never changes."""

    def get(self, object: str, external_ids: Sequence[str]) -> dict[str, RemoteRecord]:
        return {ext: replace(record, version="1")
                for ext, record in super().get(object, external_ids).items()}


class TimeStandsStill(MemoryAdapter):
    """Says that a record was last changed when it was made."""

    def get(self, object: str, external_ids: Sequence[str]) -> dict[str, RemoteRecord]:
        return {ext: replace(record, changed_at=self.clock.now())
                for ext, record in super().get(object, external_ids).items()}


class TellsWhenItWasRead(MemoryAdapter):
    """Gives the time of its own machine for that of the last change."""

    def get(self, object: str, external_ids: Sequence[str]) -> dict[str, RemoteRecord]:
        return {ext: replace(record, changed_at=datetime.now(UTC))
                for ext, record in super().get(object, external_ids).items()}


class TellsNoTime(MemoryAdapter):
    """Claims to give the time of every change, and leaves it out of a pull."""

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        for page in super().pull(object, cursor):
            yield replace(page, records=tuple(replace(r, changed_at=None) for r in page.records))


class LastWriterWins(MemoryAdapter):
    """Writes over whatever is there."""

    def write_one(self, object: str, intent: Intent) -> WriteResult:
        row = self.system.objects.get(object, {}).get(intent.external_id or "")
        return super().write_one(object, replace(intent, version=str(row.at)) if row else intent)


class WritesTheWholeRecord(MemoryAdapter):
    """Blanks the fields that a change does not name."""

    def write_one(self, object: str, intent: Intent) -> WriteResult:
        row = self.system.objects.get(object, {}).get(intent.external_id or "")
        if row is None or intent.operation is not Operation.UPDATE:
            return super().write_one(object, intent)
        blank = {name: None for name in row.payload if name != "name"}
        return super().write_one(object, replace(intent, payload={**blank, **intent.payload}))


class ForgetsReferences(MemoryAdapter):
    """Creates records that don't say what they were created for."""

    def write_one(self, object: str, intent: Intent) -> WriteResult:
        result = super().write_one(object, intent)
        return replace(result, record=replace(result.record, reference=None)) \
            if result.record else result


class CreatesBlindly(MemoryAdapter):
    """A repeated create makes another record."""

    def write_one(self, object: str, intent: Intent) -> WriteResult:
        for row in self.system.created_for(object, [intent.reference]).values():
            if intent.operation is Operation.CREATE:
                row.reference = None
        return super().write_one(object, intent)


class RemembersTheDead(MemoryAdapter):
    """Answers a create with the record that was made for it before, though that was deleted."""

    def write_one(self, object: str, intent: Intent) -> WriteResult:
        for row in self.system.objects.get(object, {}).values():
            if intent.operation is Operation.CREATE and row.reference == intent.reference:
                return WriteResult(WriteStatus.CREATED, row.record())
        return super().write_one(object, intent)


class SortsResults(MemoryAdapter):
    """Gives a batch's results with the good ones first."""

    def write(self, batch: Batch) -> list[WriteResult]:
        return sorted(super().write(batch), key=lambda r: r.status is WriteStatus.REJECTED)


class OneSpoilsTheBatch(MemoryAdapter):
    """Refuses a whole batch where it refuses one record."""

    def write(self, batch: Batch) -> list[WriteResult]:
        results = super().write(batch)
        bad = [r for r in results if r.status is WriteStatus.REJECTED]
        return bad * len(results) if bad else results


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


class KeepsAsciiOnly(MemoryAdapter):
    """Drops the characters that ASCII does not know."""

    def write_one(self, object: str, intent: Intent) -> WriteResult:
        kept = {k: v.encode("ascii", "ignore").decode() if isinstance(v, str) else v
                for k, v in intent.payload.items()}
        return super().write_one(object, replace(intent, payload=kept))


class CutsText(MemoryAdapter):
    """Keeps the first thousand characters of a text."""

    def write_one(self, object: str, intent: Intent) -> WriteResult:
        kept = {k: v[:1000] if isinstance(v, str) else v for k, v in intent.payload.items()}
        return super().write_one(object, replace(intent, payload=kept))


class WritesNullAsText(MemoryAdapter):
    """Makes a word of null."""

    def write_one(self, object: str, intent: Intent) -> WriteResult:
        kept = {k: "null" if v is None else v for k, v in intent.payload.items()}
        return super().write_one(object, replace(intent, payload=kept))


class RoundsNumbers(MemoryAdapter):
    """Keeps numbers as floats."""

    def write_one(self, object: str, intent: Intent) -> WriteResult:
        rounded = {k: float(v) if k == "amount" else v for k, v in intent.payload.items()}
        return super().write_one(object, replace(intent, payload=rounded))


class DescribesNothing(MemoryAdapter):
    """Knows no fields."""

    def describe(self, object: str) -> ObjectSchema:
        return ObjectSchema(frozenset())


class SaysNothing(MemoryAdapter):
    """Its check names no system."""

    def check(self) -> str:
        super().check()
        return ""


class LetsAnyoneIn(MemoryAdapter):
    """Its check does not try the credentials."""

    def check(self) -> str:
        try:
            return super().check()
        except AccessDenied:
            return "memory"


class HidesOutages(MemoryAdapter):
    """Gives an empty page where the system is away."""

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        try:
            yield from super().pull(object, cursor)
        except SystemUnreachable:
            yield Page((), cursor or "0")


class RefusesWhenAway(MemoryAdapter):
    """Tells a write that was not made as one that was refused."""

    def write(self, batch: Batch) -> list[WriteResult]:
        return [replace(r, status=WriteStatus.REJECTED) if r.status is WriteStatus.RETRY else r
                for r in super().write(batch)]


class AddsWhatIsThere(MemoryAdapter):
    """Says that it added every field it was asked for."""

    def prepare(self, object: str, fields: Mapping[str, FieldType]) -> list[str]:
        return list(fields)


class NamesAnotherRecord(MemoryAdapter):
    """Takes the delivery's own ID for the record's."""

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Delivery:
        told = super().parse_webhook(headers, body, at)
        return replace(told, hints=tuple(replace(h, external_id=told.id) for h in told.hints))


class ForgetsWhichDelivery(MemoryAdapter):
    """Gives every delivery about a record the same ID."""

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Delivery:
        told = super().parse_webhook(headers, body, at)
        return replace(told, id=told.hints[0].external_id)


class LooksAtTheTimeOnly(MemoryAdapter):
    """Trusts whoever says that it was signed just now."""

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Delivery:
        try:
            return super().parse_webhook(headers, body, at)
        except DeliveryRefused:
            stamp = headers.get("x-signature", "").removeprefix("t=").partition(",")[0]
            if not stamp.isdigit() or abs(int(stamp[:11]) - at.timestamp()) > 300:
                raise
            told = loads(body) if body[:2] == b'{"' else {}
            if not isinstance(told.get("delivery"), str):
                raise
            return Delivery(told["delivery"], (Hint(told["object"], told["id"]),))


class TakesAnyTime(MemoryAdapter):
    """Takes a delivery whenever it was signed."""

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Delivery:
        stamp = headers.get("x-signature", "").removeprefix("t=").partition(",")[0]
        known = stamp.isascii() and stamp.isdigit() and len(stamp) == 10
        return super().parse_webhook(
            headers, body, datetime.fromtimestamp(int(stamp), UTC) if known else at)


class StumblesOverNonsense(MemoryAdapter):
    """Expects that what is signed can be read."""

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Delivery:
        loads(body)
        return super().parse_webhook(headers, body, at)


_ONCE = "test_a_pull_reads_every_record_once"
_LEADS_ON = "test_a_cursor_is_text_and_leads_on_from_every_page"
_SINCE = "test_a_pull_from_the_end_brings_what_changed_since"
_BETWEEN = "test_a_record_that_changes_between_pages_is_not_missed"
_TIME = "test_the_time_of_change_is_the_servers_and_moves_with_an_edit"
_LATE = "test_a_change_that_comes_up_late_is_not_missed"
_ORDER = "test_results_stand_in_order_and_one_bad_record_harms_no_other"
_LONG = "test_long_text_empty_text_and_null_survive"
_AWAY = "test_a_system_that_is_away_is_told"

CAUGHT_BY: dict[type[MemoryAdapter], set[str]] = {
    ReadsTwice: {_ONCE},
    CursorRunsAhead: {_LEADS_ON},
    ShowsNewOnesOnly: {_SINCE, _LATE},
    PagesByOffset: {_BETWEEN},
    LooksNotBack: {_LATE},
    StopsAfterTenPages: {"test_records_of_one_instant_are_not_lost"},
    SwallowsCursors: {"test_a_strange_cursor_is_told"},
    TimeStandsStill: {_TIME},
    TellsWhenItWasRead: {_TIME},
    TellsNoTime: {_TIME},
    VersionStandsStill: {"test_the_version_moves_with_the_record_and_only_then"},
    WritesTheWholeRecord: {"test_a_change_leaves_other_fields_alone"},
    LastWriterWins: {"test_a_stale_write_changes_nothing"},
    ForgetsReferences: {"test_a_create_returns_the_record_with_its_reference"},
    CreatesBlindly: {"test_a_repeated_create_makes_no_second_record"},
    RemembersTheDead: {"test_what_was_deleted_may_be_created_again"},
    SortsResults: {_ORDER},
    OneSpoilsTheBatch: {_ORDER},
    GoneIsFine: {"test_a_record_that_is_not_there_is_told"},
    FindsNothing: {"test_records_are_found_by_reference"},
    InventsRecords: {"test_get_leaves_out_what_is_not_there"},
    HidesDeletions: {"test_a_deletion_shows"},
    KeepsAsciiOnly: {"test_text_survives"},
    CutsText: {_LONG},
    WritesNullAsText: {_LONG},
    RoundsNumbers: {"test_numbers_survive_exactly"},
    DescribesNothing: {"test_the_fields_are_described"},
    SaysNothing: {"test_the_check_names_the_system"},
    LetsAnyoneIn: {"test_wrong_credentials_are_told"},
    HidesOutages: {_AWAY},
    RefusesWhenAway: {_AWAY},
    NamesAnotherRecord: {"test_a_delivery_names_the_record_that_changed"},
    ForgetsWhichDelivery: {"test_a_delivery_is_told_from_another_one"},
    LooksAtTheTimeOnly: {"test_a_forged_delivery_is_refused"},
    TakesAnyTime: {"test_a_stale_delivery_is_refused"},
    StumblesOverNonsense: {"test_an_unreadable_delivery_is_refused"},
    AddsWhatIsThere: {"test_preparing_adds_nothing_that_is_there"},
}
"""Each hostile adapter, and the tests that it fails: these and no others."""
