"""A removed line goes, also where the systems leave optional line fields out."""
from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from connector.domain.policies import ERP
from connector.engine.merge import merge
from connector.engine.pair import Rules


def test_a_removed_line_goes_where_optional_fields_are_absent(
        rules_for: Callable[..., Rules]) -> None:
    ten = {"line_no": 10, "product": "p", "quantity": Decimal(1)}
    twenty = {"line_no": 20, "product": "p", "quantity": Decimal(2)}
    merged = merge(rules_for("order"), {"lines": [ten, twenty]}, {"lines": [ten]},
                   {"lines": [ten, twenty]})
    assert merged.conflicts == []
    assert merged.writes == {ERP: {"lines": [ten]}}
