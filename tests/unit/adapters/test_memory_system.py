"""The system in memory."""

from __future__ import annotations

import threading

import pytest

from connector.adapters.memory import MemoryAdapter, MemorySettings, MemorySystem
from connector.domain.records import Batch, Intent, Operation, WriteStatus
from connector.errors import AccessDenied, SystemUnreachable
from connector.testing.clock import VirtualClock


def adapter(world: str, *, page: int = 100, look_back: int = 0) -> MemoryAdapter:
    """An adapter to a world of its own."""
    return MemoryAdapter(MemorySettings(name="shop", world=world), VirtualClock(), page=page,
                         look_back=look_back)


def create(n: int, reference: str) -> Intent:
    """An intent that makes a record."""
    return Intent(f"k{n}", "thing", str(n), "shop", Operation.CREATE, {"n": n}, {}, reference)


def test_adapters_to_one_world_meet_in_it() -> None:
    adapter("met").system.put("things", "a", {"n": 1})
    assert adapter("met").get("things", ["a"])["a"].payload == {"n": 1}
    assert adapter("other").get("things", ["a"]) == {}


def test_what_changes_nothing_moves_nothing() -> None:
    system = MemorySystem()
    first = system.put("things", "a", {"n": 1, "m": 2})
    assert system.put("things", "a", {"n": 1}).at == first.at
    assert system.put("things", "a", {"n": 2}).at > first.at
    system.delete("things", "a")
    assert not system.put("things", "a", {"n": 2}).deleted


def test_a_late_change_shows_where_it_began() -> None:
    system = MemorySystem()
    system.put("things", "a", {"n": 1})
    commit = system.late("things", "a", {"n": 2})
    later = system.put("things", "b", {"n": 1})
    assert system.objects["things"]["a"].payload == {"n": 1}
    assert commit().at < later.at
    assert system.objects["things"]["a"].payload == {"n": 2}


def test_a_look_back_is_a_capability() -> None:
    assert adapter("back", look_back=4).capabilities.look_back.total_seconds() == 4


def test_a_page_taken_by_an_adapter_is_not_the_systems_own() -> None:
    shop = adapter("own")
    shop.system.put("things", "a", {"n": 1})
    (page,) = shop.pull("things", None)
    shop.system.put("things", "a", {"n": 2})
    assert page.records[0].payload == {"n": 1}


def test_an_outage_ends_every_call() -> None:
    shop = adapter("away")
    shop.system.outage = SystemUnreachable("away")
    for call in (shop.check, lambda: shop.describe("things"), lambda: shop.get("things", ["a"]),
                 lambda: shop.find("things", ["r"]), lambda: list(shop.pull("things", None))):
        with pytest.raises(SystemUnreachable):
            call()
    (result,) = shop.write(Batch("k", "things", Operation.CREATE, (create(1, "r"),)))
    assert (result.status, result.error) == (WriteStatus.RETRY, "away")
    shop.system.outage = AccessDenied("no")
    with pytest.raises(AccessDenied):
        shop.write(Batch("k", "things", Operation.CREATE, (create(1, "r"),)))
    assert shop.system.objects == {}


def test_of_many_threads_one_makes_the_record() -> None:
    shop, together = adapter("threads"), threading.Barrier(8)
    made = list[str]()

    def work(n: int) -> None:
        together.wait(10)
        (result,) = shop.write(Batch(f"k{n}", "things", Operation.CREATE, (create(n, "same"),)))
        assert result.record is not None
        made.append(result.record.external_id)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [made[0]] * 8
