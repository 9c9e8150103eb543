"""What a person may answer to a conflict, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from connector.domain.ledger import Conflict, ConflictState
from connector.engine.answers import decision_for, typed_value
from connector.errors import RunFailed

EMAIL = Conflict(7, "customer", "c1", "email", "both_changed", "a@x.de", "b@x.de", "c@x.de",
                 ConflictState.OPEN)
MATCH = replace(EMAIL, path="", kind="ambiguous_match")


@pytest.mark.parametrize("role", ["crm", "erp"])
def test_a_side_is_taken(role: str) -> None:
    assert decision_for(EMAIL, take=role) == {"take": role}


def test_a_third_value_is_given() -> None:
    assert decision_for(EMAIL, value="d@x.de") == {"value": "d@x.de"}


def test_a_match_is_linked_or_made() -> None:
    assert decision_for(MATCH, link="17") == {"link": "17"}
    assert decision_for(MATCH, create=True) == {"create": True}


@pytest.mark.parametrize("answer", [{}, {"take": "crm", "value": "x"},
                                    {"link": "1", "create": True}])
def test_exactly_one_answer_is_taken(answer: dict[str, Any]) -> None:
    with pytest.raises(RunFailed, match="exactly one of"):
        decision_for(EMAIL, **answer)


@pytest.mark.parametrize(("conflict", "answer", "hint"), [
    (EMAIL, {"link": "1"}, "Use --take or --value"), (EMAIL, {"create": True}, "--take"),
    (MATCH, {"take": "crm"}, "Use --link or --create"), (MATCH, {"value": "x"}, "--link")])
def test_an_answer_to_another_question_is_refused(conflict: Conflict, answer: dict[str, Any],
                                                  hint: str) -> None:
    with pytest.raises(RunFailed, match=hint):
        decision_for(conflict, **answer)


def test_a_settled_conflict_takes_no_answer() -> None:
    settled = replace(EMAIL, state=ConflictState.SETTLED, settled_by="owner: erp")
    with pytest.raises(RunFailed, match="7 is settled already, by owner: erp"):
        decision_for(settled, take="crm")


def test_a_side_that_is_none_is_refused() -> None:
    with pytest.raises(RunFailed, match="crm or erp, not 'both'"):
        decision_for(EMAIL, take="both")


@pytest.mark.parametrize(("entity", "path", "value", "message"), [
    ("customer", "credit_limit", "plenty", "'plenty' is no money"),
    ("order", "ordered_on", "24.12.2026", "no date"),
    ("customer", "on_hold", "maybe", "no boolean"),
    ("order", "lines[10].quantity", "ten", "no decimal"),
    ("delivery", "shipped_at", "2026-11-24T09:00:00", "no timestamp"),
    ("order", "status", "lost", "status is one of draft, confirmed, .* not 'lost'"),
    ("order", "lines[10]", "x", r"lines\[10\] can't be given a value. Use --take"),
    ("customer", "", "x", "The whole record can't be given a value. Use --take")])
def test_a_value_that_does_not_fit_is_refused(entity: str, path: str, value: str,
                                              message: str) -> None:
    with pytest.raises(RunFailed, match=message):
        decision_for(replace(EMAIL, entity=entity, path=path), value=value)


@pytest.mark.parametrize(("entity", "path", "value", "typed"), [
    ("customer", "email", "d@x.de", "d@x.de"),
    ("customer", "credit_limit", "12.50", Decimal("12.50")),
    ("order", "lines[10].quantity", "3", Decimal("3")),
    ("order", "lines[10].line_no", "20", 20),
    ("order", "ordered_on", "2026-11-24", date(2026, 11, 24)),
    ("delivery", "shipped_at", "2026-11-24T10:00:00+01:00",
     datetime(2026, 11, 24, 9, tzinfo=UTC)),
    ("customer", "on_hold", "yes", True), ("customer", "on_hold", "False", False),
    ("customer", "on_hold", True, True)])
def test_kept_text_becomes_the_fields_own_kind_of_value(entity: str, path: str, value: Any,
                                                        typed: Any) -> None:
    found = typed_value(entity, path, value)
    assert found == typed
    assert type(found) is type(typed)
