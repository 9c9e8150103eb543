"""Which cases of a test wait for `make torture`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest


def slow_but(quick: Sequence[Any], cases: Iterable[Any]) -> list[Any]:
    """The cases of a test for `parametrize`; all but the `quick` ones are slow."""
    return [case if case in quick else pytest.param(
        *(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
        for case in cases]
