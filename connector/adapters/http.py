"""The HTTP client that all adapters share: sessions, retries, limits, and errors.

Every failure is mapped to `connector.errors`, with the system, the call, the system's own words
and what to do next in the message; a secret never is.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from threading import BoundedSemaphore
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import requests
import structlog
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator
from requests.adapters import BaseAdapter, HTTPAdapter
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_exponential_jitter
from urllib3.exceptions import ConnectTimeoutError

from connector.adapters.auth import Credentials
from connector.adapters.budget import Budget, BudgetSettings
from connector.adapters.webhooks import WebhookSettings
from connector.adapters.wire import dumps, loads, words
from connector.domain.budget import PATIENCE
from connector.errors import (
    AccessDenied,
    BodyRefused,
    ConfigInvalid,
    OutcomeUnknown,
    RateLimited,
    ReauthRequired,
    RequestRefused,
    RetryLater,
    SystemUnreachable,
)
from connector.ports import Clock, Meter
from connector.tracing import note, span

T = TypeVar("T")
_GROWING = wait_exponential_jitter(multiplier=0.2, max=10)
CONNECT_SECONDS = 5
_LATER = "Sync again later."
_VERIFIED = "It is verified before anything else is written."


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
    webhooks: WebhookSettings = Field(
        WebhookSettings(), description="what its webhooks are signed with; none are taken else")
    budget: BudgetSettings | None = Field(
        None, description="how many calls may be made in a second and in a day")
    _meter: Meter | None = PrivateAttr(default=None)
    _transport: BaseAdapter | None = PrivateAttr(default=None)

    @field_validator("url")
    @classmethod
    def _plain_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an http(s) URL is expected")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("a URL without credentials, query or fragment is expected")
        return url.rstrip("/")

    @property
    def meter(self) -> Meter | None:
        """Who counts the calls; None where this process counts its own."""
        return self._meter

    def counted_by(self, meter: Meter) -> Self:
        """The same settings, with calls counted there."""
        copy = self.model_copy()
        copy._meter = meter
        return copy

    @property
    def transport(self) -> BaseAdapter | None:
        """What calls go through; None where each connection has its own."""
        return self._transport

    def through(self, transport: BaseAdapter) -> Self:
        """The same settings, with calls that go through `transport`: for tests, which let things
        go wrong there."""
        copy = self.model_copy()
        copy._transport = transport
        return copy


@dataclass(frozen=True, slots=True)
class Answer:
    """A system's answer: status, headers, and its JSON with exact numbers."""

    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass(slots=True)
class _Call:
    """A call and its tries; `maybe_made` once one of them may have been carried out."""

    name: str
    method: str
    path: str
    query: Mapping[str, str] | None
    data: bytes | None
    headers: Mapping[str, str]
    repeatable: bool
    accept: Sequence[int]
    again: Sequence[int]
    holds: Sequence[str]
    maybe_made: bool = False


class _Again(Exception):
    """A try that may be repeated; `error` is what to tell if it was the last one."""

    def __init__(self, error: RetryLater) -> None:
        super().__init__(str(error))
        self.error = error


