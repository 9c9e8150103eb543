"""The command line as a person uses it: output, exit codes, and the message for each mistake."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest
import requests
import structlog

from connector.cli import main
from tests.integration.conftest import KEY, TOKEN, Pair


def cli(pair: Pair | None, *words: str, config: Path | None = None,
        token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    """Run `connector` in this process, which is quicker, and give what it said."""
    argv, environment = _command(pair, words, config, token)
    said, complained, code = io.StringIO(), io.StringIO(), 0
    with patch.dict(os.environ, environment), patch.object(sys, "argv", argv), \
            redirect_stdout(said), redirect_stderr(complained):
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    structlog.reset_defaults()
    return subprocess.CompletedProcess(argv, code, said.getvalue(), complained.getvalue())


def apart(pair: Pair | None, *words: str, config: Path | None = None,
          token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    """Run `connector` in a process of its own, and give what it said."""
    argv, environment = _command(pair, words, config, token)
    return subprocess.run([sys.executable, "-m", "connector.cli", *argv[1:]], text=True,
                          capture_output=True, check=False, env={**os.environ, **environment})


def _command(pair: Pair | None, words: Sequence[str], config: Path | None,
             token: str) -> tuple[list[str], dict[str, str]]:
    where = config or (pair.config if pair else Path("config.yaml"))
    return (["connector", "--config", str(where), *words],
            {"NATIVE_CRM_TOKEN": token, "NATIVE_ERP_KEY": KEY})


def test_the_whole_way(pair: Pair, tmp_path: Path) -> None:
    account = pair.crm("POST", "accounts", {"name": "Acme", "vatNumber": "DE1"})
    checked = apart(pair, "check")
    assert checked.returncode == 0, checked.stdout
    assert "WRONG" not in checked.stdout
    planned = cli(pair, "plan", "--out", str(tmp_path / "plan.json"))
    assert "1 create" in planned.stdout
    assert pair.in_erp("customers") == []
    applied = cli(pair, "apply", str(tmp_path / "plan.json"))
    assert applied.returncode == 0, applied.stderr
    assert len(pair.in_erp("customers")) == 1
    synced = cli(pair, "sync", "--json")
    assert synced.returncode == 0, synced.stderr
    assert json.loads(synced.stdout)["state"] == "completed"
    assert json.loads(cli(pair, "status", "--json").stdout)["open_conflicts"] == 0
    told = json.loads(cli(pair, "explain", "customer", account["id"], "name", "--json").stdout)
    assert [(f["field"], f["value"], f["rule"]) for f in told["fields"]] \
        == [("name", "Acme", "new")]
    (place,) = told["told"]
    assert (place["in"], place["record"], place["state"], place["reason"]) \
        == ("crm", account["id"], "in_sync", "")
    assert ": in sync" in cli(pair, "explain", "customer", account["id"]).stdout
    assert "created" in cli(pair, "history", "customer", account["id"]).stdout


def test_a_conflict_is_settled_on_the_command_line(pair: Pair) -> None:
    account = pair.crm("POST", "accounts", {"name": "Acme", "vatNumber": "DE1"})
    pair.sync()
    pair.crm("PATCH", f"accounts/{account['id']}", {"city": "Bonn"})
    pair.edit_erp("customers", 1, address={"town": "Berlin"})
    assert cli(pair, "sync").returncode == 0
    (conflict,) = json.loads(cli(pair, "conflicts", "list", "--json").stdout)
    assert (conflict["crm"], conflict["erp"]) == ("Bonn", "Berlin")
    number = str(conflict["id"])
    assert "Bonn" in cli(pair, "conflicts", "show", number).stdout
    assert cli(pair, "conflicts", "resolve", number).returncode == 1
    assert cli(pair, "conflicts", "resolve", number, "--take", "crm").returncode == 0
    assert pair.in_erp("customers")[0]["address"]["town"] == "Bonn"
    again = cli(pair, "conflicts", "resolve", number, "--take", "erp")
    assert (again.returncode, "settled already" in again.stderr) == (1, True)


def test_a_failed_record_is_parked_replayed_and_discarded(pair: Pair) -> None:
    odd = pair.crm("POST", "accounts", {"name": "Odd", "vatNumber": "DE2", "country": "QQ"})
    synced = cli(pair, "sync")
    assert synced.returncode == 7
    (letter,) = json.loads(cli(pair, "dead-letters", "list", "--json").stdout)
    assert letter["trace_key"] == f"customer/crm/{odd['id']}"
    number = str(letter["id"])
    assert "QQ" in cli(pair, "dead-letters", "show", number).stdout
    assert cli(pair, "dead-letters", "replay", number).returncode == 7
    pair.crm("PATCH", f"accounts/{odd['id']}", {"country": "DE"})
    assert cli(pair, "dead-letters", "replay", number).returncode == 0
    assert len(pair.in_erp("customers")) == 1
    assert json.loads(cli(pair, "dead-letters", "list", "--json").stdout) == []
    gone = cli(pair, "dead-letters", "discard", number)
    assert (gone.returncode, "no dead letter" in gone.stderr) == (1, True)


def test_all_parked_records_are_replayed_in_one_go(pair: Pair) -> None:
    odd = [pair.crm("POST", "accounts", {"name": f"Odd {n}", "vatNumber": f"DE{n}",
                                         "country": "QQ"}) for n in range(3)]
    assert cli(pair, "sync").returncode == 7
    for account in odd:
        pair.crm("PATCH", f"accounts/{account['id']}", {"country": "DE"})
    assert cli(pair, "dead-letters", "replay").returncode == 1
    assert cli(pair, "dead-letters", "replay", "--all").returncode == 0
    assert len(pair.in_erp("customers")) == 3
    assert json.loads(cli(pair, "dead-letters", "list", "--json").stdout) == []


def said(done: subprocess.CompletedProcess[str]) -> str:
    """A user's mistake ends in a message, never in a stack trace."""
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: "), done.stderr
    return done.stderr


