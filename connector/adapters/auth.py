"""How a system is shown who calls; a secret goes into a header and nowhere else."""

from __future__ import annotations

from base64 import b64encode

import requests
from pydantic import SecretStr
from requests.auth import AuthBase

from connector.errors import ConfigInvalid


class Credentials(AuthBase):
    """A header with a secret; `hide` takes the secret out of a text that others wrote.

    Raises `ConfigInvalid` for a secret that no header can carry.
    """

    def __init__(self, header: str, value: str, *secrets: str) -> None:
        if not value.isascii() or not value.isprintable() or not all(secrets):
            raise ConfigInvalid(
                f"The secret for {header} is empty, or holds characters that no header carries.",
                hint="See that it stands there whole, without line breaks.")
        self._header, self._value, self._secrets = header, value, secrets

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers[self._header] = self._value
        return request

    def hide(self, words: str) -> str:
        """`words` without the secret."""
        for secret in self._secrets:
            words = words.replace(secret, "***")
        return words


class Bearer(Credentials):
    """`Authorization: Bearer …`."""

    def __init__(self, token: SecretStr) -> None:
        secret = token.get_secret_value()
        super().__init__("Authorization", f"Bearer {secret}", secret)


class HeaderKey(Credentials):
    """An API key in a header of the system's choice."""

    def __init__(self, header: str, key: SecretStr) -> None:
        super().__init__(header, key.get_secret_value(), key.get_secret_value())


class Basic(Credentials):
    """`Authorization: Basic …`, user and password as UTF-8 (RFC 7617)."""

    def __init__(self, user: str, password: SecretStr) -> None:
        secret = password.get_secret_value()
        packed = b64encode(f"{user}:{secret}".encode()).decode()
        super().__init__("Authorization", f"Basic {packed}", secret, packed)
