"""Who may change what, and who wins: the rules of a pair, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Literal

from connector.domain.amounts import Rounding

Role = Literal["crm", "erp"]
Direction = Literal["two_way", "to_erp", "to_crm", "create_only"]
Resolution = Literal["manual", "prefer_crm", "prefer_erp", "prefer_crm_unless_blank",
                     "prefer_erp_unless_blank", "fail"]
OnBlank = Literal["propagate", "ignore", "fill_only"]
OnDelete = Literal["deactivate", "propagate", "restore", "unlink", "manual"]
BornIn = Literal["either", "crm", "erp"]

CRM: Role = "crm"
ERP: Role = "erp"


def other(role: Role) -> Role:
    """The opposite side of a pair."""
    return ERP if role == CRM else CRM


@dataclass(frozen=True, slots=True)
class NewerWins:
    """Settles a conflict for the side whose record was changed last, by the time that each server
    gives. Changes closer together than `within` are a tie: the side `tie` wins it, or, where that
    is None, a person is asked."""

    tie: Role | None
    within: timedelta


@dataclass(frozen=True, slots=True)
class FieldPolicy:
    """The rules of one field.

    * `direction`: `two_way`; `to_erp` and `to_crm` carry it one way and put the other side's
      change back; `create_only` sends it when a record is created and never after.
    * `owner`: the side that always wins; a change of it on the other side is put back and kept
      as a settled conflict. Until the owner has a value, on first contact, the other side's stands.
    * `conflict`: settles two different changes where no owner is named.
    * `on_blank`: whether blanking a field blanks it on the other side (`propagate`), doesn't
      (`ignore`), or the field is only ever written where the other side is blank (`fill_only`).
    """

    direction: Direction = "two_way"
    owner: Role | None = None
    conflict: Resolution | NewerWins = "manual"
    on_blank: OnBlank = "propagate"


@dataclass(frozen=True, slots=True)
class Becomes:
    """A document made from another: a quote whose `when_field` turned `when_value` becomes
    exactly one `entity` on the side `made_in`, with the fields `values` set on top of the copy."""

    entity: str
    when_field: str
    when_value: str
    made_in: Role
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HandOff:
    """Once the `field` of the ERP's record is one of `values`, the ERP has the say: a change in the
    CRM is proposed to it, which accepts or declines by its own state."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SafetyStop:
    """How much of what is linked a run may delete or deactivate, and how much it may change, on
    one side of an entity, in percent; a run that would do more stops before its first write.
    Fewer records than `at_least` never stop it."""

    delete_percent: int = 10
    change_percent: int = 100
    at_least: int = 50


@dataclass(frozen=True, slots=True)
class EntityPolicy:
    """The rules of one entity; `fields` holds those that differ from `default`.

    `match` names the fields that find the same thing on the other side, once, on first contact.
    `several_in` names the side on which more than one record may be the same thing: the first is
    kept in agreement with the other side's, the others are aliases of it.
    `born_in` says on which side new records may come up, other than those that a record of the
    pair became. Line fields are named `lines.quantity`.
    Both sides' net, tax and total have to be what `rounding` gives for the lines; where none is
    declared, they are only compared with each other. They may differ by `total_tolerance`, in the
    document's currency.
    """

    match: tuple[str, ...] = ()
    several_in: Role | None = None
    born_in: BornIn = "either"
    default: FieldPolicy = field(default_factory=FieldPolicy)
    fields: Mapping[str, FieldPolicy] = field(default_factory=dict)
    on_delete: OnDelete = "deactivate"
    becomes: Becomes | None = None
    hand_off: HandOff | None = None
    rounding: Rounding | None = None
    total_tolerance: Decimal = Decimal(0)
    safety_stop: SafetyStop = field(default_factory=SafetyStop)

    def of(self, name: str) -> FieldPolicy:
        """The rules of a field."""
        return self.fields.get(name, self.default)
