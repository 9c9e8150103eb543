"""Figures for Prometheus: what came in, what waits, what was drained, what wants a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from connector.domain.ledger import ConflictState
from connector.ports import Store
from connector.web.draining import Drain
from connector.web.receiver import Receiver


class Figures(Collector):
    """Collects them at the moment they are asked for."""

    def __init__(self, receiver: Receiver, drains: Mapping[str, Drain], store: Store,
                 pairs: Iterable[str]) -> None:
        self._receiver, self._drains, self._store = receiver, drains, store
        self._pairs = tuple(pairs)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """All of them, in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client."""
        yield from self._deliveries()
        yield from self._drained()
        yield from self._waiting()

    def _deliveries(self) -> Iterable[Metric]:
        counted = CounterMetricFamily(
            "connector_webhook_deliveries", "Deliveries answered, by system and status.",
            labels=("system", "status"))
        for (system, status), number in sorted(self._receiver.counted.items()):
            counted.add_metric((system, str(status)), number)
        yield counted
        yield GaugeMetricFamily("connector_webhook_unanswered", "Deliveries being kept.",
                                value=self._receiver.intake.waiting)

    def _drained(self) -> Iterable[Metric]:
        drains, failures, seconds, read, written = (
            CounterMetricFamily(f"connector_{name}", text, labels=("pair",)) for name, text in (
                ("drains", "Drains that came to their end."),
                ("drain_failures", "Drains that could not be made or broke off."),
                ("drain_seconds", "Time that drains took."),
                ("drain_reads", "Records that drains read."),
                ("drain_writes", "Records that drains wrote.")))
        last = GaugeMetricFamily("connector_drain_last_timestamp_seconds",
                                 "When the last drain ended.", labels=("pair",))
        for pair, drain in self._drains.items():
            drains.add_metric((pair,), drain.done.drains)
            failures.add_metric((pair,), drain.done.failures)
            seconds.add_metric((pair,), drain.done.seconds)
            read.add_metric((pair,), drain.done.read)
            written.add_metric((pair,), drain.done.written)
            if drain.done.last is not None:
                last.add_metric((pair,), drain.done.last.timestamp())
        yield from (drains, failures, seconds, read, written, last)

    def _waiting(self) -> Iterable[Metric]:
        inbox = GaugeMetricFamily("connector_inbox_records", "Records in the inbox.",
                                  labels=("pair", "entity", "system", "state"))
        conflicts, letters = (GaugeMetricFamily(f"connector_{name}", text, labels=("pair",))
                              for name, text in (("open_conflicts", "Conflicts for a person."),
                                                 ("dead_letters", "Records that are parked.")))
        with self._store.begin() as uow:
            for pair in self._pairs:
                for key, number in sorted(uow.inbox_counts(pair).items()):
                    inbox.add_metric((pair, *key), number)
                conflicts.add_metric((pair,), len(uow.conflicts(
                    pair, states=(ConflictState.OPEN,))))
                letters.add_metric((pair,), len(uow.dead_letters(pair)))
        yield from (inbox, conflicts, letters)
