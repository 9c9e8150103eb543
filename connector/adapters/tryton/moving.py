"""Moves records through their states: by actions, after they were written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from connector.adapters.tryton.kind import Found
from connector.adapters.tryton.rpc import Refused
from connector.adapters.tryton.writing import Writing
from connector.errors import RetryLater


class Moving(Writing):
    """A batch of records, each of which is moved to the state that its payload asks for as
    `progress`; the kind's `steps` say how."""

    def _before_moving(self, done: Mapping[int, int]) -> None:
        """What comes first."""

    def _path(self, n: int, found: Found) -> Sequence[str] | None:
        """The actions that lead a record to the state asked for; None where none do."""
        row, record = found
        asked = self._intents[n].payload.get("progress")
        if asked in (None, record.payload["progress"]):
            return ()
        return self._kind.steps.get(str(asked), {}).get(row["state"])

    def _moved(self, done: Mapping[int, int]) -> dict[int, str]:
        self._before_moving(done)
        now = {row["id"]: (row, record) for row, record in self._kind.find(list(done.values()))}
        paths = {n: self._path(n, now[id]) for n, id in done.items() if id in now}
        refusals = {n: f"Tryton reaches {self._intents[n].payload['progress']!r} by its own "
                       "documents." for n, path in paths.items() if path is None}
        for action in self._kind.actions:
            some = {n: done[n] for n, path in paths.items() if path and action in path}
            for n, told in self._act(action, some).items():
                refusals[n] = told
                del paths[n]
        return refusals

    def _act(self, action: str, records: Mapping[int, int]) -> dict[int, str]:
        """Why an action was declined, by place; halved where it is, as other calls are."""
        if not records:
            return {}
        try:
            self._rpc.change(f"model.{self._kind.model}.{action}", list(records.values()))
        except RetryLater as error:
            return dict.fromkeys(records, str(error))
        except Refused as error:
            if len(records) == 1:
                return dict.fromkeys(records, f"Tryton declined to {action} it: {error}")
            items = list(records.items())
            half = len(items) // 2
            return {**self._act(action, dict(items[:half])),
                    **self._act(action, dict(items[half:]))}
        return {}
