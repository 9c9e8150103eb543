"""One BottleCRM for all tests here; skipped unless CONNECTOR_REAL=1 is set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.real.bottlecrm.server import BottleServer, missing, running


@pytest.fixture(scope="session")
def bottlecrm() -> Iterator[BottleServer]:
    """A BottleCRM that runs as long as the tests do."""
    if os.environ.get("CONNECTOR_REAL") != "1":
        pytest.skip("a real BottleCRM is started with CONNECTOR_REAL=1 only")
    reason = missing()
    if reason:
        pytest.skip(reason)
    # Not in pytest's own folder: another run of it takes the right to enter from PostgreSQL's user.
    with TemporaryDirectory(prefix="bottlecrm-") as folder, running(Path(folder)) as server:
        yield server
