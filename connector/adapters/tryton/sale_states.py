"""How the states of sales are moved: by actions, before and after they are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connector.adapters.tryton.kind import Found, Kind
from connector.adapters.tryton.rpc import Refused, Rpc
from connector.adapters.tryton.writing import Item, Writing
from connector.domain.records import Intent, WriteResult, WriteStatus
from connector.errors import RetryLater

_STEPS = {"draft": ("quote", "confirm"), "quotation": ("confirm",), "confirmed": ("process",)}


class SaleWriting(Writing):
    """A batch of sales: quotations become drafts before they are changed, and each sale is moved
    to the state that its payload asks for as `progress`."""

    def __init__(self, rpc: Rpc, kind: Kind, intents: Sequence[Intent]) -> None:
        super().__init__(rpc, kind, intents)
        self._reopened: dict[int, int] = {}

    def _opened(self, items: Sequence[Item], fresh: dict[int, Found]) -> list[Item]:
        quoted = [(n, values) for n, values in items
                  if fresh[n][0]["state"] == "quotation" and set(values) - {"reference"}]

        def send(some: Sequence[Item]) -> list[int]:
            ids = [fresh[n][0]["id"] for n, _ in some]
            self._rpc.change("model.sale.sale.draft", ids, context=self._expecting(some, fresh))
            return ids

        self._each(quoted, send, self._reopened)
        now = {found[0]["id"]: found for found in self._kind.find(list(self._reopened.values()))}
        for n, id in self._reopened.items():
            if id in now and _content(now[id]) == _content(fresh[n]):
                fresh[n] = now[id]
            else:
                self.results[n] = WriteResult(WriteStatus.STALE, error="It was changed meanwhile.")
        return [(n, values) for n, values in items if n not in self.results]

    def _moved(self, done: Mapping[int, int]) -> dict[int, str]:
        reopened = self._reopened
        self._act("quote", {n: id for n, id in reopened.items() if n not in done})
        wanted = {n: self._intents[n].payload.get("progress") for n in done
                  if self._intents[n].payload.get("progress") or n in reopened}
        refusals: dict[int, str] = {}
        if not wanted:
            return refusals
        now = {found[0]["id"]: found for found in self._kind.find([done[n] for n in wanted])}
        steps: dict[int, Sequence[str]] = {}
        for n, asked in wanted.items():
            if done[n] in now:
                row, record = now[done[n]]
                if asked in (None, record.payload["progress"]):
                    steps[n] = ("quote",) if n in reopened and row["state"] == "draft" else ()
                elif asked == "processing" and row["state"] in _STEPS:
                    steps[n] = _STEPS[row["state"]]
                elif asked == "cancelled" and row["state"] in ("draft", "quotation"):
                    steps[n] = ("cancel",)
                else:
                    refusals[n] = f"Tryton reaches {asked!r} by its own documents."
        for action in ("quote", "confirm", "process", "cancel"):
            some = {n: done[n] for n, path in steps.items() if action in path}
            for n, told in self._act(action, some).items():
                refusals[n] = told
                steps.pop(n)
        return refusals

    def _act(self, action: str, sales: Mapping[int, int]) -> dict[int, str]:
        """Why an action was declined, by place; halved where it is, as other calls are."""
        if not sales:
            return {}
        try:
            self._rpc.change(f"model.sale.sale.{action}", list(sales.values()))
        except RetryLater as error:
            return dict.fromkeys(sales, str(error))
        except Refused as error:
            if len(sales) == 1:
                return dict.fromkeys(sales, f"Tryton declined to {action} it: {error}")
            items = list(sales.items())
            half = len(items) // 2
            return {**self._act(action, dict(items[:half])),
                    **self._act(action, dict(items[half:]))}
        return {}


def _content(found: Found) -> dict[str, Any]:
    """What a sale holds, without its state."""
    return {name: value for name, value in found[1].payload.items() if name != "state"}
