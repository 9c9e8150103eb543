"""Is a webhook delivery true? The signatures that systems use, checked in one place.

Each check returns where the delivery was signed by one of our secrets within five minutes of now,
and raises `DeliveryRefused` otherwise, whatever it is given. Several secrets are tried in turn, so
that one can be changed for another without losing a delivery.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from connector.adapters.wire import loads
from connector.errors import ConfigInvalid, DeliveryRefused

TOLERANCE = timedelta(minutes=5)
"""How far from now a delivery may have been signed (Standard Webhooks 1.0.0)."""
LONGEST_NAME = 500
"""Characters of an ID that a delivery may name."""

Headers = Mapping[str, str]
Secrets = Sequence[SecretStr]


class SignatureSettings(BaseModel):
    """How deliveries are signed that come in a form of their own: HMAC-SHA256 of the body, or of
    `TIME.BODY` where a header says the time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    header: str = Field(description="the header with the signature")
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = Field("", description="what stands before it, such as `sha256=`")
    timestamp_header: str = Field(
        "", description="the header with the time of signing, seconds since 1970")


def standard(headers: Headers, body: bytes, secrets: Secrets, at: datetime) -> str:
    """Standard Webhooks 1.0.0: the delivery's ID, which is signed as well."""
    id, stamp = _given(headers, "webhook-id"), _given(headers, "webhook-timestamp")
    _signed_just_now(stamp, at)
    signed = f"{id}.{stamp}.".encode() + body
    given = [part.removeprefix("v1,") for part in _given(headers, "webhook-signature").split(" ")
             if part.startswith("v1,")]
    _one_matches(given, (b64encode(_digest(key, signed)).decode()
                         for key in map(standard_key, secrets)))
    return id


def standard_key(secret: SecretStr) -> bytes:
    """The key that a secret `whsec_BASE64` holds. Raises `ConfigInvalid`."""
    try:
        key = b64decode(secret.get_secret_value().removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise ConfigInvalid("A webhook secret is not of the form whsec_ and base64.",
                            hint="Copy it whole from the system.")
    return key


def t_v1(signature: str, body: bytes, secrets: Secrets, at: datetime) -> None:
    """`t=TIME,v1=HEX` of `TIME.BODY`, as Stripe made it known; `v1` may be there several times."""
    parts = [part.strip().partition("=")[::2] for part in signature.split(",")]
    stamps = [value for name, value in parts if name == "t"]
    if len(stamps) != 1:
        raise DeliveryRefused("The signature doesn't say when it was made.")
    _signed_just_now(stamps[0], at)
    signed = stamps[0].encode() + b"." + body
    _one_matches([value for name, value in parts if name == "v1"],
                 (_digest(_key(secret), signed).hex() for secret in secrets))


def configured(settings: SignatureSettings, headers: Headers, body: bytes, secrets: Secrets,
               at: datetime) -> None:
    """A signature as the config describes it."""
    signed = body
    if settings.timestamp_header:
        stamp = _given(headers, settings.timestamp_header)
        _signed_just_now(stamp, at)
        signed = stamp.encode() + b"." + body
    given = _given(headers, settings.header)
    if not given.startswith(settings.prefix):
        raise DeliveryRefused("The signature has another form than the config says.")
    digests = (_digest(_key(secret), signed) for secret in secrets)
    _one_matches([given.removeprefix(settings.prefix)],
                 (d.hex() if settings.encoding == "hex" else b64encode(d).decode()
                  for d in digests))


def read_body(body: bytes) -> Mapping[str, Any]:
    """The JSON object that a delivery holds. Raises `DeliveryRefused`."""
    try:
        found = loads(body)
    except ValueError:
        raise DeliveryRefused("The delivery is no JSON.") from None
    if not isinstance(found, Mapping):
        raise DeliveryRefused("The delivery is no JSON object.")
    return found


def named(within: Any, name: str) -> str:
    """An ID or a word in a delivery: text, or a whole number. Raises `DeliveryRefused`."""
    value = within.get(name) if isinstance(within, Mapping) else None
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() < 64:
        return str(value)
    if not isinstance(value, str) or not is_name(value):
        raise DeliveryRefused(f"The delivery doesn't say its {name}.")
    return value


def is_name(text: str) -> bool:
    """Whether a text can be an ID: some printable characters, not too many."""
    return 0 < len(text) <= LONGEST_NAME and text.isprintable()


def _given(headers: Headers, name: str) -> str:
    value = headers.get(name.lower(), "")
    if not is_name(value):
        raise DeliveryRefused(f"The delivery carries no proper header {name}.")
    return value


def _signed_just_now(stamp: str, at: datetime) -> None:
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 11):
        raise DeliveryRefused("The time of signing is no number of seconds since 1970.")
    if abs(at - datetime.fromtimestamp(int(stamp), UTC)) > TOLERANCE:
        raise DeliveryRefused("The delivery was signed more than five minutes from now.",
                              hint="See that the clocks of both machines are right.")


def _one_matches(given: Sequence[str], expected: Iterable[str]) -> None:
    for right in expected:
        for signature in given:
            if hmac.compare_digest(signature.encode("utf-8", "surrogatepass"), right.encode()):
                return
    raise DeliveryRefused("The signature is not that of a secret in the config.",
                          hint="See `webhooks: {secrets: …}` of the system.")


def _digest(key: bytes, signed: bytes) -> bytes:
    return hmac.new(key, signed, hashlib.sha256).digest()


def _key(secret: SecretStr) -> bytes:
    return secret.get_secret_value().encode()


