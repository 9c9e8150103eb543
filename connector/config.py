"""`config.yaml`: which systems there are, which pairs they make, and the rules of each pair.

Everything is checked on reading, strictly; an error says file, line and what is expected. Secrets
stand elsewhere: `env:NAME` and `file:PATH` are looked up when a system is first used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from connector.domain.alerts import AlertRules
from connector.domain.amounts import Rounding
from connector.domain.currencies import Half
from connector.domain.entities import ENTITIES
from connector.domain.policies import (
    Becomes,
    BornIn,
    Direction,
    EntityPolicy,
    FieldPolicy,
    HandOff,
    NewerWins,
    OnBlank,
    OnDelete,
    Resolution,
    Role,
    SafetyStop,
)
from connector.errors import ConfigInvalid
from connector.mapping.yaml_file import YamlFile, read_yaml


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NewerWinsConfig(_Strict):
    """`newer_wins: {tie: crm, within: 60}`; `within` in seconds."""

    tie: Literal["crm", "erp", "manual"]
    within: int = Field(default=60, ge=0)


def _conflict(value: Any) -> Any:
    """`{prefer: erp}` as the one word `prefer_erp`; `{prefer_unless_blank: erp}` likewise;
    `{newer_wins: ...}` as what it holds."""
    if isinstance(value, Mapping) and len(value) == 1:
        (word, role), = value.items()
        if word == "prefer":
            return f"prefer_{role}"
        if word == "prefer_unless_blank":
            return f"prefer_{role}_unless_blank"
        if word == "newer_wins":
            return role
    return value


Conflict = Annotated[
    Annotated[Resolution, Tag("word")] | Annotated[NewerWinsConfig, Tag("newer_wins")],
    Discriminator(lambda given: "word" if isinstance(given, str) else "newer_wins"),
    BeforeValidator(_conflict)]


def _resolution(given: Resolution | NewerWinsConfig) -> Resolution | NewerWins:
    """What settles a conflict, as the engine takes it."""
    if isinstance(given, NewerWinsConfig):
        return NewerWins(None if given.tie == "manual" else given.tie,
                         timedelta(seconds=given.within))
    return given


class FieldConfig(_Strict):
    """The rules of one field; what is not given is taken from the entity."""

    direction: Direction = "two_way"
    owner: Role | None = None
    conflict: Conflict | None = None
    on_blank: OnBlank | None = None


class BecomesConfig(_Strict):
    """`becomes: {order: {when: {status: accepted}, in: erp, set: {status: confirmed}}}`."""

    when: dict[str, str] = Field(min_length=1, max_length=1)
    made_in: Role = Field(alias="in")
    set: dict[str, str] = Field(default_factory=dict)


class HandOffConfig(_Strict):
    """`hand_off: {when: {status: [confirmed, shipped]}}`: from when on the ERP has the say."""

    when: dict[str, list[str]] = Field(min_length=1, max_length=1)


def _field(value: Any) -> Any:
    """A field's rules in short: `balance: to_crm`."""
    return {"direction": value} if isinstance(value, str) else value


class SafetyStopConfig(_Strict):
    """How much of what is linked a run may change; what is not said is as for the whole pair."""

    delete_percent: int | None = Field(default=None, ge=0, le=100)
    change_percent: int | None = Field(default=None, ge=0, le=100)
    at_least: int | None = Field(default=None, ge=1)

    def over(self, usual: SafetyStop) -> SafetyStop:
        """The limits in force where these come before the usual ones."""
        return replace(usual, **self.model_dump(exclude_none=True))


class RoundingConfig(_Strict):
    """Where the documents of both systems are rounded to the minor unit."""

    level: Literal["line", "document"] = "line"
    tax: Literal["rate", "line"] = "rate"
    half: Half = "up"


def _short_rounding(value: Any) -> Any:
    """A rounding in short: `rounding: document`."""
    return {"level": value} if isinstance(value, str) else value


def _exact(value: Any) -> Any:
    """A number as it is written in the file, which YAML reads as a float."""
    return Decimal(str(value)) if isinstance(value, int | float) else value


