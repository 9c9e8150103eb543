"""A plan on disk: what it says, and what is refused as one."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from connector.domain.actions import Action, ActionKind, FieldChange, FieldConflict
from connector.engine.plan import fingerprint
from connector.engine.plan_file import Plan, read_gate
from connector.errors import ConfigInvalid

UPDATE = Action(ActionKind.UPDATE, "customer", "c1", "Acme", "erp", {"crm": "A", "erp": "1"},
                {"crm": "e1", "erp": "3"},
                (FieldChange("credit_limit", Decimal("5000.00"), Decimal("750.00"), "owner: erp"),
                 FieldChange("counted_on", None, date(2026, 11, 24), "to_erp")),
                (FieldConflict("email", "a", "b", "c"),))
CREATE = Action(ActionKind.CREATE, "customer", "c2", "Later", "crm", {"erp": "2"}, {"erp": "1"})
LINKED = Action(ActionKind.LINK_UP, "customer", "c1", "Acme")


def saved(folder: Path, *actions: Action, pair: str = "main") -> Path:
    path = folder / "plan.json"
    path.write_bytes(Plan(pair, datetime(2026, 11, 24, 9, tzinfo=UTC), actions).to_json())
    return path


def test_the_gate_names_each_records_fingerprints(tmp_path: Path) -> None:
    assert read_gate(saved(tmp_path, UPDATE, CREATE, LINKED), "main") == {
        "c1": frozenset((fingerprint(UPDATE), fingerprint(LINKED))),
        "c2": frozenset((fingerprint(CREATE),))}


def test_a_person_can_read_it(tmp_path: Path) -> None:
    plan = orjson.loads(saved(tmp_path, UPDATE).read_bytes())
    assert (plan["format"], plan["pair"], plan["made_at"]) \
        == (1, "main", "2026-11-24T09:00:00+00:00")
    (action,) = plan["actions"]
    assert action["changes"][0] == {"path": "credit_limit", "before": "5000.00",
                                    "after": "750.00", "rule": "owner: erp"}
    assert action["changes"][1]["after"] == "2026-11-24"
    assert (action["kind"], action["title"], action["conflicts"][0]["crm"]) \
        == ("update", "Acme", "b")


def test_an_empty_plan_lets_nothing_through(tmp_path: Path) -> None:
    assert read_gate(saved(tmp_path), "main") == {}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b"{}", b'{"format": 1}',
                                     b'{"format": 1, "pair": "main", "actions": [{}]}',
                                     b'{"format": 1, "pair": "main", "actions": null}', b"\xff"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(ConfigInvalid, match=r"plan\.json: not a plan file .*plan --out FILE"):
        read_gate(path, "main")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"none\.json: no such plan file"):
        read_gate(tmp_path / "none.json", "main")


def test_another_pairs_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="for pair 'main', not 'other'"):
        read_gate(saved(tmp_path, UPDATE), "other")


def test_another_releases_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(b'{"format": 2, "pair": "main", "actions": []}')
    with pytest.raises(ConfigInvalid, match="format 2 is not 1"):
        read_gate(path, "main")
