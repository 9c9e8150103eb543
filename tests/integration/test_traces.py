"""Traces of a real sync, and that without them nothing of OpenTelemetry is loaded."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from connector import tracing
from connector.errors import ReauthRequired
from tests.integration.conftest import Pair
from tests.integration.test_cli import cli


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """What was traced."""
    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracing.install(provider.get_tracer("test"))
    yield kept
    tracing.install(None)


def told(span: ReadableSpan, name: str) -> Any:
    """An attribute of a span."""
    return (span.attributes or {}).get(f"connector.{name}")


def test_a_sync_is_one_trace_down_to_each_call(pair: Pair, spans: InMemorySpanExporter) -> None:
    pair.crm("POST", "accounts", {"name": "Canaria Vogelsang", "vatNumber": "DE1"})
    run = pair.sync()
    found = spans.get_finished_spans()
    by_id = {span.context.span_id: span for span in found if span.context}
    (root,) = [span for span in found if span.parent is None]
    assert (root.name, told(root, "run"), told(root, "trigger")) == ("run", run.id, "cli")
    assert {span.name for span in found} == {"run", "pull", "batch", "call"}
    assert {span.context.trace_id for span in found if span.context} == {
        root.context.trace_id if root.context else None}
    (write,) = [span for span in found if span.name == "call" and told(span, "system") == "erp"
                and told(span, "method") == "POST" and told(span, "path") == "/v1/customers/bulk"]
    assert told(write, "status") == 200
    above = by_id[write.parent.span_id] if write.parent else None
    assert above is not None
    assert (above.name, told(above, "entity"), told(above, "records")) == ("batch", "customer", 1)
    reads = {by_id[span.parent.span_id].name for span in found if span.parent
             and span.name == "call" and told(span, "method") == "GET"}
    assert "pull" in reads
    assert "Vogelsang" not in "".join(span.to_json() for span in found)


def test_what_fails_tells_its_class_and_not_its_words(
        pair: Pair, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATIVE_CRM_TOKEN", "revoked-canary")
    pair.reconfigure("    adapter: native_crm\n", "    adapter: native_crm\n    max_attempts: 1\n")
    with pytest.raises(ReauthRequired):
        pair.engine.sync()
    (root,) = [span for span in spans.get_finished_spans() if span.parent is None]
    assert root.status.status_code is StatusCode.ERROR
    assert (root.attributes or {})["error.type"] == "ReauthRequired"
    assert root.events == ()
    assert "revoked" not in "".join(span.to_json() for span in spans.get_finished_spans())


def test_traces_reach_the_collector_that_the_config_names(pair: Pair) -> None:
    taken: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        pair.reconfigure("systems:\n", "traces: {endpoint: 'http://127.0.0.1:"
                                       f"{server.server_port}/v1/traces'}}\nsystems:\n")
        pair.sync()
        pair.connector.close()
        synced = cli(pair, "sync")
        assert synced.returncode == 0, synced.stderr
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert len(taken) >= 2
    assert {path for path, _ in taken} == {"/v1/traces"}
    assert any(b"connector.run" in body for _, body in taken)


def test_a_collector_that_is_away_does_no_harm(pair: Pair) -> None:
    pair.reconfigure("systems:\n", "traces: {endpoint: 'http://127.0.0.1:9/v1/traces'}\nsystems:\n")
    assert cli(pair, "sync").returncode == 0


def test_without_traces_nothing_of_opentelemetry_is_loaded() -> None:
    code = ("import sys, connector.bootstrap, connector.engine.run, connector.adapters.http\n"
            "print([name for name in sys.modules if name.startswith('opentelemetry')])")
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
