"""Webhooks: kept with the change that causes them, delivered by a thread, tried again."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import requests
from sqlalchemy import delete, select

from connector.native.database import Database, Transaction
from connector.native.faults import Faults

WAITS = (1.0, 5.0, 30.0)
"""Seconds before each further try."""

Sign = Callable[[str, bytes, str], Mapping[str, str]]
"""(delivery ID, body, secret) → headers."""


class Hooks:
    """The registered webhooks of an app, and the thread that delivers."""

    def __init__(self, database: Database, sign: Sign, faults: Faults) -> None:
        self._database, self._sign, self._faults = database, sign, faults
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._late: list[tuple[dict[str, Any], str, bytes]] = []
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
        self.registered[kept["id"]] = kept
        self._start()
        return kept

    def remove(self, hook_id: str) -> None:
        """Forget a webhook."""
        extra = self._database.extra
        with self._database.write() as transaction:
            transaction.connection.execute(
                delete(extra).where(extra.c.kind == "hook", extra.c.key == hook_id))
        self.registered.pop(hook_id, None)

    def note(self, transaction: Transaction,
             message: Callable[[str, Any, str], tuple[str, bytes]]) -> None:
        """Keep a delivery for each change and each webhook that wants it; nothing is done where
        no webhook is registered."""
        for hook in self.registered.values():
            for object, id, what in transaction.events:
                topic, body = message(object, id, what)
                if "*" in hook["topics"] or topic in hook["topics"]:
                    key = f"{transaction.stamp}-{uuid.uuid4().hex}"
                    transaction.keep("delivery", key, orjson.dumps(
                        {"hook": hook["id"], "body": body.decode()}))

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
            if not self._deliver_all():
                self._wake.wait(0.5)

    def _deliver_all(self) -> int:
        extra = self._database.extra
        with self._database.read() as connection:
            rows = connection.execute(select(extra.c.key, extra.c.value).where(
                extra.c.kind == "delivery").order_by(extra.c.key).limit(100)).all()
        for key, value in rows:
            delivery = orjson.loads(value)
            hook = self.registered.get(delivery["hook"])
            if hook is not None:
                self._with_faults(hook, key, delivery["body"].encode())
            with self._database.write() as transaction:
                transaction.connection.execute(
                    delete(extra).where(extra.c.kind == "delivery", extra.c.key == key))
        return len(rows)

    def _with_faults(self, hook: dict[str, Any], key: str, body: bytes) -> None:
        fault = self._faults.hook()
        if fault == "webhook_lose":
            return
        if fault == "webhook_reorder":
            self._late.append((hook, key, body))
            return
        for _ in range(2 if fault == "webhook_double" else 1):
            self._send(hook, key, body)
        while self._late:
            self._send(*self._late.pop())

    def _send(self, hook: dict[str, Any], key: str, body: bytes) -> None:
        for wait in (*WAITS, None):
            headers = {"Content-Type": "application/json", **self._sign(key, body, hook["secret"])}
            try:
                if requests.post(hook["url"], data=body, headers=headers, timeout=10,
                                 allow_redirects=False).status_code < 300:
                    return
            except requests.RequestException:
                pass
            if wait is None or self._stop.wait(wait):
                return
