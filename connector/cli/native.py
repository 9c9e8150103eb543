"""`native crm` and `native erp`: start a reference system."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from connector.errors import ConfigInvalid

Port = Annotated[int, typer.Option(help="The port on 127.0.0.1.")]
Database = Annotated[str, typer.Option(help="Its database: any SQLAlchemy URL.")]
Seed = Annotated[str | None, typer.Option(
    help="Fill an empty database: demo, a number of customers, or a folder of CSV files.")]
Faults = Annotated[bool, typer.Option("--faults", help="Offer the fault switch, for tests.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="The reference CRM and ERP.")
    group.command("crm")(crm)
    group.command("erp")(erp)
    app.add_typer(group, name="native")


def crm(port: Port = 8801, database: Database = "sqlite:///native-crm.db", seed: Seed = None,
        faults: Faults = False) -> None:
    """Start the reference CRM. Its token is $NATIVE_CRM_TOKEN, or crm-demo-token."""
    from connector.native import crm as app
    from connector.native.serving import serve

    _seed("crm", database, seed)
    serve(app.create_app(database, token=os.environ.get("NATIVE_CRM_TOKEN", "crm-demo-token"),
                         faults=faults), "127.0.0.1", port)


def erp(port: Port = 8802, database: Database = "sqlite:///native-erp.db", seed: Seed = None,
        faults: Faults = False) -> None:
    """Start the reference ERP. Its key is $NATIVE_ERP_KEY, or erp-demo-key."""
    from connector.native import erp as app
    from connector.native.serving import serve

    _seed("erp", database, seed)
    serve(app.create_app(database, api_key=os.environ.get("NATIVE_ERP_KEY", "erp-demo-key"),
                         faults=faults), "127.0.0.1", port)


def _seed(kind: str, database: str, seed: str | None) -> None:
    if seed is None:
        return
    from connector.native.seed import SeedInvalid, fill

    try:
        counts = fill(kind, database, seed if not Path(seed).is_dir() else Path(seed))
    except SeedInvalid as error:
        raise ConfigInvalid(str(error)) from None
    typer.echo(f"seeded {database}: " + ", ".join(f"{n} {name}" for name, n in counts.items()))
