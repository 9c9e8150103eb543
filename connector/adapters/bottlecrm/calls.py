"""Calls to BottleCRM: what it refuses is told in its own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connector.adapters.bottlecrm.records import refused
from connector.adapters.http import Answer, Connection
from connector.errors import AccessDenied, RequestRefused

_TOLD = (400, 403, 404, 405, 409)
Query = Mapping[str, str]


class Rejected(Exception):
    """BottleCRM, or its limits, won't have a record; the message says why."""


class Calls:
    """Calls through a connection; a refusal of BottleCRM's is a 400, 405 or 409 with reasons."""

    def __init__(self, http: Connection) -> None:
        self._http, self._name = http, http.settings.name

    def make(self, method: str, path: str, *, query: Query | None = None, body: Any = None,
             repeatable: bool = True) -> Answer:
        """An answer, which may be a 404: no such record. Raises `Rejected` for a refusal,
        `AccessDenied`, and `RequestRefused` where a part of BottleCRM is switched off."""
        answer = self._http.call(method, path, query=query, body=body, repeatable=repeatable,
                                 accept=_TOLD)
        if answer.status < 400:
            return answer
        said = f"{self._name}: {method} {path}: {refused(answer.body)}."
        if answer.status == 403:
            raise AccessDenied(said, hint="Check the token, and that its owner is an "
                                          "administrator.")
        if answer.status != 404:
            raise Rejected(f"{refused(answer.body)}.")
        if isinstance(answer.body, Mapping) and answer.body.get("code") == "module_off":
            raise RequestRefused(said, hint="Switch it on, or sync without it.")
        return answer

    def body(self, method: str, path: str, *, query: Query | None = None, body: Any = None) -> Any:
        """The body of an answer to what concerns no single record. Raises `RequestRefused` for
        a refusal, and where there is no such path."""
        try:
            answer = self.make(method, path, query=query, body=body)
        except Rejected as error:
            raise RequestRefused(f"{self._name}: {method} {path}: {error}") from None
        if answer.status == 404:
            raise RequestRefused(f"{self._name}: there is no {path}.",
                                 hint="Check the URL; /api is not part of it.")
        return answer.body
