"""A real Tryton for the tests of this folder; they run only where CONNECTOR_REAL=1 asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from connector.adapters.tryton import Tryton, TrytonSettings
from connector.testing.clock import VirtualClock
from tests.real.tryton.clerk import Clerk
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


def adapter(server: TrytonServer, *, page: int = 3, **other: Any) -> Tryton:
    """An adapter that speaks to the server as its user."""
    settings = {"name": "erp", "url": server.url, "database": server.database,
                "user": server.user, "password": SecretStr(server.password), "max_attempts": 2}
    return Tryton(TrytonSettings(**{**settings, **other}), VirtualClock(), page=page)


@pytest.fixture
def erp(tryton: TrytonServer) -> Tryton:
    """An adapter to the module's Tryton."""
    return adapter(tryton, page=100)


@pytest.fixture
def clerk(tryton: TrytonServer) -> Clerk:
    """A user of it."""
    return Clerk(tryton)
