"""The composition root: config → store, adapters, mappings, engine. Wired once, at run time."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr, ValidationError

import connector
from connector.adapters.http import HttpSettings
from connector.adapters.registry import adapter_class
from connector.alerts.mail import MailChannel
from connector.alerts.watch import Channel, Watch
from connector.alerts.webhook import WebhookChannel
from connector.config import (
    Config,
    NewerWinsConfig,
    PairConfig,
    read_config,
    secret,
)
from connector.domain.partitions import Partition
from connector.engine.fan_out import Division
from connector.engine.pair import Pair, Side
from connector.engine.partition import drain_partition
from connector.engine.phases import Phase, at_once
from connector.engine.run import Engine, new_id
from connector.engine.turns import AT_ONCE, Busy, close_abandoned
from connector.errors import ConfigInvalid
from connector.logs import SECRETS, log_to_stderr
from connector.mapping.compile import Mapping
from connector.mapping.load import load_mappings
from connector.mapping.transforms import REGISTRY, load_transforms
from connector.mapping.yaml_file import YamlFile
from connector.ports import Adapter, Clock, Spread, Store
from connector.store.open import open_store
from connector.tracing import Export

_PRICED = {"quantity", "unit_price"}


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present instant, UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


@dataclass(slots=True)
class Connector:
    """A wired connector: adapters are made when first asked for and kept."""

    config: Config
    file: YamlFile
    clock: Clock
    adapters: dict[str, Adapter] = field(default_factory=dict)
    _store: Store | None = None
    _spread: Spread | None = None
    _export: Export | None = None

    @property
    def base(self) -> Path:
        """The config file's folder: relative paths in it start here."""
        return self.file.path.parent

    @property
    def store(self) -> Store:
        """The store, opened (and its schema brought up to date) when first asked for."""
        if self._store is None:
            url = self._store_address()
            password = urlsplit(url).password
            SECRETS.add([password] if password else [])
            self._store = open_store(_store_url(url, self.base), self.clock)
        return self._store

    def _store_address(self) -> str:
        url: str = self._looked_up({"store": self.config.store}, "the config")["store"]
        return url

    def pair_name(self, wanted: str | None) -> str:
        """The pair's name; the only one where none is named. Raises `ConfigInvalid`."""
        names = list(self.config.pairs)
        if wanted is None and len(names) == 1:
            return names[0]
        if wanted in self.config.pairs:
            return wanted
        raise ConfigInvalid(f"{self.file.path}: there is no pair {wanted!r}." if wanted else
                            f"{self.file.path}: there are several pairs.",
                            hint=f"Name one with --pair: {', '.join(names)}.")

    def adapter(self, system: str) -> Adapter:
        """The adapter of a system. Raises `ConfigInvalid` where its settings are wrong."""
        if system not in self.adapters:
            self.adapters[system] = self._make_adapter(system)
        return self.adapters[system]

    def _make_adapter(self, system: str) -> Adapter:
        conf = self.config.systems[system]
        kind: Any = adapter_class(conf.adapter)
        where = f"systems.{system}"
        given = self._looked_up({"name": system, **conf.settings}, where)
        try:
            settings = kind.settings_model.model_validate(given)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise self.file.invalid(
                ["systems", system, *first["loc"]],
                f"{where}.{'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
        SECRETS.add(_secrets_of(settings))
        if isinstance(settings, HttpSettings) and settings.budget is not None:
            settings = settings.counted_by(self.store)
        adapter: Adapter = kind(settings, self.clock)
        return adapter

    def mappings(self, system: str) -> dict[str, Mapping]:
        """The compiled mappings of a system's kind, by entity; the config's folders come before
        the shipped ones, file by file."""
        kind = self.config.systems[system].adapter
        transforms = dict(REGISTRY)
        if self.config.transforms:
            transforms.update(load_transforms(self.base / self.config.transforms))
        found: dict[str, Mapping] = {}
        for folder in (shipped("mappings"), *(self.base / m for m in self.config.mappings)):
            found.update(load_mappings(folder, kind, transforms))
        return found

    def pair(self, name: str) -> Pair:
        """A pair with its adapters, mappings and rules. Raises `ConfigInvalid`."""
        conf = self.config.pairs[name]
        policies = {entity: rules.policy(conf.safety_stop)
                    for entity, rules in conf.entities.items()}
        pair = Pair(name, self._side("crm", conf.crm, name, conf),
                    self._side("erp", conf.erp, name, conf), policies)
        self._refuse_untellable(pair)
        self._refuse_newer_wins(pair)
        self._refuse_unpriced(pair)
        return pair

    def _refuse_unpriced(self, pair: Pair) -> None:
        """Raise `ConfigInvalid` where a rounding is declared for lines whose price isn't known."""
        for entity, rules in pair.rules.items():
            if rules.policy.rounding is not None and not set(rules.lines) >= _PRICED:
                raise self.file.invalid(
                    ["pairs", pair.name, "entities", entity, "rounding"],
                    f"what {entity} lines cost is not known: not both mappings read "
                    f"{' and '.join(sorted(_PRICED))}.", "Map them, or take `rounding` out.")

    def _refuse_untellable(self, pair: Pair) -> None:
        """Raise `ConfigInvalid` where `sync_state` names a side whose records can't be told how
        they stand."""
        for number, role in enumerate(self.config.pairs[pair.name].sync_state):
            side = pair.side(role)
            why = "" if side.adapter.capabilities.sync_state else \
                f"the records of {side.system} have no room for how they stand"
            if not why and not any(side.mappings[entity].state for entity in pair.entities):
                why = f"no mapping of {side.system} gives it a place"
            if why:
                raise self.file.invalid(["pairs", pair.name, "sync_state", number],
                                        f"pairs.{pair.name}.sync_state: {why}.",
                                        "Take it out, or see `sync_state` in docs/mappings.md.")

    def _refuse_newer_wins(self, pair: Pair) -> None:
        """Raise `ConfigInvalid` where `newer_wins` is asked of a system whose times of change are
        not its server's own."""
        untold = [side.system for side in pair.sides
                  if not side.adapter.capabilities.change_times]
        for entity, conf in self.config.pairs[pair.name].entities.items():
            asking = [(["conflict"], conf.conflict), *((["fields", name, "conflict"], f.conflict)
                                                       for name, f in conf.fields.items())]
            for where, conflict in asking:
                if untold and isinstance(conflict, NewerWinsConfig):
                    key = ["pairs", pair.name, "entities", entity, *where]
                    raise self.file.invalid(
                        key, f"{'.'.join(key)}: newer_wins can't be decided: {untold[0]} gives no "
                        "time of change that can be trusted for every record.",
                        "Use manual, prefer, prefer_unless_blank or an owner.")

    def _side(self, role: Any, system: str, pair: str, conf: PairConfig) -> Side:
        adapter = self.adapter(system)
        mappings = self.mappings(system)
        for entity in conf.entities:
            if entity not in mappings:
                kind = self.config.systems[system].adapter
                raise self.file.invalid(
                    ["pairs", pair, "entities", entity],
                    f"there is no mapping {kind}/{entity}.yaml.",
                    "Write one in a folder named under `mappings`, or take the entity out.")
        told = role in conf.sync_state
        return Side(role, system, adapter, {
            entity: (mapping if told else mapping.untold).among(conf.entities)
            for entity, mapping in mappings.items()})

    def engine(self, name: str, crash: Callable[[str], None] = lambda _point: None, *,
               busy: Busy = AT_ONCE, phase: Phase = at_once,
               run_id: Callable[[], str] = new_id) -> Engine:
        """The engine for a pair; see `Engine`."""
        self._trace()
        return Engine(self.pair(name), self.store, self.clock, crash=crash, busy=busy,
                      phase=phase, run_id=run_id, division=self._division())

    def close_abandoned(self, name: str) -> None:
        """Mark a pair's runs that dead processes have left running, unless one works on it; no
        adapter is made for that."""
        close_abandoned(self.store, self.clock, name)

    def busy(self, name: str, choice: str | None = None, patience: float | None = None) -> Busy:
        """What a run on a pair does where another one works: as given, else as the config says."""
        conf = self.config.pairs[name]
        return Busy(conf.patience if patience is None else patience,
                    (choice or conf.busy) == "merge")

    def _division(self) -> Division | None:
        """How a run's work is divided; None where it works alone. Raises `ConfigInvalid`."""
        conf = self.config.scale
        if conf.by == "process":
            return None
        if not self._store_address().startswith("postgresql"):
            raise self.file.invalid(
                ["scale", "by"], f"scale.by: {conf.by} means several processes, and they need a "
                "store on PostgreSQL.", "See `store` in docs/configuration.md.")
        return Division(self.spread, conf.partitions, conf.at_least, conf.patience)

    def spread(self) -> Spread:
        """Who has partitions worked off, made when first asked for. Raises `ConfigInvalid`."""
        if self._spread is None:
            conf = self.config.scale
            self._spread = _spread_by(conf.by)(self.file.path.resolve(), conf,
                                               self.config.serve.prefect)
        return self._spread

    def drain_partition(self, partition: Partition) -> bool:
        """Work off a partition for a run that another process makes; see there."""
        self._trace()
        return drain_partition(self.pair(partition.pair), self.store, self.clock, partition)

    def shared(self) -> dict[tuple[str, str], list[tuple[str, str]]]:
        """What each (system, object) is shared as: every (pair, entity) that maps it."""
        found: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for name in self.config.pairs:
            pair = self.pair(name)
            for side in pair.sides:
                for entity in pair.entities:
                    key = side.system, side.mappings[entity].object
                    found.setdefault(key, []).append((name, entity))
        return found

    def _looked_up(self, raw: dict[str, Any], where: str) -> dict[str, Any]:
        """Settings with their references looked up; what those stand for never stands in a log."""
        given: dict[str, Any] = secret(raw, base=self.base, where=where)
        SECRETS.add(_references(raw, given))
        return given

    def watch(self) -> Watch:
        """Who looks for what people have to be told. Raises `ConfigInvalid`."""
        conf = self.config.alerts
        if conf is None:
            raise ConfigInvalid(f"{self.file.path}: there are no `alerts`.",
                                hint="See docs/alerts.md.")
        given = self._looked_up(conf.model_dump(), "alerts")
        channels: list[Channel] = []
        for number, hook in enumerate(given["webhooks"]):
            try:
                channels.append(WebhookChannel(hook["url"], SecretStr(hook["secret"])))
            except ValueError:
                raise self.file.invalid(
                    ["alerts", "webhooks", number, "secret"],
                    f"alerts.webhooks.{number}.secret: no secret as Standard Webhooks has them.",
                    "It is base64, with or without whsec_ in front.") from None
        if given["mail"] is not None:
            channels.append(_mail(given["mail"]))
        pairs = {name: (pair.crm, pair.erp) for name, pair in self.config.pairs.items()}
        return Watch(self.store, self.clock, conf.rules, pairs, channels)

    def _trace(self) -> None:
        """Begin to trace, where the config says so."""
        conf = self.config.traces
        if conf is not None and self._export is None:
            headers = self._looked_up(conf.headers, "traces.headers")
            self._export = Export(conf.endpoint, headers, conf.sample_percent)

    def close(self) -> None:
        """Give connections back."""
        for adapter in self.adapters.values():
            adapter.close()
        if self._spread is not None:
            self._spread.close()
        if self._export is not None:
            self._export.close()
        if self._store is not None:
            self._store.close()


def open_connector(path: Path, clock: Clock | None = None) -> Connector:
    """Read the config at `path` and wire what it says. Raises `ConfigInvalid`."""
    config, file = read_config(path)
    log_to_stderr(config.log.format, config.log.level)
    # A batch makes some hundred thousand small objects and no cycles: at its default threshold
    # the collector walks them all, again and again, for a tenth of a run's time.
    gc.set_threshold(100_000, 20, 100)
    return Connector(config, file, clock or SystemClock())


def _spread_by(kind: str) -> Any:
    """The class that is registered for spreading runs: the flows know us, we don't know them.
    Raises `ConfigInvalid` where what it takes is not installed."""
    (point,) = entry_points(group="connector.spreads", name=kind)
    try:
        return point.load()
    except ModuleNotFoundError as error:
        raise ConfigInvalid(f"scale.by: {kind} takes {error.name}, which is not installed.",
                            hint="Install the extra: crm-erp-connector[scale].") from None


def _references(raw: Any, given: Any) -> Iterator[str]:
    """What the references in `raw` stand for, as looked up in `given`."""
    if isinstance(raw, dict):
        for key, value in raw.items():
            yield from _references(value, given[key])
    elif isinstance(raw, list):
        for before, after in zip(raw, given, strict=True):
            yield from _references(before, after)
    elif isinstance(raw, str) and raw != given:
        yield given


def _secrets_of(settings: BaseModel) -> Iterator[str]:
    """The secrets that stand in an adapter's settings, wherever they came from."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        for inner in value if isinstance(value, list | tuple) else [value]:
            if isinstance(inner, SecretStr):
                yield inner.get_secret_value()
            elif isinstance(inner, BaseModel):
                yield from _secrets_of(inner)


def _mail(given: dict[str, Any]) -> MailChannel:
    password = given["password"]
    return MailChannel(given["host"], given["port"], given["security"], given["sender"],
                       given["to"], given["user"], password and SecretStr(password))


def shipped(name: str) -> Path:
    """Where something that comes with the product stands: `mappings`, `config.example.yaml`."""
    package = Path(connector.__file__).parent
    inside = package / "shipped" / name
    return inside if inside.exists() else package.parent / name


def _store_url(url: str, base: Path) -> str:
    """A relative SQLite path starts at the config's folder."""
    prefix = "sqlite:///"
    if url.startswith(prefix) and not url.startswith(prefix + "/") and url != prefix + ":memory:":
        return prefix + str((base / url.removeprefix(prefix)).resolve())
    return url
