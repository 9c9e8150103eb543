"""`native crm` and `native erp`: start a reference system."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from connector.cli.common import Json
from connector.errors import ConfigInvalid

Port = Annotated[int, typer.Option(help="The port on 127.0.0.1; 0 takes any that is free.")]
Database = Annotated[str, typer.Option(help="Its database: any SQLAlchemy URL.")]
Seed = Annotated[str | None, typer.Option(
    help="Fill an empty database: demo, a number of customers, or a folder of CSV files.")]
Faults = Annotated[bool, typer.Option("--faults", help="Offer the fault switch, for tests.")]
Level = Annotated[Literal["line", "document"], typer.Option(
    "--rounding", help="What is rounded to the minor unit: each line, or only a document's sum.")]
Tax = Annotated[Literal["rate", "line"], typer.Option(
    "--tax", help="Whether tax is rounded for each rate or on each line.")]
Half = Annotated[Literal["up", "even"], typer.Option(
    help="Where exactly half a minor unit goes.")]
Currency = Annotated[str, typer.Option(help="The currency of the company's books.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="The reference CRM and ERP.")
    group.command("crm")(crm)
    group.command("erp")(erp)
    app.add_typer(group, name="native")


def crm(port: Port = 8801, database: Database = "sqlite:///native-crm.db", seed: Seed = None,
        faults: Faults = False, rounding: Level = "line", tax: Tax = "rate", half: Half = "up",
        json: Json = False) -> None:
    """Start the reference CRM. Its token is $NATIVE_CRM_TOKEN, or crm-demo-token."""
    from connector.native.amounts import Company, Rule
    from connector.native.crm import create_app

    company = Company(rule=Rule(rounding, tax, half))
    seeded = _seed("crm", database, seed, company, json)
    app = create_app(database, token=os.environ.get("NATIVE_CRM_TOKEN", "crm-demo-token"),
                     faults=faults, company=company)
    _serve("crm", app, port, seeded, json)


def erp(port: Port = 8802, database: Database = "sqlite:///native-erp.db", seed: Seed = None,
        faults: Faults = False, rounding: Level = "line", tax: Tax = "rate", half: Half = "up",
        currency: Currency = "EUR", json: Json = False) -> None:
    """Start the reference ERP. Its key is $NATIVE_ERP_KEY, or erp-demo-key."""
    from connector.native.amounts import Company, Rule
    from connector.native.erp import create_app

    company = Company(currency, Rule(rounding, tax, half))
    seeded = _seed("erp", database, seed, company, json)
    app = create_app(database, api_key=os.environ.get("NATIVE_ERP_KEY", "erp-demo-key"),
                     faults=faults, company=company)
    _serve("erp", app, port, seeded, json)


def _serve(kind: str, app: Any, port: int, seeded: dict[str, int], json: bool) -> None:
    """Serve until stopped; with `json`, say so in one line once it is up."""
    from connector.native.serving import serve

    def up(url: str) -> None:
        if json:
            import orjson

            typer.echo(orjson.dumps({"kind": kind, "url": url, "pid": os.getpid(),
                                     "seeded": seeded}))

    serve(app, "127.0.0.1", port, up)


def _seed(kind: str, database: str, seed: str | None, company: Any,
          json: bool) -> dict[str, int]:
    """The numbers of records that were put in, by object."""
    if seed is None:
        return {}
    from connector.native.seed import SeedInvalid, fill

    try:
        counts = fill(kind, database, seed if not Path(seed).is_dir() else Path(seed), company)
    except SeedInvalid as error:
        raise ConfigInvalid(str(error)) from None
    if not json:
        typer.echo(f"seeded {database}: " + ", ".join(f"{n} {name}" for name, n in counts.items()))
    return counts
