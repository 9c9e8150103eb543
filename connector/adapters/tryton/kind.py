"""One of Tryton's objects as it is served: which records, which fields, how they are written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, ClassVar

import orjson

from connector.adapters.tryton.rpc import Row, Rpc, day, number, packed
from connector.adapters.wire import dumps
from connector.domain.records import Intent, ObjectSchema, Payload, RemoteRecord
from connector.errors import RequestRefused

Values = dict[str, Any]
Found = tuple[Row, RemoteRecord]
"""A record in Tryton's own shape, and as it is given to the engine."""
UNNUMBERED = 1_000_000
"""What is added to the ID of a line that has no number of its own."""


class Unfit(ValueError):
    """A payload that can't be written; the message says why."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a change of a record shows: the rows of `model`, whose field `path` leads to it."""

    model: str
    path: str = "id"
    domain: tuple[Any, ...] = ()


class Kind(ABC):
    """What all objects share. A kind says what differs.

    `model` holds the records, `fields` are read of them, nested ones as `addresses.city`, and
    `locks` are the nested ones whose rows are edited apart, with their model.
    """

    object: ClassVar[str]
    model: ClassVar[str]
    fields: ClassVar[tuple[str, ...]]
    locks: ClassVar[Mapping[str, str]] = {}
    sources: ClassVar[tuple[Source, ...]] = ()
    schema: ClassVar[ObjectSchema]
    at_once: ClassVar[int] = 100  # records in one call that writes
    cannot_write: ClassVar[str] = ""  # why, where nothing of it can be written
    steps: ClassVar[Mapping[str, Mapping[str, Sequence[str]]]] = {}
    """By which actions a state is reached: by the word asked for, and the state it is in."""
    actions: ClassVar[tuple[str, ...]] = ()  # in the order in which they are carried out

    def __init__(self, rpc: Rpc) -> None:
        self.rpc = rpc
        self._types: dict[str, Mapping[str, Row]] = {}
        self.more = rpc.settings.fields.get(self.object, ())

    def prepare(self) -> None:  # noqa: B027 - most kinds need nothing
        """Make Tryton ready for it."""

    # ---- reading

    def domain(self) -> list[Any]:
        """Which of the model's records are of this kind."""
        return []

    @abstractmethod
    def find(self, ids: Sequence[int]) -> list[Found]:
        """The records among these IDs that are there and of this kind."""

    def referenced(self, references: Sequence[str]) -> dict[str, int]:  # noqa: ARG002
        """The oldest record for each reference."""
        return {}

    def externals(self, id: int) -> list[str]:
        """The external IDs that a record of the model stands behind."""
        return [str(id)]

    def internal(self, external_id: str) -> int | None:
        """The ID of the record behind an external ID; None where it is none of ours."""
        return int(external_id) if external_id.isascii() and external_id.isdigit() else None

    def _asked(self) -> set[str]:
        known = self.described(self.model)
        unknown = sorted(set(self.more) - set(known))
        if unknown:
            raise RequestRefused(f"Tryton's {self.model} has no {', '.join(unknown)}.",
                                 hint=f"Mend `fields: {{{self.object}: …}}` in the config.")
        asked = {f for f in self.fields if f.partition(".")[0] in known or f.startswith("_")}
        return asked | set(self.more)

    def described(self, model: str) -> Mapping[str, Row]:
        """A model's fields, as Tryton describes them; asked for once."""
        if model not in self._types:
            self._types[model] = self.rpc.ask(f"model.{model}.fields_get", None, self.rpc.context)
        return self._types[model]

    def record(self, row: Row, payload: Values, reference: str | None) -> RemoteRecord:
        """A row with its payload, and a version that tells what must not have changed before a
        write (left of the dot) from all that may be read (right of it)."""
        for name in self.more:
            value = row[name]
            flag = self.described(self.model)[name]["type"] == "boolean"
            payload[name] = bool(value) if flag and value is not None else value
        whole = _digest(orjson.dumps(payload, default=str, option=orjson.OPT_SORT_KEYS))
        return RemoteRecord(str(row["id"]), f"{locked(self.timestamps(row))}.{whole}", payload,
                            False, reference)

    # ---- writing

    @property
    def written(self) -> str:
        """The model that creates and writes are made on."""
        return self.model

    def target(self, row: Row) -> int:
        """The ID that a write is made on."""
        return int(row["id"])

    def made(self, ids: Sequence[int]) -> list[int]:
        """The records of this kind behind new records of the model written, in order."""
        return list(ids)

    def timestamps(self, row: Row) -> dict[str, str]:
        """What a write says about the state it expects, by `model,id`."""
        stamps = {f"{self.model},{row['id']}": row["_timestamp"]}
        for path, model in self.locks.items():
            inner: Any = row.get(f"{path}.") or []
            for child in inner if isinstance(inner, list) else [inner]:
                stamps[f"{model},{child['id']}"] = child["_timestamp"]
        return stamps

    def creations(self, intents: Sequence[Intent]) -> list[Values | Unfit]:
        """What to create for each intent."""
        return [Unfit(self.cannot_write) for _ in intents]

    def changes(self, pairs: Sequence[tuple[Intent, Found]]) -> list[Values | Unfit]:
        """What to write for each intent; empty where nothing differs."""
        return [Unfit(self.cannot_write) for _ in pairs]

    def extra(self, payload: Payload) -> Values:
        """The values of the fields that the config adds. Raises `Unfit`."""
        values: Values = {}
        for name in self.more:
            if name in payload:
                values[name] = self._typed(name, payload[name])
        return values

    def _typed(self, name: str, value: Any) -> Any:
        kind = self.described(self.model)[name]["type"]
        if kind == "date":
            return iso_day(name, value)
        if kind == "float":
            return number(value)
        return int(value) if kind == "many2one" and value is not None else value