class EntityConfig(_Strict):
    """The rules of one entity of a pair."""

    match: list[str] = Field(default_factory=list)
    several_in: Role | None = None
    born_in: BornIn = "either"
    conflict: Conflict = "manual"
    on_blank: OnBlank = "propagate"
    on_delete: OnDelete = "deactivate"
    fields: dict[str, Annotated[FieldConfig, BeforeValidator(_field)]] = Field(
        default_factory=dict)
    becomes: dict[str, BecomesConfig] = Field(default_factory=dict, max_length=1)
    rounding: Annotated[RoundingConfig | None, BeforeValidator(_short_rounding)] = None
    hand_off: HandOffConfig | None = None
    total_tolerance: Annotated[Decimal, BeforeValidator(_exact)] = Field(
        default=Decimal(0), ge=0)
    safety_stop: SafetyStopConfig = Field(default_factory=SafetyStopConfig)

    def policy(self, of_pair: SafetyStopConfig) -> EntityPolicy:
        """The rules as the engine takes them."""
        default = FieldPolicy(conflict=_resolution(self.conflict), on_blank=self.on_blank)
        fields = {name: FieldPolicy(f.direction, f.owner,
                                    _resolution(f.conflict or self.conflict),
                                    f.on_blank or self.on_blank)
                  for name, f in self.fields.items()}
        becomes = None
        for entity, rule in self.becomes.items():
            (when_field, when_value), = rule.when.items()
            becomes = Becomes(entity, when_field, when_value, rule.made_in, rule.set)
        return EntityPolicy(tuple(self.match), self.several_in, self.born_in, default, fields,
                            self.on_delete, becomes, self._hand_off(), self._rounding(),
                            self.total_tolerance,
                            self.safety_stop.over(of_pair.over(SafetyStop())))

    def _hand_off(self) -> HandOff | None:
        if self.hand_off is None:
            return None
        (field, values), = self.hand_off.when.items()
        return HandOff(field, tuple(values))

    def _rounding(self) -> Rounding | None:
        return None if self.rounding is None else Rounding(**self.rounding.model_dump())


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _seconds(value: Any) -> Any:
    """`90s`, `15m`, `2h` or `1d` in seconds."""
    text = str(value)
    if len(text) > 1 and text[:-1].isdecimal() and text[-1] in _UNITS:
        return int(text[:-1]) * _UNITS[text[-1]]
    raise ValueError("a time such as 90s, 15m, 2h or 1d is expected")


class ScheduleConfig(_Strict):
    """When a pair is synced by itself: at an interval, or as cron says in a time zone."""

    every: Annotated[int, BeforeValidator(_seconds)] | None = Field(default=None, ge=10)
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


