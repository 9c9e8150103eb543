"""The promises of a store about an inbox that is divided among processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import Counter

import pytest

from connector.domain.actions import OutcomeKind, Tally
from connector.domain.partitions import Counts, Partition, PartitionState
from connector.domain.records import Batch, Change, Intent, Operation
from connector.errors import LeaseHeld, LeaseLost
from connector.ports import Store
from connector.testing.clock import VirtualClock

P, E = "main", "customer"
LEFT, RIGHT = Partition(P, "run", E, 0, 1), Partition(P, "run", E, 1, 1)


def _change(external_id: str, entity: str = E, **more: object) -> Change:
    return Change(0, entity, "crm", external_id, "1", {"name": external_id}, **more)  # type: ignore[arg-type]


def _divided(store: Store, **homes: Partition) -> None:
    """Changes of customers, by external ID, in the inbox and in partitions."""
    with store.begin() as uow:
        uow.receive(P, [_change(external_id) for external_id in homes])
        ids = {c.external_id: c.id for c, _ in uow.inbox_after(P, E, 0, 99)}
        uow.divide([LEFT, RIGHT], {part.slot: [ids[ext] for ext, home in homes.items()
                                               if home == part] for part in (LEFT, RIGHT)})


def _pending(store: Store, partition: Partition | None, entity: str = E) -> list[str]:
    with store.begin() as uow:
        if partition is not None:
            uow.within(partition)
        return [c.external_id for c in uow.pending(P, entity, 0, 99)]


def _batch(key: str) -> Batch:
    return Batch(key, "customers", Operation.CREATE,
                 (Intent(key, E, "1", "erp", Operation.CREATE, {}, {}, f"crm:{key}"),))


class PartitionSuite:
    """One test for each promise; a part of `StoreSuite`."""

    def test_the_inbox_of_an_entity_is_told_with_what_waits(self, store: Store) -> None:
        with store.begin() as uow:
            uow.receive(P, [_change("a"), _change("b"), _change("c"), _change("x", "contact")])
            ids = {c.external_id: c.id for c in uow.pending(P, E, 0, 99)}
            uow.wait(P, {ids["b"]: "product:crm:1"})
        with store.begin() as uow:
            assert [(c.external_id, c.payload, pending)
                    for c, pending in uow.inbox_after(P, E, ids["a"], 9)] == [
                        ("b", {"name": "b"}, False), ("c", {"name": "c"}, True)]
            assert [c.external_id for c, _ in uow.inbox_after(P, E, 0, 1)] == ["a"]

    def test_within_a_partition_only_its_changes_are_pending(self, store: Store) -> None:
        _divided(store, a=LEFT, b=RIGHT, c=LEFT)
        assert _pending(store, LEFT) == ["a", "c"]
        assert _pending(store, RIGHT) == ["b"]
        assert _pending(store, None) == ["a", "b", "c"]

    def test_merges_and_what_has_no_key_are_those_of_the_partition(self, store: Store) -> None:
        with store.begin() as uow:
            uow.receive(P, [_change("a", merged_into="b"), _change("b")])
            ids = {c.external_id: c.id for c, _ in uow.inbox_after(P, E, 0, 99)}
            uow.divide([LEFT, RIGHT], {0: [ids["a"]], 1: [ids["b"]]})
        for part, merged, unkeyed in ((LEFT, ["a"], ["a"]), (RIGHT, [], ["b"])):
            with store.begin() as uow:
                uow.within(part)
                assert [c.external_id for c in uow.merges(P, E)] == merged
                assert [c.external_id for c in uow.unkeyed(P, E, "crm", 0, 9)] == unkeyed

    def test_what_is_received_within_a_partition_belongs_to_it(self, store: Store) -> None:
        _divided(store, a=LEFT, b=RIGHT)
        with store.begin() as uow:
            uow.within(LEFT)
            uow.receive(P, [_change("a"), _change("new"), _change("x", "contact")])
        assert _pending(store, LEFT) == ["a", "new"]
        assert _pending(store, RIGHT) == ["b"]
        assert _pending(store, LEFT, "contact") == []
        assert _pending(store, None, "contact") == ["x"]

    def test_what_is_received_beside_the_partitions_is_in_none(self, store: Store) -> None:
        _divided(store, a=LEFT, b=RIGHT)
        with store.begin() as uow:
            uow.receive(P, [_change("a")])
        assert (_pending(store, LEFT), _pending(store, RIGHT)) == ([], ["b"])
        assert _pending(store, None) == ["b", "a"]

    def test_dividing_anew_ends_the_division_before(self, store: Store) -> None:
        _divided(store, a=LEFT, b=RIGHT)
        with store.begin() as uow:
            uow.add_counts(RIGHT, Counts(released=3))
            uow.save_partition(LEFT, PartitionState.DONE)
            ids = {c.external_id: c.id for c, _ in uow.inbox_after(P, E, 0, 99)}
            uow.divide([LEFT], {0: [ids["b"]]})
        assert (_pending(store, LEFT), _pending(store, RIGHT)) == (["b"], [])
        with store.begin() as uow:
            assert uow.partition_states(P) == {0: PartitionState.OPEN}
            assert uow.counts(P) == Counts()

    def test_a_partition_of_an_earlier_division_is_no_more(self, store: Store) -> None:
        _divided(store, a=LEFT, b=RIGHT)
        contacts = Partition(P, "run", "contact", 0, 1)
        with store.begin() as uow:
            assert uow.partition_state(RIGHT) is PartitionState.OPEN
            uow.divide([contacts], {})
        with store.begin() as uow:
            assert uow.partition_state(contacts) is PartitionState.OPEN
            for gone in (LEFT, RIGHT, Partition(P, "another run", "contact", 0, 2)):
                assert uow.partition_state(gone) is None

    def test_who_works_on_a_partition_has_lost_it_once_the_division_ends(
            self, store: Store) -> None:
        _divided(store, a=LEFT, b=RIGHT)
        of_pair = store.acquire_lease(P, "elsewhere:1", 60)
        of_left = store.acquire_lease(LEFT.lease, "elsewhere:2", 60)
        with store.begin() as uow:
            uow.end_division(P)
            assert uow.partition_states(P) == {}
            uow.hold_lease(P, of_pair)
        with pytest.raises(LeaseLost), store.begin() as uow:
            uow.hold_lease(LEFT.lease, of_left)
        with pytest.raises(LeaseLost):
            store.renew_lease(LEFT.lease, of_left, 60)
        assert _pending(store, None) == ["a", "b"]

    def test_batches_are_unsettled_for_the_partition_that_began_them(self, store: Store) -> None:
        with store.begin() as uow:
            uow.record_batch(P, "run", _batch("whole"))
        for part, key in ((LEFT, "left"), (RIGHT, "right")):
            with store.begin() as uow:
                uow.within(part)
                uow.record_batch(P, "run", _batch(key))
        for within, keys in ((LEFT, ["left"]), (RIGHT, ["right"]),
                             (None, ["whole", "left", "right"])):
            with store.begin() as uow:
                if within is not None:
                    uow.within(within)
                assert [batch.key for batch in uow.unsettled_batches(P)] == keys

    def test_counts_add_up_over_partitions(self, store: Store) -> None:
        _divided(store, a=LEFT, b=RIGHT)
        created = {**dict.fromkeys(OutcomeKind, 0), OutcomeKind.CREATED: 2}
        for part in (LEFT, RIGHT, LEFT):
            with store.begin() as uow:
                uow.add_counts(part, Counts({(E, "crm"): Tally(2, dict(created))},
                                            {(E, "erp", "create"): 2}, 1,
                                            frozenset({(E, "crm", str(part.slot))})))
        with store.begin() as uow:
            total = uow.counts(P)
            assert uow.counts("other") == Counts()
        assert total.tallies[E, "crm"].read == 6
        assert +Counter(total.tallies[E, "crm"].outcomes) == {OutcomeKind.CREATED: 6}
        assert (total.writes, total.released) == ({(E, "erp", "create"): 6}, 3)
        assert total.put_off == {(E, "crm", "0"), (E, "crm", "1")}

    def test_a_partition_is_left_once_nobody_holds_its_lease(self, store: Store,
                                                             clock: VirtualClock) -> None:
        _divided(store, a=LEFT, b=RIGHT)

        def states() -> list[PartitionState]:
            with store.begin() as uow:
                return [state for _, state in sorted(uow.partition_states(P).items())]

        assert states() == [PartitionState.OPEN, PartitionState.OPEN]
        token = store.acquire_lease(LEFT.lease, "elsewhere:1", 60)
        with store.begin() as uow:
            uow.save_partition(LEFT, PartitionState.BEGUN)
        assert states() == [PartitionState.BEGUN, PartitionState.OPEN]
        clock.sleep(61)
        assert states() == [PartitionState.LEFT, PartitionState.OPEN]
        store.renew_lease(LEFT.lease, token, 60)
        assert states() == [PartitionState.BEGUN, PartitionState.OPEN]
        store.release_lease(LEFT.lease, token)
        assert states() == [PartitionState.LEFT, PartitionState.OPEN]
        with store.begin() as uow:
            uow.save_partition(LEFT, PartitionState.DONE)
        assert states() == [PartitionState.DONE, PartitionState.OPEN]

    def test_a_partition_whose_worker_is_dead_is_left(self, store: Store) -> None:
        _divided(store, a=LEFT, b=RIGHT)
        died = subprocess.Popen([sys.executable, "-c", ""])
        died.wait()
        here = socket.gethostname()
        for part, pid in ((LEFT, died.pid), (RIGHT, os.getpid())):
            store.acquire_lease(part.lease, f"{here}:{pid}", 60)
            with store.begin() as uow:
                uow.save_partition(part, PartitionState.BEGUN)
        with store.begin() as uow:
            assert uow.partition_states(P) == {0: PartitionState.LEFT, 1: PartitionState.BEGUN}

    def test_the_leases_of_a_pair_and_its_partitions_are_apart(self, store: Store) -> None:
        of_pair = store.acquire_lease(P, "elsewhere:1", 60)
        of_left = store.acquire_lease(LEFT.lease, "elsewhere:2", 60)
        store.acquire_lease(RIGHT.lease, "elsewhere:3", 60)
        with pytest.raises(LeaseHeld):
            store.acquire_lease(LEFT.lease, "elsewhere:3", 60)
        store.release_lease(LEFT.lease, of_left)
        with pytest.raises(LeaseLost), store.begin() as uow:
            uow.hold_lease(P, of_pair)
            uow.hold_lease(LEFT.lease, of_left)
