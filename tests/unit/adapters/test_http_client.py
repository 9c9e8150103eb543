"""The HTTP client: what is tried again, what every failure becomes, and what no message holds."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import requests
import responses
from pydantic import SecretStr, ValidationError
from urllib3.exceptions import MaxRetryError, SSLError

from connector.adapters.auth import Basic, Bearer, Credentials, HeaderKey
from connector.adapters.http import Connection, HttpSettings
from connector.errors import (
    AccessDenied,
    BodyRefused,
    ConfigInvalid,
    ConnectorError,
    OutcomeUnknown,
    RateLimited,
    ReauthRequired,
    RequestRefused,
    RetryLater,
    SystemUnreachable,
)
from connector.native.serving import free_port
from connector.testing.clock import VirtualClock

URL = "http://127.0.0.1:8/base"
START = datetime(2026, 1, 5, 8, tzinfo=UTC)
TOKEN = "s3cret-token"


@pytest.fixture
def clock() -> VirtualClock:
    """The clock that waits are made on."""
    return VirtualClock(START)


@pytest.fixture
def system() -> Iterator[responses.RequestsMock]:
    """What the system answers, in order; every answer has to be fetched."""
    with responses.RequestsMock(
            registry=responses.registries.OrderedRegistry) as mock:
        yield mock


@pytest.fixture
def connect(clock: VirtualClock) -> Iterator[Callable[..., Connection]]:
    """Makes connections to the system."""
    made: list[Connection] = []

    def connection(auth: Credentials | None = None, **settings: Any) -> Connection:
        made.append(Connection(HttpSettings(**{"name": "shop", "url": URL, **settings}),
                               auth or Bearer(SecretStr(TOKEN)), clock))
        return made[-1]

    yield connection
    for each in made:
        each.close()


def waited(clock: VirtualClock) -> float:
    """Seconds slept so far."""
    return (clock.now() - START).total_seconds()


# ---- what is sent, and what is read


def test_a_call_sends_exact_numbers_and_reads_them_exactly(
        system: responses.RequestsMock, connect: Callable[..., Connection]) -> None:
    system.post(f"{URL}/things", body=b'{"price": 0.1, "many": 1e3, "n": 12345678901234567890}',
                match=[responses.matchers.header_matcher({"Authorization": f"Bearer {TOKEN}",
                                                          "Idempotency-Key": "k"})])
    answer = connect().call("POST", "/things", body={"price": Decimal("12345678901234.567890")},
                            headers={"Idempotency-Key": "k"})
    assert system.calls[0].request.body == b'{"price":12345678901234.567890}'
    assert answer.body == {"price": Decimal("0.1"), "many": Decimal("1000"),
                           "n": 12345678901234567890}
    assert [type(v) for v in answer.body.values()] == [Decimal, Decimal, int]


def test_a_query_is_encoded(system: responses.RequestsMock,
                            connect: Callable[..., Connection]) -> None:
    system.get(f"{URL}/things", json={})
    connect().call("GET", "/things", query={"after": "2026-01-01T00:00:00+01:00", "ids": "a,b&c"})
    assert str(system.calls[0].request.url).endswith(
        "/base/things?after=2026-01-01T00%3A00%3A00%2B01%3A00&ids=a%2Cb%26c")


def test_an_empty_answer_has_no_body(system: responses.RequestsMock,
                                     connect: Callable[..., Connection]) -> None:
    system.delete(f"{URL}/things/1", status=204)
    answer = connect().call("DELETE", "/things/1")
    assert (answer.status, answer.body) == (204, None)


@pytest.mark.parametrize(("auth", "header", "value"), [
    (Bearer(SecretStr("t")), "Authorization", "Bearer t"),
    (HeaderKey("X-Key", SecretStr("k")), "X-Key", "k"),
    (Basic("ann", SecretStr("pä:ss")), "Authorization", "Basic YW5uOnDDpDpzcw=="),
], ids=["bearer", "header", "basic"])
def test_credentials_go_into_their_header(system: responses.RequestsMock,
                                          connect: Callable[..., Connection], auth: Credentials,
                                          header: str, value: str) -> None:
    system.get(f"{URL}/things", json={})
    connect(auth).call("GET", "/things")
    assert system.calls[0].request.headers[header] == value


@pytest.mark.parametrize("secret", ["", "two\nlines", "schlüssel"])
def test_a_secret_that_no_header_carries_is_refused_unseen(secret: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        Bearer(SecretStr(secret))
    assert not secret or secret not in str(refused.value)


def test_statuses_that_are_accepted_come_back(system: responses.RequestsMock,
                                              connect: Callable[..., Connection]) -> None:
    system.get(f"{URL}/things/1", status=404, body="<h1>not here</h1>")
    system.post(f"{URL}/things", status=422, json={"why": "bad"})
    shop = connect()
    assert shop.call("GET", "/things/1", accept=(404,)).body is None
    answer = shop.call("POST", "/things", body={}, accept=(409, 422))
    assert (answer.status, answer.body) == (422, {"why": "bad"})


def test_work_is_done_in_parallel_and_comes_back_in_order(
        connect: Callable[..., Connection]) -> None:
    together = threading.Barrier(3)

    def work(n: int) -> int:
        together.wait(10)
        return n * n

    assert connect(calls_in_flight=3).in_parallel(work, [3, 1, 2]) == [9, 1, 4]


# ---- what is tried again


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_read_is_tried_again(system: responses.RequestsMock, clock: VirtualClock,
                               connect: Callable[..., Connection], status: int) -> None:
    system.get(f"{URL}/things", status=status)
    system.get(f"{URL}/things", status=status)
    system.get(f"{URL}/things", json={"ok": True})
    assert connect().call("GET", "/things").body == {"ok": True}
    assert waited(clock) > 0.5


@pytest.mark.parametrize("error", [
    requests.ConnectionError("Connection aborted."), requests.ReadTimeout("read timed out"),
    requests.exceptions.ChunkedEncodingError("half an answer"),
    requests.exceptions.ContentDecodingError("no gzip")])
def test_a_read_whose_line_breaks_is_tried_again(system: responses.RequestsMock,
                                                 connect: Callable[..., Connection],
                                                 error: Exception) -> None:
    system.get(f"{URL}/things", body=error)
    system.get(f"{URL}/things", json={})
    assert connect().call("GET", "/things").status == 200


def test_the_last_try_is_told(system: responses.RequestsMock,
                              connect: Callable[..., Connection]) -> None:
    for _ in range(3):
        system.get(f"{URL}/things", status=502, json={"detail": "bad\x07 gateway."})
    with pytest.raises(SystemUnreachable) as told:
        connect(max_attempts=3).call("GET", "/things", query={"key": "hidden"})
    assert str(told.value) == "shop: GET /things: 502 bad gateway. Sync again later."


def test_waits_grow(system: responses.RequestsMock, clock: VirtualClock,
                    connect: Callable[..., Connection]) -> None:
    for _ in range(10):
        system.get(f"{URL}/things", status=503)
    with pytest.raises(SystemUnreachable):
        connect(max_attempts=10).call("GET", "/things")
    assert 20 < waited(clock) < 90


@pytest.mark.parametrize(("value", "seconds"), [
    ("17", 17), ("0", 0), ("Mon, 05 Jan 2026 08:00:40 GMT", 40),
    ("Mon, 05 Jan 2026 07:00:00 GMT", 0)])
def test_the_wait_that_a_system_asks_for_is_kept(
        system: responses.RequestsMock, clock: VirtualClock, connect: Callable[..., Connection],
        value: str, seconds: float) -> None:
    system.get(f"{URL}/things", status=429, headers={"Retry-After": value})
    system.get(f"{URL}/things", json={})
    connect().call("GET", "/things")
    assert waited(clock) == seconds


@pytest.mark.parametrize("value", ["soon", "-5", "²", "Mon, 99 Foo 2026"])
def test_a_wait_that_nobody_can_read_is_ours_to_choose(
        system: responses.RequestsMock, clock: VirtualClock, connect: Callable[..., Connection],
        value: str) -> None:
    system.get(f"{URL}/things", status=503, headers={"Retry-After": value})
    system.get(f"{URL}/things", json={})
    connect().call("GET", "/things")
    assert 0 < waited(clock) < 5


@pytest.mark.parametrize(("status", "kind"), [(429, RateLimited), (503, SystemUnreachable)])
def test_a_wait_longer_than_a_minute_ends_the_call(
        system: responses.RequestsMock, clock: VirtualClock, connect: Callable[..., Connection],
        status: int, kind: type[RetryLater]) -> None:
    system.get(f"{URL}/things", status=status, headers={"Retry-After": "61"})
    with pytest.raises(kind) as told:
        connect().call("GET", "/things")
    assert (told.value.after, waited(clock)) == (61, 0)


def test_too_many_calls_are_told_at_last(system: responses.RequestsMock,
                                         connect: Callable[..., Connection]) -> None:
    for _ in range(2):
        system.post(f"{URL}/things", status=429, headers={"Retry-After": "2"})
    with pytest.raises(RateLimited) as told:
        connect(max_attempts=2).call("POST", "/things", body={}, repeatable=False)
    assert told.value.after == 2


def test_a_system_that_is_not_ready_is_asked_again(system: responses.RequestsMock,
                                                   clock: VirtualClock,
                                                   connect: Callable[..., Connection]) -> None:
    system.post(f"{URL}/things", status=409, headers={"Retry-After": "1"})
    system.post(f"{URL}/things", json={})
    assert connect().call("POST", "/things", body={}, again=(409,)).status == 200
    assert waited(clock) == 1


# ---- writes whose outcome is not known


@pytest.mark.parametrize("first", [
    {"body": requests.ReadTimeout("read timed out")},
    {"body": requests.ConnectionError("Connection aborted.")},
    {"body": requests.exceptions.ChunkedEncodingError("half an answer")},
    {"status": 500}, {"status": 502}, {"status": 504}, {"status": 200, "body": "<html>"},
    {"status": 200, "json": []}],
    ids=["timeout", "reset", "half", "500", "502", "504", "no JSON", "no object"])
def test_a_write_that_may_not_be_repeated_is_not(
        system: responses.RequestsMock, connect: Callable[..., Connection],
        first: dict[str, Any]) -> None:
    system.post(f"{URL}/things", **first)
    with pytest.raises(OutcomeUnknown, match="may have been carried out"):
        connect().call("POST", "/things", body={}, repeatable=False, holds=("rows",))
    assert len(system.calls) == 1


@pytest.mark.parametrize("first", [
    {"body": requests.ConnectTimeout("connect timed out")}, {"status": 429}, {"status": 503}],
    ids=["never connected", "429", "503"])
def test_a_write_that_surely_did_nothing_is_repeated(
        system: responses.RequestsMock, connect: Callable[..., Connection],
        first: dict[str, Any]) -> None:
    system.post(f"{URL}/things", **first)
    system.post(f"{URL}/things", json={"rows": []})
    assert connect().call("POST", "/things", body={}, repeatable=False).status == 200


def test_a_write_with_a_key_is_repeated_until_the_end(
        system: responses.RequestsMock, connect: Callable[..., Connection]) -> None:
    system.post(f"{URL}/things", body=requests.ReadTimeout("read timed out"))
    system.post(f"{URL}/things", status=500)
    with pytest.raises(OutcomeUnknown):
        connect(max_attempts=2).call("POST", "/things", body={})


@pytest.mark.parametrize("last", [
    {"body": requests.ConnectTimeout("connect timed out")}, {"status": 429},
    {"status": 429, "headers": {"Retry-After": "3600"}}],
    ids=["never connected", "429", "429 for long"])
def test_a_last_try_does_not_undo_an_earlier_one(
        system: responses.RequestsMock, connect: Callable[..., Connection],
        last: dict[str, Any]) -> None:
    system.post(f"{URL}/things", body=requests.ReadTimeout("read timed out"))
    system.post(f"{URL}/things", **last)
    with pytest.raises(OutcomeUnknown, match="An earlier try may have been carried out"):
        connect(max_attempts=2).call("POST", "/things", body={})


def test_a_write_to_a_closed_port_was_surely_not_made(
        connect: Callable[..., Connection]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(SystemUnreachable, match=f"shop can't be reached at {url}"):
        connect(url=url, max_attempts=2).call("POST", "/things", body={}, repeatable=False)


# ---- what is refused


@pytest.mark.parametrize(("status", "kind"), [
    (301, RequestRefused), (302, RequestRefused), (307, RequestRefused), (400, BodyRefused),
    (401, ReauthRequired), (403, AccessDenied), (404, RequestRefused), (409, RequestRefused),
    (412, RequestRefused), (413, BodyRefused), (422, RequestRefused)])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_repeating_will_not_cure_is_told_at_once(
        system: responses.RequestsMock, connect: Callable[..., Connection], method: str,
        status: int, kind: type[ConnectorError]) -> None:
    system.add(method, f"{URL}/things", status=status, json={"error": {"msg": "no such luck"}},
               headers={"Location": "http://elsewhere.example/"})
    with pytest.raises(kind) as told:
        connect().call(method, "/things")
    assert type(told.value) is kind
    assert f"shop: {method} /things: {status} no such luck" in told.value.message
    assert told.value.hint


def test_an_answer_past_the_limit_is_not_taken(system: responses.RequestsMock,
                                               connect: Callable[..., Connection]) -> None:
    system.get(f"{URL}/things", body=b" " * (1 << 20) + b"1")
    system.post(f"{URL}/things", body=b" " * (1 << 20) + b"1")
    shop = connect(max_response_mb=1)
    with pytest.raises(RequestRefused, match="larger than 1 MB"):
        shop.call("GET", "/things")
    with pytest.raises(OutcomeUnknown, match="larger than 1 MB; it may have been carried out"):
        shop.call("POST", "/things", body={})


@pytest.mark.parametrize("body", [b"<html>", b'{"a": NaN}', b"[" * 100_000, b"\xff", b"[]",
                                  b'{"other": 1}', b""])
def test_an_answer_that_nobody_can_read_is_an_outage(system: responses.RequestsMock,
                                                     connect: Callable[..., Connection],
                                                     body: bytes) -> None:
    system.get(f"{URL}/things", body=body)
    with pytest.raises(SystemUnreachable, match=r"the answer (is no JSON|lacks rows)"):
        connect(max_attempts=1).call("GET", "/things", holds=("rows",))


def test_a_certificate_that_is_not_trusted_is_told(system: responses.RequestsMock,
                                                   connect: Callable[..., Connection]) -> None:
    untrusted = SSLError(ssl.SSLCertVerificationError("self-signed certificate"))
    system.get(f"{URL}/things", body=requests.exceptions.SSLError(
        MaxRetryError(None, "/things", untrusted)))  # type: ignore[arg-type]
    with pytest.raises(RequestRefused, match="certificate is not trusted"):
        connect().call("GET", "/things")


def test_a_line_that_breaks_under_tls_is_no_certificate(
        system: responses.RequestsMock, connect: Callable[..., Connection]) -> None:
    broken = SSLError(ssl.SSLEOFError("EOF occurred in violation of protocol"))
    system.post(f"{URL}/things", body=requests.exceptions.SSLError(
        MaxRetryError(None, "/things", broken)))  # type: ignore[arg-type]
    with pytest.raises(OutcomeUnknown):
        connect().call("POST", "/things", body={}, repeatable=False)


@pytest.mark.parametrize("host", ["10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
                                  "0.0.0.0", "[fd00::1]", "[::ffff:10.0.0.1]"])
def test_a_private_address_has_to_be_meant(connect: Callable[..., Connection],
                                           host: str) -> None:
    with pytest.raises(ConfigInvalid, match="private address") as told:
        connect(url=f"http://{host}/api").call("GET", "/things")
    assert "allow_private" in told.value.hint


@pytest.mark.parametrize(("host", "allow"), [("10.0.0.1", True), ("127.0.0.1", False),
                                             ("[::1]", False), ("[::ffff:127.0.0.1]", False),
                                             ("8.8.8.8", False)])
def test_other_addresses_are_called(system: responses.RequestsMock,
                                    connect: Callable[..., Connection], host: str,
                                    allow: bool) -> None:
    system.get(f"http://{host}/things", json={})
    assert connect(url=f"http://{host}", allow_private=allow).call("GET", "/things").status == 200


@pytest.mark.parametrize("url", ["ftp://host", "host", "http://", "http://me:pass@host",
                                 "http://host?key=1", "http://host#x"])
def test_a_url_is_plain(url: str) -> None:
    with pytest.raises(ValidationError, match="URL"):
        HttpSettings(name="shop", url=url)


# ---- secrets


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
@pytest.mark.parametrize("auth", [Bearer(SecretStr(TOKEN)), HeaderKey("K", SecretStr(TOKEN)),
                                  Basic("ann", SecretStr(TOKEN))])
def test_no_message_holds_a_secret_even_where_the_system_says_it(
        system: responses.RequestsMock, connect: Callable[..., Connection], auth: Credentials,
        status: int) -> None:
    said = f"{TOKEN} and {auth(requests.Request('GET', URL).prepare()).headers}"
    system.get(f"{URL}/things", status=status, json={"detail": said})
    with pytest.raises(ConnectorError) as told:
        connect(auth, max_attempts=1).call("GET", "/things", query={"q": TOKEN}, holds=("x",))
    shown = f"{told.value} {told.value!r} {told.value.__dict__}"
    assert TOKEN not in shown
    assert "YW5uOn" not in shown


def test_a_system_does_not_talk_without_end(system: responses.RequestsMock,
                                            connect: Callable[..., Connection]) -> None:
    system.get(f"{URL}/things", status=400, json={"message": "a b\n" * 10_000})
    with pytest.raises(RequestRefused) as told:
        connect().call("GET", "/things")
    assert len(str(told.value)) < 700
    assert "\n" not in str(told.value)


def test_the_environment_does_not_steer_calls(
        system: responses.RequestsMock, connect: Callable[..., Connection],
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:1")
    monkeypatch.setenv("NO_PROXY", "")
    system.get(f"{URL}/things", json={})
    connect().call("GET", "/things")
    assert not system.calls[0].request.req_kwargs["proxies"]  # type: ignore[attr-defined]
