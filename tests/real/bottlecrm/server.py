"""A real BottleCRM for the tests: installed, migrated and seeded once, then started in seconds.

`running(folder)` gives one for a test; `python -m tests.real.bottlecrm.server up FOLDER` one for a
person, until it is stopped. The cache, `CONNECTOR_REAL_CACHE` or the user's cache folder, keeps
what is the same every time: a virtual environment, and a stopped PostgreSQL with the seed in it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import requests

from tests.real.environment import (
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
SITE = HERE / "site"
REQUIREMENTS = HERE / "requirements.txt"
NAME = "bottlecrm-1.35.0"


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
            connection.execute("truncate accounts, contacts, opportunity, product, invoice, "
                               "estimate, custom_field_definition, webhook_endpoint cascade")


def missing() -> str | None:
    """Why it can't run here; None where it can."""
    if sys.platform == "win32":
        return "BottleCRM is not started on Windows."
    if _python() is None:
        return "BottleCRM needs Python 3.12, and there is no python3.12 on the PATH."
    return without_postgres()


@contextmanager
def running(folder: Path) -> Iterator[BottleServer]:
    """A server of its own with its data in `folder`, without records at first; stopped at the
    end of the block."""
    reason = missing()
    if reason:
        raise RuntimeError(reason)
    seeded, python = prepared(folder), _installed()
    with _postgres(folder / "postgres", seeded) as database:
        known = json.loads((folder / "postgres" / "seed.json").read_text(encoding="utf-8"))
        with gunicorn(python, "crm.wsgi:application", _environment(database),
                      folder / "bottlecrm.log", _answers) as url:
            yield BottleServer(url, **known,
                               database=f"host={database} user=postgres dbname=postgres")


def prepared(folder: Path) -> Path:
    """The archive of a stopped PostgreSQL with a seeded BottleCRM; makes it, with `folder` to
    work in, where that was not done before."""
    known = digest(*(file.read_bytes() for file in (REQUIREMENTS, *sorted(SITE.rglob("*.py")))))
    archive = cache(NAME) / f"seeded-{known}.tar"
    python = _installed()
    with locked(NAME):
        if not archive.exists():
            work = folder / "seeding"
            with _postgres(work, None) as database:
                environment = _environment(database)
                run([str(python), "-m", "django", "migrate", "--verbosity", "0"], environment,
                    folder)
                told = run([str(python), str(SITE / "seed.py")], environment, folder)
                (work / "seed.json").write_text(told.splitlines()[-1], encoding="utf-8")
            archived(archive, work)
            shutil.rmtree(work)
    return archive


def _installed() -> Path:
    return installed(NAME, REQUIREMENTS, _python() or (["python3.12"], {}))


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


@contextmanager
def _postgres(data: Path, archive: Path | None) -> Iterator[str]:
    """A PostgreSQL of our own, empty or from an archive; gives its socket's folder."""
    data.parent.mkdir(parents=True, exist_ok=True)
    if archive is not None and not (data / "PG_VERSION").exists():
        unpacked(archive, data)
    with postgres(data, new=archive is None) as (_, socket):
        yield socket


def _environment(database: str) -> dict[str, str]:
    return {"DJANGO_SETTINGS_MODULE": "connector_test.settings",
            "PYTHONPATH": str(SITE), "PYTHONDONTWRITEBYTECODE": "1", "DBHOST": database,
            "DBNAME": "postgres", "DBUSER": "postgres", "DBPASSWORD": "none", "DBPORT": "5432",
            "ENV_TYPE": "dev", "DEBUG": "False", "ALLOWED_HOSTS": "127.0.0.1",
            "SECRET_KEY": "for tests only, and long enough for the tokens it signs"}


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz/", timeout=5).ok
    except requests.RequestException:
        return False


def main(arguments: list[str]) -> None:
    """`up FOLDER`: run until stopped; where it is and its tokens are printed as JSON."""
    if len(arguments) != 2 or arguments[0] != "up":
        raise SystemExit("usage: python -m tests.real.bottlecrm.server up FOLDER")
    until_stopped(running(Path(arguments[1]).resolve()))


if __name__ == "__main__":
    main(sys.argv[1:])
