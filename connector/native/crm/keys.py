"""Idempotency keys, after the IETF draft (draft-ietf-httpapi-idempotency-key-header-07): a call
that is repeated under its key is answered as the first time, and does nothing."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from connector.native.crm.words import Refused, fit, stamp
from connector.native.database import Transaction, dumps, loads

LIFE = timedelta(hours=24)
LONGEST = 200
_KIND = "key"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a write: its status, its JSON, and the ETag of a single record."""

    status: int
    content: bytes
    etag: str = ""


class Keys:
    """The keys that calls in flight have, and what was answered to those that are done."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_flight: set[str] = set()
        self._next_cleaning = ""

    @contextmanager
    def held(self, key: str | None) -> Iterator[None]:
        """Hold a key during a call. Raises `Refused` (409) while another call holds it."""
        if key is None:
            yield
            return
        if not (0 < len(key) <= LONGEST and fit(key)):
            raise Refused(400, f"an idempotency key has 1 to {LONGEST} characters")
        with self._lock:
            if key in self._in_flight:
                raise Refused(409, "a call with this key is in flight",
                              headers={"Retry-After": "1"})
            self._in_flight.add(key)
        try:
            yield
        finally:
            with self._lock:
                self._in_flight.discard(key)

    def earlier(self, transaction: Transaction, key: str, call: bytes) -> Answer | None:
        """What was answered to this call before. Raises `Refused` (422) where the key was used
        for another one."""
        since = stamp(transaction.now - LIFE)
        if since >= self._next_cleaning:
            transaction.forget(_KIND, since)
            self._next_cleaning = stamp(transaction.now - LIFE + LIFE / 24)
        kept = transaction.kept(_KIND, key, since)
        if kept is None:
            return None
        known = loads(kept)
        if known["call"] != _digest(call):
            raise Refused(422, "this idempotency key was used for another call")
        return Answer(known["status"], known["content"].encode(), known["etag"])

    def keep(self, transaction: Transaction, key: str, call: bytes, answer: Answer) -> None:
        """Keep an answer, in the transaction of what it tells."""
        transaction.keep(_KIND, key, dumps({
            "call": _digest(call), "status": answer.status, "content": answer.content.decode(),
            "etag": answer.etag}))


def _digest(call: bytes) -> str:
    return hashlib.sha256(call).hexdigest()
