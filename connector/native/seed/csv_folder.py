"""Reads records from a folder of CSV files.

One file for each object, named as in the API (`accounts.csv`, `sales_orders.csv`), UTF-8 with a
header. Columns are the API's field names, nested ones with a dot (`tax.vat_no`); an empty cell
leaves the field out. `id` gives a record its ID, so that others can refer to it. The lines of
documents stand in `quotes.lines.csv`, with the document's ID in the column `document`. The ERP
takes `actions.csv` too (`action`, `id` of the order), carried out in order after the orders, and
`payments.csv` after those; invoices are numbered from 1 in the order of their actions. Where the
folder has a folder `crm` or `erp`, that one is read.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from connector.native.crm.objects import OBJECTS as CRM_OBJECTS
from connector.native.erp.objects import OBJECTS as ERP_OBJECTS
from connector.native.fields import F, Spec

_ACTIONS: Spec = {"action": F(str), "id": F(int, json="integer"), "carrier": F(str),
                  "tracking": F(str), "shipped_at": F(str)}


class SeedInvalid(Exception):
    """A seed that can't be loaded; the message names file, line and column."""


def read(kind: str, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The records of a folder, parents first. Raises `SeedInvalid`."""
    inner = folder / kind
    root = inner if inner.is_dir() else folder
    specs: dict[str, Spec] = dict(CRM_OBJECTS if kind == "crm" else ERP_OBJECTS)
    if kind == "erp":
        del specs["payments"], specs["deliveries"], specs["invoices"]
        specs.update(actions=_ACTIONS, payments=ERP_OBJECTS["payments"])
    id_field = F(str) if kind == "crm" else F(int, json="integer")
    found = {}
    for object, spec in specs.items():
        path = root / f"{object}.csv"
        if path.exists():
            found[object] = _records(path, {"id": id_field, **spec})
            _add_lines(root / f"{object}.lines.csv", spec, found[object])
    if not found:
        raise SeedInvalid(f"{root}: holds none of {', '.join(f'{o}.csv' for o in specs)}.")
    return found


def _records(path: Path, spec: Spec) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        unknown = [c for c in reader.fieldnames or () if _field(spec, c) is None]
        if unknown:
            raise SeedInvalid(f"{path}:1: there is no field {unknown[0]!r}.")
        return [_record(path, reader.line_num, row, spec) for row in reader]


def _record(path: Path, line: int, row: Mapping[str, str], spec: Spec) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for column, text in row.items():
        if not text:
            continue
        field = _field(spec, column)
        assert field is not None
        try:
            value = _value(field, text)
        except (ValueError, InvalidOperation):
            raise SeedInvalid(f"{path}:{line}: {column}: {text!r} is no {field.json}.") from None
        outer, dot, inner = column.partition(".")
        if dot:
            record.setdefault(outer, {})[inner] = value
        else:
            record[column] = value
    return record


def _field(spec: Spec, column: str) -> F | None:
    outer, dot, inner = column.partition(".")
    field = spec.get(outer)
    return field.nested.get(inner) if field is not None and dot else field


def _value(field: F, text: str) -> Any:
    if field.json == "integer":
        return int(text)
    if field.json == "number":
        exact = Decimal(text)
        return int(exact) if exact == int(exact) else exact
    if field.json == "boolean":
        if text not in ("true", "false"):
            raise ValueError(text)
        return text == "true"
    return text


def _add_lines(path: Path, spec: Spec, records: list[dict[str, Any]]) -> None:
    if not path.exists():
        return
    id_field = F(str)
    by_document: dict[str, list[dict[str, Any]]] = {}
    for line in _records(path, {"document": id_field, **spec["lines"].nested}):
        by_document.setdefault(line.pop("document"), []).append(line)
    for record in records:
        record["lines"] = by_document.pop(str(record.get("id")), [])
    if by_document:
        raise SeedInvalid(f"{path}: lines of {next(iter(by_document))!r}, but no such document.")
