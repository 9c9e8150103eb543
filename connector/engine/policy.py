"""Settles one field: where the sides differ, whose value stands, by which rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connector.domain.actions import UNDONE, FieldConflict
from connector.domain.entities import Field
from connector.domain.policies import CRM, ERP, NewerWins, Resolution, Role, other
from connector.domain.values import MISSING, shown
from connector.engine.pair import Rule
from connector.errors import RecordFailed

Values = Mapping[Role, Any]
Moments = Mapping[Role, datetime | None]
"""When each side's record was last changed, by that side's own clock."""
UNTOLD: Moments = {CRM: None, ERP: None}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whose value stands (`winner`, or `value` where a person gave a third one), by which `rule`.

    Neither of them and no `agreed`: the difference stays, as an open `conflict` or by the policy.
    """

    rule: str = ""
    winner: Role | None = None
    value: Any = MISSING
    agreed: bool = False
    conflict: FieldConflict | None = None


AGREED = Verdict(agreed=True)
LEFT = Verdict()
DECISION = "decided by a person"


def settle(rule: Rule, path: str, base: Any, values: Values,
           decision: Mapping[str, Any] | None = None, moments: Moments = UNTOLD) -> Verdict:
    """The verdict on one field whose present values are `values` and whose last agreed one is
    `base` (`MISSING` on first contact)."""
    crm, erp = values[CRM], values[ERP]
    if crm is MISSING or erp is MISSING:
        return LEFT
    if crm == erp:
        return AGREED
    if decision is not None:
        return _decided(path, base, values, decision)
    verdict = _by_direction(rule, path, base, values) or _by_owner(rule, path, base, values) \
        or _by_change(rule, path, base, values, moments)
    return _unless_blank(rule, verdict, values)


def changed(base: Any, value: Any) -> bool:
    """Whether a side has something to say: its value is not the last agreed one."""
    return base is MISSING or value != base


def _decided(path: str, base: Any, values: Values, decision: Mapping[str, Any]) -> Verdict:
    if "hold" in decision:
        return Verdict(conflict=_conflict(path, base, values, UNDONE, ""))
    if "value" in decision:
        return Verdict(DECISION, value=decision["value"])
    return Verdict(DECISION, winner=decision["take"])


def _by_direction(rule: Rule, path: str, base: Any, values: Values) -> Verdict | None:
    direction = rule.policy.direction
    if direction == "create_only":
        return LEFT
    if direction == "two_way":
        return None
    source = CRM if direction == "to_erp" else ERP
    why: str = direction
    if base is not MISSING and not changed(base, values[source]):
        why += f": the change in the {other(source)} is put back"
    return Verdict(why, source, conflict=_put_back(path, base, values, source, direction))


def _by_owner(rule: Rule, path: str, base: Any, values: Values) -> Verdict | None:
    owner = rule.policy.owner
    if owner is None:
        return None
    if values[owner] is None and base is MISSING:  # the owner has not said anything yet
        loser = other(owner)
        return Verdict(f"only the {loser} has it", loser)
    why = f"owner: {owner}"
    return Verdict(why, owner, conflict=_put_back(path, base, values, owner, why))


def _put_back(path: str, base: Any, values: Values, winner: Role, why: str) -> FieldConflict | None:
    """What is kept of the other side's change, if it made one."""
    loser = other(winner)
    if (values[loser] is None and base is MISSING) or not changed(base, values[loser]):
        return None
    kind = "both_changed" if changed(base, values[winner]) else "put_back"
    return _conflict(path, base, values, kind, why)


def _by_change(rule: Rule, path: str, base: Any, values: Values, moments: Moments) -> Verdict:
    by_crm, by_erp = changed(base, values[CRM]), changed(base, values[ERP])
    if base is MISSING:
        for role in (CRM, ERP):
            if values[other(role)] is None:
                return Verdict(f"only the {role} has it", role)
    if by_crm and by_erp:
        return _resolved(rule, path, base, values, "both_changed", moments)
    winner = CRM if by_crm else ERP
    if rule.field.forward_only and step_back(rule.field, values[other(winner)], values[winner]):
        # When the step back was made says nothing about whether it is meant.
        return _resolved(rule, path, base, values, "step_back", UNTOLD)
    return Verdict(f"changed in the {winner}", winner)


def step_back(spec: Field, now: Any, then: Any) -> bool:
    """Whether going from `now` to `then` is a step back along the field's declared order."""
    if now is None or then is None:
        return now is not None
    if then in spec.terminal:
        return False
    return now in spec.terminal or spec.choices.index(then) < spec.choices.index(now)


def _resolved(rule: Rule, path: str, base: Any, values: Values, kind: str,
              moments: Moments) -> Verdict:
    what = (f"{path} was changed on both sides, to {shown(values[CRM])} in the CRM and to "
            f"{shown(values[ERP])} in the ERP")
    if kind == "step_back":
        stepped = ERP if values[CRM] == base else CRM
        what = (f"{path} went a step back in the {stepped}, from {shown(base)} to "
                f"{shown(values[stepped])}")
    winner, why = preferred(rule.policy.conflict, path, what, values, moments) or (None, "")
    return Verdict(why, winner, conflict=_conflict(path, base, values, kind, why))


def preferred(resolution: Resolution | NewerWins, path: str, what: str, values: Values,
              moments: Moments) -> tuple[Role, str] | None:
    """The side that a resolution takes, and why; None where a person has to. Raises
    `RecordFailed` where it is `fail`: `what` says what happened at `path`."""
    if isinstance(resolution, NewerWins):
        return _newer(resolution, moments)
    if resolution == "fail":
        raise RecordFailed(f"{what}, and its policy is `fail`.", stage="merge", field=path,
                           hint="Make both sides equal, then replay the dead letter.")
    if resolution == "manual":
        return None
    role = CRM if resolution.startswith("prefer_crm") else ERP
    if resolution.endswith("unless_blank") and values[role] is None:
        role = other(role)
    return role, resolution.replace("_", " ")


def _newer(rule: NewerWins, moments: Moments) -> tuple[Role, str] | None:
    crm, erp = moments[CRM], moments[ERP]
    if crm is None or erp is None:
        return None
    times = f"changed at {_told(crm)} in the crm, at {_told(erp)} in the erp"
    if abs(crm - erp) < rule.within or crm == erp:
        return rule.tie and (rule.tie, f"newer wins, a tie taken by the {rule.tie}: {times}")
    return (CRM if crm > erp else ERP), f"newer wins: {times}"


def _told(moment: datetime) -> str:
    return moment.isoformat(" ", "seconds").replace("+00:00", " UTC")


def _unless_blank(rule: Rule, verdict: Verdict, values: Values) -> Verdict:
    if verdict.winner is None:
        return verdict
    blanking = values[verdict.winner] is None
    if rule.policy.on_blank == "ignore" and blanking:
        return LEFT
    if rule.policy.on_blank == "fill_only" and values[other(verdict.winner)] is not None:
        return LEFT
    return verdict


def _conflict(path: str, base: Any, values: Values, kind: str, settled_by: str) -> FieldConflict:
    return FieldConflict(path, None if base is MISSING else base, values[CRM], values[ERP],
                         settled_by, kind)
