"""Writes that are made, refused, lost, late or of an unknown fate: what is on record when, what is
sent again, and that nothing is doubled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from connector.adapters.memory import MemoryAdapter, MemorySettings
from connector.domain.actions import OutcomeKind
from connector.domain.ledger import Conflict, ConflictState, Run, RunState
from connector.domain.policies import CRM, ERP, EntityPolicy, FieldPolicy, Role
from connector.domain.records import Batch, RemoteRecord, WriteResult, WriteStatus
from connector.engine.pair import Pair, Side
from connector.engine.plan_file import read_gate
from connector.engine.run import Engine
from connector.errors import BudgetSpent, OutcomeUnknown, RetryLater, SystemUnreachable
from connector.store.open import open_store
from connector.testing.clock import VirtualClock
from connector.testing.torture.world import LOADED

OBJECTS = {CRM: "accounts", ERP: "debtors"}
NAME, TOWN, PHONE, MAIL = ({CRM: "title", ERP: "name1"}, {CRM: "town", ERP: "place"},
                           {CRM: "phone", ERP: "tel"}, {CRM: "mail", ERP: "e_mail"})
UNKNOWN = WriteResult(WriteStatus.UNKNOWN, error="no answer")
_worlds = count()

Answer = Callable[[MemoryAdapter, Batch], list[WriteResult]]


class Died(BaseException):
    """The process is gone."""


class Scripted(MemoryAdapter):
    """Answers the next batches as told, and as a memory system after that."""

    def __init__(self, settings: MemorySettings, clock: VirtualClock) -> None:
        super().__init__(settings, clock)
        self.answers: list[Answer] = []
        self.batches: list[Batch] = []
        self.asked: list[Sequence[str]] = []

    def write(self, batch: Batch) -> list[WriteResult]:
        self.batches.append(batch)
        return self.answers.pop(0)(self, batch) if self.answers else self.made(batch)

    def made(self, batch: Batch) -> list[WriteResult]:
        """Write the batch."""
        return super().write(batch)

    def find(self, object: str, references: Sequence[str]) -> dict[str, RemoteRecord]:
        self.asked.append(references)
        return super().find(object, references)


def says(*results: WriteResult) -> Answer:
    """Nothing is written."""
    return lambda _adapter, _batch: list(results)


def lost(adapter: Any, batch: Batch) -> list[WriteResult]:
    """All is written, and no answer comes."""
    adapter.made(batch)
    return [UNKNOWN] * len(batch.intents)


def in_full(adapter: Any, batch: Batch) -> list[WriteResult]:
    """All is written; of the first record's telephone number the system makes another one."""
    first, *others = adapter.made(batch)
    row = adapter.system.put(batch.object, first.record.external_id, {PHONE[ERP]: "+49 1"})
    return [replace(first, record=row.record()), *others]


def put_off(cause: RetryLater) -> WriteResult:
    """A write whose call failed."""
    return WriteResult.put_off(cause)


