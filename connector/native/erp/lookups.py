"""Records by reference and natural key, looked up once in a transaction and kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal
from weakref import WeakKeyDictionary

from connector.native.database import Entry, Transaction

Column = Literal["reference", "natural"]
_found: WeakKeyDictionary[Transaction, dict[tuple[str, Column, str], Entry | None]] = \
    WeakKeyDictionary()


def preload(transaction: Transaction, object: str, column: Column, values: Iterable[Any]) -> None:
    """Look up records that will be asked for; what is no text is passed over."""
    found = _found.setdefault(transaction, {})
    wanted = dict.fromkeys(value for value in values
                           if isinstance(value, str) and (object, column, value) not in found)
    if wanted:
        there = transaction.by(object, column, wanted.keys())
        found.update({(object, column, value): there.get(value) for value in wanted})


def one(transaction: Transaction, object: str, column: Column, value: str) -> Entry | None:
    """The record that has a reference or natural key now."""
    preload(transaction, object, column, [value])
    entry = _found[transaction][object, column, value]
    return entry if entry is not None and getattr(entry, column) == value else None


def keep(transaction: Transaction, entry: Entry) -> None:
    """A record has its reference and natural key from now on."""
    found = _found.setdefault(transaction, {})
    if entry.reference is not None:
        found[entry.object, "reference", entry.reference] = entry
    if entry.natural is not None:
        found[entry.object, "natural", entry.natural] = entry


def forget(transaction: Transaction, entry: Entry) -> None:
    """A new record was taken back."""
    if entry.natural is not None:
        _found.get(transaction, {}).pop((entry.object, "natural", entry.natural), None)
