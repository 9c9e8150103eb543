"""A real Tryton for the tests: installed, set up and seeded once, then started in seconds.

`running(folder)` gives one for a test; `python -m tests.real.tryton.server up FOLDER` one for a
person, until it is stopped. The cache, `CONNECTOR_REAL_CACHE` or the user's cache folder, keeps
what is the same every time: a virtual environment, and a seeded database.

Tryton runs in processes of its own and is never imported here.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import requests

from connector.mapping.codes import COUNTRIES
from tests.real.environment import (
    Command,
    archived,
    cache,
    digest,
    gunicorn,
    installed,
    locked,
    postgres,
    run,
    unpacked,
    until_stopped,
    without_postgres,
)

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
SEED = HERE / "seed.py"
NAME = "tryton-8.2"
PYTHON: Command = ([sys.executable], {})
MODULES = ("sale", "stock", "account_invoice_stock", "sale_credit_limit", "sale_discount",
           "sale_opportunity", "party_relationship")
DATABASE = "erp"
PASSWORD = "for-tests-only-1"
FACTS = {
    "countries": sorted(COUNTRIES), "taxes": ["19", "7"], "password": PASSWORD,
    "terms": {"Net 14 days": 14, "Cash on delivery": 0, "Prepayment": 0},
}
Backend = Literal["sqlite", "postgresql"]


@dataclass(frozen=True, slots=True)
class TrytonServer:
    """A Tryton that runs. `user` has the rights of a sales clerk; `boss`, with the same password,
    may also sell past a credit limit; `admin` is the administrator. `dsn` leads to the database
    itself, where that is PostgreSQL."""

    url: str
    database: str = DATABASE
    user: str = "clerk"
    boss: str = "boss"
    admin: str = "admin"
    password: str = PASSWORD
    dsn: str = ""


def missing(backend: Backend = "sqlite") -> str | None:
    """Why it can't run here; None where it can."""
    if sys.platform == "win32":
        return "Tryton is not started on Windows."
    return without_postgres() if backend == "postgresql" else None


@contextmanager
def running(folder: Path, backend: Backend = "sqlite") -> Iterator[TrytonServer]:
    """A server of its own with its data in `folder`, without customers, products or documents at
    first; stopped at the end of the block."""
    reason = missing(backend)
    if reason:
        raise RuntimeError(reason)
    seeded, python = prepared(folder, backend), installed(NAME, REQUIREMENTS, PYTHON)
    with _database(folder / "data", backend, seeded) as uri, gunicorn(
            python, "trytond.application:app", {
                "TRYTOND_CONFIG": str(_config(folder, uri)), "TRYTOND_DATABASE_NAMES": DATABASE},
            folder / "tryton.log", _answers) as url:
        yield TrytonServer(url, dsn=uri.replace("@/?", f"@/{DATABASE}?") if "@" in uri else "")


def prepared(folder: Path, backend: Backend = "sqlite") -> Path:
    """The archive of a seeded database; makes it, with `folder` to work in, where that was not
    done before."""
    known = digest(REQUIREMENTS.read_bytes(), SEED.read_bytes(),
                   json.dumps([MODULES, FACTS]).encode())
    archive = cache(NAME) / f"seeded-{backend}-{known}.tar"
    python = installed(NAME, REQUIREMENTS, PYTHON)
    with locked(NAME):
        if not archive.exists():
            work = folder / "seeding"
            work.mkdir(parents=True)
            with _database(work / "data", backend, None) as uri:
                _set_up(python, _config(work, uri), work)
            archived(archive, work / "data")
            shutil.rmtree(work)
    return archive


def _set_up(python: Path, config: Path, work: Path) -> None:
    """Make Tryton's tables in an empty database, and fill them."""
    passwords = work / "password"
    passwords.write_text(PASSWORD, encoding="utf-8")
    run([str(python.parent / "trytond-admin"), "-c", str(config), "-d", DATABASE, "-u", *MODULES,
          "--activate-dependencies", "--email", "admin@example.com", "-l", "en", "-p"],
         {"TRYTONPASSFILE": str(passwords)})
    run([str(python), str(SEED), str(config), DATABASE], {"TRYTOND_CONFIG": str(config)},
         said=json.dumps({**FACTS, "year": date.today().year}))  # noqa: DTZ011


def _config(folder: Path, uri: str) -> Path:
    config = folder / "trytond.conf"
    config.write_text(f"[database]\nuri = {uri}\npath = {folder / 'data'}\n"
                      "[session]\nauthentications = password\n[password]\nlength = 4\n",
                      encoding="utf-8")
    return config


@contextmanager
def _database(data: Path, backend: Backend, archive: Path | None) -> Iterator[str]:
    """A database of our own, empty or from an archive; gives its URI for Tryton's config."""
    data.mkdir(parents=True, exist_ok=True)
    kept = any(data.iterdir())
    if archive is not None and not kept:
        unpacked(archive, data)
    if backend == "sqlite":
        (data / f"{DATABASE}.sqlite").touch()
    with nullcontext("sqlite://") if backend == "sqlite" else _postgres(
            data, new=archive is None) as uri:
        yield uri


@contextmanager
def _postgres(data: Path, *, new: bool) -> Iterator[str]:
    with postgres(data, new=new) as (server, socket):
        if new:
            server.psql(f"create database {DATABASE}")
        yield f"postgresql://postgres@/?host={socket}"


def _answers(url: str) -> bool:
    asked = {"id": 0, "method": "common.server.version", "params": []}
    try:
        return requests.post(f"{url}/rpc/", json=asked, timeout=5).ok
    except requests.RequestException:
        return False


def main(arguments: list[str]) -> None:
    """`up FOLDER [--postgresql]`: run until stopped; where it is and who may log in is printed as
    JSON."""
    options, folders = {a for a in arguments if a == "--postgresql"}, arguments[1:2]
    if arguments[:1] != ["up"] or len(folders) + len(options) + 1 != len(arguments):
        raise SystemExit("usage: python -m tests.real.tryton.server up FOLDER [--postgresql]")
    until_stopped(running(Path(folders[0]).resolve(), "postgresql" if options else "sqlite"))


if __name__ == "__main__":
    main(sys.argv[1:])
