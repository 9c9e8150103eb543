"""Whether a delivery is true, where no system's own form says all."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from connector.adapters import signatures
from connector.adapters.bottlecrm.webhooks import read_delivery
from connector.adapters.memory import MemoryAdapter, MemorySettings
from connector.adapters.native_crm import NativeCrm, NativeCrmSettings
from connector.adapters.webhooks import Webhooks, WebhookSettings
from connector.domain.records import Delivery, Hint
from connector.errors import ConfigInvalid, DeliveryRefused
from connector.testing.clock import VirtualClock

AT = datetime(2026, 1, 5, 8, tzinfo=UTC)
STAMP = str(int(AT.timestamp()))
SECRET = SecretStr("a secret")


def digest(signed: bytes, secret: str = "a secret") -> bytes:
    return hmac.new(secret.encode(), signed, hashlib.sha256).digest()


def plain(signature: dict[str, Any], *secrets: str) -> Webhooks:
    return Webhooks(WebhookSettings.model_validate(
        {"secrets": secrets or ["a secret"], "signature": signature}))


BODY = json.dumps({"id": "d1", "object": "sale.sale", "external_id": 7}).encode()
TOLD = Delivery("d1", (Hint("sale.sale", "7"),))


@pytest.mark.parametrize(("signature", "headers"), [
    ({"header": "X-Hub-Signature-256", "prefix": "sha256="},
     {"x-hub-signature-256": "sha256=" + digest(BODY).hex()}),
    ({"header": "X-Hmac", "encoding": "base64"},
     {"x-hmac": base64.b64encode(digest(BODY)).decode()}),
    ({"header": "X-Hmac", "timestamp_header": "X-Time"},
     {"x-hmac": digest(STAMP.encode() + b"." + BODY).hex(), "x-time": STAMP})])
def test_a_plain_delivery_is_signed_as_the_config_says(signature: dict[str, Any],
                                                       headers: dict[str, str]) -> None:
    taking = plain(signature, "another", "a secret")
    assert taking.delivery(headers, BODY, AT) == TOLD
    for wrong in ({}, dict.fromkeys(headers, "x"), {n: v.upper() for n, v in headers.items()}):
        with pytest.raises(DeliveryRefused):
            taking.delivery(wrong, BODY, AT)
    with pytest.raises(DeliveryRefused):
        taking.delivery(headers, BODY + b" ", AT)
    with pytest.raises(DeliveryRefused):
        plain(signature, "another").delivery(headers, BODY, AT)


@pytest.mark.parametrize(("told", "expected"), [
    ({"id": 1, "changed": [{"object": "a", "external_id": "1"}, {"object": "b",
                                                                 "external_id": "2"}]},
     Delivery("1", (Hint("a", "1"), Hint("b", "2")))),
    ({"id": "1", "changed": []}, Delivery("1", ())),
    ({"id": "1", "changed": {}}, None), ({"id": "1", "changed": ["a"]}, None),
    ({"id": True, "object": "a", "external_id": "1"}, None),
    ({"id": "1", "object": "a", "external_id": ""}, None),
    ({"id": "1", "object": "a", "external_id": "x" * 501}, None),
    ({"id": "1", "object": "a", "external_id": "a\nb"}, None),
    ({"id": "1", "object": "a", "external_id": 2 ** 70}, None)])
def test_what_a_plain_delivery_tells(told: Any, expected: Delivery | None) -> None:
    body = json.dumps(told).encode()
    headers, taking = {"s": digest(body).hex()}, plain({"header": "s"})
    if expected is None:
        with pytest.raises(DeliveryRefused):
            taking.delivery(headers, body, AT)
    else:
        assert taking.delivery(headers, body, AT) == expected


def test_without_a_secret_nothing_is_taken() -> None:
    with pytest.raises(DeliveryRefused, match="No secret"):
        Webhooks(WebhookSettings(), read_delivery).delivery({}, b"{}", AT)
    with pytest.raises(DeliveryRefused, match="sends no webhooks"):
        Webhooks(WebhookSettings(secrets=(SECRET,))).delivery({}, b"{}", AT)
    with pytest.raises(ValidationError, match="let anyone in"):
        WebhookSettings(secrets=(SECRET, SecretStr("")))


def test_one_of_several_signatures_and_secrets_will_do() -> None:
    signed = STAMP.encode() + b"." + BODY
    many = f"t={STAMP},v0=x,v1=00,v1={digest(signed).hex()}"
    signatures.t_v1(many, BODY, [SecretStr("new"), SECRET], AT)
    for wrong in (f"t={STAMP},v1=00", f"v1={digest(signed).hex()}", f"t={STAMP}",
                  f"t={STAMP},t={STAMP},v1={digest(signed).hex()}"):
        with pytest.raises(DeliveryRefused):
            signatures.t_v1(wrong, BODY, [SECRET], AT)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_!!", "no base64", "whsec_ä"])
def test_a_standard_secret_that_is_none_is_told_at_once(secret: str) -> None:
    settings = NativeCrmSettings(name="crm", url="http://127.0.0.1:1", token=SecretStr("t"),
                                 webhooks=WebhookSettings(secrets=(SecretStr(secret),)))
    with pytest.raises(ConfigInvalid, match="whsec_"):
        NativeCrm(settings, VirtualClock())


@pytest.mark.parametrize(("event", "hints"), [
    ("account.created", (Hint("accounts", "u-1"),)),
    ("contact.updated", (Hint("contacts", "u-1"),)),
    ("invoice.deleted", (Hint("invoices", "u-1"),)), ("deal.won", ()), ("lead.created", ())])
def test_a_bottlecrm_event_names_its_record(event: str, hints: tuple[Hint, ...]) -> None:
    body = json.dumps({"id": "e-1", "event": event, "org_id": "o", "created_at": "now",
                       "data": {"id": "u-1", "name": "Acme"}}).encode()
    signed = f"t={STAMP},v1={digest(STAMP.encode() + b'.' + body).hex()}"
    headers = {"x-bottlecrm-signature": signed}
    assert read_delivery(headers, body, [SECRET], AT) == Delivery("e-1", hints)
    with pytest.raises(DeliveryRefused):
        read_delivery(headers, body, [SecretStr("wrong")], AT)


@given(headers=st.dictionaries(st.sampled_from(["x-signature", "other"]), st.text(max_size=40)),
       body=st.binary(max_size=60))
def test_whatever_is_sent_is_refused_in_one_way(headers: dict[str, str], body: bytes) -> None:
    adapter = MemoryAdapter(MemorySettings(name="m", webhooks=WebhookSettings(
        secrets=(SECRET,))), VirtualClock())
    with pytest.raises(DeliveryRefused):
        adapter.parse_webhook(headers, body, AT)