class PairConfig(_Strict):
    """Two systems and the entities they share."""

    crm: str
    erp: str
    schedules: list[ScheduleConfig] = Field(default_factory=list)
    safety_stop: SafetyStopConfig = Field(default_factory=SafetyStopConfig)
    entities: dict[str, EntityConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_known(self) -> PairConfig:
        for schedule in self.schedules:
            for name in schedule.entities:
                if name not in self.entities:
                    raise ValueError(f"a schedule names the entity {name!r}, which the pair does "
                                     "not share")
        for name, entity in self.entities.items():
            _check_entity(name, entity)
            for parent in sorted(ENTITIES[name].parents - set(self.entities) - {name}):
                if any(f.required and f.to == parent for f in ENTITIES[name].fields.values()):
                    raise ValueError(f"{name} refers to {parent}, which the pair does not share; "
                                     f"add {parent} to its entities")
        return self


def _check_entity(name: str, entity: EntityConfig) -> None:
    if name not in ENTITIES:
        raise ValueError(f"unknown entity {name!r}; known: {', '.join(ENTITIES)}")
    spec = ENTITIES[name]
    known = {*spec.fields, *(f"lines.{f}" for f in spec.line_fields)}
    if spec.line_fields:
        known.add("lines")
    for field in (*entity.match, *entity.fields):
        if field not in known:
            raise ValueError(f"{name} has no field {field!r}; known: {', '.join(sorted(known))}")
    if entity.rounding is not None and "total" not in spec.fields:
        raise ValueError(f"{name} has no totals to be rounded; take `rounding` out")
    for when_field, words in entity.hand_off.when.items() if entity.hand_off else ():
        for word in words:
            if word not in spec.fields.get(when_field, spec.fields["number"]).choices:
                raise ValueError(f"{name}.{when_field} is never {word!r}")
    for target, rule in entity.becomes.items():
        if target not in ENTITIES:
            raise ValueError(f"{name} can't become the unknown entity {target!r}")
        (when_field, when_value), = rule.when.items()
        if when_value not in spec.fields.get(when_field, spec.fields["number"]).choices:
            raise ValueError(f"{name}.{when_field} is never {when_value!r}")


class SystemConfig(BaseModel):
    """A configured application; what is given besides `adapter` are the adapter's settings."""

    model_config = ConfigDict(extra="allow", frozen=True)

    adapter: str

    @property
    def settings(self) -> dict[str, Any]:
        """The adapter's settings, secrets still as references."""
        return dict(self.model_extra or {})


class LogConfig(_Strict):
    """How the program's own log is written, to standard error."""

    format: Literal["console", "json"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "warning"


class ServeConfig(_Strict):
    """How `connector serve` works: where it listens, how much it lets in, and the Prefect server
    that keeps the schedules; one is started at `prefect_port` where none is named."""

    host: str = "127.0.0.1"
    port: int = Field(default=8800, ge=0, le=65_535)
    deliveries_per_second: int = Field(default=1000, ge=1)
    prefect: str | None = None
    prefect_port: int = Field(default=4200, ge=1, le=65_535)


class TracesConfig(_Strict):
    """Where OpenTelemetry traces go, by OTLP over HTTP, and how many of the runs are traced."""

    endpoint: str = Field(pattern=r"^https?://\S+$")
    headers: dict[str, str] = Field(default_factory=dict)
    sample_percent: int = Field(default=100, ge=1, le=100)


class AlertWebhookConfig(_Strict):
    """A receiver of alerts by HTTP POST, signed as Standard Webhooks are."""

    url: str = Field(pattern=r"^https?://\S+$")
    secret: str = Field(min_length=1)


class AlertMailConfig(_Strict):
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


class AlertsConfig(_Strict):
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


class Config(_Strict):
    """The whole of `config.yaml`."""

    store: str = "sqlite:///connector.db"
    mappings: list[str] = Field(default_factory=list)
    transforms: str | None = None
    log: LogConfig = LogConfig()
    serve: ServeConfig = ServeConfig()
    alerts: AlertsConfig | None = None
    traces: TracesConfig | None = None
    systems: dict[str, SystemConfig] = Field(min_length=1)
    pairs: dict[str, PairConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _systems_known(self) -> Config:
        for name, pair in self.pairs.items():
            for system in (pair.crm, pair.erp):
                if system not in self.systems:
                    raise ValueError(f"pair {name!r} names the system {system!r}, which is not "
                                     f"under systems; known: {', '.join(self.systems)}")
        return self


def read_config(path: Path) -> tuple[Config, YamlFile]:
    """The config and where each of its parts stands. Raises `ConfigInvalid` with file and line."""
    if not path.exists():
        raise ConfigInvalid(f"{path}: no such config file.",
                            hint="Write one with `connector init`, or name it with --config.")
    file = read_yaml(path)
    return file.validate(Config), file


def secret(value: Any, *, base: Path, where: str) -> Any:
    """`value` with `env:NAME` and `file:PATH` (relative to `base`) looked up, nested ones too.

    Raises `ConfigInvalid` naming the setting, never the value.
    """
    if isinstance(value, Mapping):
        return {k: secret(v, base=base, where=f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, list):
        return [secret(v, base=base, where=f"{where}.{i}") for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value
    kind, colon, name = value.partition(":")
    if colon and kind == "env":
        if name not in os.environ:
            raise ConfigInvalid(f"{where}: the environment variable {name} is not set.",
                                hint=f"Set it: export {name}=…")
        return os.environ[name]
    if colon and kind == "file":
        try:
            return (base / name).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigInvalid(f"{where}: {base / name} can't be read: {error.strerror}.",
                                hint="Put the secret there, readable by this user.") from None
    return value
