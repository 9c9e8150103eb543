"""The files for running it: they are what their readers take, and name what there is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
from typer.main import get_command

from connector.cli.app import app
from connector.mapping.yaml_file import read_yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
OPTIONS = {o for p in get_command(app).commands["serve"].params  # type: ignore[attr-defined]
           for o in p.opts}


def tool(name: str) -> str:
    """Where a checker is; skips where there is none for this machine."""
    found = Path(sys.executable).parent / name
    path = str(found) if found.exists() else shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not here")
    return path


def unit() -> ConfigParser:
    """The systemd unit; of a key that stands several times, the last."""
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "systemd" / "connector.service")
    return parser


def test_the_dockerfile_is_clean() -> None:
    checked = subprocess.run([tool("hadolint"), DEPLOY / "Dockerfile"], capture_output=True,
                             text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_the_compose_file_follows_its_schema(tmp_path: Path) -> None:
    check = [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    subprocess.run([*check, DEPLOY / "compose.yaml"], check=True, capture_output=True)
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((DEPLOY / "compose.yaml").read_text(encoding="utf-8").replace(
        "read_only: true", "read_only: [1]"), encoding="utf-8")
    assert subprocess.run([*check, wrong], check=False, capture_output=True).returncode == 1


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "connector"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    copy = tmp_path / "connector.service"
    text = (DEPLOY / "systemd" / "connector.service").read_text(encoding="utf-8")
    copy.write_text(text.replace("/opt/connector/bin/connector", str(program))
                    .replace("User=connector", "User=root")
                    .replace("Group=connector", "Group=root"), encoding="utf-8")
    checked = subprocess.run([tool("systemd-analyze"), "verify", "--man=no", copy],
                             capture_output=True, text=True, check=False)
    said = [line for line in (checked.stdout + checked.stderr).splitlines() if copy.name in line]
    assert said == []


def test_the_unit_gives_as_little_as_can_be() -> None:
    service = unit()["Service"]
    for key in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices",
                "ProtectKernelModules", "RestrictNamespaces", "LockPersonality"):
        assert service[key] == "yes", key
    assert (service["ProtectSystem"], service["CapabilityBoundingSet"]) == ("strict", "")
    assert (service["User"], service["UMask"]) == ("connector", "0077")


def test_what_is_started_is_a_command_of_ours() -> None:
    words = unit()["Service"]["ExecStart"].split()
    assert words[1:] == ["--config", "/etc/connector/config.yaml", "serve"]
    given = re.search(r'^CMD \["serve", (.+)\]$', DOCKERFILE, re.MULTILINE)
    assert given is not None
    assert set(re.findall(r'"(--\w+)"', given[1])) <= OPTIONS


def test_the_image_is_built_of_what_there_is() -> None:
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
    assert "USER 10001" in DOCKERFILE
    lock = (DEPLOY / "requirements.lock").read_text(encoding="utf-8")
    for name in ("psycopg", "opentelemetry-sdk", "hatchling"):
        assert re.search(rf"^{name}==.+ \\$\n    --hash=sha256:", lock, re.MULTILINE), name
    assert "://" not in re.sub(r"#.*", "", lock)


def test_the_services_know_each_other() -> None:
    services = read_yaml(DEPLOY / "compose.yaml").data["services"]
    ours = services["connector"]
    assert (DEPLOY / ours["build"]["context"] / ours["build"]["dockerfile"]).is_file()
    assert set(ours["depends_on"]) <= set(services)
    assert ours["read_only"] is True
    assert all(port.startswith("127.0.0.1:") for port in ours["ports"])
    assert "/etc/connector/config.yaml" in DOCKERFILE
    for folder in ("/etc/connector/config.yaml", "/var/lib/connector"):
        assert any(f":{folder}" in volume for volume in ours["volumes"])
