"""What never stands in the log, whoever logs it and wherever it is hidden."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from connector.logs import HIDDEN, Secrets, clean, log_to_stderr

Log = Callable[..., Any]


@pytest.fixture(params=["json", "console"])
def written(request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """Logs at debug, and gives what was written."""
    before = structlog.get_config()
    with redirect_stderr(io.StringIO()) as taken:
        log_to_stderr(request.param, "debug")
        yield taken.getvalue
    structlog.configure(**before)


@pytest.mark.parametrize("key", ["password", "token", "api_key", "apiKey", "Authorization",
                                 "client_secret", "webhook-signature", "name", "display_name",
                                 "email", "phone", "payload", "city_address"])
def test_some_keys_are_hidden_whatever_they_hold(written: Callable[[], str], key: str) -> None:
    structlog.get_logger().info("x", outer={"inner": [{key: "quite something"}]}, **{key: "plain"})
    text = written()
    assert "quite something" not in text
    assert "plain" not in text
    assert text.count(HIDDEN) == 2


@pytest.mark.parametrize("value", [
    "ann@example.org", "Ann <ann.o'neil+x@mail.example.co.uk>", "call +33 6 12 34 56 78 now",
    "0033612345678", "+1 (555) 010-9999", "für jörg@müller.de"])
def test_addresses_and_numbers_are_hidden_under_any_key(value: str) -> None:
    told = clean(None, "info", {"event": value, "note": {"deep": (value,)}})
    assert HIDDEN in told["event"]
    for word in ("ann", "example", "12 34", "0033", "555", "jörg"):
        assert word not in json.dumps(told, ensure_ascii=False)


@pytest.mark.parametrize("value", [
    "2026-01-05T08:00:00+00:00", "customer/crm/0038291-12345678", "/api/accounts/acc_0012345678",
    "run 7f3a0012+44", 12345678901, None, True, "1.2.3+20260105"])
def test_ids_times_and_numbers_are_left_as_they_are(value: Any) -> None:
    assert clean(None, "info", {"event": "x", "note": value})["note"] == value


def test_an_error_is_told_by_its_class_and_place(written: Callable[[], str]) -> None:
    try:
        raise ValueError("Ann's number is 42")
    except ValueError as error:
        structlog.get_logger().exception("went wrong")
        structlog.get_logger().error("again", exc_info=error)
    text = written()
    assert text.count("ValueError") == 2
    assert "test_logs.py" in text
    assert "Ann" not in text


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Z"]),
                        min_size=4, max_size=12), min_size=1, max_size=4),
       st.text(max_size=10), st.text(max_size=10))
def test_no_secret_is_left_in_a_text(secrets: list[str], before: str, after: str) -> None:
    known = Secrets()
    known.add(secrets[:1])
    known.add(secrets)
    hidden = known.hide(before + "".join(secrets) + after)
    rest = hidden.replace(HIDDEN, "\n")
    assert not any(secret in rest for secret in secrets)


def test_a_short_secret_hides_nothing_else() -> None:
    known = Secrets()
    known.add(["a", "", "ab\nlong enough"])
    assert known.hide("a cab, long enough") == f"a cab, {HIDDEN}"