class Connection:
    """Calls to one system; safe to use from several threads."""

    def __init__(self, settings: HttpSettings, auth: Credentials, clock: Clock) -> None:
        self.settings, self._auth, self._clock = settings, auth, clock
        self._session = requests.Session()
        self._session.auth = auth
        self._session.trust_env = False
        self._session.verify = settings.verify_tls
        transport = settings.transport or HTTPAdapter(
            pool_connections=1, pool_maxsize=settings.calls_in_flight)
        self._session.mount("http://", transport)
        self._session.mount("https://", transport)
        self._slots = BoundedSemaphore(settings.calls_in_flight)
        self._checked_host = False
        self._budget = None if settings.budget is None else Budget(
            settings.name, settings.budget, settings.meter, clock)
        self._threads = ThreadPoolExecutor(settings.calls_in_flight,
                                           thread_name_prefix=settings.name)

    def call(self, method: str, path: str, *, query: Mapping[str, str] | None = None,
             body: Any = None, headers: Mapping[str, str] | None = None,
             repeatable: bool = True, accept: Sequence[int] = (), again: Sequence[int] = (),
             holds: Sequence[str] = ()) -> Answer:
        """Make a call and return its answer: 2xx with a JSON object that has all of `holds`, or
        a status in `accept`; one in `again` means that the system is not ready yet.

        A `repeatable` call is tried again whatever went wrong; another one only where it surely
        did nothing. Raises the errors of `connector.errors`; of those, `OutcomeUnknown` where a
        call other than GET may have been carried out by any of its tries. Raises `ValueError`
        for a body that is no JSON.
        """
        call = _Call(f"{self.settings.name}: {method} {path}", method, path, query,
                     None if body is None else dumps(body),
                     {"Content-Type": "application/json", **(headers or {})},
                     repeatable, accept, again, holds)
        tries = Retrying(
            retry=retry_if_exception(lambda e: isinstance(e, _Again)),
            stop=stop_after_attempt(self.settings.max_attempts), wait=self._wait,
            sleep=self._clock.sleep, before_sleep=self._told, reraise=True)
        with span("call", system=self.settings.name, method=method, path=path.partition("?")[0]):
            try:
                return tries(self._once, call)
            except _Again as last:
                raise _last_word(call, last.error) from last.__cause__
            except RetryLater as error:
                raise _last_word(call, error) from error.__cause__

    def in_parallel(self, work: Callable[[Any], T], items: Sequence[Any]) -> list[T]:
        """`work` on each item, as many at a time as the settings allow; results in order. One at a
        time is done in the caller's own thread, so that a simulation has one order of events."""
        if self.settings.calls_in_flight == 1:
            return [work(item) for item in items]
        contexts = [copy_context() for _ in items]
        return list(self._threads.map(lambda context, item: context.run(work, item),
                                      contexts, items))

    def close(self) -> None:
        """Give connections and threads back."""
        self._session.close()
        self._threads.shutdown(wait=False)

    def _told(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        kind = type(error.error if isinstance(error, _Again) else error).__name__
        structlog.get_logger().info("call is repeated", system=self.settings.name,
                                    tries=state.attempt_number, error=kind)

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.error.after if isinstance(error, _Again) else None
        return asked if asked is not None else _GROWING(state)

    def _once(self, call: _Call) -> Answer:
        self._check_host()
        try:
            with self._slots, self._asked(call) as response:
                content = self._content(response, call)
                status, got = response.status_code, response.headers
        except requests.RequestException as error:
            raise self._broken(call, error) from error
        note(status=status)
        structlog.get_logger().debug("call", system=self.settings.name, method=call.method,
                                     path=call.path, status=status)
        return self._judged(call, status, got, content)

    def _asked(self, call: _Call) -> requests.Response:
        if self._budget is not None:
            self._budget.wait()
        return self._session.request(
            call.method, self.settings.url + call.path, params=call.query, data=call.data,
            headers=call.headers, allow_redirects=False, stream=True,
            timeout=(CONNECT_SECONDS, self.settings.timeout_seconds))

    def _content(self, response: requests.Response, call: _Call) -> bytes:
        limit = self.settings.max_response_mb * 1024 * 1024
        content = bytearray()
        for chunk in response.iter_content(1 << 16):
            content += chunk
            if len(content) > limit:
                told = f"{call.name}: the answer is larger than {self.settings.max_response_mb} MB"
                hint = "Raise max_response_mb, if that is expected."
                if call.method == "GET":
                    raise RequestRefused(f"{told}.", hint=hint)
                raise OutcomeUnknown(f"{told}; it may have been carried out.", hint=hint)
        return bytes(content)

    def _broken(self, call: _Call, error: requests.RequestException) -> Exception:
        """What a failed connection means."""
        reason = getattr(error.args[0] if error.args else None, "reason", error)
        if isinstance(error, requests.ConnectTimeout) or isinstance(reason, ConnectTimeoutError):
            return _Again(SystemUnreachable(
                f"{self.settings.name} can't be reached at {self.settings.url}.",
                hint="See that it runs and that the URL is right."))
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in reason.args):
            return RequestRefused(f"{call.name}: the certificate is not trusted.",
                                  hint="Mend the certificate, or the URL.")
        if isinstance(error, ValueError):  # requests' own: it can't be sent like that
            return RequestRefused(f"{call.name}: the call can't be made ({type(error).__name__}).",
                                  hint="Check the URL.")
        late = isinstance(error, requests.Timeout)
        return _unclear(call, f"{call.name}: {'no answer in time' if late else 'the line broke'}")

    def _judged(self, call: _Call, status: int, headers: Mapping[str, str],
                content: bytes) -> Answer:
        if 200 <= status < 300:
            return self._expected(call, Answer(status, headers, self._json(call, content)))
        if status in call.accept:
            return Answer(status, headers, _json_or_none(content))
        told = f"{call.name}: {status} {self._auth.hide(words(content))}".rstrip()
        after = _retry_after(headers, self._clock)
        if after is not None and self._budget is not None:
            self._budget.hold_off(after)
        if status == 401:
            raise ReauthRequired(
                f"{told}.", system=self.settings.name,
                hint=f"Give new credentials for {self.settings.name}: these are wrong, or have "
                     "expired or been revoked.")
        if status == 403:
            raise AccessDenied(f"{told}.", hint=f"Check the credentials of {self.settings.name} "
                               "and the rights they give.")
        if status == 429:
            raise _when_asked(RateLimited(f"{told}.", after=after, hint=_LATER))
        if status in call.again:
            raise _when_asked(SystemUnreachable(f"{told}.", after=after, hint=_LATER))
        if status >= 500:
            raise _unclear(call, told, after, surely_not=status == 503)
        if 300 <= status < 400:
            raise RequestRefused(f"{told}: redirects are not followed.",
                                 hint="Give the final URL in the config.")
        kind = BodyRefused if status in (400, 413) else RequestRefused
        raise kind(f"{told}.", hint=f"Check what {self.settings.name} expects.")

    def _json(self, call: _Call, content: bytes) -> Any:
        if not content:
            return None
        try:
            return loads(content)
        except ValueError:
            raise _unclear(call, f"{call.name}: the answer is no JSON") from None

    def _expected(self, call: _Call, answer: Answer) -> Answer:
        body = answer.body if isinstance(answer.body, Mapping) else {}
        missing = [name for name in call.holds if name not in body]
        if missing:
            raise _unclear(call, f"{call.name}: the answer lacks {', '.join(missing)}")
        return answer

    def _check_host(self) -> None:
        """Refuse a private address, unless the settings allow it; looked up once."""
        if self._checked_host:
            return
        host = urlsplit(self.settings.url).hostname or ""
        try:
            found = {info[4][0] for info in socket.getaddrinfo(host, None)}
        except OSError:
            raise _Again(SystemUnreachable(f"{self.settings.name}: the host {host} is not known.",
                                           hint="Check the URL.")) from None
        for address in map(str, found):
            if not self.settings.allow_private and not _is_open(address):
                raise ConfigInvalid(
                    f"{self.settings.name}: {host} is the private address {address}.",
                    hint="Say allow_private: true if that is meant.")
        self._checked_host = True


