"""Each import contract bites: a deliberate breach of it fails, and names it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BREACHES = {
    "imports point down only": ("connector/domain/values.py", "import connector.engine.run"),
    "only the flows know Prefect": ("connector/cli/runs.py", "import prefect"),
    "the core knows no database and no HTTP": ("connector/engine/merge.py", "import requests"),
    "only the store knows tables": ("connector/cli/common.py", "import sqlalchemy"),
    "adapters can't learn canonical words": ("connector/adapters/http.py",
                                             "import connector.domain.entities"),
    "the native systems import nothing of ours": ("connector/native/hooks.py",
                                                  "import connector.errors"),
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of a copy."""
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=folder, text=True,
        capture_output=True, check=False, env={**os.environ, "PYTHONPATH": str(folder)})


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources, to be tampered with."""
    for name in ("connector", "flows"):
        shutil.copytree(ROOT / name, tmp_path / name,
                        ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_contract_has_a_breach_here() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = [line.split('"')[1] for line in text.partition("[tool.importlinter]")[2].splitlines()
             if line.startswith("name = ")]
    assert named == list(BREACHES)


def test_the_sources_keep_every_contract(copy: Path) -> None:
    assert "6 kept, 0 broken" in lint(copy).stdout


@pytest.mark.parametrize("name", BREACHES)
def test_a_breach_fails(copy: Path, name: str) -> None:
    file, line = BREACHES[name]
    path = copy / file
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("from __future__ import annotations\n",
                                 f"from __future__ import annotations\n\n{line}\n", 1),
                    encoding="utf-8")
    done = lint(copy)
    assert done.returncode == 1
    assert f"{name} BROKEN" in done.stdout
