"""Puts back what a run wrote, record by record, and only where nothing has changed since.

What an undo leaves is a difference that a person wanted: the side written to holds its old value,
the other one the new. A conflict of the kind `undone` holds it until a person says who is right, or
both sides agree; it is opened, in one transaction with the intent, before the write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from connector.domain.actions import (
    Action,
    ActionKind,
    FieldChange,
    Outcome,
    OutcomeKind,
)
from connector.domain.entities import pack, unpack
from connector.domain.ledger import HistoryEntry
from connector.domain.paths import path_of, value_at
from connector.domain.policies import Role, other
from connector.domain.records import Change, Link, Operation, RemoteRecord
from connector.domain.values import shown
from connector.engine.apply import carry_out
from connector.engine.before_images import value_of, written_by
from connector.engine.entries import LIVE
from connector.engine.group import Group, Seen, Work, Write
from connector.engine.intents import Outgoing
from connector.engine.keep import Keeping, Results
from connector.engine.pair import Side
from connector.engine.present import in_canonical_words
from connector.engine.put_back import Case, PutBack, same
from connector.engine.reread import BATCH, read
from connector.engine.session import Session
from connector.engine.works import action_of, creation
from connector.errors import RecordFailed, RunFailed
from connector.ports import UnitOfWork

MAX_ROUNDS = 5
"""Times a record that keeps moving is looked at again."""

Refused = dict[tuple[str, str], str]
"""What a system said, by entity and canonical ID."""


def undo(session: Session, run_id: str) -> list[Action]:
    """Carry the undo of a run out; returns what was left, each with its reason. Raises `RunFailed`
    where there is no such run, and what a sync raises."""
    refused: Refused = {}
    left: list[Action] = []
    for entity, ids in [*_batches(session, run_id, reversed(session.pair.entities))]:
        left += _undo_batch(session, run_id, entity, ids, refused, creates=False)
    for entity, ids in [*_batches(session, run_id, session.pair.entities)]:
        _undo_batch(session, run_id, entity, ids, refused, creates=True)
    return left


def plan_undo(session: Session, run_id: str) -> list[Action]:
    """What an undo would do, and leave, without doing it."""
    actions = []
    for entity, ids in _batches(session, run_id, reversed(session.pair.entities)):
        looked = _Undoing(session, run_id, entity, {}).look(ids)
        actions += [a for work in looked.works for a in work.actions] + looked.left
    return actions


def _batches(session: Session, run_id: str,
             entities: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    with session.store.begin() as uow:
        if uow.run(session.pair.name, run_id) is None:
            raise RunFailed(f"There is no run {run_id}.", hint="See them with `connector status`.")
    for entity in entities:
        after = ""
        while True:
            with session.store.begin() as uow:
                ids = uow.written_in(session.pair.name, run_id, entity, after, BATCH)
            if not ids:
                break
            yield entity, ids
            after = ids[-1]


def _undo_batch(session: Session, run_id: str, entity: str, ids: Sequence[str],
                refused: Refused, *, creates: bool) -> list[Action]:
    undoing = _Undoing(session, run_id, entity, refused)
    for _ in range(MAX_ROUNDS):
        looked = undoing.look(ids)
        works = [w for w in looked.works if creates == any(
            write.operation is Operation.CREATE for write in w.writes.values())]
        if not works:
            break
        undoing.tie_the_dead(works)
        carry_out(session, entity, works, follow=False,
                  keeping=_Keeping(session, entity, refused, looked.moved))
    else:
        looked.left += [action_of(w.group, ActionKind.SKIP, reason="it keeps changing")
                        for w in works]
    return looked.left


@dataclass(slots=True)
class _Looked:
    """What can be undone now, what can't, and which records have moved in other fields."""

    works: list[Work] = field(default_factory=list)
    left: list[Action] = field(default_factory=list)
    moved: set[tuple[str, str]] = field(default_factory=set)


