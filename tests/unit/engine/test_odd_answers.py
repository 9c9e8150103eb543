from pathlib import Path

import pytest

from connector.domain.ledger import Conflict, ConflictState
from connector.engine.answers import decision_for
from connector.engine.plan_file import read_gate
from connector.errors import ConfigInvalid, RunFailed


@pytest.mark.parametrize("value", ["NaN", "Infinity", "12.345"])
def test_money_has_to_be_an_amount(value: str) -> None:
    conflict = Conflict(7, "customer", "c1", "credit_limit", "both_changed", "1", "2", "3",
                        ConflictState.OPEN)
    with pytest.raises(RunFailed):
        decision_for(conflict, value=value)

def test_a_folder_is_no_plan_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid):
        read_gate(tmp_path, "main")
