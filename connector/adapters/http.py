"""The HTTP client that all adapters share: sessions, auth, retries, limits, and errors.

Every failure is mapped to `connector.errors`, with the system, the call, the system's own words
and what to do next in the message; a secret never is.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import urlsplit

import orjson
import requests
import structlog
from pydantic import BaseModel, ConfigDict, Field, field_validator
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_exponential_jitter

from connector.errors import (
    AccessDenied,
    ConfigInvalid,
    OutcomeUnknown,
    RateLimited,
    RequestRefused,
    RetryLater,
    SystemUnreachable,
)
from connector.ports import Clock

T = TypeVar("T")
_GROWING = wait_exponential_jitter(multiplier=0.2, max=10)
LONGEST_WAIT = 60.0
"""Seconds that a `Retry-After` is obeyed within a run; a longer one ends the call."""


class HttpSettings(BaseModel):
    """The settings of every adapter that speaks HTTP."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="the system's name in the config")
    url: str = Field(description="where its API is, without a trailing slash")
    timeout_seconds: float = Field(30, gt=0, le=600, description="the longest wait for an answer")
    max_attempts: int = Field(5, ge=1, le=20, description="tries of a call that may be repeated")
    calls_in_flight: int = Field(4, ge=1, le=64, description="calls at the same time")
    verify_tls: bool = Field(True, description="whether certificates are checked")
    allow_private: bool = Field(
        False, description="whether it may stand in a private network; loopback always may")
    max_response_mb: int = Field(64, ge=1, le=1024, description="the largest answer taken")

    @field_validator("url")
    @classmethod
    def _plain_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an http(s) URL is expected")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("a URL without credentials, query or fragment is expected")
        return url.rstrip("/")


class Bearer(AuthBase):
    """`Authorization: Bearer …`."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class HeaderKey(AuthBase):
    """An API key in a header of the system's choice."""

    def __init__(self, header: str, key: str) -> None:
        self._header, self._key = header, key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers[self._header] = self._key
        return request


@dataclass(frozen=True, slots=True)
class Answer:
    """A system's answer: status, headers, and its JSON with exact numbers."""

    status: int
    headers: Mapping[str, str]
    body: Any


class _Again(Exception):
    """A try that may be repeated; `error` is what to tell if it was the last one."""

    def __init__(self, error: RetryLater) -> None:
        super().__init__(str(error))
        self.error = error