MISTAKES = [
    ("pairs:", "pairs: [", 3, "config.yaml:"),
    ("born_in: crm", "borne_in: crm", 3, "borne_in: unknown key"),
    ("conflict: {prefer: erp}", "conflict: newest", 3, "pairs.main.entities.product.conflict"),
    ("list_price: {owner: erp}", "list_prize: {owner: erp}", 3, "no field 'list_prize'"),
    ("adapter: native_erp", "adapter: sap", 3, "no adapter 'sap'"),
    ("token: env:NATIVE_CRM_TOKEN", "token: env:NOT_SET_ANYWHERE", 3,
     "environment variable NOT_SET_ANYWHERE is not set"),
    ("url: http", "url: ftp", 3, "an http(s) URL is expected"),
    ("store: sqlite:///connector.db", "store: sqlite:////no/such/dir/x.db", 3,
     "/no/such/dir does not exist"),
    ("crm: crm", "crm: sales", 3, "names the system 'sales'"),
]


@pytest.mark.parametrize(("old", "new", "code", "words"), MISTAKES, ids=[m[1] for m in MISTAKES])
def test_a_wrong_config_is_told_with_its_place(pair: Pair, old: str, new: str, code: int,
                                               words: str) -> None:
    text = pair.config.read_text(encoding="utf-8")
    assert old in text
    pair.config.write_text(text.replace(old, new, 1), encoding="utf-8")
    done = cli(pair, "sync")
    assert done.returncode == code, done.stderr
    assert words in said(done)


