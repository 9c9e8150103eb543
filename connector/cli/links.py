"""`links`: what is tied to what, and tying and parting by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.common import Entity, Json, PairName, opened, print_json, print_table
from connector.errors import RunFailed

if TYPE_CHECKING:
    from connector.bootstrap import Connector

System = Annotated[str, typer.Argument(help="The system that the record stands in.")]
Record = Annotated[str, typer.Argument(help="Its external ID there.")]
Into = Annotated[tuple[str, str], typer.Option(
    "--with", help="System and external ID of the record that is the same thing.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    links = typer.Typer(no_args_is_help=True, help="Which records are the same thing.")
    links.command("list")(list_links)
    links.command("join")(join_links)
    links.command("split")(split_link)
    app.add_typer(links, name="links")


def list_links(context: typer.Context, entity: Entity, system: System, record: Record,
               pair: PairName = None, json: Json = False) -> None:
    """List all records that are the same thing as this one."""
    with opened(context) as connector:
        name = connector.pair_name(pair)
        _known(connector, name, entity, system)
        with connector.store.begin() as uow:
            ids = uow.canonical_ids(name, entity, system, [record])
            links = uow.links_by_canonical(name, entity, list(ids.values()))
    found = [link for those in links.values() for link in those]
    if not found:
        raise RunFailed(f"{entity} {record} of {system} is not linked.",
                        hint="`connector history` and `connector dead-letters list` may say why.")
    if json:
        print_json([{"system": link.system, "external_id": link.external_id,
                     "alias": link.alias, "deleted": link.seen is None} for link in found])
        return
    print_table(f"{entity} {ids[record]}", ("system", "external ID", "what it is"), [
        (link.system, link.external_id, _what(link.alias, link.seen is None)) for link in found])


def _what(alias: bool, deleted: bool) -> str:
    kind = "alias" if alias else "kept in agreement"
    return f"{kind}, deleted there" if deleted else kind


def join_links(context: typer.Context, entity: Entity, system: System, record: Record, into: Into,
               pair: PairName = None, json: Json = False) -> None:
    """Say that a record is the same thing as another one, of either side."""
    from connector.cli.runs import finish

    with opened(context) as connector:
        name = connector.pair_name(pair)
        for named in (system, into[0]):
            _known(connector, name, entity, named)
        run = connector.engine(name).join(entity, (system, record), into)
    finish(run, json)


def split_link(context: typer.Context, entity: Entity, system: System, record: Record,
               pair: PairName = None, json: Json = False) -> None:
    """Part a record from the others of its thing: it becomes one of its own."""
    from connector.cli.runs import finish

    with opened(context) as connector:
        name = connector.pair_name(pair)
        _known(connector, name, entity, system)
        run = connector.engine(name).split(entity, (system, record))
    finish(run, json)


def _known(connector: Connector, pair: str, entity: str, system: str) -> None:
    conf = connector.config.pairs[pair]
    if entity not in conf.entities:
        raise RunFailed(f"Pair {pair!r} has no entity {entity!r}.",
                        hint=f"It shares: {', '.join(conf.entities)}.")
    if system not in (conf.crm, conf.erp):
        raise RunFailed(f"Pair {pair!r} has no system {system!r}.",
                        hint=f"It joins {conf.crm} and {conf.erp}.")
