"""`webhooks register`, `list`, `test` and `remove`: where a system sends its webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.common import Json, opened, print_json, print_table, say
from connector.errors import ConfigInvalid, RunFailed

if TYPE_CHECKING:
    from connector.bootstrap import Connector
    from connector.ports import RegistersWebhooks

System = Annotated[str, typer.Argument(help="The system's name in the config.")]
Url = Annotated[str, typer.Argument(help="Where `connector serve` is reached from there.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Where systems send their webhooks.")
    group.command("register")(registered)
    group.command("list")(listed)
    group.command("test")(proved)
    group.command("remove")(removed)
    app.add_typer(group, name="webhooks")


def registered(context: typer.Context, system: System, url: Url, json: Json = False) -> None:
    """Have a system send its webhooks here, signed with the first secret of the config."""
    with opened(context) as connector:
        keeper = _keeper(connector, system)
        objects = sorted({object for name, object in connector.shared() if name == system})
        address = _address(url, system)
        before = [e.id for e in keeper.endpoints() if e.url == address]
        made = keeper.add_endpoint(address, objects)
        for id in before:  # each would have every change told once more
            keeper.remove_endpoint(id)
    if json:
        print_json(made)
    else:
        say(f"{system} sends to {made.url} from now on (webhook {made.id}).")


def listed(context: typer.Context, system: System, json: Json = False) -> None:
    """Where a system sends its webhooks."""
    with opened(context) as connector:
        found = _keeper(connector, system).endpoints()
    if json:
        print_json(found)
        return
    print_table(f"Webhooks of {system}", ("id", "to", "about"),
                [(e.id, e.url, ", ".join(e.objects) or "everything") for e in found])


def proved(context: typer.Context, system: System, url: Url, json: Json = False) -> None:
    """See that the receiver is there, that it refuses what is not signed, and that the system
    sends to it."""
    with opened(context) as connector:
        address = _address(url, system)
        sends = address in {e.url for e in _keeper(connector, system).endpoints()}
    results = {"ready": _status("GET", f"{url.rstrip('/')}/ready") == 200,
               "refuses what is not signed": _status("POST", address) == 401,
               f"{system} sends to it": sends}
    if json:
        print_json(results)
    else:
        print_table(address, ("", "holds"), [(name, "yes" if holds else "no")
                                             for name, holds in results.items()])
    if not all(results.values()):
        raise typer.Exit(1)


def removed(context: typer.Context, system: System,
           id: Annotated[str, typer.Argument(help="Of the webhook, as `list` shows it.")]) -> None:
    """Have a system send to an address no more."""
    with opened(context) as connector:
        _keeper(connector, system).remove_endpoint(id)
    say(f"Webhook {id} is gone.")


def _keeper(connector: Connector, system: str) -> RegistersWebhooks:
    from connector.ports import RegistersWebhooks

    if system not in connector.config.systems:
        raise ConfigInvalid(f"There is no system {system!r} in the config.",
                            hint=f"It has: {', '.join(connector.config.systems)}.")
    adapter = connector.adapter(system)
    if not isinstance(adapter, RegistersWebhooks):
        raise RunFailed(f"The webhooks of {system} can't be registered from here.",
                        hint="Register them in the system itself, if it sends any.")
    return adapter


def _address(url: str, system: str) -> str:
    return f"{url.rstrip('/')}/webhooks/{system}"


def _status(method: str, url: str) -> int:
    """What a call is answered; 0 where nobody answers."""
    import requests

    try:
        with requests.Session() as http:
            http.trust_env = False
            return http.request(method, url, timeout=10, allow_redirects=False).status_code
    except requests.RequestException:
        return 0
