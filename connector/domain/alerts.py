"""What somebody has to be told of: the rules, and what they find. Counts and names of systems only,
never a record's content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from statistics import median

from connector.domain.ledger import Run, RunState

FEWEST_RUNS = 5
"""Runs that it takes to say what is usual."""
_BY_PERSON = ("apply", "resolve", "replay", "links", "undo")


@dataclass(frozen=True, slots=True)
class AlertRules:
    """When to tell somebody; None is never. The counts are the highest that are still well."""

    dead_letters: int | None = None
    conflicts: int | None = None
    unsettled: timedelta | None = None
    silence: timedelta | None = None
    deviation_percent: int | None = None
    deviation_runs: int = 20
    deviation_at_least: int = 50


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in a pair: parked records, conflicts for a person, and since when the oldest
    change is not settled."""

    dead_letters: int = 0
    conflicts: int = 0
    oldest: datetime | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """What the rules look at; `runs` of the pair, the newest first; `denied` by system."""

    pair: str
    backlog: Backlog = Backlog()
    runs: Sequence[Run] = ()
    denied: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to be told: the rule, and what it is about where a rule can find several."""

    pair: str
    rule: str
    subject: str
    message: str


def findings(rules: AlertRules, figures: Figures, now: datetime) -> list[Finding]:
    """All that is not well in a pair."""
    return [Finding(figures.pair, rule, subject, f"{figures.pair}: {message}")
            for look in (_waiting, _unsettled, _silent, _denied, _deviating)
            for rule, subject, message in look(rules, figures, now)]


_Found = Iterator[tuple[str, str, str]]


def _waiting(rules: AlertRules, figures: Figures, _now: datetime) -> _Found:
    backlog = figures.backlog
    if rules.dead_letters is not None and backlog.dead_letters > rules.dead_letters:
        yield ("dead_letters", "", f"{backlog.dead_letters} records have failed and are parked "
               f"(more than {rules.dead_letters}). See: connector dead-letters list")
    if rules.conflicts is not None and backlog.conflicts > rules.conflicts:
        yield ("conflicts", "", f"{backlog.conflicts} conflicts wait for a person (more than "
               f"{rules.conflicts}). See: connector conflicts list")


def _unsettled(rules: AlertRules, figures: Figures, now: datetime) -> _Found:
    oldest = figures.backlog.oldest
    if rules.unsettled is not None and oldest is not None and now - oldest > rules.unsettled:
        yield ("unsettled", "", f"a change read at {oldest:%Y-%m-%d %H:%M} UTC is still not "
               f"settled (longer than {_shown(rules.unsettled)}). See: connector status")


def _silent(rules: AlertRules, figures: Figures, now: datetime) -> _Found:
    """No run has succeeded for too long; a pair that never ran at all is not looked at."""
    if rules.silence is None or not figures.runs:
        return
    good = [run.ended_at for run in figures.runs
            if run.state is RunState.COMPLETED and run.ended_at]
    last = max(good, default=min(run.started_at for run in figures.runs))
    if now - last > rules.silence:
        told = f"the last one ended at {last:%Y-%m-%d %H:%M} UTC" if good else \
            "none of the last ones did"
        yield ("silence", "", f"no run has succeeded for {_shown(rules.silence)}: {told}. "
               "See: connector status")


def _denied(_rules: AlertRules, figures: Figures, _now: datetime) -> _Found:
    for system, since in sorted(figures.denied.items()):
        yield ("credentials", system, f"{system} has not taken our credentials since "
               f"{since:%Y-%m-%d %H:%M} UTC. Give new ones.")


def _deviating(rules: AlertRules, figures: Figures, _now: datetime) -> _Found:
    """The last run read or wrote much more or less than is usual: than the median of those before
    it that were set off alike."""
    if rules.deviation_percent is None:
        return
    done = [run for run in figures.runs
            if run.state is RunState.COMPLETED and run.trigger not in _BY_PERSON]
    alike = [run for run in done if run.trigger == done[0].trigger]
    before = alike[1:rules.deviation_runs + 1]
    if len(before) < FEWEST_RUNS:
        return
    for what, count in (("read", _read), ("written", _written)):
        number, usual = count(alike[0]), median(map(count, before))
        apart = abs(number - usual)
        if max(number, usual) >= rules.deviation_at_least \
                and apart * 100 > usual * rules.deviation_percent:
            yield ("deviation", what, f"{number} records were {what} in the last run, "
                   f"{usual:g} are usual (more than {rules.deviation_percent} % apart). "
                   "See: connector status")



def _read(run: Run) -> int:
    return sum(tally.read for tally in run.tallies.values())


def _written(run: Run) -> int:
    return sum(run.writes.values())


def _shown(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


class AlertState(StrEnum):
    """How a kept alert stands."""

    RAISED = "raised"
    RECOVERED = "recovered"  # some channel has still to be told of it


@dataclass(frozen=True, slots=True)
class Alert:
    """A finding that lasts: since when, and which channels have been told of its state. A channel
    that never knew of it is not told that it is over."""

    finding: Finding
    since: datetime
    state: AlertState = AlertState.RAISED
    told: frozenset[str] = frozenset()
    knew: frozenset[str] = frozenset()

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes two findings the same alert."""
        return self.finding.pair, self.finding.rule, self.finding.subject