class _Undoing(PutBack):
    """The records of one entity that a run wrote."""

    def __init__(self, session: Session, run_id: str, entity: str, refused: Refused) -> None:
        super().__init__(session.pair, entity, f"undoes run {run_id}")
        self.session, self.run_id, self.refused = session, run_id, refused

    def look(self, ids: Sequence[str]) -> _Looked:
        """Read the records as they are, and decide what can be put back."""
        out = _Looked()
        with self.session.store.begin() as uow:
            entries = uow.writes(self.pair.name, self.entity, ids)
            links = uow.links_by_canonical(self.pair.name, self.entity, ids)
            snapshots = uow.snapshots(self.pair.name, self.entity, ids)
            conflicts = uow.conflicts(self.pair.name, entity=self.entity, canonical_ids=ids,
                                      states=LIVE)
        groups = {cid: Group(self.entity, cid, unpack(self.spec, snapshots[cid].record)
                             if cid in snapshots else None) for cid in ids}
        for conflict in conflicts:
            groups[conflict.canonical_id].conflicts.append(conflict)
        for side in self.pair.sides:
            self._present(side, groups, links, out)
        for cid in ids:
            mine = entries.get(cid, [])
            first = next(i for i, e in enumerate(mine) if e.run_id == self.run_id)
            later = [e for e in mine[first:] if e.run_id != self.run_id and e.reason != self.why]
            done = {(e.target, c.path): value_of(self.spec, c.path, c.after)
                    for e in mine if e.reason == self.why for c in e.changes if c.path}
            self._decide(Case(groups[cid], written_by(self.spec, self.run_id, mine), later, done),
                         mine, out)
        return out

    def _present(self, side: Side, groups: dict[str, Group], links: dict[str, list[Link]],
                 out: _Looked) -> None:
        """Add one side, as it is now, to the groups."""
        mine = {cid: next((x for x in links.get(cid, ()) if x.system == side.system
                           and not x.alias), None) for cid in groups}
        now = read(self.session, self.entity, side.role,
                   [link.external_id for link in mine.values() if link is not None])
        there = {ext: record for ext, record in now.items() if record and not record.deleted}
        by_id = {link.external_id: link for link in mine.values() if link is not None}
        with self.session.store.begin() as uow:
            known: list[tuple[RemoteRecord, Any]] = [
                (record, unpack(self.spec, by_id[ext].seen or {})) for ext, record in there.items()]
            records = in_canonical_words(self.session, uow, self.entity, side, known)
            waiting = uow.inbox_by_external(self.pair.name, self.entity, side.system, list(by_id))
        for cid, link in mine.items():
            if link is None:
                continue
            ext, group = link.external_id, groups[cid]
            record = records.get(ext)
            group.linked.add(side.role)
            if isinstance(record, RecordFailed):
                group.sides[side.role] = Seen(ext, "", None)
                self.refused.setdefault((self.entity, cid), str(record))
                continue
            version = there[ext].version if ext in there else link.version
            group.sides[side.role] = Seen(ext, version, record, changed_at=link.changed_at)
            seen = None if link.seen is None else unpack(self.spec, link.seen)
            if ext in waiting or record != seen:
                out.moved.add((side.system, ext))

    # ---- one record

    def _decide(self, case: Case, entries: Sequence[HistoryEntry], out: _Looked) -> None:
        group = case.group
        if (self.entity, group.canonical_id) in self.refused:
            case.reasons.append(self.refused[self.entity, group.canonical_id])
        elif not group.sides:
            case.reasons.append("it is not linked any more")
        else:
            work = self._work(case, entries)
            if work is not None and work.writes:
                out.works.append(work)
        if case.reasons:
            out.left.append(action_of(group, ActionKind.SKIP, reason="; ".join(
                dict.fromkeys(case.reasons))))

    def _work(self, case: Case, entries: Sequence[HistoryEntry]) -> Work | None:
        made = [role for role, image in case.images.items() if image.created]
        gone = [role for role, image in case.images.items() if image.removed is not None]
        if made and not gone:
            return self._unmade(case, made)
        if gone and not made:  # where both sides are, the next look makes the other one
            absent = [role for role in gone if not self._stands(case.group, role)]
            return self._made_again(case, (absent or gone)[0], entries)
        if made and gone:
            return None  # it came and went within the run
        return self.put_back(case, {})

    def _unmade(self, case: Case, made: Sequence[Role]) -> Work | None:
        """A record that the run made, on one side or on both: it goes again, archived where the
        system archives, else deleted."""
        group, instead, deleted = case.group, dict[Role, dict[str, tuple[Any, Any]]](), list[Role]()
        for role in made:
            seen = group.sides.get(role)
            if seen is None or seen.record is None:
                continue
            archives = self._archives(role)
            if archives and seen.record.get("active") is False:
                continue
            case.reasons += self._stays(case, role, seen.record)
            instead[role] = {"active": (True, False)} if archives else {}
            deleted += [] if archives else [role]
        if case.reasons or not instead:
            return None
        work = self.put_back(case, instead) or Work(group, [], base=group.base)
        for role in deleted:
            was = FieldChange("", pack(self.spec, group.sides[role].record or {}), None, self.why)
            held = [] if other(role) in deleted else self.whole(group, role, "deleted")
            work.writes[role] = Write(Operation.DELETE, {})
            work.actions.append(action_of(group, ActionKind.DELETE, role, reason=self.why,
                                          changes=[was], conflicts=held))
        return work

    def _stands(self, group: Group, role: Role) -> bool:
        return role in group.sides and group.sides[role].record is not None

    def _archives(self, role: Role) -> bool:
        active = self.rules.header.get("active")
        return role in self.rules.archives and active is not None and role in active.writable

    def _stays(self, case: Case, role: Role, record: dict[str, Any]) -> list[str]:
        """Why a record that the run made can't go."""
        side, image = self.pair.side(role), case.images[role]
        if side.mappings[self.entity].object in side.adapter.capabilities.permanent:
            return [f"the {role} never deletes such a record"]
        if role in self.rules.archives and not self._archives(role):
            return [f"the {role} can't archive it"]
        if case.later:
            return [f"run {case.later[0].run_id} has changed it since"]
        now = {path: value_at(self.entity, record, path) for path in image.fields}
        now.update(self._added(case.group, role, record))
        return [f"{path} of the {role} has changed since, to {shown(value)}"
                for path, value in now.items()
                if path not in image.fields or not same(value, image.fields[path][1])]

    def _added(self, group: Group, role: Role, record: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """What stands in a record where we might have written it: all lines, and the fields that
        both sides don't agree on (where they do, the system may have filled one in by itself)."""
        if role in self.rules.lines_writable:
            for line in record["lines"]:
                yield path_of(line[self.spec.line_key]), line
        for name, rule in self.rules.header.items():
            value = record.get(name)
            if role in rule.writable and value not in (None, (group.base or {}).get(name)):
                yield name, value

    def _made_again(self, case: Case, role: Role,
                    entries: Sequence[HistoryEntry]) -> Work | None:
        """A record that the run deleted: it comes up again as it was."""
        group, removed = case.group, case.images[role].removed
        assert removed is not None
        seen = group.sides.get(role)
        if seen is not None and seen.record is not None:
            if seen.record.get("active") is False and removed.get("active") is True:
                return self.put_back(case, {role: {"active": (False, True)}})
            return None
        if case.later:
            case.reasons.append(f"run {case.later[0].run_id} has written it since")
            return None
        if other(role) not in group.sides:
            source = next((e for e in entries if e.target == role), None)
            if source is None or not source.external_id:
                case.reasons.append("nothing is known of its counterpart")
                return None
            group.sides[other(role)] = Seen(source.external_id, "", None)
        besides = self.put_back(case, {})
        work = creation(self.rules, group, role, removed, reason=self.why,
                        conflicts=self.whole(group, role, pack(self.spec, removed)))
        if besides is not None:
            work.actions += besides.actions
            work.writes.update(besides.writes)
        work.base = removed
        return work

    def tie_the_dead(self, works: Sequence[Work]) -> None:
        """Keep the link of a record that is no more before its counterpart is made again: a crash
        after that must not take it for a living one."""
        links = [Link(self.entity, w.group.canonical_id, self.pair.side(role).system,
                      seen.external_id, seen.version, None)
                 for w in works for role, seen in w.group.sides.items()
                 if seen.record is None and role not in w.group.linked]
        if links:
            with self.session.store.begin() as uow:
                uow.save_links(self.pair.name, links)


class _Keeping(Keeping):
    """Takes the results of an undo in: what a system refuses is named, not parked, and what has
    moved besides is read again by the next sync."""

    def __init__(self, session: Session, entity: str, refused: Refused,
                 moved: set[tuple[str, str]]) -> None:
        super().__init__(session, entity)
        self._refused, self._moved = refused, moved

    def take(self, uow: UnitOfWork, works: Sequence[Work], out: Outgoing, results: Results,
             moved: Any) -> list[Work]:
        """Take the results in."""
        called_for = super().take(uow, works, out, results, moved)
        known = {(c.system, c.external_id) for c in self.received}
        self.received += [Change(0, self.entity, self.pair.side(role).system, seen.external_id, "",
                                 hint=True)
                          for work in works for role, seen in work.group.sides.items()
                          if (at := (self.pair.side(role).system, seen.external_id)) in self._moved
                          and at not in known]
        return called_for

    def link(self, group: Group, role: Role, *, unsettled: bool = False) -> None:
        """Tie a side; one that was deleted without our knowing yet is left to be found out."""
        seen = group.sides[role]
        if seen.record is not None \
                or (self.pair.side(role).system, seen.external_id) not in self._moved:
            super().link(group, role, unsettled=unsettled)

    def _fail(self, work: Work, failure: RecordFailed) -> None:
        group = work.group
        self._refused[self.entity, group.canonical_id] = str(failure)
        for action in work.actions:
            if action.target is not None:
                side = other(action.target)
                self.outcomes.append(Outcome(
                    OutcomeKind.SKIPPED, self.entity, side, action.external_ids.get(side, ""),
                    group.canonical_id, reason=f"{action.reason}: {failure}", counted=False))
        self._moved |= {(self.pair.side(role).system, seen.external_id)
                        for role, seen in group.sides.items()}
