"""A real Tryton for the tests of this folder; they run only where CONNECTOR_REAL=1 asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.tryton.server import Backend, TrytonServer, missing, running


def server(backend: Backend, folder: Path) -> Iterator[TrytonServer]:
    """A server for as long as the fixture lives, or a plain reason why there is none."""
    if os.environ.get("CONNECTOR_REAL") != "1":
        pytest.skip("a real Tryton is started only with CONNECTOR_REAL=1")
    reason = missing(backend)
    if reason:
        pytest.skip(reason)
    with running(folder, backend) as started:
        yield started


@pytest.fixture(scope="module")
def tryton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrytonServer]:
    """One for a module, on SQLite."""
    yield from server("sqlite", tmp_path_factory.mktemp("tryton"))


@pytest.fixture(scope="class")
def promised_tryton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrytonServer]:
    """One for the promises of one object."""
    yield from server("sqlite", tmp_path_factory.mktemp("tryton"))


@pytest.fixture(scope="module")
def tryton_on_postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrytonServer]:
    """One for a module, on PostgreSQL, where transactions run side by side."""
    yield from server("postgresql", tmp_path_factory.mktemp("tryton"))