class Scene:
    """Customers in two systems; a process that dies at a point, where one is named."""

    def __init__(self, **policy: Any) -> None:
        self.clock, world = VirtualClock(), f"apply {next(_worlds)}"
        self.store = open_store("sqlite://", self.clock)
        self.crm, self.erp = (Scripted(MemorySettings(name=role, world=world), self.clock)
                              for role in (CRM, ERP))
        self.pair = Pair("main", Side(CRM, CRM, self.crm, LOADED[CRM]),
                         Side(ERP, ERP, self.erp, LOADED[ERP]),
                         {"customer": EntityPolicy(match=("vat_number",), **policy)})
        self.points: list[str] = []
        self.told: list[tuple[str, str, int]] = []
        self.dies_at = ""

    def enter(self, *names: str) -> None:
        """A user enters customers in the CRM."""
        for name in names:
            self.crm.system.put("accounts", name, {
                "title": name, "town": "Berlin", "phone": "1", "currency": "EUR",
                "tax_no": f"DE-{name}", "active": True})

    def edit(self, role: Role, field: dict[Role, str], value: str, name: str = "A") -> None:
        """A user edits a customer."""
        system = (self.crm if role == CRM else self.erp).system
        external_id = next(ext for ext, row in system.objects[OBJECTS[role]].items()
                           if row.payload[NAME[role]] == name)
        system.put(OBJECTS[role], external_id, {field[role]: value})

    @property
    def engine(self) -> Engine:
        """The connector, freshly started."""
        return Engine(self.pair, self.store, self.clock, crash=self._crash, in_flight=0)

    def _crash(self, point: str) -> None:
        self.points.append(point)
        if point == self.dies_at:
            self.dies_at = ""
            raise Died

    def sync(self) -> Run:
        """A sync of a process just started."""
        return self.engine.sync(safety_stop=False, observe=lambda *told: self.told.append(told))

    def dies(self, point: str) -> None:
        """A sync whose process dies at a point; its lease has run out when the next one comes."""
        self.dies_at = point
        with pytest.raises(Died):
            self.sync()
        self.clock.sleep(600)

    def unsure(self) -> None:
        """A sync that can't tell what came of its writes."""
        with pytest.raises(SystemUnreachable, match="no answer"):
            self.sync()

    def held(self, role: Role, field: dict[Role, str]) -> list[str]:
        """What the customers of one side have in a field, in order."""
        system = (self.crm if role == CRM else self.erp).system
        return sorted(row.payload[field[role]] for row in
                      system.objects.get(OBJECTS[role], {}).values() if not row.deleted)

    @property
    def outbox(self) -> list[Batch]:
        """The batches whose results were not kept."""
        with self.store.begin() as uow:
            return uow.unsettled_batches("main")

    @property
    def conflicts(self) -> list[Conflict]:
        """All there were."""
        with self.store.begin() as uow:
            return uow.conflicts("main", states=tuple(ConflictState))

    def settled(self, *names: str) -> None:
        """Each of the customers stands once on each side, and nothing is left to be done."""
        assert self.held(CRM, NAME) == self.held(ERP, NAME) == sorted(names)
        assert self.outbox == []
        run = self.sync()
        assert run.state is RunState.COMPLETED
        assert not any(run.writes.values())


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def linked() -> Scene:
    """Both systems know customer A."""
    scene = Scene()
    scene.enter("A")
    scene.sync()
    for log in (scene.points, scene.told, scene.erp.batches, scene.crm.batches):
        log.clear()
    return scene


class TestSteps:
    def test_intents_first_then_the_writes_then_what_came_of_them(self, scene: Scene) -> None:
        scene.enter("A", "B")
        run = scene.sync()
        assert [p for p in scene.points if p != "page read"] == ["intents recorded", "before write",
                                                                 "after write", "results not kept",
                                                                 "results kept"]
        assert [told for told in scene.told if told[1] == "write"] == [("customer", "write", 2)]
        assert run.writes == {("customer", ERP, "create"): 2}
        scene.settled("A", "B")

    def test_a_write_is_on_record_before_it_is_made(self, scene: Scene) -> None:
        scene.enter("A")
        scene.dies("intents recorded")
        assert scene.erp.batches == []
        (recorded,) = scene.outbox
        scene.sync()
        assert scene.erp.batches == [recorded]
        scene.settled("A")

    @pytest.mark.parametrize("point", ["after write", "results not kept"])
    def test_a_create_whose_result_was_not_kept_is_found_by_its_reference(
            self, scene: Scene, point: str) -> None:
        scene.enter("A", "B")
        scene.dies(point)
        (recorded,) = scene.outbox
        scene.sync()
        assert scene.erp.asked == [[intent.reference for intent in recorded.intents]]
        assert scene.erp.batches == [recorded]
        scene.settled("A", "B")

    def test_once_it_is_kept_nothing_is_verified(self, scene: Scene) -> None:
        scene.enter("A")
        scene.dies("results kept")
        assert scene.outbox == []
        scene.sync()
        assert scene.erp.asked == []
        scene.settled("A")

    def test_both_values_are_on_record_before_one_is_overwritten(self) -> None:
        scene = Scene(default=FieldPolicy(conflict="prefer_crm"))
        scene.enter("A")
        scene.sync()
        scene.edit(CRM, TOWN, "Bonn")
        scene.edit(ERP, TOWN, "Ulm")
        scene.edit(ERP, PHONE, "2")  # so that each side is told something
        scene.dies("before write")
        (conflict,) = scene.conflicts
        assert (conflict.path, conflict.base, conflict.crm, conflict.erp, conflict.title) == (
            "city", "Berlin", "Bonn", "Ulm", "A")
        assert (conflict.entity, conflict.settled_by) == ("customer", "prefer crm")
        assert scene.held(ERP, TOWN) == ["Ulm"]
        scene.sync()
        assert scene.held(CRM, TOWN) == scene.held(ERP, TOWN) == ["Bonn"]
        assert {c.path for c in scene.conflicts} == {"city"}

    def test_without_a_conflict_none_is_kept(self, linked: Scene) -> None:
        linked.edit(CRM, TOWN, "Bonn")
        run = linked.sync()
        assert run.writes == {("customer", ERP, "update"): 1}
        assert linked.conflicts == []


