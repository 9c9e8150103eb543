"""The documentation is under test: what exists is documented, and what is linked exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from typer.main import get_command

from connector import errors
from connector.adapters.http import HttpSettings
from connector.adapters.memory import MemorySettings
from connector.adapters.native_crm import NativeCrmSettings
from connector.adapters.native_erp import NativeErpSettings
from connector.cli.app import app
from connector.config import (
    BecomesConfig,
    Config,
    EntityConfig,
    FieldConfig,
    LogConfig,
    PairConfig,
    read_config,
)
from connector.domain.entities import ENTITIES
from connector.mapping.transforms import REGISTRY
from connector.native.faults import CALLS, HOOKS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def text(name: str) -> str:
    """A page of the docs."""
    return (DOCS / name).read_text(encoding="utf-8")


def commands(command: Any, path: str = "") -> list[tuple[str, Any]]:
    """Every command of the tree, by its words."""
    if not hasattr(command, "commands"):
        return [(path.strip(), command)]
    return [found for name, inner in command.commands.items()
            for found in commands(inner, f"{path} {name}")]


COMMANDS = commands(get_command(app))


@pytest.mark.parametrize(("words", "command"), COMMANDS, ids=[c[0] for c in COMMANDS])
def test_every_command_and_option_is_documented(words: str, command: Any) -> None:
    row = next((line for line in text("cli.md").splitlines() if f"`{words}" in line), None)
    assert row is not None, f"connector {words}"
    for parameter in command.params:
        long = [o for o in parameter.opts if o.startswith("--")]
        assert not long or any(o in row for o in long), f"connector {words} {long}"


@pytest.mark.parametrize("model", [Config, LogConfig, PairConfig, EntityConfig, FieldConfig,
                                   BecomesConfig, HttpSettings, NativeCrmSettings,
                                   NativeErpSettings, MemorySettings])
def test_every_setting_is_documented(model: type[BaseModel]) -> None:
    page = text("configuration.md")
    for name, field in model.model_fields.items():
        assert f"`{field.alias or name}`" in page, f"{model.__name__}.{name}"


def test_every_transform_is_documented() -> None:
    page = text("mappings.md")
    assert not [name for name in REGISTRY if f"| `{name}` |" not in page]


def test_every_error_is_documented() -> None:
    page = text("errors.md")
    known = [name for name, value in vars(errors).items()
             if isinstance(value, type) and issubclass(value, errors.ConnectorError)]
    assert len(known) > 10
    assert not [name for name in known if f"`{name}`" not in page]


def test_every_entity_and_field_is_documented() -> None:
    page = text("concepts.md")
    for entity in ENTITIES.values():
        row = next(line for line in page.splitlines() if line.startswith(f"| {entity.name} |"))
        assert not [f for f in (*entity.fields, *entity.line_fields) if f"`{f}`" not in row]


def test_every_fault_is_documented() -> None:
    assert not [kind for kind in (*CALLS, *HOOKS) if f"`{kind}`" not in text("native.md")]


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))],
                         ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"make ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert {"demo", "test"} <= targets
    assert not [t for t in targets if f"\n{t}:" not in makefile]


def test_the_example_config_holds() -> None:
    config, _ = read_config(ROOT / "config.example.yaml")
    assert set(config.pairs["main"].entities) == set(ENTITIES)


