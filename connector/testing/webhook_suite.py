"""The promises of an adapter about webhooks: what it takes for a delivery, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from connector.domain.records import Hint
from connector.errors import DeliveryRefused
from connector.testing.adapter_world import AdapterWorld

SIGNED_AT = datetime(2026, 1, 5, 8, tzinfo=UTC)
UNREADABLE = (b"", b"{}", b"[]", b"null", b"7", b'"x"', b"\xff\xfe", b"{" * 10_000, b"[" * 200_000,
              b'{"id": "1"}', b'{"data": []}', b'{"data": {"id": null, "object": 7}}',
              b'{"id": "\\ud800", "object": "x\\u0000"}', b'{"id": 1e999}', b"9" * 5000)
"""Bodies that name no record."""
UNREADABLE_HEADERS = ("", " ", ",", "=", "v1", "v1,", "v1,!", "t=", "t=,v1=", "t=1,v1=00", "\u00e9",
                      "9" * 5000, "-1", "1e9", "\ud800", "\u0661", "t=\u0661,v1=00", "99999999999")
"""What a header of a delivery may hold, and shouldn't."""


def deliver(world: AdapterWorld, external_id: str) -> tuple[dict[str, str], bytes]:
    """The headers and the body of a delivery about a record, as they are received; skips the test
    where the system sends none."""
    if world.event is None or world.sign is None:
        pytest.skip("the system sends no webhooks")
    body = world.event(external_id)
    return received(world.sign(body, SIGNED_AT)), body


def received(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers as they are received: their names in lower case."""
    return {name.lower(): value for name, value in headers.items()}


def refused(world: AdapterWorld, headers: Mapping[str, str], body: bytes,
            late: timedelta = timedelta(0)) -> bool:
    """Whether a delivery is refused, in the one way there is for that."""
    try:
        world.adapter.parse_webhook(headers, body, SIGNED_AT + late)
    except DeliveryRefused:
        return True
    return False


class WebhookSuite:
    """One test for each promise; a part of `AdapterSuite`."""

    def test_a_delivery_names_the_record_that_changed(self, world: AdapterWorld) -> None:
        headers, body = deliver(world, "17")
        delivery = world.adapter.parse_webhook(headers, body, SIGNED_AT)
        assert delivery.hints == (Hint(world.object_name, "17"),)
        for late in (timedelta(minutes=4), timedelta(minutes=-4)):
            assert world.adapter.parse_webhook(headers, body, SIGNED_AT + late) == delivery

    def test_a_delivery_is_told_from_another_one(self, world: AdapterWorld) -> None:
        one, other = (world.adapter.parse_webhook(*deliver(world, "17"), SIGNED_AT)
                      for _ in range(2))
        assert one.id
        assert one.id != other.id

    def test_a_forged_delivery_is_refused(self, world: AdapterWorld) -> None:
        headers, body = deliver(world, "17")
        _, other_body = deliver(world, "18")
        assert refused(world, headers, other_body)
        assert refused(world, headers, body + b" ")
        assert refused(world, {}, body)
        changed = [{**headers, name: "".join(sorted(value))} for name, value in headers.items()]
        cut = [{**headers, name: value[:-1]} for name, value in headers.items()]
        assert any(refused(world, some, body) for some in changed)
        assert any(refused(world, some, body) for some in cut)

    def test_a_stale_delivery_is_refused(self, world: AdapterWorld) -> None:
        headers, body = deliver(world, "17")
        for late in (timedelta(minutes=6), timedelta(minutes=-6), timedelta(days=300)):
            assert refused(world, headers, body, late)

    def test_an_unreadable_delivery_is_refused(self, world: AdapterWorld) -> None:
        headers, body = deliver(world, "17")
        assert world.sign is not None
        for unreadable in UNREADABLE:
            signed = received(world.sign(unreadable, SIGNED_AT))
            assert refused(world, signed, unreadable), unreadable[:40]
        for value in UNREADABLE_HEADERS:
            assert refused(world, dict.fromkeys(headers, value), body), value[:40]
            for name in headers:  # one that isn't signed may be taken as it is
                refused(world, {**headers, name: value}, body)
