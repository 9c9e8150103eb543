"""`deploy`: the config's schedules as deployments in a Prefect work pool."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from connector.cli.common import Json, opened, print_json, print_table, runner, say


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(deploy)


def deploy(
    context: typer.Context,
    pool: Annotated[str, typer.Option(
        "--pool", help="The work pool; it is made, for processes, where there is none.")
    ] = "connector",
    remove: Annotated[bool, typer.Option(
        "--remove", help="Take this config's deployments away instead.")] = False,
    json: Json = False,
) -> None:
    """Have the workers of a Prefect work pool keep the config's schedules."""
    with opened(context, interactive=False) as connector:
        did: dict[str, Any] = runner("deploy")(connector, pool, remove=remove)
    if json:
        print_json(did)
        return
    print_table(f"Deployments in {pool}, at {did['api']}", ("deployment", "what was done"),
                [(name, what) for what in ("created", "changed", "removed", "unchanged")
                 for name in did[what]])
    if did["pool_created"]:
        say(f"The work pool {pool} was made.")
    for name in did["closed"]:
        say(f"Nobody works on {name} any more: closed as crashed.")
    if not remove:
        say(f"Runs are made by workers: prefect worker start --pool {pool}")
