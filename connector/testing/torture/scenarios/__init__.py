"""The scenarios of the crash test: what is done in two systems that agree, and the run that then
dies at one boundary after another."""

from connector.testing.torture.scenarios import (
    conflicts,
    deletions,
    documents,
    failures,
    first_contact,
    records,
    runs,
    things,
)
from connector.testing.torture.scenarios.registry import SCENARIOS, Run, Scenario

__all__ = ["SCENARIOS", "Run", "Scenario", "conflicts", "deletions", "documents", "failures",
           "first_contact", "records", "runs", "things"]
