"""Apps served over real HTTP, each on a free port in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from connector.native.serving import running


@dataclass(frozen=True, slots=True)
class Served:
    """A running app: its base URL, and a session to call it with."""

    base: str
    http: requests.Session


@pytest.fixture
def serve() -> Iterator[Callable[[Any], Served]]:
    """Serves apps until the test has ended."""
    with ExitStack() as stack:
        def start(app: Any) -> Served:
            base = stack.enter_context(running(app))
            session = stack.enter_context(requests.Session())
            session.trust_env = False
            return Served(base, session)
        yield start


@pytest.fixture
def crm(serve: Callable[[Any], Served], tmp_path: Path) -> Any:
    """A client of a fresh CRM, its fault switch on."""
    from test_crm_access import serve_crm

    return serve_crm(serve, tmp_path)
