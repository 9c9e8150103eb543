"""The thread that looks for alerts: it outlives what goes wrong in a look, and ends when told."""

from __future__ import annotations

import threading

import pytest

from connector.alerts.watch import LEASE, Told, Watch
from connector.domain.alerts import AlertRules
from connector.store.open import open_store
from connector.store.unit_of_work import SqlStore
from connector.testing.clock import VirtualClock
from connector.web.watching import Watching


class Looks(Watch):
    """A watch that counts its looks; some of them fail."""

    def __init__(self, store: SqlStore, *failing: int) -> None:
        super().__init__(store, VirtualClock(), AlertRules(), {"main": ("crm", "erp")}, [])
        self.failing, self.made, self.enough = failing, 0, threading.Event()

    def check(self) -> Told:
        self.made += 1
        if self.made >= 4:
            self.enough.set()
        if self.made in self.failing:
            raise ZeroDivisionError
        return super().check()


@pytest.mark.parametrize("held", [False, True], ids=["free", "held"])
def test_a_look_that_fails_is_made_again(held: bool) -> None:
    store = open_store("sqlite://", VirtualClock())
    if held:
        store.acquire_lease(LEASE, "elsewhere:1", 600)
    looks = Looks(store, 1, 3)
    watching = Watching(looks, every=0.001)
    watching.start()
    assert looks.enough.wait(30)
    watching.stop()
    made = looks.made
    assert not [t for t in threading.enumerate() if t.name == "alerts"]
    assert looks.made == made >= 4
    store.close()
