"""`serve`: the receiver, the drains and the schedules in one process."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from connector.cli.common import Json, opened, runner

if TYPE_CHECKING:
    from collections.abc import Collection

    from connector.bootstrap import Connector
    from connector.web.draining import Drain


class Schedules(Protocol):
    """Whatever keeps the schedules; what is registered as `schedules` makes one."""

    api: str

    def start(self) -> None:
        """Begin; returns at once."""
        ...

    def stop(self) -> None:
        """Pause, and end what was started."""
        ...


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Where to listen.")] = None,
    port: Annotated[int | None, typer.Option(help="0 takes any that is free.")] = None,
    drain: Annotated[bool, typer.Option(
        "--drain/--no-drain", help="Work off what webhooks tell.")] = True,
    schedules: Annotated[bool, typer.Option(
        "--schedules/--no-schedules", help="Keep the config's schedules, with Prefect.")] = True,
    json: Json = False,
) -> None:
    """Take webhooks, work them off at once, and keep the schedules, until stopped."""
    from connector.native.serving import serve as serve_app
    from connector.web.metrics import Figures
    from connector.web.receiver import create_app, open_receiver
    from connector.web.watching import Watching

    with opened(context, interactive=False) as connector, ExitStack() as running:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        running.enter_context(connector.store.tended())
        conf = connector.config.serve
        for pair in connector.config.pairs:
            connector.close_abandoned(pair)
        kept = _schedules(context.obj, connector) if schedules else None
        if kept is not None:
            running.callback(kept.stop)
            kept.start()
        drains = _drains(connector) if drain else {}
        for each in drains.values():
            running.callback(each.stop)
            each.start()

        def arrived(pairs: Collection[str]) -> None:
            for pair in drains.keys() & set(pairs):
                drains[pair].wake()

        if connector.config.alerts is not None:
            watching = Watching(connector.watch())
            running.callback(watching.stop)
            watching.start()
        receiver = open_receiver(connector, arrived, conf.deliveries_per_second)
        running.callback(receiver.close)
        figures = Figures(receiver, drains, connector.store, connector.config.pairs)
        serve_app(create_app(receiver, figures.text), host or conf.host,
                  conf.port if port is None else port,
                  lambda url: _say(url, kept, json))


def _drains(connector: Connector) -> dict[str, Drain]:
    from connector.web.draining import Drain

    return {pair: Drain(connector.engine(pair)) for pair in connector.config.pairs}


def _schedules(config: Path, connector: Connector) -> Schedules | None:
    """The schedules of the config, kept by whatever is registered for it; None without any."""
    if not any(pair.schedules for pair in connector.config.pairs.values()):
        return None
    conf = connector.config.serve
    made: Schedules = runner("schedules")(config, conf.prefect, conf.prefect_port)
    return made


def _say(url: str, schedules: Schedules | None, json: bool) -> None:
    told: dict[str, Any] = {"url": url, "pid": os.getpid(),
                            "prefect": schedules.api if schedules else None}
    if json:
        import orjson

        typer.echo(orjson.dumps(told))
        return
    typer.echo(f"Webhooks are taken at {url}/webhooks/SYSTEM; metrics at {url}/metrics.")
    if schedules is not None:
        typer.echo(f"Schedules are kept by Prefect at {schedules.api}.")
