"""A payload as a person edits it: single values by path, or the whole of it from a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any

from connector.errors import RunFailed


def assigned(payload: Mapping[str, Any], given: Iterable[str]) -> tuple[dict[str, Any], str]:
    """A copy of `payload` with `PATH=VALUE` assignments made, and the words for what they
    changed. Raises `RunFailed` where a path leads nowhere."""
    edited, told = deepcopy(dict(payload)), list[str]()
    for assignment in given:
        path, equals, text = assignment.partition("=")
        if not (path and equals):
            raise RunFailed(f"{assignment!r} is not PATH=VALUE.")
        before, value = _assign(edited, path, text)
        told.append(f"{path}: {_words(before)} → {_words(value)}")
    return edited, ", ".join(told)


def payload_of(file: Path) -> dict[str, Any]:
    """The payload that a JSON file holds. Raises `RunFailed`."""
    try:
        payload = _json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFailed(f"{file}: no payload can be read from it: {error}.") from None
    if not isinstance(payload, dict):
        raise RunFailed(f"{file}: a payload is a JSON object.")
    return payload


def _assign(payload: dict[str, Any], path: str, text: str) -> tuple[Any, Any]:
    """Put a value in its place; returns what stood there, None where nothing did, and the
    value."""
    *steps, last = path.split(".")
    place: Any = payload
    for step in steps:
        place = _at(place, step, path)
    if isinstance(place, dict):
        before = place.get(last)
        place[last] = value = _value(text, before)
        return before, value
    before = _at(place, last, path)
    place[int(last)] = value = _value(text, before)
    return before, value


def _at(place: Any, step: str, path: str) -> Any:
    try:
        return place[int(step)] if isinstance(place, list) else place[step]
    except (KeyError, IndexError, ValueError, TypeError):
        raise RunFailed(f"The payload has nothing at {path}: {step} is not there.",
                        hint="See it with `connector dead-letters show`.") from None


def _value(text: str, before: Any) -> Any:
    """JSON, or else the text itself; in the place of text only what is written as JSON text, or
    `null`, is taken for JSON: a phone number is no number."""
    if isinstance(before, str) and text != "null" and not text.startswith('"'):
        return text
    try:
        return _json(text)
    except ValueError:
        return text


def _json(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def _words(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
