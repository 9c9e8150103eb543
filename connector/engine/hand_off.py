"""Records that were handed over to the ERP: a change in the CRM is asked for, and the ERP answers.

Pure. What the ERP answers is read off its record: `amendment` says how it stands to the change
that `amendment_asked` names. So whatever crashes or repeats, a change is asked for once, and its
answer is found again. An ERP that keeps no answers accepts by taking a write, and declines by
refusing it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from connector.domain.actions import FieldChange, FieldConflict
from connector.domain.policies import CRM, ERP
from connector.domain.values import Record
from connector.engine.group import Group
from connector.engine.merge import Merged, agreed, merge
from connector.engine.pair import Rules

PROPOSAL = "proposal"
PATH = "change"
"""The kind and the path of the conflict that is kept for a change asked for."""
_ANSWER = ("amendment", "amendment_reason", "amendment_asked")


@dataclass(slots=True)
class Amended:
    """What is to be done for a record that was handed over; `asks` names the change that a write
    to the ERP asks for."""

    merged: Merged
    asks: str = ""
    reason: str = ""


def handed_over(rules: Rules, group: Group) -> bool:
    """Whether the ERP has the say over a record by now."""
    rule, seen = rules.policy.hand_off, group.sides.get(ERP)
    return rule is not None and seen is not None and seen.record is not None \
        and seen.record.get(rule.field) in rule.values


def declined(erp: Record, asked: str, reason: str) -> dict[str, Any]:
    """The ERP's record with the answer that it gave by refusing a write."""
    return {**erp, "amendment": "declined", "amendment_reason": reason.rstrip("."),
            "amendment_asked": asked}


def after_asking(rules: Rules, group: Group, asked: str) -> dict[str, Any]:
    """The last agreed record once the ERP has taken a write: what it really took of it."""
    crm, erp = group.sides[CRM].record or {}, group.sides[ERP].record or {}
    base = agreed(rules, group.base or {}, crm, erp)
    if erp.get("amendment") is None:
        base.update(zip(_ANSWER, ("accepted", None, asked), strict=True))
    return base


def amend(rules: Rules, group: Group, crm: Record, erp: Record) -> Amended:
    """Merge a record that was handed over. Only what the CRM alone has changed is asked for; where
    both sides have, the ERP's value stands and the CRM's is kept."""
    base = group.base or {}
    merged = merge(rules.handed_off, group.base, crm, erp, group.decisions, group.moments)
    changes = merged.changes.get(ERP, [])
    if ERP not in merged.writes:
        return _nothing_asked(rules, merged, base, crm, erp)
    asked = _name(changes, base.get("amendment_asked"))
    answer = erp.get("amendment") if erp.get("amendment_asked") == asked else None
    if group.decisions.get(PATH, {}).get("take") == ERP:
        return _withdrawn(rules, group, merged, asked, crm, erp)
    if answer == "declined":
        return _put_back(rules, group, merged, asked, crm, erp)
    if answer == "pending":
        return _waiting(rules, group, merged, crm, erp)
    if any(c.kind == PROPOSAL for c in group.conflicts):  # it takes the place of the one before
        merged.conflicts.append(_proposal(changes))
    merged.writes[ERP]["amendment_asked"] = asked
    _leave_remark(merged, base)
    merged.changes[ERP] = [replace(c, rule="proposed to the erp") for c in changes]
    return Amended(merged, asks=asked)


def _name(changes: Sequence[FieldChange], answered: Any) -> str:
    """Names a change asked for: by its values, and by the one answered before it, so that the same
    values are asked for anew after they were declined once."""
    text = repr((sorted((c.path, _plain(c.after)) for c in changes), answered))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, Mapping):
        return repr(sorted((name, _plain(v)) for name, v in value.items()))
    return str(value)


def _proposal(changes: Sequence[FieldChange], settled_by: str = "") -> FieldConflict:
    asked = {c.path: c.after for c in changes}
    now = {c.path: c.before for c in changes}
    return FieldConflict(PATH, now, asked, now, settled_by, PROPOSAL)


def _nothing_asked(rules: Rules, merged: Merged, base: Record, crm: Record,
                   erp: Record) -> Amended:
    """Both sides agree; a request that still waits in the ERP is not wanted any more."""
    if erp.get("amendment") == "pending":
        merged.writes[ERP] = {"amendment_asked": None}
        merged.changes[ERP] = [FieldChange("amendment_asked", erp["amendment_asked"], None,
                                           "taken back in the crm")]
    elif erp.get("amendment") is not None:
        merged.base.update({name: erp.get(name) for name in _ANSWER})
    _remark(rules, merged, base, crm, erp, _note(merged.base))
    return Amended(merged)


