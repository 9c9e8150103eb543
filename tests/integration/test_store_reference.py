"""The store's URL may stand elsewhere, as a secret does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import Pair
from tests.integration.test_cli import cli


def test_the_store_may_be_a_reference(pair: Pair, tmp_path: Path,
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    line = next(x for x in pair.config.read_text(encoding="utf-8").splitlines()
                if x.startswith("store:"))
    text = pair.config.read_text(encoding="utf-8")
    pair.config.write_text(text.replace(line, "store: env:STORE_URL"), encoding="utf-8")
    without = cli(pair, "status")
    assert without.returncode == 3
    assert "STORE_URL is not set" in without.stderr
    monkeypatch.setenv("STORE_URL", "sqlite:///elsewhere.db")
    assert cli(pair, "sync").returncode == 0
    assert (tmp_path / "elsewhere.db").exists()
