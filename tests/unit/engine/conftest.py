"""Rules as a pair has them, from the shipped mappings and any policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connector.bootstrap import open_connector, shipped
from connector.domain.entities import ENTITIES
from connector.domain.policies import EntityPolicy
from connector.engine.pair import Pair, Rules, rules_in_force
from tests.shipped import mappings

RulesFor = Callable[..., Rules]


@pytest.fixture(scope="session")
def rules_for() -> RulesFor:
    """Gives the rules of an entity whose policy is made of the given parts."""
    crm, erp = mappings("native_crm"), mappings("native_erp")

    def rules(entity: str, **policy: Any) -> Rules:
        return rules_in_force(ENTITIES[entity], EntityPolicy(**policy), crm[entity], erp[entity])

    return rules


@pytest.fixture
def example_pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """The pair of the example config; nothing of it is called."""
    monkeypatch.setenv("NATIVE_CRM_TOKEN", "unused")
    monkeypatch.setenv("NATIVE_ERP_KEY", "unused")
    connector = open_connector(shipped("config.example.yaml"))
    yield connector.pair("main")
    connector.close()
