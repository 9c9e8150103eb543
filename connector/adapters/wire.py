"""JSON on the wire: numbers stay exact, and what a system says about a failure is read out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NoReturn

import orjson

LONGEST_WORDS = 500
"""Characters of a system's own words that go into a message."""


def dumps(value: Any) -> bytes:
    """JSON with Decimals as exact numbers. Raises `ValueError` for what JSON can't hold."""
    try:
        return orjson.dumps(value, default=_exact_number)
    except TypeError as error:  # orjson's own error, with ours as its cause
        raise ValueError(str(error.__cause__ or error)) from None


def _exact_number(value: Any) -> Any:
    if not isinstance(value, Decimal):
        raise TypeError(f"{type(value).__name__} is no JSON")
    if not value.is_finite():
        raise TypeError(f"{value} is no JSON number")
    return orjson.Fragment(f"{value:f}")


def loads(content: bytes) -> Any:
    """JSON with exact numbers. Raises `ValueError` for what is no JSON."""
    try:
        return json.loads(content, parse_float=Decimal, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def words(content: bytes) -> str:
    """A system's own words about what is wrong, in short; empty where there are none."""
    try:
        body = loads(content)
    except ValueError:
        return ""
    if isinstance(body, Mapping) and isinstance(body.get("error"), str | Mapping):
        body = body["error"]
    if isinstance(body, str):
        return _short(body)
    if isinstance(body, Mapping):
        for key in ("detail", "msg", "message", "title"):
            if isinstance(body.get(key), str):
                return _short(body[key])
        if isinstance(body.get("errors"), Mapping):
            return _short("; ".join(f"{name}: {_listed(told)}"
                                    for name, told in body["errors"].items()))
    return ""


def _listed(told: Any) -> str:
    return ", ".join(map(str, told)) if isinstance(told, list) else str(told)


def _short(text: str) -> str:
    """One line of printable characters, without its full stop."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return (line if len(line) <= LONGEST_WORDS else f"{line[:LONGEST_WORDS]}…").rstrip(".")
