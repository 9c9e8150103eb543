"""JSON on the wire: exact numbers, and a row that can't be sent harms no other."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from connector.adapters.batches import write_rows
from connector.adapters.wire import dumps, loads, words
from connector.domain.records import Intent, Operation, WriteResult, WriteStatus
from connector.errors import (
    AccessDenied,
    BodyRefused,
    OutcomeUnknown,
    RateLimited,
    SystemUnreachable,
)


@pytest.mark.parametrize(("number", "written"), [
    ("0.1", "0.1"), ("1.50", "1.50"), ("1E+3", "1000"), ("1E-7", "0.0000001"), ("-0", "-0"),
    ("12345678901234567890.123456789", "12345678901234567890.123456789")])
def test_decimals_are_written_as_exact_numbers(number: str, written: str) -> None:
    assert dumps({"n": [Decimal(number)]}) == f'{{"n":[{written}]}}'.encode()
    assert loads(dumps(Decimal(number))) == Decimal(number)


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), object(), "\ud800", 2**65,
                                   {1: 2}])
def test_what_is_no_json_is_told(value: Any) -> None:
    with pytest.raises(ValueError):
        dumps({"value": value})


@pytest.mark.parametrize("content", [b"", b"{", b"NaN", b"-Infinity", b"[" * 100_000, b"\xff\xfe",
                                     b"1" * 5000])
def test_what_can_not_be_read_is_told(content: bytes) -> None:
    with pytest.raises(ValueError):
        loads(content)


@pytest.mark.parametrize(("body", "told"), [
    ({"detail": "No such thing.", "title": "Not found"}, "No such thing"),
    ({"title": "Not found"}, "Not found"),
    ({"error": {"code": "E1", "msg": "bad\nfield"}}, "bad field"),
    ({"error": "invalid_grant"}, "invalid_grant"),
    ({"error": True, "errors": {"name": ["is taken", "is odd"], "age": "no number"}},
     "name: is taken, is odd; age: no number"),
    ({"message": 5}, ""), ([], ""), (None, ""), ("sorry", "sorry")])
def test_a_systems_own_words_are_found(body: Any, told: str) -> None:
    assert words(json.dumps(body).encode()) == told


# ---- batches


def intents(*values: Any) -> list[Intent]:
    """A create for each value."""
    return [Intent(str(i), "thing", str(i), "shop", Operation.CREATE, {"value": value}, {}, "r")
            for i, value in enumerate(values)]


def payload(intent: Intent) -> Any:
    """What is sent for an intent."""
    return intent.payload


def made(rows: list[Any], _part: str) -> list[WriteResult]:
    """Takes every row; tells what it got."""
    return [WriteResult(WriteStatus.CREATED, refusal=dumps(row).decode()) for row in rows]


def test_results_stand_where_their_intents_do() -> None:
    results = write_rows(intents(1, "\ud800", Decimal("0.10"), Decimal("NaN")), payload, made)
    assert [r.status for r in results] == [WriteStatus.CREATED, WriteStatus.REJECTED,
                                           WriteStatus.CREATED, WriteStatus.REJECTED]
    assert [r.refusal for r in results] == ['{"value":1}', "", '{"value":0.10}', ""]
    assert results[3].error == "It can't be sent: NaN is no JSON number."


def test_no_call_is_made_for_nothing() -> None:
    def never(rows: list[Any], _part: str) -> list[WriteResult]:
        raise AssertionError(rows)

    assert [r.status for r in write_rows(intents("\ud800"), payload, never)] \
        == [WriteStatus.REJECTED]


@pytest.mark.parametrize(("error", "status"), [
    (SystemUnreachable("away"), WriteStatus.RETRY), (RateLimited("slower"), WriteStatus.RETRY),
    (OutcomeUnknown("no answer"), WriteStatus.UNKNOWN)])
def test_a_failed_call_is_told_in_every_result(error: Exception, status: WriteStatus) -> None:
    def fail(rows: list[Any], _part: str) -> list[WriteResult]:
        raise error

    results = write_rows(intents(1, "\ud800", 2), payload, fail)
    assert [r.status for r in results] == [status, WriteStatus.REJECTED, status]
    assert results[0].error == str(error)


def test_results_that_can_not_be_told_apart_are_unknown() -> None:
    results = write_rows(intents(1, 2, 3), payload, lambda rows, part: made(rows[1:], part))
    assert [r.status for r in results] == [WriteStatus.UNKNOWN] * 3
    assert results[0].error == "The system gave 2 results for 3 rows."


def test_wrong_credentials_end_the_run() -> None:
    def fail(rows: list[Any], _part: str) -> list[WriteResult]:
        raise AccessDenied("no")

    with pytest.raises(AccessDenied):
        write_rows(intents(1), payload, fail)


def test_of_a_batch_whose_body_is_refused_only_the_row_to_blame_is_lost() -> None:
    calls = dict[str, int]()

    def picky(rows: list[Any], part: str) -> list[WriteResult]:
        assert part not in calls
        calls[part] = len(rows)
        if any(b"bad" in dumps(row) for row in rows):
            raise BodyRefused("400 not that")
        return made(rows, part)

    results = write_rows(intents(1, 2, "bad", 4, 5), payload, picky)
    assert [r.status for r in results] == [
        WriteStatus.CREATED, WriteStatus.CREATED, WriteStatus.REJECTED, WriteStatus.CREATED,
        WriteStatus.CREATED]
    assert results[2].error == "400 not that"
    assert [r.refusal for r in results[3:]] == ['{"value":4}', '{"value":5}']
    assert calls == {"": 5, ".0": 2, ".1": 3, ".1.0": 1, ".1.1": 2}
