"""Where documents are rounded, as the config says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector.bootstrap import open_connector, shipped
from connector.domain.amounts import Rounding
from connector.errors import ConfigInvalid


def config(folder: Path, order: str, *, more: str = "") -> Path:
    """The example config, with something added to the rules of orders."""
    text = shipped("config.example.yaml").read_text(encoding="utf-8")
    path = folder / "config.yaml"
    path.write_text(more + text.replace("      order:\n        conflict",
                                        f"      order:\n        {order}\n        conflict"),
                    encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the example config asks for; nothing is called."""
    monkeypatch.setenv("NATIVE_CRM_TOKEN", "unused")
    monkeypatch.setenv("NATIVE_ERP_KEY", "unused")


@pytest.mark.parametrize(("said", "rounding"), [
    ("born_in: either", None), ("rounding: document", Rounding("document")),
    ("rounding: {tax: line, half: even}", Rounding("line", "line", "even"))])
def test_a_declared_rounding_is_in_force(tmp_path: Path, said: str,
                                         rounding: Rounding | None) -> None:
    connector = open_connector(config(tmp_path, said))
    assert connector.pair("main").rules["order"].policy.rounding == rounding
    connector.close()


@pytest.mark.parametrize("said", ["rounding: cents", "rounding: {level: page}",
                                  "rounding: {to: line}"])
def test_an_unknown_rounding_is_refused(tmp_path: Path, said: str) -> None:
    with pytest.raises(ConfigInvalid, match="rounding"):
        open_connector(config(tmp_path, said))


def test_only_documents_with_totals_are_rounded(tmp_path: Path) -> None:
    path = config(tmp_path, "born_in: either")
    path.write_text(path.read_text(encoding="utf-8").replace(
        "      delivery:\n", "      delivery:\n        rounding: line\n"), encoding="utf-8")
    with pytest.raises(ConfigInvalid, match="delivery has no totals to be rounded"):
        open_connector(path)


def test_lines_without_a_price_cant_be_rounded(tmp_path: Path) -> None:
    own = tmp_path / "own" / "native_erp"
    own.mkdir(parents=True)
    text = (shipped("mappings") / "native_erp" / "order.yaml").read_text(encoding="utf-8")
    (own / "order.yaml").write_text("".join(
        line for line in text.splitlines(keepends=True) if "unit_price" not in line),
        encoding="utf-8")
    connector = open_connector(config(tmp_path, "rounding: line", more="mappings: [own]\n"))
    with pytest.raises(ConfigInvalid, match="not both mappings read quantity and unit_price"):
        connector.pair("main")
    connector.close()
