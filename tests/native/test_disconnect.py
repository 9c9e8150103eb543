"""A caller that goes away in the middle of a call leaves no stack trace behind."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from connector.native import crm, erp
from connector.native.serving import running


@pytest.mark.parametrize("kind", ["crm", "erp"])
def test_a_caller_that_goes_away_is_no_error(tmp_path: Path, kind: str,
                                             caplog: pytest.LogCaptureFixture) -> None:
    app, path, auth = {
        "crm": (lambda: crm.create_app(f"sqlite:///{tmp_path}/a.db", token="t"),
                "/api/accounts", "Authorization: Bearer t"),
        "erp": (lambda: erp.create_app(f"sqlite:///{tmp_path}/a.db", api_key="t"),
                "/v1/customers", "X-Api-Key: t")}[kind]
    caplog.set_level(logging.ERROR)
    with running(app()) as url:
        host, port = urlsplit(url).hostname, urlsplit(url).port
        with socket.create_connection((host, port), timeout=9) as line:
            line.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\n{auth}\r\n"
                         f"Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{{"
                         .encode())
        assert requests.get(f"{url}/openapi.json", timeout=9).ok
    assert [record for record in caplog.records if record.exc_info] == []
