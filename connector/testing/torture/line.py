"""The line to a simulated system, on which calls and answers are lost; what gets through is real
HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, ClassVar

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError
from urllib3.response import HTTPResponse

from connector.testing.torture.faults import Faults, Likely

READS = frozenset({"GET", "HEAD", "OPTIONS"})
"""The methods of calls that change nothing."""


@dataclass(frozen=True, slots=True)
class LineRates(Likely):
    """The faults of a line, of what stands at its other end, and of what is about it."""

    weights: ClassVar[Mapping[str, float]] = {
        "died": 0.1, "store_failed": 0.08, "slowed_down": 0.5, "token_expired": 0.2,
        "edited_under_hands": 2}

    unreachable: float = 0  # nobody listens, for a few calls or for one
    unavailable: float = 0  # 503, the call was not carried out
    slowed_down: float = 0  # 429, the system asks us to wait
    token_expired: float = 0  # 401, our credentials lapse
    connection_reset: float = 0  # the call was carried out, and the line broke
    no_answer_in_time: float = 0  # the call was carried out, and nobody told in time
    bad_gateway: float = 0  # 502 from what stands before the system; the call was carried out
    half_an_answer: float = 0  # the call was carried out, and the answer ends half-way
    edited_under_hands: float = 0  # a record is edited just before a call that writes
    edited_between_reads: float = 0  # some record is edited while we read
    committed_late: float = 0  # an edit shows behind the cursor
    store_failed: float = 0  # the store's disk is full, or another program holds it too long
    died: float = 0  # the process is killed before or after a call, a commit or a step


class Line(BaseAdapter):
    """What a session's calls go through: a fault may happen before each and after it, and the
    process may die there.

    `inner` carries out what gets through, by HTTP where none is given. Each call is told to
    `before_call`, with whether it may write, before anything happens to it: users may be at work.
    """

    def __init__(self, faults: Faults, inner: BaseAdapter | None = None, *,
                 before_call: Callable[[bool], None] = lambda _writes: None) -> None:
        super().__init__()
        self.faults, self.before_call = faults, before_call
        self._inner = inner or HTTPAdapter(pool_connections=1, pool_maxsize=1)
        self._makes = HTTPAdapter()
        self._away = 0  # for how many calls more nobody listens

    def send(self, request: requests.PreparedRequest, stream: bool = False,
             timeout: Any = None, verify: bool | str = True, cert: Any = None,
             proxies: Mapping[str, str] | None = None) -> requests.Response:
        """See requests; raises its errors, and `Died`."""
        told = f"{request.method} {request.path_url}"
        self.faults.crash(f"call {told}")
        self.before_call(request.method not in READS)
        response = self._not_let_through(request)
        if response is None:
            response = self._inner.send(request, stream=stream, timeout=timeout, verify=verify,
                                        cert=cert, proxies=proxies)
            content = response.content  # all of it: it was carried out, whatever comes of it here
            self.faults.crash(f"carried out {told}: {response.status_code}")
            response = self._after(request, response, content)
        self.faults.note(f"answered {told}: {response.status_code}")
        return response

    def close(self) -> None:
        """Give connections back; the next call opens one."""
        self._inner.close()

    def _not_let_through(self, request: requests.PreparedRequest) -> requests.Response | None:
        """What is answered in the system's place, which never hears of the call; None where it
        does."""
        if not self.faults.on:
            self._away = 0
        elif self._away or self.faults.happens("unreachable"):
            self._away = self._away - 1 if self._away else self.faults.chance.choice((0, 0, 2, 9))
            raise _unreachable(request)
        if self.faults.happens("unavailable"):
            seconds = self.faults.chance.choice((None, 1, 30))
            return self._made(request, 503, {} if seconds is None else {
                "Retry-After": str(seconds)})
        if self.faults.happens("slowed_down"):
            return self._made(request, 429, {
                "Retry-After": str(self.faults.chance.choice((1, 90)))})
        if self.faults.happens("token_expired"):
            return self._made(request, 401, {})
        return None

    def _after(self, request: requests.PreparedRequest, response: requests.Response,
               content: bytes) -> requests.Response:
        """What comes of the answer to a call that was carried out."""
        if self.faults.happens("connection_reset"):
            raise requests.ConnectionError(ProtocolError(
                "Connection aborted.", ConnectionResetError(104, "Connection reset by peer")),
                request=request)
        if self.faults.happens("no_answer_in_time"):
            raise requests.ReadTimeout("Read timed out.", request=request)
        if self.faults.happens("bad_gateway"):
            return self._made(request, 502, {"Content-Type": "text/html"}, b"<h1>Bad Gateway</h1>")
        if content and self.faults.happens("half_an_answer"):
            return self._made(request, response.status_code, response.headers,
                              content[:len(content) // 2], len(content))
        return response

    def _made(self, request: requests.PreparedRequest, status: int,
              headers: Mapping[str, str], body: bytes = b"", length: int | None = None,
              ) -> requests.Response:
        """An answer whose body is said to be of a `length` and may be shorter."""
        told = {name: value for name, value in headers.items()
                if name.lower() not in ("content-length", "transfer-encoding", "content-encoding")}
        raw = HTTPResponse(
            BytesIO(body), {**told, "Content-Length": str(len(body) if length is None else length)},
            status, preload_content=False, enforce_content_length=True,
            request_method=request.method)
        return self._makes.build_response(request, raw)


def _unreachable(request: requests.PreparedRequest) -> requests.ConnectionError:
    """What requests raises where nobody listens."""
    host = "127.0.0.1"
    reason = NewConnectionError(HTTPConnection(host), "[Errno 111] Connection refused")
    return requests.ConnectionError(
        MaxRetryError(HTTPConnectionPool(host), request.path_url, reason), request=request)