class TestWhatAWriteCallsFor:
    """The ERP makes something else of a value than it was told."""

    STEP = ("intents recorded", "before write", "after write")

    def test_it_goes_to_the_other_side_at_once(self, scene: Scene) -> None:
        scene.erp.answers = [in_full]
        scene.enter("A")
        run = scene.sync()
        assert [point for point in scene.points if point != "page read"] == [
            *self.STEP, *self.STEP, "results not kept", "results kept"]
        assert run.writes == {("customer", ERP, "create"): 1, ("customer", CRM, "update"): 1}
        assert scene.held(CRM, PHONE) == scene.held(ERP, PHONE) == ["+49 1"]
        scene.settled("A")

    def test_a_saved_plan_leaves_it_to_the_next_sync(self, scene: Scene, tmp_path: Path) -> None:
        scene.erp.answers = [in_full]
        scene.enter("A")
        (tmp_path / "plan.json").write_bytes(scene.engine.plan().to_json())
        run = scene.engine.apply(read_gate(tmp_path / "plan.json", "main"))
        assert run.writes == {("customer", ERP, "create"): 1}
        assert scene.held(CRM, PHONE) == ["1"]
        scene.sync()
        assert scene.held(CRM, PHONE) == scene.held(ERP, PHONE) == ["+49 1"]
        scene.settled("A")

    def test_while_another_write_is_of_an_unknown_fate_it_waits(self, scene: Scene) -> None:
        def first_only(adapter: Any, batch: Batch) -> list[WriteResult]:
            return [in_full(adapter, batch)[0], UNKNOWN]
        scene.erp.answers = [first_only]
        scene.enter("A", "B")
        scene.sync()
        assert scene.held(CRM, PHONE) == scene.held(ERP, PHONE) == ["+49 1", "1"]
        scene.settled("A", "B")


    def test_what_was_kept_of_a_batch_of_mixed_fate_is_not_taken_in_again(
            self, scene: Scene) -> None:
        def second_lost(adapter: Any, batch: Batch) -> list[WriteResult]:
            return [adapter.made(batch)[0], UNKNOWN]
        scene.erp.answers = [second_lost]
        scene.enter("A", "B")
        for name in ("A", "B"):
            scene.crm.system.put("accounts", name, {"mail": None})
        scene.sync()
        with scene.store.begin() as uow:
            made = {name: [entry.reason for entry in uow.history(
                "main", "customer", scene.pair.canonical_id("customer", CRM, name))
                if entry.kind is OutcomeKind.CREATED] for name in ("A", "B")}
        assert made == {"A": [""], "B": ["found again after an interruption"]}
        scene.edit(ERP, MAIL, "a@example.org")
        scene.sync()
        assert scene.crm.system.objects["accounts"]["A"].payload["mail"] == "a@example.org"


