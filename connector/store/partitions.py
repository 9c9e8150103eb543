"""The parts of an entity's inbox: which change is in which, and how far they are worked off."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, String, cast, delete, select, update

from connector.domain.partitions import Counts, Partition, PartitionState
from connector.domain.records import Change
from connector.store.accounts import packed_account, unpacked_account
from connector.store.codec import load
from connector.store.inbox import CHANGE, PENDING, InboxRows, as_change
from connector.store.leases import held
from connector.store.tables import inbox, leases, partitions

_LEASE = partitions.c.pair + "#" + cast(partitions.c.slot, String)
"""The name of a partition's lease; see `Partition.lease`."""


class PartitionRows(InboxRows):
    """The part of a unit of work about partitions."""

    def inbox_after(self, pair: str, entity: str, after: int,
                    limit: int) -> list[tuple[Change, bool]]:
        rows = self.connection.execute(
            select(*CHANGE, inbox.c.state).where(inbox.c.pair == pair, inbox.c.entity == entity,
                                                 inbox.c.id > after)
            .order_by(inbox.c.id).limit(limit))
        return [(as_change(*row[:-1]), row[-1] == PENDING) for row in rows]

    def divide(self, parts: Sequence[Partition], changes: Mapping[int, Collection[int]]) -> None:
        pair, entity = parts[0].pair, parts[0].entity
        self.end_division(pair)  # first: who is still at work there holds a lease, then changes
        self.connection.execute(update(inbox).where(
            inbox.c.pair == pair, inbox.c.entity == entity, inbox.c.slot.is_not(None))
            .values(slot=None))
        for slot, ids in changes.items():
            self.execute_among(update(inbox).where(inbox.c.pair == pair).values(slot=slot),
                               inbox.c.id, ids)
        self.many(partitions.insert(), [{
            "pair": pair, "slot": part.slot, "run_id": part.run_id, "entity": entity,
            "state": PartitionState.OPEN.value, "account": _packed(Counts())} for part in parts])

    def end_division(self, pair: str) -> None:
        names = self.connection.execute(select(leases.c.pair).where(leases.c.pair.in_(
            select(_LEASE).where(partitions.c.pair == pair))).with_for_update()).scalars().all()
        self.execute_among(update(leases).values(holder="", until=0.0), leases.c.pair, names)
        self.connection.execute(delete(partitions).where(partitions.c.pair == pair))

    def partition_state(self, partition: Partition) -> PartitionState | None:
        there = self.connection.execute(select(partitions.c.slot).where(
            *_is(partition), partitions.c.run_id == partition.run_id,
            partitions.c.entity == partition.entity)).one_or_none()
        return None if there is None else self.partition_states(partition.pair)[partition.slot]

    def partition_states(self, pair: str) -> dict[int, PartitionState]:
        rows = self.connection.execute(
            select(partitions.c.slot, partitions.c.state, leases.c.holder, leases.c.until)
            .join_from(partitions, leases, isouter=True, onclause=leases.c.pair == _LEASE)
            .where(partitions.c.pair == pair))
        now = self.at.timestamp() if self.at is not None else 0.0
        return {row.slot: PartitionState.LEFT if row.state == PartitionState.BEGUN.value
                and not held(row, now) else PartitionState(row.state) for row in rows}

    def save_partition(self, partition: Partition, state: PartitionState) -> None:
        self.connection.execute(
            update(partitions).where(*_is(partition)).values(state=state.value))

    def add_counts(self, partition: Partition, counts: Counts) -> None:
        kept = self.connection.execute(select(partitions.c.account).where(*_is(partition))
                                       .with_for_update()).scalar_one()
        self.connection.execute(update(partitions).where(*_is(partition)).values(
            account=_packed(_unpacked(kept).plus(counts))))

    def counts(self, pair: str) -> Counts:
        total = Counts()
        for kept in self.connection.execute(
                select(partitions.c.account).where(partitions.c.pair == pair)).scalars():
            total = total.plus(_unpacked(kept))
        return total


def _is(partition: Partition) -> tuple[ColumnElement[bool], ...]:
    return (partitions.c.pair == partition.pair, partitions.c.slot == partition.slot)


def _packed(counts: Counts) -> bytes:
    return packed_account(counts.tallies, counts.writes, released=counts.released,
                          put_off=sorted(counts.put_off))


def _unpacked(kept: bytes) -> Counts:
    account = load(kept)
    return Counts(*unpacked_account(account), account["released"],
                  frozenset((entity, system, external_id)
                            for entity, system, external_id in account["put_off"]))
