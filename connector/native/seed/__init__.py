"""Fills an empty database: made-up companies, a number of them, or a folder of CSV files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from connector.native import crm, erp
from connector.native.amounts import Company
from connector.native.seed import csv_folder, made_up
from connector.native.seed.csv_folder import SeedInvalid

__all__ = ["SeedInvalid", "fill"]

Records = Mapping[str, Iterable[Mapping[str, Any]]]


def fill(kind: str, database: str, seed: str | Path,
         company: Company | None = None) -> dict[str, int]:
    """Fill the database of a `crm` or an `erp`; returns how many records by object.

    `seed` is `demo`, a number of customers, or a folder (see `csv_folder`); documents are rounded
    as `company` does. Raises `SeedInvalid`.
    """
    records: Records
    if isinstance(seed, Path):
        records = csv_folder.read(kind, seed)
    elif seed == "demo":
        records = made_up.demo(kind)
    elif seed.isdigit():
        records = made_up.volume(kind, int(seed))
    else:
        raise SeedInvalid(f"--seed {seed}: neither demo, nor a number, nor a folder that exists.")
    try:
        load = crm.load if kind == "crm" else erp.load
        return load(database, records, company=company)
    except ValueError as error:
        raise SeedInvalid(f"--seed {seed}: {error}") from None