def test_a_wrong_mapping_is_told_with_its_line(pair: Pair, tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "native_erp"
    folder.mkdir(parents=True)
    (folder / "customer.yaml").write_text(
        "system: native_erp\nentity: customer\nobject: customers\nfields:\n"
        "  name: display_name\n  vat_nummer: tax.vat_no\n", encoding="utf-8")
    text = pair.config.read_text(encoding="utf-8")
    pair.config.write_text(text.replace("# mappings: [my-mappings]", "mappings: [mine]"),
                           encoding="utf-8")
    words = said(cli(pair, "sync"))
    assert "customer.yaml:6:" in words
    assert "vat_nummer" in words
    assert "Did you mean vat_number?" in words
    assert said(cli(pair, "mappings", "lint", str(tmp_path / "mine"))) == words


def test_mapped_fields_that_a_system_has_not_are_told_by_check(pair: Pair,
                                                              tmp_path: Path) -> None:
    from connector.bootstrap import shipped

    folder = tmp_path / "mine" / "native_erp"
    folder.mkdir(parents=True)
    mapping = (shipped("mappings") / "native_erp" / "customer.yaml").read_text(encoding="utf-8")
    (folder / "customer.yaml").write_text(mapping.replace("tax.vat_no", "tax.vat_nr"),
                                          encoding="utf-8")
    text = pair.config.read_text(encoding="utf-8")
    pair.config.write_text(text.replace("# mappings: [my-mappings]", "mappings: [mine]"),
                           encoding="utf-8")
    done = cli(pair, "check", "--json")
    assert done.returncode == 1
    (wrong,) = [row for row in json.loads(done.stdout) if not row["ok"]]
    assert (wrong["what"], "tax.vat_nr" in wrong["found"]) == ("erp", True)


def test_a_wrong_token_and_a_system_that_is_away_are_told(pair: Pair) -> None:
    wrong = cli(pair, "sync", token="nonsense")
    assert wrong.returncode == 4
    assert "crm: GET /api/products: 401" in said(wrong)
    assert "nonsense" not in wrong.stderr
    text = pair.config.read_text(encoding="utf-8")
    pair.config.write_text(text.replace(pair.erp_url, "http://127.0.0.1:9\n    max_attempts: 1"),
                           encoding="utf-8")
    away = cli(pair, "sync")
    assert away.returncode == 5
    assert "erp can't be reached at http://127.0.0.1:9" in said(away)


def test_a_sync_waits_for_another_one_or_is_left_with_it(pair: Pair) -> None:
    import socket

    store = pair.connector.store
    token = store.acquire_lease("main", f"{socket.gethostname()}:{os.getpid()}", 60)
    busy = cli(pair, "sync", "--patience", "0s")
    assert (busy.returncode, "being worked on" in said(busy)) == (6, True)
    busy = cli(pair, "reconcile", "--patience", "0s")
    assert (busy.returncode, "being worked on" in said(busy)) == (6, True)
    with store.begin() as uow:
        uow.offer("main", token, "r1")
    merged = cli(pair, "sync", "--busy", "merge", "--entity", "customer")
    assert (merged.returncode, merged.stderr) == (0, "")
    assert "Run r1 is at work and takes this up" in merged.stdout
    merged = cli(pair, "drain", "--busy", "merge", "--json")
    assert (merged.returncode, json.loads(merged.stdout)["state"]) == (0, "merged")
    standing = json.loads(cli(pair, "status", "--json").stdout)
    assert [(r["kind"], len(r["entities"]) > 1) for r in standing["requests"]] \
        == [("sync", False), ("drain", True)]
    assert "2 runs were left" in cli(pair, "status").stdout
    store.release_lease("main", token)
    assert cli(pair, "sync").returncode == 0
    assert json.loads(cli(pair, "status", "--json").stdout)["requests"] == []
    assert cli(pair, "sync", "--busy", "sometimes").returncode == 2
    assert cli(pair, "sync", "--patience", "long").returncode == 2


def test_init_writes_a_config_that_holds(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    assert cli(None, "init", config=path).returncode == 0
    there = cli(None, "init", config=path)
    assert (there.returncode, "is there already" in said(there)) == (3, True)
    again = cli(None, "init", "--force", "--json", config=path)
    assert json.loads(again.stdout) == {"config": str(path), "written": True}
    assert cli(None, "mappings", "lint", config=path).returncode == 0


def test_a_missing_config_and_a_wrong_plan_are_told(pair: Pair, tmp_path: Path) -> None:
    done = cli(None, "sync", config=tmp_path / "none.yaml")
    assert (done.returncode, "connector init" in said(done)) == (3, True)
    (tmp_path / "plan.json").write_text("{}", encoding="utf-8")
    done = cli(pair, "apply", str(tmp_path / "plan.json"))
    assert (done.returncode, "not a plan file" in said(done)) == (3, True)


@pytest.mark.parametrize(("kind", "path"), [("crm", "api/accounts"), ("erp", "v1/customers")])
def test_a_native_system_says_in_one_line_where_it_is_up(kind: str, path: str,
                                                         tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "connector.cli", "native", kind, "--port", "0", "--seed", "3",
         "--database", f"sqlite:///{tmp_path}/{kind}.db", "--json"],
        stdout=subprocess.PIPE, text=True,
        env={**os.environ, "NATIVE_CRM_TOKEN": TOKEN, "NATIVE_ERP_KEY": KEY})
    try:
        assert process.stdout is not None
        up = json.loads(process.stdout.readline())
        assert (up["kind"], up["pid"]) == (kind, process.pid)
        assert up["seeded"][path.partition("/")[2]] == 3
        answer = requests.get(f"{up['url']}/{path}", timeout=30, headers={
            "Authorization": f"Bearer {TOKEN}", "X-Api-Key": KEY})
        assert len(answer.json()["data" if kind == "crm" else "rows"]) == 3
    finally:
        process.terminate()
        assert process.communicate()[0] == ""


def test_the_demo_tells_its_story_as_json(tmp_path: Path) -> None:
    done = cli(None, "demo", "--folder", str(tmp_path / "demo"), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [run["state"] for run in told["runs"]] == ["completed"] * 4
    assert not any(told["runs"][-1]["writes"].values())
    assert set(told["systems"]) == {"crm", "erp"}
    (disputed,) = told["tables"]["The same field: nothing is overwritten, a person decides"]
    assert (disputed["field"], disputed["CRM"]) == ("email", "sales-desk@example.org")
    amiss = told["tables"]["What is amiss, as a salesperson sees it in the CRM"]
    assert (disputed["record"], "conflict", "email: both sides changed it") in [
        tuple(row.values()) for row in amiss]
