"""A removed line goes, also where the systems leave optional line fields out."""
from __future__ import annotations

from decimal import Decimal

from connector.bootstrap import shipped
from connector.domain.entities import ENTITIES
from connector.domain.policies import ERP, EntityPolicy
from connector.engine.merge import merge
from connector.engine.pair import rules_in_force
from connector.mapping.load import load_mappings
from connector.mapping.transforms import REGISTRY


def test_a_removed_line_goes_where_optional_fields_are_absent() -> None:
    crm, erp = (load_mappings(shipped("mappings"), kind, REGISTRY)["order"]
                for kind in ("native_crm", "native_erp"))
    rules = rules_in_force(ENTITIES["order"], EntityPolicy(), crm, erp)
    ten = {"line_no": 10, "product": "p", "quantity": Decimal(1)}
    twenty = {"line_no": 20, "product": "p", "quantity": Decimal(2)}
    merged = merge(rules, {"lines": [ten, twenty]}, {"lines": [ten]}, {"lines": [ten, twenty]})
    assert merged.conflicts == []
    assert merged.writes == {ERP: {"lines": [ten]}}
