"""The pair of the integration tests."""

from tests.integration.conftest import pair

__all__ = ["pair"]
