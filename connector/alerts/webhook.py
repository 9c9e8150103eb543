"""Alerts by HTTP POST, signed as Standard Webhooks 1.0.0 has it."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from datetime import datetime
from urllib.parse import urlsplit

import orjson
import requests
from pydantic import SecretStr
from standardwebhooks import Webhook

from connector.alerts.watch import Undelivered
from connector.domain.alerts import Alert

SECONDS = 10
"""The longest wait for an answer."""


class WebhookChannel:
    """A receiver; it gets `{"type": "alert.raised" or "alert.recovered", "timestamp", "data"}`.

    The ID of a message stays the same when it is sent again. Raises `ValueError` for a secret
    that is no Standard Webhooks secret.
    """

    def __init__(self, url: str, secret: SecretStr) -> None:
        given = secret.get_secret_value()
        b64decode(given.removeprefix("whsec_"), validate=True)  # the library passes over the rest
        self._url, self._webhook = url, Webhook(given)

    @property
    def name(self) -> str:
        """The receiver's place, without a query: it may hold a key."""
        parts = urlsplit(self._url)
        path = hashlib.sha256(f"{parts.path}?{parts.query}".encode()).hexdigest()[:8]
        return f"webhook {parts.hostname} {path}"

    def send(self, alert: Alert, at: datetime) -> None:
        """See the port; anything but a 2xx is a failure, and redirects are not followed."""
        finding = alert.finding
        body = orjson.dumps({
            "type": f"alert.{alert.state.value}", "timestamp": at.isoformat(),
            "data": {"pair": finding.pair, "rule": finding.rule, "subject": finding.subject,
                     "message": finding.message, "since": alert.since.isoformat()}})
        id = "alert_" + hashlib.sha256("\n".join(
            (*alert.key, alert.since.isoformat(), alert.state.value)).encode()).hexdigest()[:24]
        headers = {"Content-Type": "application/json", "webhook-id": id,
                   "webhook-timestamp": str(int(at.timestamp())),
                   "webhook-signature": self._webhook.sign(id, at, body.decode())}
        try:
            with requests.Session() as session:
                session.trust_env = False
                status = session.post(self._url, data=body, headers=headers, timeout=SECONDS,
                                      allow_redirects=False).status_code
        except requests.RequestException as error:
            raise Undelivered(f"can't be reached ({type(error).__name__})") from None
        if not 200 <= status < 300:
            raise Undelivered(f"answered {status}")
