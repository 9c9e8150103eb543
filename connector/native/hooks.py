"""Webhooks: kept with the change that causes them, delivered by a thread, tried again."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import requests
from sqlalchemy import Row, delete, insert, select, update

from connector.native.database import Database, Transaction
from connector.native.faults import Faults

WAITS = (1.0, 5.0, 30.0)
"""Seconds before each further try."""
ROUND = 100
"""Deliveries that are tried before what came of them is saved."""

Sign = Callable[[str, bytes, str], Mapping[str, str]]
"""(delivery ID, body, secret) → headers."""


class Hooks:
    """The registered webhooks of an app, and the thread that delivers."""

    def __init__(self, database: Database, sign: Sign, faults: Faults) -> None:
        self._database, self._sign, self._faults = database, sign, faults
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._http = requests.Session()
        self._http.trust_env = False
        self.registered = self._read()
        if self.registered:
            self._start()

    def _read(self) -> dict[str, dict[str, Any]]:
        extra = self._database.extra
        with self._database.read() as connection:
            rows = connection.execute(
                select(extra.c.key, extra.c.value).where(extra.c.kind == "hook"))
            return {row.key: orjson.loads(row.value) for row in rows}

    def register(self, hook: dict[str, Any]) -> dict[str, Any]:
        """Keep a webhook: its `url`, the `topics` it wants, its `secret`."""
        kept = {"id": uuid.uuid4().hex, **hook}
        with self._database.write() as transaction:
            transaction.keep("hook", kept["id"], orjson.dumps(kept))
        self.registered = {**self.registered, kept["id"]: kept}
        self._start()
        return kept

    def remove(self, hook_id: str) -> None:
        """Forget a webhook, and what it was to be told."""
        extra = self._database.extra
        with self._database.write() as transaction:
            transaction.connection.execute(
                delete(extra).where(extra.c.kind == "hook", extra.c.key == hook_id))
        self.registered = {key: hook for key, hook in self.registered.items() if key != hook_id}

    def note(self, transaction: Transaction,
             message: Callable[[str, Any, str], tuple[str, bytes]]) -> None:
        """Keep a delivery for each change and each webhook that wants it; nothing is done where
        no webhook is registered."""
        hooks = list(self.registered.values())
        if not hooks:
            return
        due = _stamp(datetime.now(UTC))
        deliveries: list[dict[str, Any]] = []
        for object, id, what in transaction.events:
            topic, body = message(object, id, what)
            for hook in hooks:
                if "*" in hook["topics"] or topic in hook["topics"]:
                    key = f"{transaction.stamp}-{len(deliveries):06}-{uuid.uuid4().hex}"
                    value = orjson.dumps({"hook": hook["id"], "body": body.decode(), "tries": 0})
                    deliveries.append({"kind": "delivery", "key": key, "at": due, "value": value})
        if deliveries:
            transaction.connection.execute(insert(self._database.extra), deliveries)

    def wake(self) -> None:
        """There is something to deliver."""
        self._wake.set()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop delivering; what is left is delivered after the next start."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(5)

    def _work(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            self._wake.wait(self._round())

    def _round(self) -> float | None:
        """Deliver what is due; returns after how many seconds more will be, None for never.

        What came of a round is saved at its end: a crash before that delivers again, as webhooks
        may.
        """
        extra = self._database.extra
        with self._database.read() as connection:
            rows = connection.execute(
                select(extra.c.key, extra.c.at, extra.c.value).where(extra.c.kind == "delivery")
                .order_by(extra.c.at, extra.c.key).limit(ROUND)).all()
        if not rows:
            return None
        now = datetime.now(UTC)
        due = [row for row in rows if row.at <= _stamp(now)]
        if not due:
            return max(0.0, (datetime.fromisoformat(rows[0].at) - now).total_seconds())
        tried: dict[str, dict[str, Any] | None] = {}
        for row in due:
            tried[row.key] = self._tried(row)
            if tried[row.key] is not None or self._stop.is_set():
                break  # whatever keeps a delivery from its receiver may take long: save first
        self._save(tried)
        return 0.0

    def _save(self, tried: Mapping[str, dict[str, Any] | None]) -> None:
        extra = self._database.extra
        done = [key for key, again in tried.items() if again is None]
        with self._database.write() as transaction:
            transaction.connection.execute(
                delete(extra).where(extra.c.kind == "delivery", extra.c.key.in_(done)))
            for key, again in tried.items():
                if again is not None:
                    transaction.connection.execute(update(extra).where(
                        extra.c.kind == "delivery", extra.c.key == key).values(**again))

    def _tried(self, row: Row[Any]) -> dict[str, Any] | None:
        """Try a delivery; returns what to note for another try, None where it is settled."""
        delivery = orjson.loads(row.value)
        hook = self.registered.get(delivery["hook"])
        fault = self._faults.hook() if hook is not None else ""
        if hook is None or fault == "webhook_lose":
            return None
        if fault == "webhook_reorder":
            return _later(delivery, WAITS[0])
        body = delivery["body"].encode()
        sent = [self._sent(hook, row.key, body)
                for _ in range(2 if fault == "webhook_double" else 1)]
        if any(sent) or delivery["tries"] >= len(WAITS):
            return None
        return _later({**delivery, "tries": delivery["tries"] + 1}, WAITS[delivery["tries"]])

    def _sent(self, hook: Mapping[str, Any], key: str, body: bytes) -> bool:
        headers = {"Content-Type": "application/json", **self._sign(key, body, hook["secret"])}
        try:
            return self._http.post(hook["url"], data=body, headers=headers, timeout=5,
                                   allow_redirects=False).status_code < 300
        except requests.RequestException:
            return False


def _later(delivery: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    due = datetime.now(UTC) + timedelta(seconds=seconds)
    return {"at": _stamp(due), "value": orjson.dumps(delivery)}


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")