class Connection:
    """Calls to one system."""

    def __init__(self, settings: HttpSettings, auth: AuthBase, clock: Clock) -> None:
        self.settings, self._clock = settings, clock
        self._session = requests.Session()
        self._session.auth = auth
        self._session.trust_env = False
        self._session.verify = settings.verify_tls
        pool = HTTPAdapter(pool_connections=1, pool_maxsize=settings.calls_in_flight)
        self._session.mount("http://", pool)
        self._session.mount("https://", pool)
        self._checked_host = False
        self._threads = ThreadPoolExecutor(settings.calls_in_flight,
                                           thread_name_prefix=settings.name)

    def call(self, method: str, path: str, *, query: Mapping[str, str] | None = None,
             body: Any = None, headers: Mapping[str, str] | None = None,
             repeatable: bool = True, accept: Sequence[int] = ()) -> Answer:
        """Make a call and return its answer: 2xx, or a status in `accept`.

        A `repeatable` call is tried again whatever went wrong; another one only where it surely
        did nothing. Raises the errors of `connector.errors`; `OutcomeUnknown` where a call that
        is not repeatable may have been carried out.
        """
        self._check_host()
        data = None if body is None else dumps(body)
        tries = Retrying(
            retry=retry_if_exception(lambda e: isinstance(e, _Again)),
            stop=stop_after_attempt(self.settings.max_attempts), wait=self._wait,
            sleep=self._clock.sleep, before_sleep=self._told, reraise=True)
        try:
            return tries(self._once, method, path, query, data, headers, repeatable, accept)
        except _Again as last:
            raise last.error from last.__cause__

    def in_parallel(self, work: Callable[[Any], T], items: Sequence[Any]) -> list[T]:
        """`work` on each item, as many at a time as the settings allow; results in order."""
        return list(self._threads.map(work, items))

    def close(self) -> None:
        """Give connections and threads back."""
        self._session.close()
        self._threads.shutdown(wait=False)

    def _told(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        structlog.get_logger().info("call is repeated", system=self.settings.name,
                                    tries=state.attempt_number, error=str(error))

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.error.after if isinstance(error, _Again) else None
        return asked if asked is not None else _GROWING(state)

    def _once(self, method: str, path: str, query: Mapping[str, str] | None,
              data: bytes | None, headers: Mapping[str, str] | None, repeatable: bool,
              accept: Sequence[int]) -> Answer:
        call = f"{self.settings.name}: {method} {path}"
        try:
            with self._session.request(
                    method, self.settings.url + path, params=query, data=data,
                    headers={"Content-Type": "application/json", **(headers or {})},
                    timeout=(5, self.settings.timeout_seconds), allow_redirects=False,
                    stream=True) as response:
                content = self._content(response, call)
                status, got = response.status_code, response.headers
        except requests.exceptions.SSLError as error:
            raise RequestRefused(f"{call}: the certificate is not trusted.",
                                 hint="Mend the certificate, or the URL.") from error
        except (requests.ConnectionError, requests.Timeout,
                requests.exceptions.ChunkedEncodingError) as error:
            raise self._broken(call, error, repeatable) from error
        return self._judged(call, status, got, content, repeatable, accept)

    def _content(self, response: requests.Response, call: str) -> bytes:
        limit = self.settings.max_response_mb * 1024 * 1024
        content = bytearray()
        for chunk in response.iter_content(1 << 16):
            content += chunk
            if len(content) > limit:
                raise RequestRefused(f"{call}: the answer is larger than "
                                     f"{self.settings.max_response_mb} MB.",
                                     hint="Raise max_response_mb, if that is expected.")
        return bytes(content)

    def _broken(self, call: str, error: Exception, repeatable: bool) -> Exception:
        """What a failed connection means."""
        never_sent = isinstance(error, requests.exceptions.ConnectTimeout) \
            or "NewConnectionError" in repr(error) or "Failed to establish" in str(error)
        if never_sent:
            return _Again(SystemUnreachable(
                f"{self.settings.name} can't be reached at {self.settings.url}.",
                hint="See that it runs and that the URL is right."))
        if not repeatable:
            return OutcomeUnknown(f"{call}: no answer came; it may have been carried out.")
        what = "no answer in time" if isinstance(error, requests.Timeout) else "the line broke"
        return _Again(SystemUnreachable(f"{call}: {what}.", hint="Sync again later."))

    def _judged(self, call: str, status: int, headers: Mapping[str, str], content: bytes,
                repeatable: bool, accept: Sequence[int]) -> Answer:
        if 200 <= status < 300 or status in accept:
            return Answer(status, headers, self._json(call, content, repeatable))
        words = f"{call}: {status} {_words(content)}".rstrip()
        if status in (401, 403):
            raise AccessDenied(f"{words}.", hint=f"Check the credentials of {self.settings.name} "
                               "and the rights they give.")
        if status == 429:
            raise self._limited(words, headers)
        if status >= 500:
            if status == 503 or repeatable:
                raise _Again(SystemUnreachable(f"{words}.", after=_retry_after(headers),
                                               hint="Sync again later."))
            raise OutcomeUnknown(f"{words}; it may have been carried out.")
        if 300 <= status < 400:
            raise RequestRefused(f"{words}: redirects are not followed.",
                                 hint="Give the final URL in the config.")
        raise RequestRefused(f"{words}.")

    def _limited(self, words: str, headers: Mapping[str, str]) -> Exception:
        after = _retry_after(headers)
        error = RateLimited(f"{words}.", after=after, hint="Sync again later.")
        return error if after is not None and after > LONGEST_WAIT else _Again(error)

    def _json(self, call: str, content: bytes, repeatable: bool) -> Any:
        if not content:
            return None
        try:
            return json.loads(content, parse_float=Decimal)
        except ValueError:
            if repeatable:
                raise _Again(SystemUnreachable(f"{call}: the answer is no JSON.")) from None
            raise OutcomeUnknown(f"{call}: the answer is no JSON; it may have been carried "
                                 "out.") from None

    def _check_host(self) -> None:
        """Refuse a private address, unless the settings allow it; looked up once."""
        if self._checked_host:
            return
        host = urlsplit(self.settings.url).hostname or ""
        try:
            found = {ipaddress.ip_address(info[4][0]) for info in socket.getaddrinfo(host, None)}
        except OSError:
            raise SystemUnreachable(f"{self.settings.name}: the host {host} is not known.",
                                    hint="Check the URL.") from None
        for address in found:
            if address.is_private and not address.is_loopback and not self.settings.allow_private:
                raise ConfigInvalid(
                    f"{self.settings.name}: {host} is the private address {address}.",
                    hint="Say allow_private: true if that is meant.")
        self._checked_host = True


def _retry_after(headers: Mapping[str, str]) -> float | None:
    value = headers.get("Retry-After", "")
    return float(value) if value.isdigit() else None


def _words(content: bytes) -> str:
    """The system's own words about what is wrong, in short."""
    try:
        body = json.loads(content)
    except ValueError:
        return ""
    if isinstance(body, dict):
        inner = body.get("error", body)
        if isinstance(inner, dict):
            body = inner
        for key in ("detail", "msg", "message", "title"):
            if isinstance(body.get(key), str):
                return str(body[key]).rstrip(".")
    return ""


def dumps(value: Any) -> bytes:
    """JSON with Decimals as exact numbers."""
    return orjson.dumps(value, default=_exact_number)


def _exact_number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(f"{value:f}")
    raise TypeError(f"{type(value).__name__} can't be sent as JSON")
