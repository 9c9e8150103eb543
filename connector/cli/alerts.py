"""`alerts check`, `alerts list` and `alerts test`: what is not well, and who is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from connector.cli.common import Json, opened, print_json, print_table, say

if TYPE_CHECKING:
    from connector.domain.alerts import Alert


def register(app: typer.Typer) -> None:
    """Add the commands."""
    alerts = typer.Typer(no_args_is_help=True, help="What is not well, and who is told of it.")
    alerts.command("check")(check)
    alerts.command("list")(list_)
    alerts.command("test")(try_channels)
    app.add_typer(alerts, name="alerts")


def check(context: typer.Context, json: Json = False) -> None:
    """Look at every pair, and tell every channel what is new and what is over."""
    with opened(context) as connector:
        told = connector.watch().check()
    if json:
        print_json({"raised": [_row(a) for a in told.raised],
                    "recovered": [_row(a) for a in told.recovered],
                    "undelivered": told.undelivered})
    else:
        for word, alerts in (("new", told.raised), ("over", told.recovered)):
            for alert in alerts:
                say(f"{word}: {alert.finding.message}")
        for channel, reason in told.undelivered.items():
            say(f"not delivered: {channel}: {reason}; the next check tries again")
        if not (told.raised or told.recovered or told.undelivered):
            say("Nothing new.")
    if told.undelivered:
        raise typer.Exit(1)


def list_(context: typer.Context, json: Json = False) -> None:
    """The alerts that last, and who has been told of them."""
    with opened(context) as connector, connector.store.begin() as uow:
        alerts = uow.alerts()
    if json:
        print_json([_row(a) for a in alerts])
    elif alerts:
        print_table("Alerts", ("since", "state", "what", "told"),
                    [(a.since, a.state.value, a.finding.message, ", ".join(sorted(a.told)))
                     for a in alerts])
    else:
        say("All is well, as far as the last check saw.")


def try_channels(context: typer.Context, json: Json = False) -> None:
    """Send a test to every channel."""
    with opened(context) as connector:
        said = connector.watch().test()
    if json:
        print_json([{"channel": name, "error": error} for name, error in said.items()])
    else:
        print_table("Channels", ("channel", "", "said"),
                    [(name, "WRONG" if error else "ok", error) for name, error in said.items()])
    if any(said.values()):
        raise typer.Exit(1)


def _row(alert: Alert) -> dict[str, Any]:
    return {"pair": alert.finding.pair, "rule": alert.finding.rule,
            "subject": alert.finding.subject, "message": alert.finding.message,
            "since": alert.since, "state": alert.state.value, "told": sorted(alert.told)}