class TestMoved:
    def test_a_record_that_moved_is_read_and_planned_again(self, linked: Scene) -> None:
        def slips_in(adapter: Any, batch: Batch) -> list[WriteResult]:
            linked.edit(ERP, PHONE, "2")
            return list(adapter.made(batch))
        linked.erp.answers = [slips_in]
        linked.edit(CRM, TOWN, "Bonn")
        run = linked.sync()
        assert run.writes == {("customer", ERP, "update"): 1, ("customer", CRM, "update"): 1}
        assert len(linked.erp.batches) == 2
        for role in (CRM, ERP):
            assert (linked.held(role, TOWN), linked.held(role, PHONE)) == (["Bonn"], ["2"])
        linked.settled("A")

    def test_one_that_is_gone_is_read_as_deleted(self, linked: Scene) -> None:
        def goes(adapter: Any, batch: Batch) -> list[WriteResult]:
            adapter.system.delete("debtors", batch.intents[0].external_id)
            return list(adapter.made(batch))
        linked.erp.answers = [goes]
        linked.edit(CRM, TOWN, "Bonn")
        run = linked.sync()
        assert ("customer", ERP, "update") not in run.writes
        (conflict,) = linked.conflicts
        assert conflict.kind == "update_against_delete"


class TestAway:
    @pytest.mark.parametrize("after", [None, 7.0])
    def test_a_system_that_takes_nothing_ends_the_run(self, linked: Scene,
                                                      after: float | None) -> None:
        cause = SystemUnreachable("the ERP is closed", after=after)
        linked.erp.answers = [says(put_off(cause))]
        linked.edit(CRM, TOWN, "Bonn")
        with pytest.raises(SystemUnreachable) as away:
            linked.sync()
        assert (away.value.message, away.value.after) == ("the ERP is closed", after)
        assert away.value.hint == "What was not written stays in the inbox; sync again later."
        assert len(linked.erp.batches) == 1
        linked.sync()
        assert linked.held(ERP, TOWN) == ["Bonn"]
        linked.settled("A")

    def test_a_failure_without_a_cause_says_no_wait(self, linked: Scene) -> None:
        linked.erp.answers = [says(WriteResult(WriteStatus.RETRY, error="busy"))]
        linked.edit(CRM, TOWN, "Bonn")
        with pytest.raises(SystemUnreachable) as away:
            linked.sync()
        assert (away.value.message, away.value.after) == ("busy", None)

    def test_one_that_takes_a_part_is_not_away(self, scene: Scene) -> None:
        def first_only(adapter: Any, batch: Batch) -> list[WriteResult]:
            made = adapter.write_one(batch.object, batch.intents[0])
            return [made, WriteResult(WriteStatus.RETRY, error="busy")]
        scene.erp.answers = [first_only]
        scene.enter("A", "B")
        run = scene.sync()
        assert run.writes == {("customer", ERP, "create"): 2}
        scene.settled("A", "B")

    def test_a_budget_spent_in_the_middle_is_spent_for_the_rest(self, scene: Scene) -> None:
        spent = BudgetSpent("no call is left", after=60)

        def first_only(adapter: Any, batch: Batch) -> list[WriteResult]:
            return [adapter.write_one(batch.object, batch.intents[0]), put_off(spent)]
        scene.erp.answers = [first_only]
        scene.enter("A", "B")
        with pytest.raises(BudgetSpent) as paused:
            scene.sync()
        assert paused.value is spent
        assert scene.held(ERP, NAME) == ["A"]
        scene.sync()
        scene.settled("A", "B")


