"""BottleCRM's webhooks: `X-BottleCRM-Signature: t=…,v1=…`, and what its events are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic import SecretStr

from connector.adapters import signatures
from connector.domain.records import Delivery, Hint

_OBJECTS = {"account": "accounts", "contact": "contacts", "invoice": "invoices"}
"""What it calls a record in its events, and the object. It tells nothing of estimates, products."""


def read_delivery(headers: Mapping[str, str], body: bytes, secrets: Sequence[SecretStr],
                  at: datetime) -> Delivery:
    """The record that a delivery is about; none where that is of a kind that isn't synced."""
    signatures.t_v1(headers.get("x-bottlecrm-signature", ""), body, secrets, at)
    told = signatures.read_body(body)
    kind = signatures.named(told, "event").partition(".")[0]
    record = signatures.named(told.get("data"), "id")
    hints = (Hint(_OBJECTS[kind], record),) if kind in _OBJECTS else ()
    return Delivery(signatures.named(told, "id"), hints)
