"""What the commands share: options, opening the connector, and printing."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from connector.bootstrap import Connector
    from connector.engine.turns import Busy

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
PairName = Annotated[str | None, typer.Option("--pair", help="The pair; not needed for one.")]
Entity = Annotated[str, typer.Argument(help="The entity, such as customer.")]
Number = Annotated[int, typer.Argument(help="The number in the list.")]
Entities = Annotated[list[str] | None, typer.Option(
    "--entity", "-e", help="Only this entity; may be given several times.")]


def runner(name: str) -> Any:
    """What is registered under `connector.runners`: the flows know us, we don't know them."""
    from importlib.metadata import entry_points

    (registered,) = entry_points(group="connector.runners", name=name)
    return registered.load()


def busy_of(connector: Connector, pair: str, choice: str | None, patience: str | None) -> Busy:
    """What the command line and the config say about a pair that is being worked on."""
    from connector.config import seconds

    if choice not in (None, "queue", "merge"):
        raise typer.BadParameter(f"{choice!r} is not one of queue, merge.", param_hint="--busy")
    try:
        wait = None if patience is None else seconds(patience)
    except ValueError as error:
        raise typer.BadParameter(f"{error}.", param_hint="--patience") from None
    return connector.busy(pair, choice, wait)


@contextmanager
def opened(context: typer.Context, *, interactive: bool = True) -> Iterator[Connector]:
    """The connector that the config describes; `interactive` where a person waits for what it
    does, which may use a budget's reserve."""
    from connector.bootstrap import open_connector
    from connector.ports import INTERACTIVE

    connector = open_connector(context.obj)
    before = INTERACTIVE.set(interactive)
    try:
        yield connector
    finally:
        INTERACTIVE.reset(before)
        connector.close()


def print_json(value: Any) -> None:
    """Print anything of ours as JSON; decimals and times as text."""
    import orjson

    sys.stdout.write(orjson.dumps(_plain(value), default=str, option=orjson.OPT_INDENT_2
                                  | orjson.OPT_NON_STR_KEYS).decode() + "\n")


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {" ".join(map(str, k)) if isinstance(k, tuple) else k: _plain(v)
                for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    return value


def told_apart(base: Any, crm: Any, erp: Any) -> tuple[Any, Any, Any]:
    """The base and both values of a conflict for a table; of whole records and lines only the
    fields in which they differ from the base."""
    if not isinstance(base, Mapping):
        return base, crm, erp
    sides = [side for side in (crm, erp) if isinstance(side, Mapping)]
    names = [name for name in base if any(side.get(name) != base[name] for side in sides)]

    def fields(record: Any) -> Any:
        if not isinstance(record, Mapping):
            return record
        return ", ".join(f"{name} {_cell(record.get(name))}" for name in names) or "as agreed"

    return fields(base), fields(crm), fields(erp)


def _cell(value: Any) -> str:
    from connector.domain.values import shown

    return f"{len(value)} lines" if isinstance(value, list | tuple) else shown(value)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *,
                right: Sequence[str] = (), whole: Sequence[str] = ()) -> None:
    """Print a table; columns named in `right` are set to the right, the words of those named in
    `whole` are not broken."""
    from rich.table import Table

    from connector.domain.values import shown

    table = Table(header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left",
                         overflow="fold", no_wrap=column in whole)
    for row in rows:
        table.add_row(*(shown(cell) if not isinstance(cell, str) else cell for cell in row))
    console().print(f"\n{title}", style="bold", markup=False, highlight=False)
    console().print(table)


def say(text: str) -> None:
    """Print a sentence."""
    console().print(text, markup=False, highlight=False)


def console() -> Any:
    """The terminal; wide enough for the tables where the output is no terminal."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 140)


@contextmanager
def progress(enabled: bool) -> Iterator[Any]:
    """An observer that shows progress on standard error while a run works."""
    from connector.engine.session import unobserved

    if not enabled or not sys.stderr.isatty():
        yield unobserved
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    bars: dict[tuple[str, str], Any] = {}
    turns = Lock()
    with Progress(SpinnerColumn(), TextColumn("{task.description}"),
                  TextColumn("{task.completed:.0f} records"), TimeElapsedColumn(),
                  console=Console(stderr=True), transient=True) as shown_progress:
        def observe(entity: str, phase: str, done: int) -> None:
            with turns:  # both sides are read at the same time
                if (entity, phase) not in bars:
                    bars[entity, phase] = shown_progress.add_task(f"{phase} {entity}", total=None)
            shown_progress.advance(bars[entity, phase], done)

        yield observe
