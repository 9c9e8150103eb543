"""A batch on its way to Tryton: one call, halved where Tryton refuses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from connector.adapters.tryton.kind import Found, Kind, Unfit, lock_of
from connector.adapters.tryton.rpc import Refused, Rpc
from connector.domain.records import Intent, WriteResult, WriteStatus
from connector.errors import OutcomeUnknown, RetryLater

Item = tuple[int, Any]
"""A piece of work and its place among the results."""


class Writing:
    """One batch on its way; `results` by place."""

    def __init__(self, rpc: Rpc, kind: Kind, intents: Sequence[Intent]) -> None:
        self._rpc, self._kind, self._intents = rpc, kind, intents
        self.results: dict[int, WriteResult] = {}

    def rest(self, cause: RetryLater) -> None:
        """Say of all that have no result yet that they were not made."""
        for n in range(len(self._intents)):
            self.results.setdefault(n, WriteResult(WriteStatus.RETRY, error=str(cause),
                                                   cause=cause))

    # ---- the operations

    def create(self) -> None:
        """Make those that are not there yet; see `IdempotentCreate.SEARCH`."""
        references = [intent.reference for intent in self._intents]
        made = {n: id for reference, id in self._kind.referenced(references).items()
                for n, known in enumerate(references) if known == reference}
        self._make([n for n in range(len(self._intents)) if n not in made], made)
        self._told(made, WriteStatus.CREATED)

    def _make(self, new: Sequence[int], made: dict[int, int]) -> None:
        """Make the records at these places; their IDs go into `made`."""
        values = self._kind.creations([self._intents[n] for n in new])
        self._each(self._fit(new, values), self._create, made)

    def _create(self, items: Sequence[Item]) -> list[int]:
        ids = self._rpc.change(f"model.{self._kind.written}.create", [v for _, v in items])
        try:
            return self._kind.made(ids)
        except RetryLater as error:  # they are there
            raise OutcomeUnknown(error.message, after=error.after, hint=error.hint) from error

    def update(self) -> None:
        """Write what differs, to records that are still as they were read."""
        fresh = self._fresh()
        todo = [n for n in range(len(self._intents)) if n not in self.results]
        pairs = [(self._intents[n], fresh[n]) for n in todo]
        items = self._fit(todo, self._kind.changes(pairs))
        same = {n: fresh[n][0]["id"] for n, values in items if not values}
        done: dict[int, int] = dict(same)
        items = self._opened([item for item in items if item[1]], fresh)
        self._each(items, lambda some: self._write(some, fresh), done)
        self._told(done, WriteStatus.UPDATED)

    def _write(self, items: Sequence[Item], fresh: Mapping[int, Found]) -> list[int]:
        args: list[Any] = []
        for n, values in items:
            args += [[self._kind.target(fresh[n][0])], values]
        self._rpc.change(f"model.{self._kind.written}.write", *args,
                         context=self._expecting(items, fresh))
        return [fresh[n][0]["id"] for n, _ in items]

    def delete(self) -> None:
        """Delete what is still as it was read."""
        fresh = self._fresh()
        gone: dict[int, int] = {}

        def send(items: Sequence[Item]) -> list[int]:
            ids = [fresh[n][0]["id"] for n, _ in items]
            self._rpc.change(f"model.{self._kind.model}.delete", ids,
                             context=self._expecting(items, fresh))
            return ids

        self._each([(n, None) for n in fresh], send, gone)
        for n in gone:
            self.results[n] = WriteResult(WriteStatus.DELETED)

    # ---- the steps

    def _fresh(self) -> dict[int, Found]:
        """The records as they are now, of those that are as the intents expect them."""
        wanted = {n: self._kind.internal(i.external_id or "") for n, i in enumerate(self._intents)}
        found = {row["id"]: (row, record) for row, record in self._kind.find(
            [id for id in wanted.values() if id is not None])}
        fresh = {}
        for n, intent in enumerate(self._intents):
            there = found.get(wanted[n])
            if there is None:
                self.results[n] = WriteResult(
                    WriteStatus.GONE, error=f"Tryton has no record {intent.external_id}.")
            elif intent.version and lock_of(intent.version) != lock_of(there[1].version):
                self.results[n] = WriteResult(WriteStatus.STALE, there[1],
                                              error="It was changed meanwhile.")
            else:
                fresh[n] = there
        return fresh

    def _fit(self, places: Sequence[int], values: Sequence[Any]) -> list[Item]:
        """What can be sent; the others are told."""
        items = []
        for n, value in zip(places, values, strict=True):
            if isinstance(value, Unfit):
                self.results[n] = WriteResult(WriteStatus.REJECTED, error=str(value))
            else:
                items.append((n, value))
        return items

    def _each(self, items: Sequence[Item], send: Callable[[Sequence[Item]], list[int]],
              done: dict[int, int]) -> None:
        """Send items by one call, or in halves where that is refused; IDs go into `done`."""
        for start in range(0, len(items), self._kind.at_once):
            self._at_once(items[start:start + self._kind.at_once], send, done)

    def _at_once(self, items: Sequence[Item], send: Callable[[Sequence[Item]], list[int]],
                 done: dict[int, int]) -> None:
        try:
            done.update(zip((n for n, _ in items), send(items), strict=True))
        except Refused as error:
            if len(items) > 1:
                half = len(items) // 2
                self._at_once(items[:half], send, done)
                self._at_once(items[half:], send, done)
            else:
                self.results[items[0][0]] = WriteResult(
                    WriteStatus.STALE if error.stale else WriteStatus.REJECTED, error=str(error))
        except RetryLater as error:
            for n, _ in items:
                self.results[n] = WriteResult.put_off(error)

    def _expecting(self, items: Sequence[Item], fresh: Mapping[int, Found]) -> dict[str, Any]:
        """The context that makes Tryton refuse a write to what has changed since it was read."""
        stamps: dict[str, str] = {}
        for n, _ in items:
            stamps |= self._kind.timestamps(fresh[n][0])
        return {"_timestamp": stamps}

    def _told(self, done: Mapping[int, int], status: WriteStatus) -> None:
        """The results of what was written, read anew."""
        try:
            refusals = self._moved(done)
            found = {row["id"]: record for row, record in self._kind.find(list(done.values()))}
        except RetryLater as error:
            for n in done:  # it was made, and what it looks like is not known
                self.results[n] = WriteResult(WriteStatus.UNKNOWN, error=str(error))
            return
        for n, id in done.items():
            record = found.get(id)
            if record is None:
                self.results[n] = WriteResult(WriteStatus.GONE, error=f"Record {id} is gone.")
            else:
                reference = self._intents[n].reference if status is WriteStatus.CREATED else None
                self.results[n] = WriteResult(
                    status, replace(record, reference=reference or record.reference),
                    refusal=refusals.get(n, ""))

    # ---- what a kind does besides

    def _opened(self, items: Sequence[Item],
                fresh: dict[int, Found]) -> list[Item]:  # noqa: ARG002
        """Make records ready to be written to; gives those that are."""
        return list(items)

    def _moved(self, done: Mapping[int, int]) -> dict[int, str]:  # noqa: ARG002
        """Do what else the payloads ask for; gives what was declined, by place."""
        return {}
