"""The program's own log, to standard error: what it never holds is taken out in one place.

* Secrets: by the key they stand under, and by their value wherever it turns up.
* Personal data: by the key, and what looks like an e-mail address or a phone number. Names look
  like nothing in particular, so no log call of ours takes what stands in a record, nor what a
  system said: IDs, counts and classes of errors only.
* Errors: their classes and where they came up. What they say stands in the store, for those who may
  read it there.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Iterable, Mapping, MutableMapping
from threading import Lock
from typing import Any

import structlog

HIDDEN = "***"
SHORTEST = 4
"""Characters of a secret that is looked for by its value; a shorter one would hide half the log."""
_SECRET_KEYS = re.compile(
    r"pass(word|wd|phrase)|secret|token|api_?key|authori[sz]ation|cookie|credential|signature",
    re.IGNORECASE)
_PERSONAL_KEYS = re.compile(
    r"(^|_)(name|title|e?mail|phone|mobile|fax|street|address|birth(day|_date)?|payload|body)$",
    re.IGNORECASE)
_EMAIL = re.compile(r"[^\s@<>\"(),;:=]+@[^\s@<>\"'(),;:]+\.[^\W\d_]{2,}")
_PHONE = re.compile(r"(?<![\w+/.:-])(\+|00)\d[\d ()./-]{6,}\d")


class Secrets:
    """The secrets that are in use; may be added to from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: tuple[str, ...] = ()

    def add(self, values: Iterable[str]) -> None:
        """Hide these from now on; of a long one in several lines, each line too."""
        found = {part for value in values for part in (value, *value.splitlines())
                 if len(part) >= SHORTEST}
        with self._lock:
            # The longest first: one may be part of another.
            self._known = tuple(sorted(found | set(self._known), key=len, reverse=True))

    def hide(self, text: str) -> str:
        """`text` without them."""
        for secret in self._known:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        return text


SECRETS = Secrets()
"""Those of this process: what the config's references stand for."""


def clean(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """A processor: takes out of an event what no log may hold."""
    return {key: _cleaned(key, value) for key, value in event.items()}


def _cleaned(key: str, value: Any) -> Any:
    if isinstance(value, bool | int | float) or value is None:
        return value
    if _SECRET_KEYS.search(key) or _PERSONAL_KEYS.search(key):
        return HIDDEN
    if isinstance(value, Mapping):
        return {str(k): _cleaned(str(k), v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_cleaned(key, v) for v in value]
    text = SECRETS.hide(value if isinstance(value, str) else str(value))
    return _PHONE.sub(HIDDEN, _EMAIL.sub(HIDDEN, text))


def only_places(_logger: Any, _method: str,
                event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor: an exception becomes its class and where it came up, its text is left out."""
    given = event.pop("exc_info", None)
    error = given if isinstance(given, BaseException) else \
        given[1] if isinstance(given, tuple) else sys.exc_info()[1] if given else None
    if error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        event["error"] = type(error).__name__
        event["at"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return event


def log_to_stderr(format: str, level: str) -> None:
    """Write the log to standard error: `format` is `console` or `json`, `level` as usual."""
    shown: structlog.typing.Processor = structlog.processors.JSONRenderer() \
        if format == "json" else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars,
                    structlog.processors.add_log_level, only_places, clean,
                    structlog.processors.TimeStamper(fmt="iso", utc=True), shown],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr), cache_logger_on_first_use=False)
