"""The pair of the example config."""

from tests.unit.engine.conftest import example_pair

__all__ = ["example_pair"]
