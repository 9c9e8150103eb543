"""The command tree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from connector.cli import (
    adapters,
    alerts,
    demo,
    deploy,
    drift,
    letters,
    links,
    native,
    review,
    runs,
    serve,
    setup,
    undo,
    webhooks,
)

app = typer.Typer(
    name="connector", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Keeps a CRM and an ERP in agreement: customers, quotes, orders, invoices and stock, "
         "both ways.")


def _version(wanted: bool) -> None:
    if wanted:
        from connector import __version__
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    config: Annotated[Path, typer.Option(
        "--config", "-c", envvar="CONNECTOR_CONFIG", help="The config file.")] = Path(
            "config.yaml"),
    version: Annotated[bool, typer.Option(  # noqa: ARG001 - typer calls back
        "--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Options of every command."""
    context.obj = config


for module in (setup, runs, drift, undo, serve, deploy, webhooks, alerts, review, letters, links,
               adapters, native, demo):
    module.register(app)
