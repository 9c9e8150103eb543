"""Traces of what runs do, by OpenTelemetry; off until somebody starts it, and then nothing of it is
imported. A span holds IDs, counts and classes of errors, never what stands in a record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from connector.errors import ConfigInvalid

Attribute = str | int | bool


class Tracer(Protocol):
    """What makes spans: a tracer of OpenTelemetry's."""

    def start_as_current_span(self, name: str, *, attributes: Any, record_exception: bool,
                              set_status_on_exception: bool) -> Any:
        """A context manager that gives the span."""
        ...


_tracer: Tracer | None = None


def install(tracer: Tracer | None) -> None:
    """Make spans with `tracer` from now on; None makes none."""
    global _tracer
    _tracer = tracer


@contextmanager
def span(name: str, **attributes: Attribute) -> Iterator[None]:
    """A part of a run. Where it fails, the span has the error's class, not what it says."""
    if _tracer is None:
        yield
        return
    named = {f"connector.{key}": value for key, value in attributes.items()}
    with _tracer.start_as_current_span(name, attributes=named, record_exception=False,
                                       set_status_on_exception=False) as current:
        try:
            yield
        except Exception as error:
            from opentelemetry.trace import StatusCode

            current.set_attribute("error.type", type(error).__name__)
            current.set_status(StatusCode.ERROR)
            raise


def note(**attributes: Attribute) -> None:
    """Add something to the span at hand."""
    if _tracer is not None:
        from opentelemetry.trace import get_current_span

        get_current_span().set_attributes(
            {f"connector.{key}": value for key, value in attributes.items()})


class Export:
    """Sends spans to a collector by OTLP over HTTP, in batches, from a thread of its own."""

    def __init__(self, endpoint: str, headers: Mapping[str, str], sample_percent: int) -> None:
        """Begin. Raises `ConfigInvalid` where the extra `otel` is not installed."""
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
        except ModuleNotFoundError as error:
            raise ConfigInvalid(f"Traces need {error.name}, which is not installed.",
                                hint="Install the extra: crm-erp-connector[otel].") from None
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "connector"}),
            sampler=ParentBased(TraceIdRatioBased(sample_percent / 100)))
        self._provider.add_span_processor(BatchSpanProcessor(
            OTLPSpanExporter(endpoint=endpoint, headers=dict(headers), timeout=5)))
        install(self._provider.get_tracer("connector"))

    def close(self) -> None:
        """Send what is left, for five seconds at most, and end."""
        install(None)
        self._provider.force_flush(5000)
        self._provider.shutdown()
