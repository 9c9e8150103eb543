"""Marks at a sale: for which quote, and for which order, of the other side it was made.

One sale may be both, so both stand in its description, beside what people write there:
`[quotation crm:17] [order crm:quote:17]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from connector.adapters.tryton.rpc import Row, Rpc

QUOTATION, ORDER = "quotation", "order"
_MARK = re.compile(rf"\[({QUOTATION}|{ORDER}) (.+?)\](?= \[|\s*$)")
_AT_ONCE = 100  # texts looked for by one call: each is a condition of its own
BEARS_ORDER = ["description", "like", f"%[{ORDER} %"]
BEARS_NO_ORDER = ["description", "not like", f"%[{ORDER} %"]
BEARS_QUOTATION = ["description", "like", f"%[{QUOTATION} %"]


def marks(description: str | None) -> dict[str, str]:
    """The references in a description, by what they mark."""
    return dict(_MARK.findall(description or ""))


def marked(description: str | None, word: str, reference: str) -> str:
    """A description with one mark more."""
    return f"{description or ''} [{word} {reference}]".strip()


class Marked:
    """Finds a company's sales by their marks. A copy keeps the description of what it is a copy
    of, so the oldest sale with a mark is the one."""

    def __init__(self, rpc: Rpc, model: str, domain: Sequence[Any]) -> None:
        self._rpc, self._model, self._domain = rpc, model, list(domain)

    def oldest(self, word: str, references: Sequence[str]) -> dict[str, int]:
        """The oldest sale for each reference."""
        found: dict[str, int] = {}
        for start in range(0, len(references), _AT_ONCE):
            some = set(references[start:start + _AT_ONCE])
            texts = [["description", "like", f"%[{word} {_plain(r)}]%"] for r in sorted(some)]
            for id, told in self._read(["OR", *texts]):
                if told.get(word) in some:
                    found.setdefault(told[word], id)
        return found

    def own(self, rows: Iterable[Row]) -> dict[int, Mapping[str, str]]:
        """Of these sales, the marks that are not those of a copy."""
        told = {row["id"]: marks(row["description"]) for row in rows}
        whole = sorted({row["description"] for row in rows if told[row["id"]]})
        if not whole:
            return {}
        first: dict[tuple[str, str], int] = {}
        for id, there in self._read([["description", "in", whole]]):
            for mark in there.items():
                first.setdefault(mark, id)
        # A quotation may have been copied before it became an order.
        open_ones = [there[QUOTATION] for there in told.values()
                     if QUOTATION in there and ORDER not in there]
        for reference, id in self.oldest(QUOTATION, open_ones).items():
            first[QUOTATION, reference] = id
        return {id: {word: ref for word, ref in there.items() if first.get((word, ref)) == id}
                for id, there in told.items()}

    def _read(self, domain: list[Any]) -> list[tuple[int, dict[str, str]]]:
        rows = self._rpc.read(self._model, [domain, *self._domain], ["description"],
                              order=[["id", "ASC"]])
        return [(row["id"], marks(row["description"])) for row in rows]


def _plain(reference: str) -> str:
    """A reference as a pattern that stands for itself."""
    return re.sub(r"([\\%_])", r"\\\1", reference)
