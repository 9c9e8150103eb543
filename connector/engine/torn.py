"""An amount means nothing without its currency: the two are never taken from different sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connector.domain.actions import FieldConflict
from connector.domain.paths import path_of
from connector.domain.policies import CRM, ERP, Role, other
from connector.domain.values import MISSING, FieldType, Record
from connector.engine.pair import Rules

_PRICES = ("list_price", "unit_price")


def priced(rules: Rules) -> frozenset[str]:
    """The currency of a record and its header fields that are in it."""
    return frozenset({"currency", *(
        name for name, rule in rules.header.items() if name in _PRICES
        or (rule.field.type is FieldType.MONEY and rule.field.currency == "currency"))})


def torn(rules: Rules, base: Record | None, crm: Record, erp: Record) -> FieldConflict | None:
    """The conflict where one side changed a record's currency and the other one what is in it.

    A currency that one side alone decides tears nothing: the other side's is put back.
    """
    rule = rules.header.get("currency")
    sides = {CRM: crm, ERP: erp}
    now = {role: record.get("currency", MISSING) for role, record in sides.items()}
    if base is None or rule is None or rule.policy.owner or rule.policy.direction != "two_way" \
            or now[CRM] == now[ERP] or MISSING in now.values():
        return None
    was = base.get("currency")
    movers: list[Role] = [role for role in (CRM, ERP) if now[role] != was]
    entered = [role for role in (CRM, ERP)
               if _amounts(rules, sides[role]) != _amounts(rules, base)]
    if not any(other(mover) in entered for mover in movers):
        return None
    return FieldConflict("currency", was, now[CRM], now[ERP], kind="currency_against_amount")


def with_amounts(rules: Rules, decisions: Mapping[str, Mapping[str, Any]], crm: Record,
                 erp: Record) -> dict[str, Mapping[str, Any]]:
    """Decisions where the side whose currency was taken is taken for the amounts in it, too."""
    key = rules.entity.line_key
    paths = {*priced(rules), *(path_of(line[key], "unit_price") for record in (crm, erp)
                               for line in record.get("lines", ()))}
    return {**dict.fromkeys(paths, decisions["currency"]), **decisions}


def _amounts(rules: Rules, record: Record) -> Mapping[Any, Any]:
    """What of a record is in its currency, of what both sides have a say in."""
    names = [n for n in priced(rules) - {"currency"}
             if not rules.header[n].field.computed and len(rules.header[n].writable) == 2]
    amounts: dict[Any, Any] = {name: record.get(name) for name in names}
    for line in record.get("lines", ()) if "unit_price" in rules.lines else ():
        amounts[line[rules.entity.line_key]] = line.get("unit_price")
    return amounts
