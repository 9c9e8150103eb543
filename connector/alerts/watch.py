"""Looks at every pair, keeps what is found, and tells each channel once of what is new or over."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

import structlog

from connector.domain.alerts import Alert, AlertRules, AlertState, Figures, Finding, findings
from connector.ports import Clock, Store

LEASE = "alerts:"
"""The lease of the watch: no pair can be called so."""
LEASE_TTL = 300.0
RUNS = 200
"""Runs that are looked at, the newest first."""


class Undelivered(Exception):
    """A channel could not be reached; its text holds no secret."""


class Channel(Protocol):
    """A way to tell people."""

    @property
    def name(self) -> str:
        """Names the channel in the store and in messages; holds no secret."""
        ...

    def send(self, alert: Alert, at: datetime) -> None:
        """Tell of an alert, or that it is over. Raises `Undelivered`."""
        ...


@dataclass(slots=True)
class Told:
    """What came of a look: alerts that are new, that are over, and channels that failed."""

    raised: list[Alert] = field(default_factory=list)
    recovered: list[Alert] = field(default_factory=list)
    undelivered: dict[str, str] = field(default_factory=dict)


class Watch:
    """Watches the pairs of a store."""

    def __init__(self, store: Store, clock: Clock, rules: AlertRules,
                 pairs: Mapping[str, tuple[str, ...]], channels: Sequence[Channel]) -> None:
        """`pairs`: the systems of each."""
        self._store, self._clock, self._rules = store, clock, rules
        self._pairs, self._channels = pairs, channels

    def test(self) -> dict[str, str]:
        """Tell every channel that this is a test; what each said, empty where it was taken."""
        pair, now, said = next(iter(self._pairs)), self._clock.now(), dict[str, str]()
        alert = Alert(Finding(pair, "test", "", f"{pair}: this is a test of the alerts."), now)
        for channel in self._channels:
            try:
                channel.send(alert, now)
            except Undelivered as failure:
                said[channel.name] = str(failure)
            else:
                said[channel.name] = ""
        return said

    def check(self) -> Told:
        """Look at everything and tell what has to be told; a channel that fails is told at the
        next look. Raises `LeaseHeld` where another process is at it."""
        lease = self._store.acquire_lease(LEASE, f"{socket.gethostname()}:{os.getpid()}",
                                          LEASE_TTL)
        try:
            return self._tell(self._kept())
        finally:
            self._store.release_lease(LEASE, lease)

    def _kept(self) -> Told:
        """What is new and what is over; kept before anybody is told."""
        now, told = self._clock.now(), Told()
        found = {(f.pair, f.rule, f.subject): f for f in self._findings(now)}
        with self._store.begin() as uow:
            kept = {alert.key: alert for alert in uow.alerts()}
            for key, finding in found.items():
                before = kept.get(key)
                if before is None or before.state is AlertState.RECOVERED:
                    told.raised.append(_raised(finding, now, before))
                elif before.finding != finding:
                    uow.save_alerts([replace(before, finding=finding)])
            for key, alert in kept.items():
                if key not in found and alert.state is AlertState.RAISED:
                    told.recovered.append(replace(alert, state=AlertState.RECOVERED,
                                                  told=frozenset(), knew=alert.told))
            uow.save_alerts([*told.raised, *told.recovered])
        return told

    def _findings(self, now: datetime) -> list[Finding]:
        found = []
        for pair, systems in self._pairs.items():
            with self._store.begin() as uow:
                denied = {name: state.denied_at for name, state in uow.connections(now).items()
                          if name in systems and state.denied_at is not None}
                figures = Figures(pair, uow.backlog(pair), uow.runs(pair, RUNS), denied)
            found += findings(self._rules, figures, now)
        return found

    def _tell(self, told: Told) -> Told:
        """Tell every channel what it has not been told; what a channel was told is kept at once,
        so that a process that dies here tells it at most once more."""
        with self._store.begin() as uow:
            kept = uow.alerts()
        for alert in kept:
            for channel in self._due(alert):
                if channel.name in told.undelivered:
                    continue
                try:
                    channel.send(alert, self._clock.now())
                except Undelivered as failure:
                    told.undelivered[channel.name] = str(failure)
                    structlog.get_logger().warning("alert not delivered", channel=channel.name,
                                                   reason=str(failure))
                else:
                    alert = replace(alert, told=alert.told | {channel.name})
                    with self._store.begin() as uow:
                        uow.save_alerts([alert])
            if alert.state is AlertState.RECOVERED and not self._due(alert):
                with self._store.begin() as uow:
                    uow.remove_alerts([alert])
        return told

    def _due(self, alert: Alert) -> list[Channel]:
        """The channels that have still to be told of an alert's state."""
        return [c for c in self._channels if c.name not in alert.told
                and (alert.state is AlertState.RAISED or c.name in alert.knew)]


def _raised(finding: Finding, now: datetime, before: Alert | None) -> Alert:
    """A new alert. One that comes back before all were told that it is over is news only to those
    who were."""
    if before is None:
        return Alert(finding, now)
    return Alert(finding, now, told=before.knew - before.told)
