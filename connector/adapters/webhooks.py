"""What webhooks an adapter takes: its system's own, or signed ones in a plain form that anything
may send for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from connector.adapters import signatures
from connector.adapters.signatures import SignatureSettings, named
from connector.domain.records import Delivery, Hint
from connector.errors import ConfigInvalid, DeliveryRefused

Own = Callable[[Mapping[str, str], bytes, Sequence[SecretStr], datetime], Delivery]
"""Verifies and reads a delivery in a system's own form."""


class WebhookSettings(BaseModel):
    """How a system's webhooks are known to be its own; without secrets none is taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    secrets: tuple[SecretStr, ...] = Field(
        default=(), description="what they are signed with; any of them will do")
    signature: SignatureSettings | None = Field(
        default=None, description="how plain deliveries are signed, which are taken instead of "
                                  "the system's own")

    @field_validator("secrets")
    @classmethod
    def _not_empty(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not all(secret.get_secret_value() for secret in secrets):
            raise ValueError("an empty secret would let anyone in")
        return secrets


class Webhooks:
    """Takes the deliveries of one system; `own` is None where it sends none itself."""

    def __init__(self, settings: WebhookSettings, own: Own | None = None) -> None:
        self._settings, self._own = settings, own

    def secret(self) -> str:
        """The one that new endpoints sign with. Raises `ConfigInvalid` where there is none."""
        if not self._settings.secrets:
            raise ConfigInvalid("No secret is known for the webhooks of this system.",
                                hint="Make one up, and name it in the config: "
                                     "webhooks: {secrets: [env:NAME]}.")
        return self._settings.secrets[0].get_secret_value()

    def delivery(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Delivery:
        """See `Adapter.parse_webhook`."""
        secrets, signature = self._settings.secrets, self._settings.signature
        if not secrets:
            raise DeliveryRefused("No secret is known for the webhooks of this system.",
                                  hint="Name one in the config: webhooks: {secrets: […]}.")
        if signature is not None:
            signatures.configured(signature, headers, body, secrets, at)
            return _plain(signatures.read_body(body))
        if self._own is None:
            raise DeliveryRefused("This system sends no webhooks.",
                                  hint="For plain ones, say how they are signed: webhooks: "
                                       "{signature: …}.")
        return self._own(headers, body, secrets, at)


def _plain(told: Mapping[str, Any]) -> Delivery:
    """`{"id", "object", "external_id"}`, or `{"id", "changed": [{"object", "external_id"}, …]}`."""
    changed = told.get("changed", [told])
    if not isinstance(changed, list):
        raise DeliveryRefused("The delivery's `changed` is no list.")
    return Delivery(named(told, "id"), tuple(
        Hint(named(one, "object"), named(one, "external_id")) for one in changed))
