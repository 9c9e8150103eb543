"""`dead-letters`: records parked after failing."""

from __future__ import annotations

from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.common import Json, Number, PairName, opened, print_json, print_table, say
from connector.cli.runs import finish
from connector.errors import RunFailed

if TYPE_CHECKING:
    from connector.bootstrap import Connector
    from connector.domain.ledger import DeadLetter



def register(app: typer.Typer) -> None:
    """Add the commands."""
    letters = typer.Typer(no_args_is_help=True, help="Records parked after failing.")
    letters.command("list")(list_letters)
    letters.command("show")(show_letter)
    letters.command("replay")(replay_letter)
    letters.command("edit")(edit_letter)
    letters.command("discard")(discard_letter)
    app.add_typer(letters, name="dead-letters")


def list_letters(context: typer.Context, pair: PairName = None, json: Json = False) -> None:
    """List parked records, oldest first."""
    with opened(context) as connector, connector.store.begin() as uow:
        found = uow.dead_letters(connector.pair_name(pair))
    if json:
        print_json(found)
        return
    print_table(f"{len(found)} dead letters",
                ("no", "record", "stage", "tries", "next try", "what happened"),
                [(str(d.id), d.trace_key, d.stage, d.attempts, _next_try(d), d.message)
                 for d in found])


def show_letter(context: typer.Context, number: Number, json: Json = False) -> None:
    """Show a parked record with its payload."""
    with opened(context) as connector:
        letter = _letter(connector, number)
    if json:
        print_json(letter)
        return
    print_table(f"Dead letter {letter.id}", ("", ""), [
        ("record", letter.trace_key), ("stage", letter.stage), ("error", letter.error),
        ("what happened", letter.message), ("tries", letter.attempts),
        ("next try", _next_try(letter)), ("run", letter.run_id), ("at", letter.at)])
    print_json(letter.payload)
    say(f"Put it right, then: connector dead-letters replay {number}. Or try it once with another "
        f"payload: connector dead-letters edit {number} --set PATH=VALUE")


def replay_letter(
    context: typer.Context,
    numbers: Annotated[list[int] | None, typer.Argument(help="Their numbers.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    pair: PairName = None, json: Json = False,
) -> None:
    """Read parked records again and try them once more."""
    if every == bool(numbers):
        raise RunFailed("Name the numbers of dead letters, or say --all.")
    with opened(context) as connector:
        name = connector.pair_name(pair)
        if every:
            with connector.store.begin() as uow:
                letters = uow.dead_letters(name)
        else:
            letters = [_letter(connector, number) for number in numbers or ()]
        run = connector.engine(name).replay(letters)
    finish(run, json)


def edit_letter(
    context: typer.Context, number: Number,
    given: Annotated[list[str] | None, typer.Option(
        "--set", help="PATH=VALUE, such as tax.vat_no=DE1 or lines.0.qty=2; JSON or text.")] = None,
    file: Annotated[Path | None, typer.Option(
        "--file", help="A JSON file with the whole payload.")] = None,
    by: Annotated[str | None, typer.Option(help="Who edits; you, where not said.")] = None,
    pair: PairName = None, json: Json = False,
) -> None:
    """Try a parked record once more with an edited payload in the place of what was read."""
    from connector.cli.edits import assigned, payload_of
    from connector.domain.values import shown

    if (file is None) == (not given):
        raise RunFailed("Say --set PATH=VALUE, once or more, or --file FILE.")
    with opened(context) as connector:
        letter = _letter(connector, number)
        if file is not None:
            payload, what = payload_of(file), f"payload from {file.name}"
        else:
            payload, what = assigned(letter.payload, given or ())
        note = f"edited by {by or getuser()} at {shown(connector.clock.now())}: {what}"
        run = connector.engine(connector.pair_name(pair)).replay_edited(letter, payload, note)
    finish(run, json)


def discard_letter(context: typer.Context, number: Number, json: Json = False) -> None:
    """Forget a parked record; a later change of it comes through as any other."""
    with opened(context) as connector:
        letter = _letter(connector, number)
        with connector.store.begin() as uow:
            uow.remove_dead_letter(number)
    if json:
        print_json({"discarded": letter.trace_key})
    else:
        say(f"Discarded {letter.trace_key}.")


def _next_try(letter: DeadLetter) -> str:
    from connector.domain.values import shown

    return "when a person does" if letter.next_try_at is None else shown(letter.next_try_at)


def _letter(connector: Connector, number: int) -> DeadLetter:
    with connector.store.begin() as uow:
        letter = uow.dead_letter(number)
    if letter is None:
        raise RunFailed(f"There is no dead letter {number}.",
                        hint="See them with `connector dead-letters list`.")
    return letter
