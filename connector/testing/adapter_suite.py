"""The promises of an adapter. Inherit `AdapterSuite` and give it a `world` fixture.

Everything is done through the adapter, but for `edit` and `delete`, which change a record behind
its back, as a user of the system does.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from connector.domain.records import Operation, Page, WriteStatus
from connector.domain.values import FieldType
from connector.errors import AccessDenied, CursorExpired, SystemUnreachable
from connector.testing.adapter_world import (
    AdapterWorld,
    batch,
    change,
    create,
    ids,
    intent,
    moment,
    one,
    pull,
    texts,
    written,
)
from connector.testing.webhook_suite import WebhookSuite

_MADE = {Operation.CREATE: WriteStatus.CREATED, Operation.UPDATE: WriteStatus.UPDATED}

LONG_TEXT = "x" * 4000
"""4,000 characters."""


class AdapterSuite(WebhookSuite):
    """One test for each promise."""

    def test_preparing_adds_nothing_that_is_there(self, world: AdapterWorld) -> None:
        create(world, 1)
        world.adapter.prepare(world.object_name, {world.text_field: FieldType.TEXT})
        assert world.adapter.prepare(world.object_name, {world.text_field: FieldType.TEXT}) == []

    def test_a_pull_reads_every_record_once(self, world: AdapterWorld) -> None:
        made = create(world, *range(1, 8))
        read = ids(pull(world))
        assert {r.external_id for r in made} <= set(read)
        assert len(read) == len(set(read))

    def test_a_cursor_is_text_and_leads_on_from_every_page(self, world: AdapterWorld) -> None:
        create(world, *range(1, 8))
        everything = set(ids(pull(world)))
        seen = set[str]()
        for page in pull(world):
            assert isinstance(page.cursor, str)
            seen |= {record.external_id for record in page.records}
            assert seen | set(ids(pull(world, page.cursor))) == everything

    def test_a_pull_from_the_end_brings_what_changed_since(self, world: AdapterWorld) -> None:
        _, second = create(world, 1, 2)
        cursor = pull(world)[-1].cursor
        world.edit(second.external_id, {world.text_field: "changed since"})
        (third,) = create(world, 3)
        pages = pull(world, cursor)
        changed = {r.external_id: r for page in pages for r in page.records}
        assert {second.external_id, third.external_id} <= set(changed)
        assert changed[second.external_id].payload[world.text_field] == "changed since"

    def test_a_record_that_changes_between_pages_is_not_missed(self, world: AdapterWorld) -> None:
        made = create(world, *range(1, 8))
        pages = world.adapter.pull(world.object_name, None)
        first = next(pages)
        for record in made:
            world.edit(record.external_id, {world.text_field: f"between {record.external_id}"})
        rest = list(pages)
        last = (rest or [first])[-1].cursor
        read = texts(world, [first, *rest, *pull(world, last)])
        assert {f"between {record.external_id}" for record in made} <= read

    def test_a_change_that_comes_up_late_is_not_missed(self, world: AdapterWorld) -> None:
        if world.late is None:
            pytest.skip("the system can't be held up")
        first, second, *_ = create(world, *range(1, 8))
        commit = world.late(first.external_id, {world.text_field: "late"})
        create(world, 8)
        cursor = pull(world)[-1].cursor
        commit()
        assert "late" in texts(world, pull(world, cursor))

        commit = world.late(second.external_id, {world.text_field: "late, in mid-pull"})
        (newest,) = create(world, 9)
        read = list[Page]()
        for page in (pages := world.adapter.pull(world.object_name, None)):
            read.append(page)
            if newest.external_id in ids(read):
                break
        commit()
        create(world, *range(10, 21))
        read += pages
        assert "late, in mid-pull" in texts(world, [*read, *pull(world, read[-1].cursor)])

    def test_records_of_one_instant_are_not_lost(self, world: AdapterWorld) -> None:
        made = create(world, *range(1, 1 + min(world.adapter.capabilities.write_batch, 40)))
        assert {r.external_id for r in made} <= set(ids(pull(world)))

    def test_a_strange_cursor_is_told(self, world: AdapterWorld) -> None:
        with pytest.raises(CursorExpired):
            pull(world, "no cursor of ours")

    def test_the_version_moves_with_the_record_and_only_then(self, world: AdapterWorld) -> None:
        (made,) = create(world, 1)
        assert one(world, made.external_id).version == made.version
        world.edit(made.external_id, {world.text_field: "edited"})
        edited = one(world, made.external_id)
        assert edited.version != made.version
        changed = written(change(world, edited, {world.text_field: "changed"}))
        assert changed.version not in (made.version, edited.version)
        assert one(world, made.external_id).version == changed.version
        assert {r.version for page in pull(world) for r in page.records} == {changed.version}

    def test_the_time_of_change_is_the_servers_and_moves_with_an_edit(
            self, world: AdapterWorld) -> None:
        if not world.adapter.capabilities.change_times:
            pytest.skip("the system gives no time of change that can be trusted")
        made, other = create(world, 1, 2)
        at = moment(one(world, made.external_id))
        assert at == moment(made) == moment(one(world, made.external_id))
        assert at == next(moment(r) for page in pull(world) for r in page.records
                          if r.external_id == made.external_id)
        world.edit(made.external_id, {world.text_field: "edited"})
        edited = next(r for page in pull(world) for r in page.records
                      if r.external_id == made.external_id)
        assert moment(edited) == moment(one(world, made.external_id)) > at
        changed = written(change(world, edited, {world.text_field: "changed"}))
        assert moment(changed) == moment(one(world, made.external_id)) > moment(edited)
        assert moment(one(world, other.external_id)) == moment(other) < moment(edited)

    def test_a_change_leaves_other_fields_alone(self, world: AdapterWorld) -> None:
        (made,) = create(world, 1)
        changed = written(change(world, made, {world.text_field: "changed"}))
        kept = set(world.payload(1)) - {world.text_field}
        assert {name: changed.payload[name] for name in kept} \
            == {name: made.payload[name] for name in kept}
        assert one(world, made.external_id).payload[world.text_field] == "changed"

    def test_a_stale_write_changes_nothing(self, world: AdapterWorld) -> None:
        (made,) = create(world, 1)
        world.edit(made.external_id, {world.text_field: "theirs"})
        result = change(world, made, {world.text_field: "ours"})
        assert result.status is WriteStatus.STALE
        assert one(world, made.external_id).payload[world.text_field] == "theirs"

    def test_a_create_returns_the_record_with_its_reference(self, world: AdapterWorld) -> None:
        (result,) = world.adapter.write(batch(world, [intent(1, world.payload(1))]))
        record = written(result)
        assert result.status is WriteStatus.CREATED
        assert record.external_id
        assert record.version
        assert record.reference == "other:1"
        assert record.payload[world.text_field] == world.payload(1)[world.text_field]

    def test_a_repeated_create_makes_no_second_record(self, world: AdapterWorld) -> None:
        once = batch(world, [intent(n, world.payload(n)) for n in (1, 2)], "the same")
        first = [written(r).external_id for r in world.adapter.write(once)]
        again = [written(r).external_id for r in world.adapter.write(once)]
        assert first == again
        assert set(ids(pull(world))) == set(first)

    def test_results_stand_in_order_and_one_bad_record_harms_no_other(
            self, world: AdapterWorld) -> None:
        if world.invalid is None:
            pytest.skip("the system takes anything")
        results = world.adapter.write(batch(world, [
            intent(1, world.payload(1)), intent(2, world.invalid), intent(3, world.payload(3))]))
        assert [r.status for r in results] == [WriteStatus.CREATED, WriteStatus.REJECTED,
                                               WriteStatus.CREATED]
        assert results[1].error
        assert [written(results[i]).payload[world.text_field] for i in (0, 2)] \
            == [world.payload(n)[world.text_field] for n in (1, 3)]

    def test_a_record_that_is_not_there_is_told(self, world: AdapterWorld) -> None:
        (made,) = create(world, 1)
        nobody = replace(made, external_id="999999")
        assert change(world, nobody, {world.text_field: "x"}).status is WriteStatus.GONE

    def test_records_are_found_by_reference(self, world: AdapterWorld) -> None:
        made = create(world, 1, 2)
        found = world.adapter.find(world.object_name, ["other:1", "other:2", "other:77"])
        assert {ref: r.external_id for ref, r in found.items()} == {
            "other:1": made[0].external_id, "other:2": made[1].external_id}

    def test_get_leaves_out_what_is_not_there(self, world: AdapterWorld) -> None:
        (made,) = create(world, 1)
        assert set(world.adapter.get(world.object_name, [made.external_id, "999999"])) \
            == {made.external_id}
        assert world.adapter.get(world.object_name, []) == {}

    def test_a_deletion_shows(self, world: AdapterWorld) -> None:
        kind = world.adapter.capabilities.deletions
        if kind == "none":
            pytest.skip("the system shows no deletions")
        first, _ = create(world, 1, 2)
        cursor = pull(world)[-1].cursor
        world.delete(first.external_id)
        shown = {r.external_id: r for page in pull(world, cursor) for r in page.records}
        if kind == "absence":
            assert first.external_id not in shown
            assert world.adapter.get(world.object_name, [first.external_id]) == {}
            return
        record = shown[first.external_id]
        assert record.deleted if kind == "tombstone" else record.payload["archived"] is True
        assert record.version != first.version

    def test_what_was_deleted_may_be_created_again(self, world: AdapterWorld) -> None:
        if world.adapter.capabilities.deletions == "archive":
            pytest.skip("the system archives: the record is still there")
        (made,) = create(world, 1)
        world.delete(made.external_id)
        assert world.adapter.find(world.object_name, ["other:1"]) == {}
        (result,) = world.adapter.write(batch(world, [intent(1, world.payload(1))], "again"))
        anew = written(result)
        assert result.status is WriteStatus.CREATED
        assert anew.external_id != made.external_id
        assert one(world, anew.external_id).reference == "other:1"

    def test_text_survives(self, world: AdapterWorld) -> None:
        (made,) = create(world, 1)
        texts = "Żółć 日本 \U0001f600 'x' \"y\" <z>", "x" * 200, "a\nb\tc", "NO", "007"
        for n, text in enumerate(texts):
            made = written(change(world, made, {world.text_field: text}, f"change {n}"))
            assert one(world, made.external_id).payload[world.text_field] == text

    def test_long_text_empty_text_and_null_survive(self, world: AdapterWorld) -> None:
        if not world.long_text_field:
            pytest.skip("the object holds no such text")
        (made,) = create(world, 1)
        for n, text in enumerate((LONG_TEXT, "", "short", None)):
            made = written(change(world, made, {world.long_text_field: text}, f"change {n}"))
            now = one(world, made.external_id).payload[world.long_text_field]
            assert now == text or (not text and not now)

    def test_numbers_survive_exactly(self, world: AdapterWorld) -> None:
        if not world.decimal_field:
            pytest.skip("the object holds no number")
        (made,) = create(world, 1)
        for value in world.decimal_values:
            result = change(world, made, {world.decimal_field: value}, f"to {value}")
            made = written(result)
            for given in (made, one(world, made.external_id)):
                assert not isinstance(given.payload[world.decimal_field], float)
                assert Decimal(given.payload[world.decimal_field]) == Decimal(value)

    def test_the_fields_are_described(self, world: AdapterWorld) -> None:
        create(world, 1)
        assert set(world.payload(1)) <= world.adapter.describe(world.object_name).fields

    def test_the_check_names_the_system(self, world: AdapterWorld) -> None:
        assert world.adapter.check()

    def test_wrong_credentials_are_told(self, world: AdapterWorld) -> None:
        if world.wrong_credentials is None:
            pytest.skip("the system asks for none")
        with pytest.raises(AccessDenied):
            world.wrong_credentials.check()
        with pytest.raises(AccessDenied):
            world.wrong_credentials.write(batch(world, [intent(1, world.payload(1))]))
        assert ids(pull(world)) == []

    def test_a_system_that_is_away_is_told(self, world: AdapterWorld) -> None:
        if world.unreachable is None:
            pytest.skip("the system can't be away")
        with pytest.raises(SystemUnreachable):
            world.unreachable.check()
        with pytest.raises(SystemUnreachable):
            list(world.unreachable.pull(world.object_name, None))
        results = world.unreachable.write(batch(world, [intent(n, world.payload(n))
                                                        for n in (1, 2)]))
        assert [r.status for r in results] == [WriteStatus.RETRY] * 2
        assert all(r.error for r in results)
