"""How the connector runs by itself: schedules, the receiver, its log, traces and alerts."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    BeforeValidator,
    Field,
    model_validator,
)

from connector.config.strict import Strict
from connector.domain.alerts import AlertRules

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds(value: Any) -> int:
    """`90s`, `15m`, `2h` or `1d` in seconds."""
    text = str(value)
    if len(text) > 1 and text[:-1].isdecimal() and text[-1] in _UNITS:
        return int(text[:-1]) * _UNITS[text[-1]]
    raise ValueError("a time such as 90s, 15m, 2h or 1d is expected")


class ScheduleConfig(Strict):
    """When a pair is synced by itself: at an interval, or as cron says in a time zone."""

    every: Annotated[int, BeforeValidator(seconds)] | None = Field(default=None, ge=10)
    cron: str | None = None
    timezone: str = "UTC"
    entities: list[str] = Field(default_factory=list)
    reconcile: bool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> ScheduleConfig:
        if (self.every is None) == (self.cron is None):
            raise ValueError("one of `every` and `cron` is expected")
        if self.cron is not None and len(self.cron.split()) != 5:
            raise ValueError("`cron` has five fields: minute, hour, day, month, weekday")
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError):
            raise ValueError(
                f"there is no time zone {self.timezone!r}; such as Europe/Paris") from None
        return self


class LogConfig(Strict):
    """How the program's own log is written, to standard error."""

    format: Literal["console", "json"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "warning"


class ServeConfig(Strict):
    """How `connector serve` works: where it listens, how much it lets in, and the Prefect server
    that keeps the schedules; one is started at `prefect_port` where none is named."""

    host: str = "127.0.0.1"
    port: int = Field(default=8800, ge=0, le=65_535)
    deliveries_per_second: int = Field(default=1000, ge=1)
    prefect: str | None = None
    prefect_port: int = Field(default=4200, ge=1, le=65_535)


class ScaleConfig(Strict):
    """By whom a large inbox is worked off: by the process of the run, by the workers of a Prefect
    work pool, or by a Dask cluster (the one at `cluster`, or `workers` processes of its own)."""

    by: Literal["process", "prefect", "dask"] = "process"
    partitions: int = Field(default=8, ge=1, le=256)
    at_least: int = Field(default=1000, ge=1)
    patience: Annotated[int, BeforeValidator(seconds)] = Field(default=120, ge=1)
    work_pool: str | None = Field(default=None, min_length=1)
    cluster: str | None = Field(default=None, pattern=r"^\w+://\S+$")
    workers: int | None = Field(default=None, ge=1, le=64)

    @model_validator(mode="after")
    def _named_by_whom(self) -> ScaleConfig:
        if (self.by == "prefect") != (self.work_pool is not None):
            raise ValueError("`by: prefect` and `work_pool` go together")
        if (self.by == "dask") != (self.cluster is not None or self.workers is not None):
            raise ValueError("`by: dask` goes together with `cluster` or `workers`")
        if self.cluster is not None and self.workers is not None:
            raise ValueError("one of `cluster` and `workers` is expected")
        return self


class TracesConfig(Strict):
    """Where OpenTelemetry traces go, by OTLP over HTTP, and how many of the runs are traced."""

    endpoint: str = Field(pattern=r"^https?://\S+$")
    headers: dict[str, str] = Field(default_factory=dict)
    sample_percent: int = Field(default=100, ge=1, le=100)


class AlertWebhookConfig(Strict):
    """A receiver of alerts by HTTP POST, signed as Standard Webhooks are."""

    url: str = Field(pattern=r"^https?://\S+$")
    secret: str = Field(min_length=1)


class AlertMailConfig(Strict):
    """A mail server, and who is told."""

    host: str
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password: str | None = None
    sender: str
    to: list[str] = Field(min_length=1)

    @model_validator(mode="after")
    def _guarded(self) -> AlertMailConfig:
        if (self.user is None) != (self.password is None):
            raise ValueError("`user` and `password` go together")
        if self.password is not None and self.security == "none":
            raise ValueError("a password is not sent without TLS; set `security`")
        return self


class AlertsConfig(Strict):
    """When somebody is told, and how. A count is the highest that is still well."""

    dead_letters: int | None = Field(default=None, ge=0)
    conflicts: int | None = Field(default=None, ge=0)
    unsettled_minutes: int | None = Field(default=None, ge=1)
    silent_minutes: int | None = Field(default=None, ge=1)
    deviation_percent: int | None = Field(default=None, ge=1)
    deviation_runs: int = Field(default=20, ge=5, le=100)
    deviation_at_least: int = Field(default=50, ge=1)
    webhooks: list[AlertWebhookConfig] = Field(default_factory=list)
    mail: AlertMailConfig | None = None

    @property
    def rules(self) -> AlertRules:
        """The rules as they are looked at."""
        return AlertRules(self.dead_letters, self.conflicts, _minutes(self.unsettled_minutes),
                          _minutes(self.silent_minutes), self.deviation_percent,
                          self.deviation_runs, self.deviation_at_least)


def _minutes(given: int | None) -> timedelta | None:
    return None if given is None else timedelta(minutes=given)
