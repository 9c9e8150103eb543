"""The scenarios by name, and what many of them begin with."""

from __future__ import annotations

from collections.abc import Callable

from connector.domain.policies import CRM, ERP, Role
from connector.testing.torture.stage import Stage

Run = Callable[[], object]
"""The run that dies, and is run again afterwards."""
Scenario = Callable[[Stage], Run]
"""Sets the stage, and gives the run."""

SCENARIOS: dict[str, Scenario] = {}


def scenario(function: Scenario) -> Scenario:
    """Register a scenario under its name."""
    SCENARIOS[function.__name__] = function
    return function


def on_both_sides(function: Callable[[Stage, Role], Run]) -> None:
    """Register a scenario once for each side on which it may begin."""
    def begins(role: Role) -> Scenario:
        return lambda stage: function(stage, role)

    for role in (CRM, ERP):
        SCENARIOS[f"{function.__name__}_in_the_{role}"] = begins(role)


def customer_on_both(stage: Stage, role: Role = CRM) -> dict[Role, str]:
    """A customer that stands on both sides."""
    external_id = stage.customer(role)
    stage.agree()
    return stage.both(role, "customer", external_id)


def order_on_both(stage: Stage, role: Role = CRM, *, price: int = 1990) -> dict[Role, str]:
    """An order that stands on both sides."""
    customer = customer_on_both(stage)
    external_id = stage.document(role, "order", customer[role], price=price)
    stage.agree()
    return stage.both(role, "order", external_id)


def both_edited(stage: Stage) -> dict[Role, str]:
    """One that is edited on both sides, in the same field."""
    linked = customer_on_both(stage)
    stage.edit(CRM, "customer", linked[CRM], title=stage.token())
    stage.edit(ERP, "customer", linked[ERP], name1=stage.token())
    return linked
