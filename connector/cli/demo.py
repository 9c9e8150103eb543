"""`demo`: both native systems, a first sync, a day's work on both sides, and a second sync."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from connector.cli.common import Json
from connector.cli.story import Api, Story, Teller
from connector.errors import SystemUnreachable

TOKEN, KEY = "crm-demo-token", "erp-demo-key"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    keep: Annotated[bool, typer.Option(
        "--keep", help="Leave both systems running at the end.")] = False,
    folder: Annotated[Path, typer.Option(help="Where the demo keeps its files.")] = Path(".demo"),
    json: Json = False,
) -> None:
    """Show the whole way: two systems, a first sync, edits on both sides, a second sync."""
    from connector.bootstrap import open_connector

    teller = Teller(json)
    os.environ.update(NATIVE_CRM_TOKEN=TOKEN, NATIVE_ERP_KEY=KEY)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        crm_url, crm = stack.enter_context(_native("crm", folder, keep))
        erp_url, erp = stack.enter_context(_native("erp", folder, keep))
        teller.say(f"A CRM runs at {crm_url}, an ERP at {erp_url}, each with companies of its own; "
                   "most stand in both.\n")
        crm_api, erp_api = Api(crm_url, "Authorization", f"Bearer {TOKEN}"), \
            Api(erp_url, "X-Api-Key", KEY)
        config = _write_config(folder, crm_url, erp_url)
        connector = stack.enter_context(_closing(open_connector(config)))
        _tell(Story(crm_api, erp_api, connector.engine("main"), teller))
        _where_next(teller, config, keep, {crm_url: crm, erp_url: erp})
        teller.end(config=str(config), kept=keep, systems={
            "crm": {"url": crm_url, "pid": crm}, "erp": {"url": erp_url, "pid": erp}})


def _tell(story: Story) -> None:
    """Four syncs, and what happens between them."""
    teller, engine = story.teller, story.engine
    teller.run(engine.sync(), "First sync: what was read on each side, and what came of it")
    teller.say("\nNow a day's work, on both sides:")
    story.day()
    teller.run(engine.sync(), "Second sync")
    story.order_goes_out()
    teller.run(engine.sync(), "Third sync: the delivery, the invoice and the payment come back")
    story.told()
    last = engine.sync()
    teller.run(last)
    teller.say(f"\nA fourth sync wrote {sum(last.writes.values())} records: both sides agree.")


@contextmanager
def _native(kind: str, folder: Path, keep: bool) -> Iterator[tuple[str, int]]:
    """A native system in a process of its own, with the demo's records; ended afterwards, but
    for `keep`."""
    from connector.native.serving import free_port

    port = free_port()
    with (folder / f"{kind}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "connector.cli", "native", kind, "--port", str(port),
             "--database", f"sqlite:///{folder.resolve()}/{kind}.db", "--seed", "demo"],
            stdout=log, stderr=log, start_new_session=keep)
    try:
        _await(f"http://127.0.0.1:{port}", process, folder / f"{kind}.log")
        yield f"http://127.0.0.1:{port}", process.pid
    except BaseException:
        keep = False
        raise
    finally:
        if not keep:
            process.terminate()
            process.wait(15)


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    import requests

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            requests.get(f"{url}/openapi.json", timeout=5)
            return
        except requests.RequestException:
            time.sleep(0.05)
    raise SystemUnreachable(f"{url} did not start.", hint=f"See {log}.")


def _write_config(folder: Path, crm_url: str, erp_url: str) -> Path:
    from connector.bootstrap import shipped

    config = folder / "config.yaml"
    text = shipped("config.example.yaml").read_text(encoding="utf-8")
    text = text.replace("http://127.0.0.1:8801", crm_url)
    config.write_text(text.replace("http://127.0.0.1:8802", erp_url), encoding="utf-8")
    return config


@contextmanager
def _closing(connector: Any) -> Iterator[Any]:
    try:
        yield connector
    finally:
        connector.close()


def _where_next(teller: Teller, config: Path, keep: bool, running: dict[str, int]) -> None:
    teller.say("\nWhere to look next:")
    if keep:
        teller.say("  Both systems go on running:")
        for url, pid in running.items():
            teller.say(f"    {url}  (process {pid}; its API: {url}/docs)")
        teller.say(f"  export NATIVE_CRM_TOKEN={TOKEN} NATIVE_ERP_KEY={KEY}")
    else:
        teller.say("  Keep both systems running with: make demo KEEP=1")
    here = f"connector --config {config}"
    teller.say(f"  {here} status\n  {here} conflicts list\n  {here} explain customer acc_0009\n"
               f"  The rules of this pair: {config}; what they mean: docs/concepts.md")

