"""Alerts by e-mail."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Literal

from pydantic import SecretStr

from connector.alerts.watch import Undelivered
from connector.domain.alerts import Alert, AlertState

SECONDS = 20
"""The longest wait for the server."""


class MailChannel:
    """A mail server and who is told; certificates are checked, with `trusted` where given."""

    def __init__(self, host: str, port: int, security: Literal["starttls", "tls", "none"],
                 sender: str, to: Sequence[str], user: str | None = None,
                 password: SecretStr | None = None,
                 trusted: ssl.SSLContext | None = None) -> None:
        self._host, self._port, self._security = host, port, security
        self._sender, self._to = sender, list(to)
        self._user, self._password = user, password
        self._trusted = trusted or ssl.create_default_context()

    @property
    def name(self) -> str:
        """The server that is used."""
        return f"mail {self._host}:{self._port}"

    def send(self, alert: Alert, at: datetime) -> None:
        """See the port; refused by one recipient is a failure only if all refuse."""
        try:
            with self._connected() as server:
                if self._user is not None and self._password is not None:
                    server.login(self._user, self._password.get_secret_value())
                server.send_message(self._message(alert, at))
        except smtplib.SMTPResponseException as error:
            raise Undelivered(f"the server answered {error.smtp_code}") from None
        except (OSError, smtplib.SMTPException) as error:
            raise Undelivered(f"could not be sent ({type(error).__name__})") from None

    def _connected(self) -> smtplib.SMTP:
        if self._security == "tls":
            return smtplib.SMTP_SSL(self._host, self._port, timeout=SECONDS,
                                    context=self._trusted)
        server = smtplib.SMTP(self._host, self._port, timeout=SECONDS)
        if self._security == "starttls":
            try:
                server.starttls(context=self._trusted)
            except BaseException:
                server.close()
                raise
        return server

    def _message(self, alert: Alert, at: datetime) -> EmailMessage:
        over = alert.state is AlertState.RECOVERED
        message = EmailMessage()
        message["Subject"] = (f"{'Over: ' if over else ''}{alert.finding.pair}: "
                              f"{alert.finding.rule} {alert.finding.subject}".rstrip())
        message["From"], message["To"] = self._sender, ", ".join(self._to)
        message["Date"] = format_datetime(at)
        message["Message-ID"] = make_msgid(domain=self._sender.rpartition("@")[2] or None)
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nothing answers it by itself
        lead = "This is over:\n\n" if over else ""
        message.set_content(f"{lead}{alert.finding.message}\n\nSince "
                            f"{alert.since:%Y-%m-%d %H:%M} UTC.\n")
        return message
