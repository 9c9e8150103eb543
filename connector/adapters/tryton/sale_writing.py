"""How sales are written: their states are moved by actions, and quotations become orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connector.adapters.tryton.kind import Found
from connector.adapters.tryton.moving import Moving
from connector.adapters.tryton.rpc import Rpc
from connector.adapters.tryton.sale_kinds import Sales
from connector.adapters.tryton.sales import ALWAYS, AnySale
from connector.adapters.tryton.writing import Item
from connector.domain.records import Intent, WriteResult, WriteStatus


class SaleWriting(Moving):
    """A batch of quotations or orders. A quotation becomes a draft before it is changed, and is
    quoted again after."""

    def __init__(self, rpc: Rpc, kind: AnySale, intents: Sequence[Intent]) -> None:
        super().__init__(rpc, kind, intents)
        self._sale = kind
        self._reopened: dict[int, int] = {}

    def _make(self, new: Sequence[int], made: dict[int, int]) -> None:
        """An order with a quotation is that quotation, confirmed; the others are new sales. One
        that was marked before it was confirmed is found by its mark when it is asked for again."""
        based = {n: id for n in new if isinstance(self._kind, Sales) and (
            id := self._kind.internal(str(self._intents[n].payload.get("quotation"))))}
        super()._make([n for n in new if n not in based], made)
        if isinstance(self._kind, Sales) and based:
            self._become(self._kind, based, made)

    def _become(self, kind: Sales, based: Mapping[int, int], made: dict[int, int]) -> None:
        found = kind.whatever(list(based.values()))
        for n, id in based.items():
            if id not in found:
                self.results[n] = WriteResult(WriteStatus.REJECTED,
                                              error=f"Tryton has no quotation {id}.")
        fresh = {n: found[id] for n, id in based.items() if id in found}
        values = kind.becoming([(self._intents[n], there) for n, there in fresh.items()])
        items = self._opened(self._fit(list(fresh), values), fresh)
        self._each(items, lambda some: self._write(some, fresh), made)

    def _opened(self, items: Sequence[Item], fresh: dict[int, Found]) -> list[Item]:
        quoted = [(n, values) for n, values in items
                  if fresh[n][0]["state"] == "quotation" and set(values) - ALWAYS]

        def send(some: Sequence[Item]) -> list[int]:
            ids = [fresh[n][0]["id"] for n, _ in some]
            self._rpc.change("model.sale.sale.draft", ids, context=self._expecting(some, fresh))
            return ids

        self._each(quoted, send, self._reopened)
        now = self._sale.whatever(list(self._reopened.values()))
        for n, id in self._reopened.items():
            if id in now and _content(now[id]) == _content(fresh[n]):
                fresh[n] = now[id]
            else:
                self.results[n] = WriteResult(WriteStatus.STALE, error="It was changed meanwhile.")
        return [(n, values) for n, values in items if n not in self.results]

    def _before_moving(self, done: Mapping[int, int]) -> None:
        self._act("quote", {n: id for n, id in self._reopened.items() if n not in done})

    def _path(self, n: int, found: Found) -> Sequence[str] | None:
        path = super()._path(n, found)
        return ("quote",) if path == () and n in self._reopened and found[0]["state"] == "draft" \
            else path


def _content(found: Found) -> dict[str, Any]:
    """What a sale holds, without its state."""
    return {name: value for name, value in found[1].payload.items() if name != "state"}
