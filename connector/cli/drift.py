"""`reconcile`: compares everything, tells what drifted, and repairs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.carrying import AsFlow, Patience, Wish, carry_out
from connector.cli.common import (
    Entities,
    Json,
    PairName,
    print_json,
    print_table,
    say,
)
from connector.cli.runs import SafetyStop

if TYPE_CHECKING:
    from connector.domain.drift import Drift

DRIFTED = 10


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(reconcile)


def reconcile(
    context: typer.Context, entity: Entities = None, pair: PairName = None,
    report_only: Annotated[bool, typer.Option(
        "--report-only", help="Tell what drifted; write nothing to either system.")] = False,
    safety_stop: SafetyStop = True, patience: Patience = None, prefect: AsFlow = None,
    json: Json = False,
) -> None:
    """Compare everything whatever the cursors say, tell what drifted, and repair it."""
    from connector.cli.runs import exit_as, print_run

    run, drift = carry_out(context, Wish(
        "reconcile", pair, entity or [], None, patience, prefect, json,
        {"safety_stop": safety_stop, "report_only": report_only}))
    assert drift is not None
    if json:
        print_json({"run": run, "drift": {
            "total": drift.total, "sides": [
                {"entity": name, "side": side, "compared": number, **counts}
                for name, side, number, counts in drift.table()], "examples": drift.examples}})
    else:
        print_drift(drift)
        if not report_only:
            print_run(run)
    exit_as(run, quiet=json)
    if drift.total:
        raise typer.Exit(DRIFTED)


def print_drift(drift: Drift) -> None:
    """What was found, as tables."""
    from connector.domain.drift import DriftKind

    columns = ("entity", "side", "compared", *(kind.value for kind in DriftKind))
    print_table(f"Drift: {drift.total or 'nothing'}", columns,
                [(name, side, number, *(counts[kind] for kind in DriftKind))
                 for name, side, number, counts in drift.table()], right=columns[2:])
    if drift.examples:
        print_table("What drifted", ("kind", "entity", "side", "record", "how"),
                    [(d.kind.value, d.entity, d.side, d.external_id, d.reason)
                     for d in drift.examples])
    if drift.total > len(drift.examples):
        say(f"{drift.total - len(drift.examples)} more are counted above.")
