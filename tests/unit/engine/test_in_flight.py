"""Several batches are written at the same time, never two that touch the same record."""

from threading import Barrier, get_ident

import pytest

from connector.domain.records import Change
from connector.engine.gather import Gathered
from connector.engine.group import Group
from connector.engine.in_flight import InFlight
from connector.errors import SystemUnreachable


def batch(*canonical_ids: str, keys: tuple[str, ...] = ()) -> Gathered:
    return Gathered(groups=[Group("customer", cid) for cid in canonical_ids],
                    taken=[Change(n, "customer", "crm", f"a{n}", "1", match_key=key)
                           for n, key in enumerate(keys)])


def test_batches_are_written_at_the_same_time() -> None:
    both = Barrier(2, timeout=10)
    with InFlight(2) as in_flight:
        in_flight.begin(batch("1"), lambda: void(both.wait()))
        in_flight.begin(batch("2"), lambda: void(both.wait()))
        assert in_flight.land()
        assert not in_flight.land()


def test_no_more_than_the_limit_are_begun() -> None:
    written = list[str]()
    with InFlight(1) as in_flight:
        in_flight.begin(batch("1"), lambda: written.append("1"))
        in_flight.begin(batch("2"), lambda: written.append("2"))
        assert written[:1] == ["1"]
    assert written == ["1", "2"]


def test_without_threads_there_is_one_order_of_events() -> None:
    ran = list[int]()
    with InFlight(0) as in_flight:
        in_flight.begin(batch("1"), lambda: ran.append(get_ident()))
        assert ran == [get_ident()]
        assert not in_flight.touches(batch("1"))
        assert not in_flight.land()


def test_a_batch_touches_one_with_the_same_record_or_match_key() -> None:
    gate = Barrier(2, timeout=10)
    with InFlight(2) as in_flight:
        in_flight.begin(batch("1", "2", keys=("DE1", "")), lambda: void(gate.wait()))
        assert in_flight.touches(batch("2", "3"))
        assert in_flight.touches(batch("9", keys=("DE1",)))
        assert not in_flight.touches(batch("3", keys=("DE2", "")))
        gate.wait()
        in_flight.land()
        assert not in_flight.touches(batch("2"))


def test_the_error_of_a_batch_is_raised_by_what_comes_after_it() -> None:
    def fail() -> None:
        raise SystemUnreachable("away")

    written = list[str]()
    with pytest.raises(SystemUnreachable), InFlight(1) as in_flight:
        in_flight.begin(batch("1"), fail)
        in_flight.begin(batch("2"), lambda: written.append("2"))
    assert written == []
    with pytest.raises(SystemUnreachable), InFlight(1) as in_flight:
        in_flight.begin(batch("1"), fail)


def void(_value: object) -> None:
    """A call for its effect."""
