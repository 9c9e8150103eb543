"""The promises of a store about what records are told: how they stand with the other side."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from connector.domain.records import Change, Link
from connector.domain.telling import Parked, Told, Unsettled
from connector.ports import Store
from connector.testing.clock import VirtualClock

P, E, S = "main", "customer", "crm"


def tied(external_id: str, version: str = "1", system: str = S) -> Link:
    """A link of a customer."""
    return Link(E, f"of {external_id}", system, external_id, version, {"name": external_id})


def read(external_id: str, version: str = "1", system: str = S) -> Change:
    """A change of a customer."""
    return Change(0, E, system, external_id, version, {"name": external_id})


class ToldSuite:
    """One test for each promise; a part of `StoreSuite`."""

    def test_what_was_told_is_kept_and_replaced(self, store: Store, clock: VirtualClock) -> None:
        at = clock.now() + timedelta(microseconds=123_456)
        failed = Told("a", "failed", "email 'x' is no e-mail address", at)
        with store.begin() as uow:
            uow.save_told(P, E, S, [failed, Told("b", "waiting", "waits for product p", at)])
        with store.begin() as uow:
            assert uow.told(P, E, S, ["a", "c"]) == {"a": failed}
            uow.save_told(P, E, S, [Told("a", "in_sync", since=at), Told("a", "conflict", "e", at)])
            assert uow.told(P, E, S, ["a"]) == {"a": Told("a", "conflict", "e", at)}
            uow.forget_told(P, E, S, ["a", "c"])
            assert list(uow.told(P, E, S, ["a", "b"])) == ["b"]

    def test_records_are_told_once_or_anew(self, store: Store, clock: VirtualClock) -> None:
        told = Told("a", "in_sync", since=clock.now())
        with store.begin() as uow:
            uow.save_told(P, E, S, [told])
            uow.to_tell(P, [(E, S, "a"), (E, S, "b")], anew=False)
            uow.to_tell(P, [], anew=True)
        with store.begin() as uow:
            assert uow.told(P, E, S, ["a", "b"]) == {"a": told, "b": Told("b", due=True)}
            uow.to_tell(P, [(E, S, "a")], anew=True)
            assert uow.told(P, E, S, ["a"]) == {"a": replace(told, due=True)}

    def test_who_is_due_or_was_told_of_trouble_is_yet_to_be_told(
            self, store: Store, clock: VirtualClock) -> None:
        with store.begin() as uow:
            uow.save_told(P, E, S, [
                Told("in sync", "in_sync", since=clock.now()),
                Told("carried over", "in_sync", since=clock.now(), due=True),
                Told("parked", "failed", "no", clock.now()), Told("new", due=True)])
        with store.begin() as uow:
            untold = uow.untold(P, E, S)
        assert sorted(untold) == ["carried over", "new", "parked"]
        assert untold["new"] == Told("new", due=True)

    def test_what_was_told_is_kept_apart(self, store: Store) -> None:
        with store.begin() as uow:
            for pair, entity, system in ((P, E, "erp"), (P, "order", S), ("other", E, S)):
                uow.save_told(pair, entity, system, [Told("a", "failed", "no")])
            assert uow.untold(P, E, S) == {}
            assert uow.told(P, E, S, ["a"]) == {}
            uow.forget_told(P, E, S, ["a"])
            uow.begin_telling(P, E, S)
            assert [list(uow.untold(*at)) for at in
                    ((P, E, "erp"), (P, "order", S), ("other", E, S))] == [["a"]] * 3

    def test_telling_begins_with_all_that_is_there_and_linked(self, store: Store) -> None:
        with store.begin() as uow:
            uow.save_links(P, [tied("a"), replace(tied("gone"), seen=None),
                               replace(tied("twin"), alias=True), tied("b", system="erp")])
            uow.begin_telling(P, E, S)
            assert uow.told(P, E, S, ["a", "gone", "twin", "b"]) == {"a": Told("a", due=True)}
            uow.save_links(P, [tied("c")])
            uow.begin_telling(P, E, S)  # once: from then on whoever links says so
            assert list(uow.untold(P, E, S)) == ["a"]

    def test_telling_begins_with_what_is_linked_though_something_was_told_before(
            self, store: Store) -> None:
        with store.begin() as uow:
            uow.save_links(P, [tied("a"), tied("b")])
            uow.to_tell(P, [(E, S, "b")], anew=True)
            uow.begin_telling(P, E, S)
            assert sorted(uow.untold(P, E, S)) == ["a", "b"]

    def test_telling_looks_again_for_what_was_never_told(
            self, store: Store, clock: VirtualClock) -> None:
        told = [Told("a", "in_sync", since=clock.now()), Told("b", "failed", "no", clock.now())]
        with store.begin() as uow:
            uow.save_links(P, [tied("a"), tied("b")])
            uow.save_told(P, E, S, told)
            uow.begin_telling(P, E, S)
            assert uow.untold(P, E, S) == {"b": told[1]}
            uow.save_links(P, [tied("c")])
            uow.begin_telling(P, E, S, again=True)
            assert uow.untold(P, E, S) == {"b": told[1], "c": Told("c", due=True)}

    def test_what_is_amiss_is_told_in_short(self, store: Store, clock: VirtualClock) -> None:
        with store.begin() as uow:
            uow.receive(P, [read("a"), read("b", "2", "erp"), Change(0, "order", S, "o", "1")])
            uow.bury(P, "run", clock.now(), [(read("c", "3"), "decode", "DecodeFailed", "no")])
            waiting = uow.pending(P, E, 0, 9)[1]
            uow.wait(P, {waiting.id: "customer:crm:z"})
        with store.begin() as uow:
            assert uow.parked(P, E) == [Parked(S, "c", "3", "no")]
            assert uow.parked("other", E) == uow.parked(P, "order") == []
            assert sorted(uow.unsettled(P, E), key=lambda row: row.external_id) == [
                Unsettled(S, "a", "1", None), Unsettled("erp", "b", "2", "customer:crm:z")]
            assert uow.unsettled("other", E) == []

    def test_the_payload_read_last_of_what_is_unsettled(self, store: Store,
                                                        clock: VirtualClock) -> None:
        with store.begin() as uow:
            uow.bury(P, "run", clock.now(), [(read(ext, "1"), "decode", "E", "no")
                                             for ext in ("a", "b")])
            uow.receive(P, [replace(read("b", "2"), payload={"name": "later"}), read("c"),
                            read("d", system="erp")])
            assert uow.unsettled_payloads(P, E, S, ["a", "b", "d", "z"]) == {
                "a": ("1", {"name": "a"}), "b": ("2", {"name": "later"})}

    def test_a_version_is_replaced_wherever_the_one_before_is_kept(
            self, store: Store, clock: VirtualClock) -> None:
        with store.begin() as uow:
            uow.save_links(P, [tied("a"), tied("b", "7"), tied("a", system="erp")])
            uow.receive(P, [read("a"), read("c", "4")])
            uow.bury(P, "run", clock.now(), [(read("d", "5"), "decode", "E", "no"),
                                             (read("d", "5", "erp"), "decode", "E", "no")])
            uow.restamp(P, E, S, {"a": ("1", "2"), "b": ("6", "8"), "c": ("4", "5"),
                                  "d": ("5", "6")})
            uow.restamp(P, E, S, {})
        with store.begin() as uow:
            assert uow.versions(P, E, S, ["a", "b"]) == {"a": "2", "b": "7"}
            assert uow.versions(P, E, "erp", ["a"]) == {"a": "1"}
            assert uow.inbox_versions(P, E, S, ["a", "c"]) == {"a": "2", "c": "5"}
            assert uow.dead_versions(P, E, S, ["d"]) == {"d": "6"}
            assert uow.dead_versions(P, E, "erp", ["d"]) == {"d": "5"}
