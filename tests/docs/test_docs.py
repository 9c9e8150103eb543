"""The documentation is under test: what exists is documented, and what is linked exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel
from typer.main import get_command

from connector import errors
from connector.adapters.budget import BudgetSettings
from connector.adapters.http import HttpSettings
from connector.adapters.registry import adapter_class
from connector.adapters.signatures import SignatureSettings
from connector.adapters.webhooks import WebhookSettings
from connector.bootstrap import open_connector
from connector.cli.adapters import as_markdown, columns, known_kinds
from connector.cli.app import app
from connector.cli.drift import DRIFTED
from connector.cli.runs import NEEDS_ATTENTION
from connector.config import (
    AlertMailConfig,
    AlertsConfig,
    AlertWebhookConfig,
    BecomesConfig,
    Config,
    EntityConfig,
    FieldConfig,
    LogConfig,
    NewerWinsConfig,
    PairConfig,
    RoundingConfig,
    SafetyStopConfig,
    ScaleConfig,
    ScheduleConfig,
    ServeConfig,
    TracesConfig,
    read_config,
)
from connector.domain.entities import ENTITIES
from connector.domain.values import FieldType
from connector.mapping.compile import compile_mapping
from connector.mapping.document import FieldSpec, LinesSpec, MappingDocument, read_document
from connector.mapping.formula import FUNCTIONS
from connector.mapping.transforms import REGISTRY
from connector.native.crm.objects import OBJECTS as CRM_OBJECTS
from connector.native.crm.pages import FILTERS as CRM_FILTERS
from connector.native.erp.app import FILTERS as ERP_FILTERS
from connector.native.erp.objects import OBJECTS as ERP_OBJECTS
from connector.native.faults import CALLS, HOOKS, Fault
from connector.ports import Adapter
from connector.testing.adapter_world import AdapterWorld
from connector.testing.torture.line import LineRates
from connector.testing.torture.simulated import Records, Simulated

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
RUNNERS = "connector.runners"  # a group of entry points
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]


def text(name: str) -> str:
    """A page of the docs."""
    return (DOCS / name).read_text(encoding="utf-8")


def commands(command: Any, path: str = "") -> list[tuple[str, Any]]:
    """Every command of the tree, by its words."""
    if not hasattr(command, "commands"):
        return [(path.strip(), command)]
    return [found for name, inner in command.commands.items()
            for found in commands(inner, f"{path} {name}")]


ROOT_COMMAND: Any = get_command(app)
COMMANDS = commands(ROOT_COMMAND)


def choices(annotation: Any) -> Iterator[str]:
    """The words that a setting takes, where it takes only some."""
    for inner in get_args(annotation):
        if isinstance(inner, str):
            yield inner
        elif get_origin(annotation) is not dict:
            yield from choices(inner)


def blocks(kind: str) -> list[Any]:
    """The YAML blocks of all pages that are marked as `kind`."""
    return [pytest.param(found, id=f"{page.name}-{i}") for page in PAGES for i, found in enumerate(
        re.findall(rf"```yaml {kind}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))]


def anchors(page: Path) -> set[str]:
    """What a link can lead to within a page."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize(("words", "command"), COMMANDS, ids=[c[0] for c in COMMANDS])
def test_every_command_and_option_is_documented(words: str, command: Any) -> None:
    row = next((line for line in text("cli.md").splitlines() if f"`{words}" in line), None)
    assert row is not None, f"connector {words}"
    for parameter in command.params:
        long = [o for o in parameter.opts if o.startswith("--")]
        assert not long or any(o in row for o in long), f"connector {words} {long}"


def test_the_options_of_every_command_are_documented() -> None:
    page = text("cli.md")
    assert not [o for p in ROOT_COMMAND.params for o in p.opts if f"{o}`" not in page
                and f"{o} " not in page]