class OneForOne(Kind):
    """A kind whose records are the rows of its model, one for one."""

    def context(self) -> Mapping[str, Any]:
        """What a read needs to know besides."""
        return {}

    @abstractmethod
    def records(self, rows: Sequence[Row]) -> list[RemoteRecord]:
        """Rows as they are given to the engine, in their order."""

    def find(self, ids: Sequence[int]) -> list[Found]:
        if not ids:
            return []
        rows = self.rpc.read(self.model, [["id", "in", sorted(ids)], *self.domain()],
                             self._asked(), context=self.context())
        return list(zip(rows, self.records(rows), strict=True))


def iso_day(name: str, value: Any) -> Any:
    """A date to be written. Raises `Unfit`."""
    try:
        return day(value)
    except ValueError:
        raise Unfit(f"{name}: {value!r} is no date like 2026-11-24.") from None


def locked(stamps: Mapping[str, str]) -> str:
    """The part of a version that a write checks."""
    return _digest("|".join(f"{name}={stamp}" for name, stamp in sorted(stamps.items())).encode())


def lock_of(version: str) -> str:
    """That part of a version given."""
    return version.partition(".")[0]


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=9).hexdigest()


def sendable(values: Values) -> None:
    """Refuse what no JSON can hold (half a surrogate pair). Raises `Unfit`."""
    try:
        dumps(packed(values))
    except ValueError as error:
        raise Unfit(f"It can't be sent: {error}.") from None


def each(make: Callable[[Any], Values], items: Iterable[Any]) -> list[Values | Unfit]:
    """`make` of each item, an `Unfit` in its place where it raises one."""
    results: list[Values | Unfit] = []
    for item in items:
        try:
            values = make(item)
            sendable(values)
            results.append(values)
        except Unfit as error:
            results.append(error)
    return results


def by(rows: Iterable[Row], name: str) -> dict[Any, Row]:
    """Rows by a field; the first one counts."""
    found: dict[Any, Row] = {}
    for row in rows:
        found.setdefault(row[name], row)
    return found


def line_numbers(lines: Sequence[Row]) -> dict[int, int]:
    """A number for each line that stays with it: its sequence, if no other line has the same;
    else a large number made of its ID."""
    taken = [line["sequence"] for line in lines]
    return {line["id"]: line["sequence"]
            if line["sequence"] is not None and 0 <= line["sequence"] < UNNUMBERED
            and taken.count(line["sequence"]) == 1
            else UNNUMBERED + line["id"] for line in lines}
