"""A record is read again, or comes back from our own write: only what is new is a change."""

from __future__ import annotations

from connector.domain.records import RemoteRecord
from connector.engine.echo import fresh


def read(external_id: str, version: str) -> RemoteRecord:
    return RemoteRecord(external_id, version, {"name": "Acme"})


def test_the_version_last_seen_is_no_change() -> None:
    assert fresh([read("7", "a")], {"7": "a"}) == []


def test_another_version_is_a_change_even_an_older_one() -> None:
    older, newer = read("7", "1"), read("8", "3")
    assert fresh([older, newer], {"7": "2", "8": "2"}) == [older, newer]


def test_a_record_never_seen_is_a_change() -> None:
    assert fresh([read("7", "a")], {}) == [read("7", "a")]
    assert fresh([read("7", "a")], {"8": "a"}) == [read("7", "a")]


def test_the_order_in_which_they_were_read_stays() -> None:
    records = [read("3", "b"), read("1", "a"), read("2", "b")]
    assert fresh(iter(records), {"1": "a"}) == [records[0], records[2]]