class TestUnknown:
    def test_what_was_made_is_found(self, scene: Scene) -> None:
        scene.erp.answers = [lost]
        scene.enter("A", "B")
        scene.unsure()
        scene.sync()
        assert len(scene.erp.batches) == 1
        assert len(scene.erp.asked) == 1
        scene.settled("A", "B")

    def test_beside_what_is_known_it_is_verified_at_once(self, scene: Scene) -> None:
        def first_only(adapter: Any, batch: Batch) -> list[WriteResult]:
            return [adapter.made(batch)[0], UNKNOWN]
        scene.erp.answers = [first_only]
        scene.enter("A", "B")
        run = scene.sync()
        assert run.state is RunState.COMPLETED
        assert (len(scene.erp.batches), len(scene.erp.asked)) == (1, 1)
        scene.settled("A", "B")

    @pytest.mark.parametrize("nothing_made", [False, True])
    def test_it_is_looked_for_where_it_was_sent(self, scene: Scene, nothing_made: bool) -> None:
        scene.erp.system.put("debtors", "D", {"name1": "D", "place": "Berlin", "tel": "1",
                                              "cur": "EUR", "vat_no": "DE-D", "locked": False})
        scene.crm.answers = [says(UNKNOWN) if nothing_made else lost]
        scene.unsure()
        scene.sync()
        assert (len(scene.crm.asked), len(scene.crm.batches)) == (1, 2 if nothing_made else 1)
        assert (scene.erp.asked, scene.erp.batches) == ([], [])
        scene.settled("D")

    def test_they_are_looked_for_in_as_many_calls_as_the_system_needs(self,
                                                                      scene: Scene) -> None:
        scene.erp.capabilities = replace(scene.erp.capabilities, read_batch=2)
        scene.erp.answers = [lost]
        scene.enter("A", "B", "C")
        scene.unsure()
        scene.sync()
        references = [intent.reference for intent in scene.erp.batches[0].intents]
        assert scene.erp.asked == [references[:2], references[2:]]
        scene.settled("A", "B", "C")

    def test_what_was_not_made_is_sent_again_as_it_was(self, scene: Scene) -> None:
        scene.erp.answers = [says(UNKNOWN, UNKNOWN)]
        scene.enter("A", "B")
        scene.unsure()
        scene.sync()
        first, second = scene.erp.batches
        assert first == second
        scene.settled("A", "B")

    def test_what_was_made_in_part_is_made_whole(self, scene: Scene) -> None:
        def second_only(adapter: Any, batch: Batch) -> list[WriteResult]:
            adapter.write_one(batch.object, batch.intents[1])
            return [UNKNOWN, UNKNOWN]
        scene.erp.answers = [second_only]
        scene.enter("A", "B")
        scene.unsure()
        scene.sync()
        scene.settled("A", "B")

    def test_what_was_deleted_since_was_not_found(self, scene: Scene) -> None:
        def made_and_deleted(adapter: Any, batch: Batch) -> list[WriteResult]:
            (made,) = adapter.made(batch)
            adapter.system.delete(batch.object, made.record.external_id)
            return [UNKNOWN]
        scene.erp.answers = [made_and_deleted]
        scene.enter("A")
        scene.unsure()
        scene.sync()
        assert len(scene.erp.batches) == 2
        scene.settled("A")

    @pytest.mark.parametrize(("error", "says_"), [
        ("no answer", "no answer"), ("", "The last writes could not be verified.")])
    def test_where_it_stays_unknown_the_run_ends(self, scene: Scene, error: str,
                                                 says_: str) -> None:
        scene.erp.answers = [says(UNKNOWN), says(WriteResult(WriteStatus.UNKNOWN, error=error))]
        scene.enter("A")
        scene.unsure()
        with pytest.raises(RetryLater) as unknown:
            scene.sync()
        assert unknown.value.message == says_
        assert len(scene.outbox) == 1
        scene.sync()
        scene.settled("A")

    def test_where_no_call_is_left_to_verify_it_the_run_pauses(self, scene: Scene) -> None:
        spent = BudgetSpent("no call is left", after=60)
        scene.erp.answers = [says(put_off(OutcomeUnknown("no answer"))), says(put_off(spent))]
        scene.enter("A")
        scene.unsure()
        with pytest.raises(BudgetSpent) as paused:
            scene.sync()
        assert paused.value is spent
        scene.sync()
        scene.settled("A")

    def test_an_update_is_read_again_and_not_looked_for(self, linked: Scene) -> None:
        linked.erp.answers = [lost]
        linked.edit(CRM, TOWN, "Bonn")
        linked.unsure()
        linked.sync()
        assert linked.erp.asked == []
        assert len(linked.erp.batches) == 1
        assert linked.held(ERP, TOWN) == ["Bonn"]
        linked.settled("A")

    def test_an_update_that_was_not_made_is_planned_again(self, linked: Scene) -> None:
        linked.erp.answers = [says(UNKNOWN)]
        linked.edit(CRM, TOWN, "Bonn")
        linked.unsure()
        linked.sync()
        assert len(linked.erp.batches) == 2
        assert linked.held(ERP, TOWN) == ["Bonn"]
        linked.settled("A")
