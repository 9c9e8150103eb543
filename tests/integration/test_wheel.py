"""The wheel stands alone: everything that is no Python ships in it too."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, in a folder of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
                   cwd=ROOT, capture_output=True, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        content.extractall(folder / "installed")
    return folder / "installed"


def python(unpacked: Path, folder: Path, *words: str) -> str:
    """Run the project's Python on what was unpacked; gives what it printed."""
    done = subprocess.run([sys.executable, *words], cwd=folder, text=True, capture_output=True,
                          check=False, env={**os.environ, "PYTHONPATH": str(unpacked)})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_commands_read_and_write_is_in_the_wheel(unpacked: Path, tmp_path: Path) -> None:
    where = python(unpacked, tmp_path, "-c", "import connector; print(connector.__file__)")
    assert where.startswith(str(unpacked))
    python(unpacked, tmp_path, "-m", "connector.cli", "init")
    assert (tmp_path / "config.yaml").read_bytes() == (ROOT / "config.example.yaml").read_bytes()
    assert "native_erp" in python(unpacked, tmp_path, "-m", "connector.cli", "mappings", "lint")
    python(unpacked, tmp_path, "-m", "connector.cli", "adapters", "new", "abacus")
    written = {path for path in (tmp_path / "connector-abacus").rglob("*") if path.is_file()}
    assert len(written) == len(list((ROOT / "connector/cli/skeleton/files").rglob("*.tmpl")))


def test_the_types_are_in_the_wheel(unpacked: Path) -> None:
    assert (unpacked / "connector" / "py.typed").exists()


def test_a_store_is_made_from_the_wheel(unpacked: Path, tmp_path: Path) -> None:
    code = ("from connector.store.open import open_store; "
            "from connector.testing.clock import VirtualClock; "
            "open_store('sqlite:///store.db', VirtualClock()).close()")
    python(unpacked, tmp_path, "-c", code)
    assert (tmp_path / "store.db").exists()
