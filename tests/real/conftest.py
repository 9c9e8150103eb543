"""The order of the tests with real systems."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The story takes longest, so that it comes first where there are two processes."""
    items.sort(key=lambda item: item.path.name != "test_story.py")
