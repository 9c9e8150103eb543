"""`adapters list` and `adapters new`: which kinds of system there are, and how to add one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli.common import Json, print_json, print_table, say
from connector.errors import ConfigInvalid

if TYPE_CHECKING:
    from connector.domain.records import Capabilities


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="The kinds of system that can be connected.")
    group.command("list")(list_kinds)
    group.command("new")(new)
    app.add_typer(group, name="adapters")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of system: where its class stands, and what it can do or why it can't be loaded."""

    name: str
    found_at: str
    capabilities: Capabilities | None = None
    error: str = ""

    @property
    def ours(self) -> bool:
        """Whether it comes with the product."""
        return self.found_at.startswith("connector.")


def known_kinds() -> list[Kind]:
    """Every kind that an installed package or the product itself brings, by name."""
    from connector.adapters.registry import kinds

    return [_kind(name, found_at) for name, found_at in sorted(kinds().items())]


def _kind(name: str, found_at: str) -> Kind:
    from connector.adapters.registry import adapter_class
    from connector.domain.records import Capabilities

    try:
        capabilities = getattr(adapter_class(name), "capabilities", None)
    except ConfigInvalid as error:
        return Kind(name, found_at, error=str(error))
    if not isinstance(capabilities, Capabilities):
        return Kind(name, found_at, error=(
            "Its class does not say what it can do; give it the class attribute `capabilities`."))
    return Kind(name, found_at, capabilities)


def columns() -> list[str]:
    """The head of the matrix: the kind, and each capability."""
    from connector.domain.records import Capabilities

    return ["kind", *(field.name for field in fields(Capabilities))]


def cells(kind: Kind) -> list[str]:
    """A row of the matrix; without capabilities, the name alone."""
    if kind.capabilities is None:
        return [kind.name]
    return [kind.name, *(_cell(getattr(kind.capabilities, name)) for name in columns()[1:])]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g} s"
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return str(value) or "no"


def as_markdown(known: Sequence[Kind]) -> str:
    """The matrix as a table of the docs."""
    head = columns()
    rows = [head, ["---"] * len(head),
            *([f"`{kind.name}`", *cells(kind)[1:]] for kind in known if kind.capabilities)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def list_kinds(json: Json = False) -> None:
    """Show every kind of system that an adapter is there for, and what each can do."""
    known = known_kinds()
    if json:
        print_json([_as_json(kind) for kind in known])
        return
    print_table("Kinds of system", columns(), [cells(k) for k in known if k.capabilities],
                right=("write_batch", "read_batch", "look_back", "write_window"), whole=("kind",))
    broken = [k for k in known if not k.capabilities]
    if broken:
        print_table("Can't be used", ("kind", "why"), [(k.name, k.error) for k in broken])
    say("What the columns mean: docs/adapters.md. Write your own: connector adapters new NAME")


def _as_json(kind: Kind) -> dict[str, Any]:
    can = None if kind.capabilities is None else {
        name: value.total_seconds() if isinstance(value, timedelta) else value
        for name in columns()[1:] for value in (getattr(kind.capabilities, name),)}
    return {"kind": kind.name, "found_at": kind.found_at, "capabilities": can,
            "error": kind.error}


def new(
    name: Annotated[str, typer.Argument(
        help="What the kind of system shall be called: small letters, digits and _.")],
    folder: Annotated[Path | None, typer.Option(
        "--folder", help="Where to write it; ./connector-NAME where none is given.")] = None,
    json: Json = False,
) -> None:
    """Write an adapter of your own to start from: a package that works, with its tests."""
    from connector.cli.skeleton import write

    target = folder or Path(f"connector-{name.replace('_', '-')}")
    written = write(name, target)
    if json:
        print_json({"kind": name, "folder": str(target),
                    "files": [path.as_posix() for path in written]})
        return
    say(f"Wrote {len(written)} files to {target}. How to go on: {target / 'README.md'}")
