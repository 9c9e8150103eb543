"""The line to a simulated system: what is lost on it is what an adapter meets in earnest."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import requests
from pydantic import SecretStr
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.response import HTTPResponse

from connector.adapters.auth import Bearer
from connector.adapters.http import Connection, HttpSettings
from connector.errors import (
    OutcomeUnknown,
    RateLimited,
    ReauthRequired,
    SystemUnreachable,
)
from connector.testing.clock import VirtualClock
from connector.testing.torture.faults import Died, Faults
from connector.testing.torture.line import Line, LineRates


class Far(BaseAdapter):
    """A system at the other end, which counts the calls that come through."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def send(self, request: requests.PreparedRequest, *args: Any,
             **given: Any) -> requests.Response:
        self.calls += 1
        raw = HTTPResponse(None, {}, 200, preload_content=False)
        response = HTTPAdapter().build_response(request, raw)
        response._content = b'{"rows": [1, 2, 3]}'
        return response

    def close(self) -> None:
        """It keeps nothing."""


def connection(line: BaseAdapter, tries: int = 1) -> Connection:
    settings = HttpSettings(name="far", url="http://127.0.0.1:9", max_attempts=tries)
    return Connection(settings.through(line), Bearer(SecretStr("secret")), VirtualClock())


@pytest.mark.parametrize(("fault", "error", "carried_out"), [
    ("unreachable", SystemUnreachable, 0), ("unavailable", OutcomeUnknown, 0),
    ("slowed_down", RateLimited, 0), ("token_expired", ReauthRequired, 0),
    ("connection_reset", OutcomeUnknown, 1), ("no_answer_in_time", OutcomeUnknown, 1),
    ("bad_gateway", OutcomeUnknown, 1), ("half_an_answer", OutcomeUnknown, 1)])
def test_each_fault_means_to_a_write_what_it_should(fault: str, error: type[Exception],
                                                    carried_out: int) -> None:
    far, faults = Far(), Faults(Random(1), LineRates(**{fault: 1.0}))
    with pytest.raises(error):
        connection(Line(faults, far)).call("POST", "/rows", body={}, repeatable=False)
    assert far.calls == carried_out
    assert faults.count == {fault: 1}


def test_what_gets_through_is_answered_and_noted() -> None:
    faults, before = Faults(Random(1), LineRates()), list[bool]()
    called = connection(Line(faults, Far(), before_call=before.append))
    assert called.call("GET", "/rows", query={"limit": "3"}).body == {"rows": [1, 2, 3]}
    assert called.call("POST", "/rows", body={}).body == {"rows": [1, 2, 3]}
    assert before == [False, True]
    assert faults.trace == [
        "call GET /rows?limit=3", "carried out GET /rows?limit=3: 200",
        "answered GET /rows?limit=3: 200", "call POST /rows", "carried out POST /rows: 200",
        "answered POST /rows: 200"]


def test_nobody_listens_for_a_while_until_the_faults_are_over() -> None:
    far, faults = Far(), Faults(Random(4), LineRates(unreachable=1.0))
    called = connection(Line(faults, far), tries=20)
    with pytest.raises(SystemUnreachable):
        called.call("GET", "/rows")
    assert 0 < faults.count["unreachable"] < 20  # one may last for several calls
    faults.on = False
    assert called.call("GET", "/rows").status == 200
    assert far.calls == 1


@pytest.mark.parametrize("seed", range(8))
def test_what_has_died_calls_no_more(seed: int) -> None:
    far, faults = Far(), Faults(Random(seed), LineRates(died=0.5))
    called = connection(Line(faults, far))
    with pytest.raises(Died):
        for _ in range(1000):
            called.call("POST", "/rows", body={})
    calls, noted = far.calls, len(faults.trace)
    with pytest.raises(Died):
        called.call("POST", "/rows", body={})
    assert (far.calls, len(faults.trace)) == (calls, noted)


def test_one_call_at_a_time_is_made_in_order_in_the_callers_thread() -> None:
    settings = HttpSettings(name="far", url="http://127.0.0.1:9", calls_in_flight=1)
    one = Connection(settings.through(Far()), Bearer(SecretStr("secret")), VirtualClock())
    done = list[int]()

    def work(number: int) -> int:
        done.append(number)
        if number == 3:
            raise ValueError("no more")
        return number

    assert one.in_parallel(work, [1, 2]) == [1, 2]
    with pytest.raises(ValueError, match="no more"):
        one.in_parallel(work, [3, 4])
    assert done == [1, 2, 3]
