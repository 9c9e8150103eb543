from pathlib import Path

import pytest

from connector.domain.ledger import Conflict, ConflictState
from connector.engine.answers import decision_for, typed_value
from connector.engine.plan_file import read_gate
from connector.errors import ConfigInvalid, RunFailed


def limit(*amounts: str | None) -> Conflict:
    return Conflict(7, "customer", "c1", "credit_limit", "both_changed", *amounts,
                    ConflictState.OPEN)


@pytest.mark.parametrize(("like", "value"), [
    ("2.00", "NaN"), ("2.00", "Infinity"), ("2.00", "12.345"), ("2", "12.5"), ("2.000", "1.2345")])
def test_money_has_to_be_an_amount_in_its_currency(like: str, value: str) -> None:
    with pytest.raises(RunFailed):
        decision_for(limit(None, like, None), value=value)


@pytest.mark.parametrize(("like", "value", "typed"), [
    ("2.00", "12.5", "12.50"), ("2", "12.0", "12"), ("2.000", "1.234", "1.234")])
def test_a_decided_amount_gets_the_decimals_of_its_currency(like: str, value: str,
                                                            typed: str) -> None:
    assert decision_for(limit(None, like, None), value=value) == {"value": value}
    assert str(typed_value("customer", "credit_limit", value, [None, like])) == typed


def test_a_folder_is_no_plan_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid):
        read_gate(tmp_path, "main")
