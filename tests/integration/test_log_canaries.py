"""Canaries in a sync: secrets and personal values that must not turn up in the log, at any level
and in any format."""

from __future__ import annotations

import json
import re

import pytest

from tests.integration.conftest import KEY, TOKEN, Pair
from tests.integration.test_cli import cli

PEOPLE = {"name": "Canaria Vogelsang", "email": "canary@vogelsang.example",
          "phone": "+49 30 1234567", "city": "Canarytown"}
WRONG_MAIL = "canary at nowhere"
CANARIES = [*PEOPLE.values(), "Vogelsang", "1234567", WRONG_MAIL, TOKEN, KEY, "canary-token"]


def populated(pair: Pair) -> None:
    """Records that go well, that fail on our side, that the ERP refuses, and that conflict."""
    pair.crm("POST", "accounts", {**PEOPLE, "vatNumber": "DE1"})
    pair.crm("POST", "accounts", {**PEOPLE, "name": "Canaria Two", "email": WRONG_MAIL})
    pair.engine.sync()
    for account in pair.in_crm("accounts"):
        pair.crm("PATCH", f"accounts/{account['id']}", {"city": "Canarytown Mitte"})
    pair.edit_erp("customers", 1, address={"town": "Canarytown Ost"})


@pytest.mark.parametrize("format", ["json", "console"])
def test_no_canary_turns_up_in_the_log(pair: Pair, format: str) -> None:
    populated(pair)
    text = pair.config.read_text(encoding="utf-8")
    pair.config.write_text(re.sub(r"^log:.*$", f"log: {{level: debug, format: {format}}}", text,
                                  flags=re.MULTILINE), encoding="utf-8")
    for url, key in ((pair.crm_url, {"Authorization": f"Bearer {TOKEN}"}),
                     (pair.erp_url, {"X-Api-Key": KEY})):
        answer = pair.session.post(f"{url}/_faults", json=[
            {"kind": "fail_before", "times": 1}, {"kind": "rate_limit", "times": 1, "seconds": 0}],
            headers=key, timeout=10)
        assert answer.ok, answer.text
    logs = [cli(pair, "reconcile").stderr, cli(pair, "sync", token="canary-token").stderr]
    log = "\n".join(logs)
    for canary in CANARIES:
        assert canary not in log, canary
    # What is told all the same, with the run's ID on every line of it:
    lines = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", logs[0]).splitlines() if line]
    runs = set(re.findall(r'run"?[=:] ?"?([0-9a-f]{12})', logs[0]))
    assert len(runs) == 1
    for words in ("run started", "run ended", "record failed", "/api/", "/v1/"):
        assert any(words in line and runs.copy().pop() in line for line in lines), words
    assert "run failed" in logs[1]
    if format == "json":
        assert {json.loads(line)["run"] for line in lines} == runs
