"""Alerts on the command line, from a record that failed to a receiver that listens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.integration.conftest import Pair
from tests.integration.test_cli import cli
from tests.integration.test_serve import eventually, serving

SECRET = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0"


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[Any]]]:
    """The URL of a receiver, and what it took: only what is signed."""
    taken: list[Any] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            taken.append(Webhook(SECRET).verify(body, dict(self.headers.items())))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/alerts", taken
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_parked_record_is_told_until_it_is_mended(
        pair: Pair, receiver: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    url, taken = receiver
    monkeypatch.setenv("ALERTS_SECRET", SECRET)
    assert cli(pair, "alerts", "check").returncode == 3
    pair.reconfigure("systems:\n", f"alerts:\n  dead_letters: 0\n  webhooks:\n    - url: {url}\n"
                                   "      secret: env:ALERTS_SECRET\nsystems:\n")
    tested = cli(pair, "alerts", "test")
    assert tested.returncode == 0, tested.stderr
    assert "Nothing new." in cli(pair, "alerts", "check").stdout
    account = pair.crm("POST", "accounts", {"name": "Acme", "email": "no address"})
    run = pair.engine.sync()
    assert pair.failed(run) == 1
    checked = cli(pair, "alerts", "check")
    assert (checked.returncode, checked.stdout.split(":")[0]) == (0, "new"), checked.stderr
    (listed,) = json.loads(cli(pair, "alerts", "list", "--json").stdout)
    assert (listed["rule"], listed["state"], len(listed["told"])) == ("dead_letters", "raised", 1)
    pair.crm("PATCH", f"accounts/{account['id']}", {"email": "office@example.org"})
    pair.sync()
    assert "over: main: 1 records" in cli(pair, "alerts", "check").stdout
    assert json.loads(cli(pair, "alerts", "list", "--json").stdout) == []
    assert [(m["type"], m["data"]["rule"]) for m in taken] == [
        ("alert.raised", "test"), ("alert.raised", "dead_letters"),
        ("alert.recovered", "dead_letters")]
    assert "Acme" not in json.dumps(taken)


def test_serve_tells_by_itself_and_a_pair_that_is_denied_stops_alone(
        pair: Pair, receiver: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    url, taken = receiver
    monkeypatch.setenv("ALERTS_SECRET", SECRET)
    monkeypatch.setenv("OTHER_TOKEN", "revoked")
    pair.crm("POST", "accounts", {"name": "Acme", "vatNumber": "DE1"})
    pair.crm("POST", "accounts", {"name": "Broken", "email": "no address"})
    text = pair.config.read_text(encoding="utf-8").replace("systems:\n", (
        f"alerts:\n  dead_letters: 0\n  webhooks:\n    - url: {url}\n"
        "      secret: env:ALERTS_SECRET\nsystems:\n  other:\n    adapter: native_crm\n"
        f"    url: {pair.crm_url}\n    token: env:OTHER_TOKEN\n"), 1)
    pair.config.write_text(text.replace("pairs:\n", (
        "pairs:\n  second:\n    crm: other\n    erp: erp\n    entities: {product: {}}\n"), 1),
        encoding="utf-8")
    assert cli(pair, "sync", "--pair", "second").returncode == 4
    assert cli(pair, "sync", "--pair", "main").returncode == 7
    assert [row["display_name"] for row in pair.in_erp("customers")] == ["Acme"]
    with serving(pair.config) as served:
        eventually(lambda: len(taken) == 2)
        assert served.end() == 0
    assert sorted((m["type"], m["data"]["pair"], m["data"]["rule"], m["data"]["subject"])
                  for m in taken) == [("alert.raised", "main", "dead_letters", ""),
                                      ("alert.raised", "second", "credentials", "other")]


def test_a_receiver_that_is_away_fails_the_check(pair: Pair,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALERTS_SECRET", SECRET)
    pair.reconfigure("systems:\n", (
        "alerts:\n  dead_letters: 0\n  webhooks:\n    - url: http://127.0.0.1:9/alerts\n"
        "      secret: env:ALERTS_SECRET\nsystems:\n"))
    pair.crm("POST", "accounts", {"name": "Acme", "email": "no address"})
    pair.engine.sync()
    checked = cli(pair, "alerts", "check", "--json")
    assert checked.returncode == 1
    assert list(json.loads(checked.stdout)["undelivered"].values()) \
        == ["can't be reached (ConnectionError)"]


def test_a_secret_that_is_none_is_named_with_its_line(pair: Pair) -> None:
    pair.config.write_text(pair.config.read_text(encoding="utf-8").replace(
        "systems:\n", "alerts:\n  webhooks:\n    - url: https://a.example\n"
        "      secret: 'not base64 at all'\nsystems:\n", 1), encoding="utf-8")
    refused = cli(pair, "alerts", "check")
    assert refused.returncode == 3
    assert "alerts.webhooks.0.secret" in refused.stderr
    assert "config.yaml:" in refused.stderr
    assert "not base64" not in refused.stderr
