"""`config.yaml`: which systems there are, which pairs they make, and the rules of each pair.

Everything is checked on reading, strictly; an error says file, line and what is expected. Secrets
stand elsewhere: `env:NAME` and `file:PATH` are looked up when a system is first used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from connector.config.rules import (
    BecomesConfig,
    EntityConfig,
    FieldConfig,
    HandOffConfig,
    NewerWinsConfig,
    RoundingConfig,
    SafetyStopConfig,
    check_entity,
)
from connector.config.running import (
    AlertMailConfig,
    AlertsConfig,
    AlertWebhookConfig,
    LogConfig,
    ScaleConfig,
    ScheduleConfig,
    ServeConfig,
    TracesConfig,
    seconds,
)
from connector.config.strict import Strict
from connector.domain.entities import ENTITIES
from connector.domain.policies import Role
from connector.errors import ConfigInvalid
from connector.mapping.yaml_file import YamlFile, read_yaml

__all__ = [
    "AlertMailConfig", "AlertWebhookConfig", "AlertsConfig", "BecomesConfig", "Config",
    "EntityConfig", "FieldConfig", "HandOffConfig", "LogConfig", "NewerWinsConfig", "PairConfig",
    "RoundingConfig", "SafetyStopConfig", "ScaleConfig", "ScheduleConfig", "ServeConfig",
    "SystemConfig", "TracesConfig", "read_config", "seconds", "secret",
]


class PairConfig(Strict):
    """Two systems and the entities they share."""

    crm: str
    erp: str
    schedules: list[ScheduleConfig] = Field(default_factory=list)
    busy: Literal["queue", "merge"] = "queue"
    patience: Annotated[int, BeforeValidator(seconds)] = Field(default=900, ge=0)
    safety_stop: SafetyStopConfig = Field(default_factory=SafetyStopConfig)
    sync_state: list[Role] = Field(default_factory=list)
    entities: dict[str, EntityConfig] = Field(min_length=1)

    def tells(self, system: str) -> bool:
        """Whether the records of a system are told how they stand with the other side."""
        return system in {self.crm if role == "crm" else self.erp for role in self.sync_state}

    @model_validator(mode="after")
    def _names_known(self) -> PairConfig:
        for schedule in self.schedules:
            for name in schedule.entities:
                if name not in self.entities:
                    raise ValueError(f"a schedule names the entity {name!r}, which the pair does "
                                     "not share")
        for name, entity in self.entities.items():
            check_entity(name, entity)
            for parent in sorted(ENTITIES[name].parents - set(self.entities) - {name}):
                if any(f.required and f.to == parent for f in ENTITIES[name].fields.values()):
                    raise ValueError(f"{name} refers to {parent}, which the pair does not share; "
                                     f"add {parent} to its entities")
        return self


class SystemConfig(BaseModel):
    """A configured application; what is given besides `adapter` are the adapter's settings."""

    model_config = ConfigDict(extra="allow", frozen=True)

    adapter: str

    @property
    def settings(self) -> dict[str, Any]:
        """The adapter's settings, secrets still as references."""
        return dict(self.model_extra or {})


class Config(Strict):
    """The whole of `config.yaml`."""

    store: str = "sqlite:///connector.db"
    mappings: list[str] = Field(default_factory=list)
    transforms: str | None = None
    log: LogConfig = LogConfig()
    serve: ServeConfig = ServeConfig()
    scale: ScaleConfig = ScaleConfig()
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
