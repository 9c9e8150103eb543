"""`undo`: puts back what a run wrote, after showing it."""

from __future__ import annotations

from typing import Annotated

import typer

from connector.cli.common import Json, PairName, opened, print_json, progress, say


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(undo)


def undo(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="The run, as `status` names it.")],
    apply: Annotated[bool, typer.Option(
        "--apply", "--yes", help="Carry it out; else it is only shown.")] = False,
    pair: PairName = None, json: Json = False,
) -> None:
    """Put back what a run wrote, where nothing has changed since; without --apply, show it."""
    from connector.cli.runs import NEEDS_ATTENTION, exit_as, print_actions, print_run

    with opened(context) as connector, progress(not json) as observe:
        engine = connector.engine(connector.pair_name(pair))
        if not apply:
            plan = engine.plan_undo(run, observe=observe)
            if json:
                print_json({"pair": plan.pair, "undoes": run, "actions": list(plan.actions)})
                return
            print_actions(plan.actions)
            say(f"Nothing was written. Carry it out with: connector undo {run} --apply")
            return
        done, left = engine.undo(run, observe=observe)
    if json:
        print_json({"run": done, "undoes": run, "left": left})
    else:
        print_run(done)
        if left:
            print_actions(left)
    exit_as(done, quiet=json)
    if left:
        raise typer.Exit(NEEDS_ATTENTION)
