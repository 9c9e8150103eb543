"""How `sync`, `drain` and `reconcile` are carried out: here and now, where a Prefect server is
configured with a report to it, or as a flow run.

What knows Prefect is found by its entry point: it stands above the command line, and is loaded only
where it is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli.common import busy_of, opened, progress, runner

if TYPE_CHECKING:
    from connector.bootstrap import Connector
    from connector.domain.drift import Drift
    from connector.domain.ledger import Run
    from connector.engine.run import Engine

BusyChoice = Annotated[str | None, typer.Option(
    "--busy", help="Where another run works on the pair: queue or merge; else as configured.")]
Patience = Annotated[str | None, typer.Option(
    "--patience", help="How long to wait for it, such as 0s or 15m; else as configured.")]
AsFlow = Annotated[bool | None, typer.Option(
    "--prefect/--no-prefect", help="Run as a Prefect flow run, or don't even show it to the "
    "Prefect server that is configured.")]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line says about a run: `kind` is `sync`, `drain` or `reconcile`."""

    kind: str
    pair: str | None
    entities: Sequence[str]
    busy: str | None
    patience: str | None
    prefect: bool | None
    quiet: bool
    options: dict[str, Any]


def carry_out(context: typer.Context, wish: Wish) -> tuple[Run, Drift | None]:
    """Carry it out; the run, and what a reconcile found. Raises what the engine raises, however it
    is carried out."""
    if wish.prefect:
        return _as_flow(context, wish)
    with opened(context, interactive=False) as connector, progress(not wish.quiet) as observe:
        pair = connector.pair_name(wish.pair)
        busy = busy_of(connector, pair, wish.busy, wish.patience)
        with _reported(connector, wish, pair) as (run_id, came):
            engine = connector.engine(pair, busy=busy, run_id=run_id)
            came(engine)
            made = getattr(engine, wish.kind)(wish.entities, observe=observe, **wish.options)
    return made if wish.kind == "reconcile" else (made, None)


def _as_flow(context: typer.Context, wish: Wish) -> tuple[Run, Drift | None]:
    with opened(context, interactive=False) as connector:
        pair = connector.pair_name(wish.pair)
        busy = busy_of(connector, pair, wish.busy, wish.patience)
        api = connector.config.serve.prefect
    if api is not None:
        os.environ.setdefault("PREFECT_API_URL", api)
    # What is printed is the same as without: Prefect tells its own log to its server.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "ERROR")
    parameters = {"entities": list(wish.entities), "patience": busy.patience, **wish.options}
    parameters.pop("trigger", None)
    if wish.kind != "reconcile":
        parameters["busy"] = "merge" if busy.merge else "queue"
    made: tuple[Run, Drift | None] = runner("prefect")(wish.kind, context.obj, pair, parameters)
    return made


@contextmanager
def _reported(connector: Connector, wish: Wish, pair: str) -> Iterator[
        tuple[Callable[[], str], Callable[[Engine], None]]]:
    """The maker of the run's ID, and who wants to know its engine; what comes of it is shown by
    the Prefect server that is configured, if one is."""
    from connector.engine.run import new_id

    api = os.environ.get("PREFECT_API_URL") or connector.config.serve.prefect
    if wish.prefect is False or not api:
        yield new_id, lambda _engine: None
        return
    run_id = new_id()
    report = runner("report")(api, wish.kind, pair, run_id, str(connector.file.path.resolve()))
    engines: list[Engine] = []
    error: BaseException | None = None
    try:
        yield lambda: run_id, engines.append
    except BaseException as raised:
        error = raised
        raise
    finally:
        report.end(getattr(engines[0], "run", None) if engines else None, error)
