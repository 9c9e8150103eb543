"""The rules of an entity of a pair, as the config says them and as the engine takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
)

from connector.config.strict import Strict
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


class NewerWinsConfig(Strict):
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


class FieldConfig(Strict):
    """The rules of one field; what is not given is taken from the entity."""

    direction: Direction = "two_way"
    owner: Role | None = None
    conflict: Conflict | None = None
    on_blank: OnBlank | None = None


class BecomesConfig(Strict):
    """`becomes: {order: {when: {status: accepted}, in: erp, set: {status: confirmed}}}`."""

    when: dict[str, str] = Field(min_length=1, max_length=1)
    made_in: Role = Field(alias="in")
    set: dict[str, str] = Field(default_factory=dict)


class HandOffConfig(Strict):
    """`hand_off: {when: {status: [confirmed, shipped]}}`: from when on the ERP has the say."""

    when: dict[str, list[str]] = Field(min_length=1, max_length=1)


def _field(value: Any) -> Any:
    """A field's rules in short: `balance: to_crm`."""
    return {"direction": value} if isinstance(value, str) else value


class SafetyStopConfig(Strict):
    """How much of what is linked a run may change; what is not said is as for the whole pair."""

    delete_percent: int | None = Field(default=None, ge=0, le=100)
    change_percent: int | None = Field(default=None, ge=0, le=100)
    at_least: int | None = Field(default=None, ge=1)

    def over(self, usual: SafetyStop) -> SafetyStop:
        """The limits in force where these come before the usual ones."""
        return replace(usual, **self.model_dump(exclude_none=True))


class RoundingConfig(Strict):
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


class EntityConfig(Strict):
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


def check_entity(name: str, entity: EntityConfig) -> None:
    """Raise `ValueError` where rules name what the entity has not."""
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