def _waiting(rules: Rules, group: Group, merged: Merged, crm: Record,
             erp: Record) -> Amended:
    """A person in the ERP has to answer; until then the CRM keeps its values and says so."""
    base = group.base or {}
    proposal = _proposal(merged.changes.pop(ERP))
    del merged.writes[ERP]
    merged.conflicts.append(proposal)
    merged.base = agreed(rules, base, {**crm, **merged.writes.get(CRM, {})}, erp)
    reason = erp.get("amendment_reason") or "the ERP has not answered yet"
    _remark(rules, merged, base, crm, erp, f"change proposed: {reason}")
    return Amended(merged, reason=f"waits for the erp: {reason}")


def _put_back(rules: Rules, group: Group, merged: Merged, asked: str, crm: Record,
              erp: Record) -> Amended:
    """The ERP has declined: its values stand in the CRM again, what was asked for is kept."""
    why = f"declined by the erp: {erp.get('amendment_reason') or 'no reason given'}"
    proposal = _proposal(merged.changes[ERP], why)
    back = _back(rules, group, merged, why, crm, erp)
    back.conflicts.append(proposal)
    back.base.update(zip(_ANSWER, ("declined", erp.get("amendment_reason"), asked), strict=True))
    _remark(rules, back, group.base or {}, crm, erp, _note(back.base))
    return Amended(back, reason=why)


def _withdrawn(rules: Rules, group: Group, merged: Merged, asked: str, crm: Record,
               erp: Record) -> Amended:
    """A person has taken the change back: the ERP is told so where it still waits there."""
    back = _back(rules, group, merged, "taken back by a person", crm, erp)
    back.base.update(zip(_ANSWER, (None, None, asked), strict=True))
    if erp.get("amendment") == "pending":
        back.writes[ERP] = {"amendment_asked": None}
        back.changes[ERP] = [FieldChange("amendment_asked", erp["amendment_asked"], None,
                                         "taken back by a person")]
    _remark(rules, back, group.base or {}, crm, erp, None)
    return Amended(back)


def _back(rules: Rules, group: Group, merged: Merged, why: str, crm: Record,
          erp: Record) -> Merged:
    """The ERP's values for the CRM, wherever it can be written."""
    told = merge(rules.put_back, crm, crm, erp)
    names = {*rules.put_back.header, "lines"}
    back = Merged({**(group.base or {}), **{n: v for n, v in told.base.items() if n in names}},
                  conflicts=merged.conflicts)
    if CRM in told.writes:
        back.writes[CRM] = told.writes[CRM]
        back.changes[CRM] = [replace(c, rule=why) for c in told.changes[CRM]]
    return back


# ---- the remark

def _note(answer: Record) -> str | None:
    if answer.get("amendment") != "declined":
        return None
    return f"change declined: {answer.get('amendment_reason') or 'no reason given'}"


def _leave_remark(merged: Merged, base: Record) -> None:
    """Whatever the remark says, it is looked at once the ERP has answered."""
    merged.base["remark"] = base.get("remark")
    writes, changes = merged.writes.get(CRM, {}), merged.changes.get(CRM, [])
    writes.pop("remark", None)
    changes[:] = [c for c in changes if c.path != "remark"]
    if not writes:
        merged.writes.pop(CRM, None)
        merged.changes.pop(CRM, None)


def _remark(rules: Rules, merged: Merged, base: Record, crm: Record, erp: Record,
            note: str | None) -> None:
    """The CRM's remark is what the ERP says of the record, and then what it says of the change."""
    if "remark" not in rules.header or "remark" not in crm:
        return
    if "remark" not in erp and note is None and base.get("amendment") is None \
            and base.get("remark") is None:
        return  # the ERP never says anything, so the remark is the CRM's own
    _leave_remark(merged, base)
    wanted = "; ".join(filter(None, (erp.get("remark"), note))) or None
    merged.base["remark"] = wanted
    if crm["remark"] != wanted:
        merged.writes.setdefault(CRM, {})["remark"] = wanted
        merged.changes.setdefault(CRM, []).append(
            FieldChange("remark", crm["remark"], wanted, "what the erp says"))
