"""Writes a third party's package: an adapter that works, its mapping, its tests.

The files stand in `files`, as they are to be but for `$kind`, `$Kind` and `$KIND`; `KIND` in a
path is the kind too.
"""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template

import typer

from connector.errors import ConfigInvalid

FILES = Path(__file__).parent / "files"


def write(kind: str, folder: Path) -> list[Path]:
    """Write the package for a kind of system; returns the paths written, within the folder.

    Raises `typer.BadParameter` for a name that can't be one, and `ConfigInvalid` where the folder
    holds something already.
    """
    _check(kind)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigInvalid(f"{folder} is there already, and not empty.",
                            hint="Name another one with --folder.")
    words = {"kind": kind, "Kind": "".join(part.capitalize() for part in kind.split("_")),
             "KIND": kind.upper(), "dashed": kind.replace("_", "-")}
    written = []
    for source in sorted(FILES.rglob("*.tmpl")):
        path = Path(str(source.relative_to(FILES)).replace("KIND", kind)).with_suffix("")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        text = Template(source.read_text(encoding="utf-8")).substitute(words)
        (folder / path).write_text(text, encoding="utf-8")
        written.append(path)
    return written


def _check(kind: str) -> None:
    from connector.adapters.registry import kinds

    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", kind) or keyword.iskeyword(kind):
        raise typer.BadParameter(f"{kind!r} can't be a kind: small letters, digits and single _ "
                                 "are expected, such as my_erp.")
    if kind in kinds():
        raise typer.BadParameter(f"There is an adapter {kind!r} already, at {kinds()[kind]}.")
