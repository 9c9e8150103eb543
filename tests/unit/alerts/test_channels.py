"""What the channels send: signed webhooks, and mails by a real SMTP server with and without TLS."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from typing import Any

import pytest
import requests
import responses
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from pydantic import SecretStr
from standardwebhooks import Webhook

from connector.alerts.mail import MailChannel
from connector.alerts.watch import Undelivered
from connector.alerts.webhook import WebhookChannel
from connector.domain.alerts import Alert, AlertState, Finding
from connector.native.serving import free_port

AT = datetime(2026, 1, 5, 12, tzinfo=UTC)
URL, SECRET = "https://hooks.example.org/in?key=hidden", "whsec_" + "c2VjcmV0c2VjcmV0c2VjcmV0"
ALERT = Alert(Finding("main", "credentials", "crm", "main: crm has not taken our credentials."),
              AT - timedelta(hours=1))


@pytest.fixture
def hooks() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


def test_a_webhook_is_signed_and_keeps_its_id(hooks: responses.RequestsMock) -> None:
    hooks.post(URL, status=204)
    channel = WebhookChannel(URL, SecretStr(SECRET))
    now = datetime.now(UTC)
    channel.send(ALERT, now)
    channel.send(ALERT, now + timedelta(minutes=1))
    channel.send(Alert(ALERT.finding, ALERT.since, AlertState.RECOVERED), now)
    sent: list[Any] = [call.request for call in hooks.calls]
    for request in sent:
        Webhook(SECRET).verify(request.body, dict(request.headers))
    first, again, over = (request.headers["webhook-id"] for request in sent)
    assert first == again != over
    assert json.loads(sent[0].body) == {
        "type": "alert.raised", "timestamp": now.isoformat(), "data": {
            "pair": "main", "rule": "credentials", "subject": "crm",
            "message": "main: crm has not taken our credentials.",
            "since": "2026-01-05T11:00:00+00:00"}}
    assert json.loads(sent[2].body)["type"] == "alert.recovered"


@pytest.mark.parametrize(("answer", "said"), [
    ({"status": 500}, "answered 500"), ({"status": 302, "headers": {"Location": "/"}},
                                        "answered 302"),
    ({"body": requests.ConnectTimeout(f"no answer from {URL}")},
     r"can't be reached \(ConnectTimeout\)")])
def test_what_a_webhook_does_not_take_is_told_without_its_url(
        hooks: responses.RequestsMock, answer: dict[str, Any], said: str) -> None:
    hooks.post(URL, **answer)
    channel = WebhookChannel(URL, SecretStr(SECRET))
    with pytest.raises(Undelivered, match=said) as told:
        channel.send(ALERT, AT)
    assert "hidden" not in str(told.value) + channel.name
    assert channel.name.startswith("webhook hooks.example.org ")


class Inbox:
    """What an SMTP server took."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], Message]] = []

    async def handle_DATA(self, _server: SMTP, session: Session,
                          envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.mails.append((envelope.rcpt_tos, message_from_bytes(envelope.content)))
        return "250 OK"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def serving(authority: trustme.CA) -> Iterator[Callable[..., tuple[int, Inbox]]]:
    """Starts mail servers; one with TLS takes `ann` with the password `s3cret` only."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    def let_in(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str,
               given: Any) -> AuthResult:
        return AuthResult(success=(given.login, given.password) == (b"ann", b"s3cret"),
                          handled=False)

    with ExitStack() as stack:
        def start(security: str) -> tuple[int, Inbox]:
            inbox, port = Inbox(), free_port()
            settings: dict[str, Any] = {
                "starttls": {"tls_context": context, "require_starttls": True},
                "tls": {"ssl_context": context, "auth_require_tls": False}, "none": {}}[security]
            if security != "none":
                settings |= {"authenticator": let_in, "auth_required": True}
            server = Controller(inbox, hostname="127.0.0.1", port=port, **settings)
            server.start()
            stack.callback(server.stop)
            return port, inbox

        yield start


@pytest.mark.parametrize("security", ["starttls", "tls", "none"])
def test_a_mail_arrives(serving: Callable[..., tuple[int, Inbox]], trusted: ssl.SSLContext,
                        security: Any) -> None:
    port, inbox = serving(security)
    login = {} if security == "none" else {"user": "ann", "password": SecretStr("s3cret")}
    channel = MailChannel("127.0.0.1", port, security, "sync@example.org",
                          ["a@example.org", "b@example.org"], trusted=trusted, **login)
    channel.send(ALERT, AT)
    channel.send(Alert(ALERT.finding, ALERT.since, AlertState.RECOVERED), AT)
    (to, mail), (_, over) = inbox.mails
    assert to == ["a@example.org", "b@example.org"]
    assert (mail["Subject"], mail["From"]) == ("main: credentials crm", "sync@example.org")
    assert mail["Date"] == "Mon, 05 Jan 2026 12:00:00 +0000"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_payload().replace("\r\n", "\n") == (
        "main: crm has not taken our credentials.\n\nSince 2026-01-05 11:00 UTC.\n")
    assert over["Subject"] == "Over: main: credentials crm"
    assert over["Message-ID"] != mail["Message-ID"]


def test_a_server_that_nobody_vouches_for_gets_no_password(
        serving: Callable[..., tuple[int, Inbox]]) -> None:
    for security in ("starttls", "tls"):
        port, inbox = serving(security)
        channel = MailChannel("127.0.0.1", port, security, "sync@example.org", ["a@example.org"],
                              "ann", SecretStr("s3cret"))
        with pytest.raises(Undelivered, match="SSLCertVerificationError"):
            channel.send(ALERT, AT)
        assert inbox.mails == []


def test_a_mail_that_is_not_taken_is_told_without_the_password(
        serving: Callable[..., tuple[int, Inbox]], trusted: ssl.SSLContext) -> None:
    port, inbox = serving("starttls")
    wrong = MailChannel("127.0.0.1", port, "starttls", "s@example.org", ["a@example.org"], "ann",
                        SecretStr("wrong-one"), trusted)
    with pytest.raises(Undelivered, match="the server answered 535") as told:
        wrong.send(ALERT, AT)
    assert "wrong-one" not in str(told.value)
    away = MailChannel("127.0.0.1", free_port(), "none", "s@example.org", ["a@example.org"])
    with pytest.raises(Undelivered, match="ConnectionRefusedError"):
        away.send(ALERT, AT)
    assert inbox.mails == []
