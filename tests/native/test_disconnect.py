"""A caller that goes away in the middle of a call is no error of the system."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from connector.native import crm, erp


@pytest.mark.parametrize("kind", ["crm", "erp"])
def test_a_caller_that_goes_away_raises_nothing(tmp_path: Path, kind: str) -> None:
    database = f"sqlite:///{tmp_path}/{kind}.db"
    app, path, header = {
        "crm": (lambda: crm.create_app(database, token="t"), "/api/accounts",
                (b"authorization", b"Bearer t")),
        "erp": (lambda: erp.create_app(database, api_key="t"), "/v1/customers",
                (b"x-api-key", b"t"))}[kind]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(),
             "query_string": b"", "headers": [header], "http_version": "1.1", "scheme": "http",
             "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 9)}
    messages = [{"type": "http.request", "body": b"{", "more_body": True},
                {"type": "http.disconnect"}]
    sent = list[Any]()

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app()(scope, receive, send))
    assert sent[0]["status"] == 400