def test_every_exit_code_is_documented() -> None:
    codes = {value.exit_code for value in vars(errors).values()
             if isinstance(value, type) and issubclass(value, errors.ConnectorError)}
    rows = set(re.findall(r"^\| (\d+) \|", text("cli.md"), re.MULTILINE))
    assert {str(code) for code in codes | {0, 2, NEEDS_ATTENTION, DRIFTED, 130}} == rows


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_that_a_page_shows_exist(page: Path) -> None:
    known = {words: {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
             for words, command in COMMANDS}
    shown = re.findall(r"^ {4,}(?:\.venv/bin/)?connector (.+?)(?: {2,}#.*)?$",
                       page.read_text(encoding="utf-8"), re.MULTILINE)
    for line in shown:
        given = shlex.split(line)
        words = next((w for n in (2, 1) if (w := " ".join(given[:n])) in known), None)
        assert words is not None, line
        assert {o for o in given if o.startswith("--")} <= known[words], line


@pytest.mark.parametrize("model", [Config, LogConfig, PairConfig, EntityConfig, FieldConfig,
                                   BecomesConfig, NewerWinsConfig, RoundingConfig,
                                   SafetyStopConfig, HttpSettings,
                                   WebhookSettings, SignatureSettings, BudgetSettings,
                                   ServeConfig, ScheduleConfig, ScaleConfig, AlertsConfig,
                                   TracesConfig, AlertWebhookConfig, AlertMailConfig])
def test_every_setting_is_documented(model: type[BaseModel]) -> None:
    page = text("configuration.md")
    for name, field in model.model_fields.items():
        assert f"`{field.alias or name}`" in page, f"{model.__name__}.{name}"
        for word in choices(field.annotation):
            shown = re.sub(r"^prefer_(crm|erp)(_unless_blank)?$", r"{prefer\2: ", word)
            assert f"`{word}`" in page or shown in page, f"{model.__name__}.{name}: {word}"


@pytest.mark.parametrize("kind", [kind.name for kind in known_kinds() if kind.ours])
def test_every_setting_of_a_kind_is_documented(kind: str) -> None:
    own = DOCS / "adapters" / f"{kind}.md"
    page = text("configuration.md") + (own.read_text(encoding="utf-8") if own.exists() else "")
    settings: type[BaseModel] = adapter_class(kind).settings_model
    assert not [name for name in settings.model_fields if f"`{name}`" not in page]


def test_the_table_of_kinds_is_up_to_date() -> None:
    shown = text("adapters.md").partition("<!-- kinds: begin -->")[2]
    made = as_markdown([kind for kind in known_kinds() if kind.ours])
    assert shown.partition("<!-- kinds: end -->")[0].strip() == made, \
        f"Put this between the two markers of docs/adapters.md:\n\n{made}\n"


def test_every_page_on_a_kind_is_linked() -> None:
    page = text("adapters.md")
    assert not [p.name for p in (DOCS / "adapters").glob("*.md")
                if f"(adapters/{p.name})" not in page]


def test_every_capability_verb_and_part_of_a_world_is_documented() -> None:
    page = text("adapters.md")
    verbs = [name for name in vars(Adapter) if name[0] != "_" and name != "capabilities"]
    assert len(verbs) == 9
    names = [*columns()[1:], *verbs, *(field.name for field in fields(AdapterWorld))]
    assert not [name for name in names if f"`{name}`" not in page]


def test_every_part_of_a_simulated_system_and_every_fault_of_its_line_is_documented() -> None:
    page = text("adapters.md").partition("## Torture it")[2].partition("\n## ")[0]
    names = [field.name for kind in (Simulated, Records, LineRates) for field in fields(kind)]
    assert not [name for name in names if f"`{name}`" not in page]


@pytest.mark.parametrize("model", [MappingDocument, LinesSpec, FieldSpec])
def test_every_key_of_a_mapping_is_documented(model: type[BaseModel]) -> None:
    page = text("mappings.md")
    for name, field in model.model_fields.items():
        assert f"`{name}`" in page, f"{model.__name__}.{name}"
        assert not [w for w in choices(field.annotation) if f"`{w}`" not in page]


def test_every_transform_is_documented() -> None:
    page = text("mappings.md")
    assert not [name for name in REGISTRY if f"| `{name}` |" not in page]


def test_every_lossy_transform_says_so() -> None:
    said = re.findall(r"^\| `(\w+)` \| .*Lossy\. \|$", text("mappings.md"), re.MULTILINE)
    assert set(said) == {name for name, t in REGISTRY.items() if t.lossy}


def test_every_function_of_a_formula_is_documented() -> None:
    page = text("mappings.md").partition("## Formulas")[2]
    assert not [name for name in FUNCTIONS if f"`{name}`" not in page]


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


def test_every_choice_is_documented_in_its_order() -> None:
    page = text("concepts.md")
    for entity in ENTITIES.values():
        for field in (f for f in entity.fields.values() if f.type is FieldType.CHOICE):
            row = next(line for line in page.splitlines()
                       if line.startswith(f"| {entity.name} `{field.name}` |"))
            assert re.findall(r"`(\w+)`", row)[1:] == list(field.choices)


def test_every_object_of_the_native_systems_is_documented() -> None:
    page = text("native.md")
    assert not [name for name in (*CRM_OBJECTS, *ERP_OBJECTS) if f"`{name}`" not in page]


def test_every_fault_is_documented() -> None:
    settings = {field.name for field in fields(Fault)} - {"kind", "method", "path"}
    page = text("native.md").partition("## Faults")[2]
    assert not [name for name in (*CALLS, *HOOKS, *settings) if f"`{name}`" not in page]


def test_every_filter_of_the_native_systems_is_documented() -> None:
    assert not [name for name in (*CRM_FILTERS, *ERP_FILTERS)
                if f"`{name}`" not in text("native.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        other = (page.parent / name) if name else page
        assert other.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(other), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_modules_and_files_that_a_page_names_exist(page: Path) -> None:
    content = page.read_text(encoding="utf-8")
    for name in re.findall(r"`(connector(?:\.[a-z_]+)+)", content):
        assert name == RUNNERS or find_spec(name), f"{page.name}: {name}"
    for name in re.findall(r"`((?:connector|tests|benchmarks|flows)/[\w/.]+)`", content):
        assert (ROOT / name).exists(), f"{page.name}: {name}"


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"make ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert {"demo", "test"} <= targets
    assert not [t for t in targets if f"\n{t}:" not in makefile]


def test_the_example_config_holds() -> None:
    config, _ = read_config(ROOT / "config.example.yaml")
    assert set(config.pairs["main"].entities) == set(ENTITIES) - {"opportunity"}  # no such object


@pytest.mark.parametrize("block", blocks("config"))
def test_configs_that_a_page_shows_hold(block: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(block, encoding="utf-8")
    config, _ = read_config(path)
    assert config.pairs


@pytest.mark.parametrize("block", blocks("mapping"))
def test_mappings_that_a_page_shows_hold(block: str, tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(block, encoding="utf-8")
    document = read_document(path).document
    assert compile_mapping(document, ENTITIES[document.entity]).readable


@pytest.mark.parametrize("path", sorted((DOCS / "examples").glob("*.yaml")), ids=lambda p: p.name)
def test_an_example_holds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in re.findall(r"env:(\w+)", path.read_text(encoding="utf-8")):
        monkeypatch.setenv(name, "unused")
    connector = open_connector(path)
    for pair in connector.config.pairs:
        assert connector.pair(pair).entities
    connector.close()
