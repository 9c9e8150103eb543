"""When a parked record is tried again, and a payload as a person edits it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.cli.edits import assigned, payload_of
from connector.domain.retries import FIRST_WAIT, LONGEST_WAIT, MAX_ATTEMPTS, next_try
from connector.errors import RunFailed

AT = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


def test_waits_double_up_to_a_day_and_end() -> None:
    waits = [next_try("write", n, AT) for n in range(1, MAX_ATTEMPTS + 1)]
    told = [(at - AT) // timedelta(minutes=1) for at in waits if at is not None]
    assert told == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1440, 1440]
    assert waits[-1] is None


@given(st.integers(1, 10**6))
def test_a_wait_is_never_longer_than_a_day(attempts: int) -> None:
    at = next_try("write", attempts, AT)
    assert at is None or FIRST_WAIT <= at - AT <= LONGEST_WAIT


@pytest.mark.parametrize("stage", ["decode", "encode", "merge", "match"])
def test_what_time_does_not_cure_waits_for_a_change(stage: str) -> None:
    assert next_try(stage, 1, AT) is None


def test_values_are_assigned_by_path() -> None:
    payload = {"tel": "1", "tax": {"vat": None}, "lines": [{"qty": "1"}, {"qty": "2"}], "n": 1}
    edited, told = assigned(payload, ["tel=0301", "tax.vat=DE1", "lines.1.qty=null", "n=2.50",
                                      "more={\"a\": true}"])
    assert edited == {"tel": "0301", "tax": {"vat": "DE1"}, "n": Decimal("2.50"),
                      "lines": [{"qty": "1"}, {"qty": None}], "more": {"a": True}}
    assert payload["lines"] == [{"qty": "1"}, {"qty": "2"}]
    assert told.startswith('tel: "1" → "0301", tax.vat: null → "DE1", lines.1.qty: "2" → null')


@pytest.mark.parametrize("given", ["tel", "=1", "tax.vat.no=1", "lines.7=1", "lines.x.qty=1",
                                   "absent.name=1"])
def test_an_assignment_that_leads_nowhere_is_told(given: str) -> None:
    with pytest.raises(RunFailed):
        assigned({"tel": "1", "tax": {"vat": "x"}, "lines": []}, [given])


def test_a_payload_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "payload.json"
    path.write_text('{"price": 1.10}', encoding="utf-8")
    assert payload_of(path) == {"price": Decimal("1.10")}
    for content in ("[1]", "{"):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(RunFailed):
            payload_of(path)
