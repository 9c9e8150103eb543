"""What a person may answer to a conflict, checked and put into the words the merge takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from connector.domain import values
from connector.domain.actions import AMBIGUOUS
from connector.domain.entities import ENTITIES, unpack
from connector.domain.ledger import Conflict, ConflictState
from connector.domain.paths import field_at, parsed
from connector.domain.values import FieldType
from connector.errors import RunFailed


def decision_for(conflict: Conflict, *, take: str | None = None, value: str | None = None,
                 link: str | None = None, create: bool = False) -> Mapping[str, Any]:
    """The decision that one of these answers makes. Raises `RunFailed` where it doesn't fit."""
    given = [take is not None, value is not None, link is not None, create]
    if sum(given) != 1:
        raise RunFailed("Give exactly one of --take, --value, --link and --create.")
    if conflict.state is ConflictState.SETTLED:
        raise RunFailed(f"Conflict {conflict.id} is settled already, by {conflict.settled_by}.")
    ambiguous = conflict.kind == AMBIGUOUS
    if ambiguous != (link is not None or create):
        raise RunFailed(
            f"Conflict {conflict.id} is about {'a match' if ambiguous else 'a value'}.",
            hint="Use --link or --create." if ambiguous else "Use --take or --value.")
    if link is not None:
        return {"link": link}
    if create:
        return {"create": True}
    if conflict.kind == "proposal" and take != "erp":
        raise RunFailed(f"Conflict {conflict.id} is a change that the ERP has to answer.",
                        hint="Use --take erp to take the change back.")
    if take is not None:
        if take not in ("crm", "erp"):
            raise RunFailed(f"--take takes crm or erp, not {take!r}.")
        return {"take": take}
    _check_value(conflict, str(value))
    return {"value": value}


def _check_value(conflict: Conflict, value: str) -> None:
    field = field_at(conflict.entity, conflict.path)
    if field is None:
        raise RunFailed(f"{conflict.path or 'The whole record'} can't be given a value.",
                        hint="Use --take.")
    if field.choices and value not in field.choices:
        raise RunFailed(f"{field.name} is one of {', '.join(field.choices)}, not {value!r}.")
    try:
        typed_value(conflict.entity, conflict.path, value,
                    like=(conflict.base, conflict.crm, conflict.erp))
    except (ValueError, ArithmeticError):
        raise RunFailed(f"{value!r} is no {field.type.value}.") from None


def typed_value(entity: str, path: str, value: Any, like: Iterable[Any] = ()) -> Any:
    """A decided value, kept as text, as the canonical value of the field at `path`; an amount in
    the minor units of those it is `like`. Raises `ValueError` where it is none."""
    field = field_at(entity, path)
    assert field is not None
    spec, name, kind = ENTITIES[entity], field.name, field.type
    if kind is FieldType.BOOLEAN and isinstance(value, str):
        value = {"yes": True, "true": True, "no": False, "false": False}.get(value.lower())
        if value is None:
            raise ValueError("neither yes nor no")
    if kind is FieldType.INTEGER:
        return int(value)
    if kind in (FieldType.DECIMAL, FieldType.MONEY, FieldType.RATE):
        number = values.decimal(value)
        return _amount(number, like) if kind is FieldType.MONEY and number is not None else number
    if parsed(path).line is not None:
        return unpack(spec, {"lines": [{name: value}]})["lines"][0][name]
    return unpack(spec, {name: value})[name]


def _amount(number: Decimal, like: Iterable[Any]) -> Decimal:
    """`number` with the decimals of the amounts it stands for: each has those of its currency."""
    exponents = [int(Decimal(str(held)).as_tuple().exponent) for held in like if held is not None]
    if not exponents:
        return number
    exact = number.quantize(Decimal(1).scaleb(min(exponents)))
    if exact != number:
        raise ValueError("more decimals than its currency has")
    return exact