def _json_or_none(content: bytes) -> Any:
    try:
        return loads(content)
    except ValueError:
        return None


def _is_open(address: str) -> bool:
    """Whether an address is a public one, or this machine itself."""
    known = ipaddress.ip_address(address)
    if isinstance(known, ipaddress.IPv6Address) and known.ipv4_mapped is not None:
        known = known.ipv4_mapped
    return known.is_global or known.is_loopback


def _unclear(call: _Call, told: str, after: float | None = None, *,
             surely_not: bool = False) -> Exception:
    """What a try means whose call may have been carried out. `surely_not` says that the system
    claims it wasn't: enough to try again, not enough to rely on."""
    if call.method == "GET":
        return _when_asked(SystemUnreachable(f"{told}.", after=after, hint=_LATER))
    call.maybe_made = True
    error = OutcomeUnknown(f"{told}; it may have been carried out.", after=after, hint=_VERIFIED)
    return _when_asked(error) if call.repeatable or surely_not else error


def _when_asked(error: RetryLater) -> Exception:
    """Try again, unless the system asked for more patience than a run has."""
    return error if error.after is not None and error.after > PATIENCE else _Again(error)


def _last_word(call: _Call, error: RetryLater) -> RetryLater:
    """The last try's error, which does not undo what an earlier try may have done."""
    if call.maybe_made and not isinstance(error, OutcomeUnknown):
        return OutcomeUnknown(f"{error.message} An earlier try may have been carried out.",
                              after=error.after, hint=_VERIFIED)
    return error


def _retry_after(headers: Mapping[str, str], clock: Clock) -> float | None:
    """Seconds to wait, given as such or as a date; None where nothing readable is given."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - clock.now()).total_seconds())
