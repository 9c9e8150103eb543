"""Which adapter speaks to which kind of system."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from connector.adapters.registry import GROUP, adapter_class, kinds
from connector.errors import ConfigInvalid

ROOT = Path(__file__).resolve().parents[3]


def installed(folder: Path, *points: str) -> None:
    """A package, as an installer leaves it in a folder."""
    info = folder / "other_systems-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-systems\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n" + "\n".join(points) + "\n")


@pytest.mark.parametrize(("kind", "name"), [
    ("native_crm", "NativeCrm"), ("native_erp", "NativeErp"), ("memory", "MemoryAdapter")])
def test_our_own_kinds_need_no_installation(kind: str, name: str) -> None:
    found = adapter_class(kind)
    assert found.__name__ == name
    assert "name" in found.settings_model.model_fields


def test_an_unknown_kind_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigInvalid, match="no adapter 'abacus'") as told:
        adapter_class("abacus")
    assert {"memory", "native_crm", "native_erp"} <= set(
        told.value.hint.removeprefix("Known: ").rstrip(".").split(", "))


def test_a_package_brings_a_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "abacus = abacus_adapter:Abacus", "memory = abacus_adapter:Abacus")
    (tmp_path / "abacus_adapter.py").write_text("class Abacus: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "abacus" in kinds()
    assert adapter_class("abacus").__name__ == "Abacus"
    assert adapter_class("memory").__name__ == "MemoryAdapter"


@pytest.mark.parametrize("value", ["no_such_module:Abacus", "connector.errors:Abacus"])
def test_a_kind_that_can_not_be_loaded_is_told(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    installed(tmp_path, f"abacus = {value}")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigInvalid, match=f"'abacus' can't be loaded from {value}"):
        adapter_class("abacus")


def test_asking_imports_nothing() -> None:
    code = ("import sys; from connector.adapters.registry import kinds; kinds(); "
            "print([m for m in ('requests', 'pydantic', 'connector.adapters.http', "
            "'connector.adapters.memory') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                          check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_declares_its_own_kinds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = project["entry-points"][GROUP]
    assert declared.keys() == {"native_crm", "native_erp", "memory", "bottlecrm", "tryton"}
    assert declared == {kind: kinds()[kind] for kind in declared}
