"""A stranger's way: `adapters new` writes a package that works, from its tests to a sync."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from connector.native import erp
from connector.native.serving import running
from tests.integration.conftest import KEY

Done = subprocess.CompletedProcess[str]
OUTSIDE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def python(folder: Path, *words: str) -> Done:
    """Run the project's Python in a folder whose packages are on its path."""
    return subprocess.run([sys.executable, *words], cwd=folder, text=True, capture_output=True,
                          check=False, env={**OUTSIDE, "PYTHONPATH": str(folder),
                                            "ABACUS_ERP_TOKEN": "secret", "NATIVE_ERP_KEY": KEY})


def connector(folder: Path, *words: str) -> Done:
    """Run `connector` there."""
    return python(folder, "-m", "connector.cli", *words)


def install(folder: Path) -> None:
    """Leave beside a package what an installer would: its name and its entry points."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = folder / "abacus-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n",
        encoding="utf-8")
    (info / "entry_points.txt").write_text("".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in project["entry-points"].items()), encoding="utf-8")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package as `adapters new` writes it, installed."""
    folder = tmp_path_factory.mktemp("stranger") / "connector-abacus"
    made = connector(folder.parent, "adapters", "new", "abacus_erp", "--folder", str(folder),
                     "--json")
    assert made.returncode == 0, made.stderr
    files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert set(json.loads(made.stdout)["files"]) == files
    install(folder)
    return folder


def test_nothing_is_left_to_fill_in_but_what_says_so(package: Path) -> None:
    for path in (p for p in package.rglob("*") if p.suffix in (".md", ".py", ".toml", ".yaml")):
        text = path.read_text(encoding="utf-8")
        assert "$" not in text, path
        assert "KIND" not in text, path


@pytest.mark.parametrize("tool", [["ruff", "check", "--no-cache", "."],
                                  ["mypy", "connector_abacus_erp", "tests"]],
                         ids=["ruff", "mypy"])
def test_the_package_keeps_good_habits(package: Path, tool: list[str]) -> None:
    done = python(package, "-m", *tool)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_adapter_keeps_every_promise(package: Path) -> None:
    done = python(package, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("planted", "first"), [
    ({"(_since(cursor) - look_back)": "_since(cursor)", "settled = as_of": "settled = reached"},
     16),
    ({'"If-Match": intent.version or "*"': '"If-Match": "*"'}, 9)],
    ids=["looks_not_back", "writes_blindly"])
def test_the_torture_test_that_comes_with_it_bites(package: Path, tmp_path: Path, first: int,
                                                   planted: dict[str, str]) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(package, broken)
    adapter = broken / "connector_abacus_erp" / "adapter.py"
    text = adapter.read_text(encoding="utf-8")
    for honest, instead in planted.items():
        assert text.count(honest) == 1
        text = text.replace(honest, instead)
    adapter.write_text(text, encoding="utf-8")
    done = tortured(broken, "--first", str(first), "--seeds", "20")
    assert done.returncode == 1, done.stdout + done.stderr
    seeds = re.findall(r"^seed ([0-9]+): ", done.stdout, re.MULTILINE)
    assert any(tortured(package, "--seed", seed).returncode == 0 for seed in seeds)


def tortured(package: Path, *words: str) -> Done:
    """Run the torture test that comes with a package, by the command that a failing seed tells."""
    return subprocess.run(
        [sys.executable, "-m", "connector.testing.torture.kit",
         "test_torture:simulated_abacus_erp", *words], cwd=package / "tests", text=True,
        capture_output=True, check=False, env={**OUTSIDE, "PYTHONPATH": str(package)})


def test_the_package_is_listed_by_its_entry_point(package: Path) -> None:
    listed = {row["kind"]: row for row in
              json.loads(connector(package, "adapters", "list", "--json").stdout)}
    assert {"abacus_erp", "memory", "native_crm", "native_erp"} <= set(listed)
    found = listed["abacus_erp"]
    assert (found["found_at"], found["error"]) == ("connector_abacus_erp.adapter:AbacusErp", "")
    assert found["capabilities"] == {
        "write_batch": 50, "read_batch": 200, "look_back": 5.0, "write_window": 0.0,
        "idempotent_create": "unique_reference", "deletions": "tombstone", "bulk": False,
        "webhooks": "t-v1", "permanent": [], "change_times": True,
        "sync_state": False}
    assert "abacus_erp" in connector(package, "adapters", "list").stdout


@contextmanager
def served(package: Path) -> Iterator[str]:
    """The package's own small system, by itself."""
    with subprocess.Popen([sys.executable, "tests/fake_abacus_erp.py", "--port", "0"],
                          cwd=package, text=True, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield next(w.rstrip(",") for w in process.stdout.readline().split() if "://" in w)
        finally:
            process.terminate()


def test_the_config_that_comes_with_it_syncs(package: Path, tmp_path: Path) -> None:
    app = erp.create_app(f"sqlite:///{tmp_path}/erp.db", api_key=KEY)
    with served(package) as url, running(app) as erp_url:
        config = package / "config.yaml"
        config.write_text(config.read_text(encoding="utf-8")
                          .replace("http://127.0.0.1:8803", url)
                          .replace("http://127.0.0.1:8802", erp_url), encoding="utf-8")
        for words in (["mappings", "lint", "mappings"], ["check"], ["sync"]):
            done = connector(package, *words)
            assert done.returncode == 0, done.stdout + done.stderr
        rows = requests.get(f"{erp_url}/v1/customers", headers={"X-Api-Key": KEY},
                            timeout=30).json()["rows"]
        assert [row["display_name"] for row in rows] \
            == ["Aurora GmbH", "Brasserie Lilas", "Cobalt Ltd"]
        assert [row["address"]["town"] for row in rows] == ["Berlin", "Lyon", "Leeds"]
        again = json.loads(connector(package, "sync", "--json").stdout)
        third = json.loads(connector(package, "sync", "--json").stdout)
        assert (again["state"], third["state"]) == ("completed", "completed")
        assert not any(third["writes"].values())


@pytest.mark.parametrize("name", ["Abacus", "my-erp", "1c", "x__y", "class", "memory"])
def test_a_name_that_can_not_be_one_is_told(tmp_path: Path, name: str) -> None:
    done = connector(tmp_path, "adapters", "new", name)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert name in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    done = connector(tmp_path, "adapters", "new", "abacus_erp", "--folder", ".")
    assert (done.returncode, done.stderr.startswith("error: . is there already")) == (3, True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_kind_that_can_not_be_used_is_listed_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "abacus"\nversion = "1"\n[project.entry-points."connector.adapters"]\n'
        'absent = "no_such_module:Absent"\nbroken = "broken_adapter:Broken"\n'
        'silent = "silent_adapter:Silent"\n', encoding="utf-8")
    (tmp_path / "broken_adapter.py").write_text("1 / 0\n", encoding="utf-8")
    (tmp_path / "silent_adapter.py").write_text("class Silent: ...\n", encoding="utf-8")
    install(tmp_path)
    done = connector(tmp_path, "adapters", "list", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["kind"]: row for row in json.loads(done.stdout)}
    assert {kind: rows[kind]["capabilities"] for kind in ("absent", "broken", "silent")} \
        == {"absent": None, "broken": None, "silent": None}
    assert "No module named 'no_such_module'" in rows["absent"]["error"]
    assert "ZeroDivisionError: division by zero" in rows["broken"]["error"]
    assert "capabilities" in rows["silent"]["error"]
    assert rows["memory"]["error"] == ""
    assert "Can't be used" in connector(tmp_path, "adapters", "list").stdout
