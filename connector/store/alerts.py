"""Alerts that last, and the figures that the rules look at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, select

from connector.domain.alerts import Alert, AlertState, Backlog, Finding
from connector.domain.ledger import ConflictState
from connector.store.codec import dump, instant, load, moment
from connector.store.rows import Rows
from connector.store.tables import alerts, conflicts, dead_letters, inbox

_KEY = ("pair", "rule", "subject")


class AlertRows(Rows):
    """The part of a unit of work about alerts."""

    def backlog(self, pair: str) -> Backlog:
        parked = self.connection.scalar(
            select(func.count()).select_from(dead_letters).where(dead_letters.c.pair == pair))
        waiting = self.connection.scalar(
            select(func.count()).select_from(conflicts).where(
                conflicts.c.pair == pair, conflicts.c.state == ConflictState.OPEN.value))
        oldest = self.connection.scalar(  # a row received anew comes last, so ids follow the time
            select(inbox.c.received_at).where(inbox.c.pair == pair).order_by(inbox.c.id).limit(1))
        return Backlog(parked or 0, waiting or 0, instant(oldest))

    def alerts(self) -> list[Alert]:
        return [_alert(row) for row in self.connection.execute(
            select(alerts).order_by(*(alerts.c[name] for name in _KEY)))]

    def save_alerts(self, kept: Sequence[Alert]) -> None:
        self.upsert(alerts, [{
            "pair": a.finding.pair, "rule": a.finding.rule, "subject": a.finding.subject,
            "message": a.finding.message, "since": moment(a.since), "state": a.state.value,
            "channels": dump([sorted(a.told), sorted(a.knew)])} for a in kept], _KEY)

    def remove_alerts(self, over: Sequence[Alert]) -> None:
        for alert in over:  # a handful at most
            self.connection.execute(delete(alerts).where(
                *(alerts.c[name] == value for name, value in zip(_KEY, alert.key, strict=True))))


def _alert(row: Row[Any]) -> Alert:
    told, knew = load(row.channels)
    return Alert(Finding(row.pair, row.rule, row.subject, row.message),
                 datetime.fromisoformat(row.since), AlertState(row.state), frozenset(told),
                 frozenset(knew))
