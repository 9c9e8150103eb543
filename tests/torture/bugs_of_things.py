"""Bugs planted in what ties records together, parts them, and takes back what was written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from unittest.mock import ANY, patch

from connector.engine import adopt, aliases, drain, entries, gather, keep, undo
from connector.engine.gather import Gathering
from connector.engine.group import Group
from tests.torture.planting import planted, swap

Patches = Iterable[Any]


@planted("who takes another's place by a merge has a claim on what it is known by")
def survivor_claims_nothing() -> Patches:
    yield swap(aliases.Regrouping, "save", lambda real: lambda self, entries: (
        self._claims.clear(), real(self, entries)))


@planted("who was never read, and another was merged into, is read before anything is made")
def survivor_unread() -> Patches:
    yield patch.object(aliases, "_strangers", lambda _session, _entity: [])


@planted("what waits for a customer goes on once that is part of another one")
def merged_without_a_word() -> Patches:
    yield swap(aliases.Regrouping, "merge", lambda real: lambda self, change: (
        real(self, change), self._released.clear()))


@planted("what waits for a customer goes on once a tie gives it a counterpart")
def tied_without_a_word() -> Patches:
    yield swap(aliases.Regrouping, "_keep", lambda real: lambda self, link: (
        real(self, link), link.alias or self._released.pop()))


@planted("what was told how it stands, and is an alias now, says nothing any more", tells=True)
def alias_says_what_it_was_told() -> Patches:
    yield patch.object(aliases, "take_back", lambda *_: None)


@planted("what was made for a record is parted with it")
def parted_alone() -> Patches:
    yield patch.object(aliases, "_inseparable",
                       lambda record, _there: {record})


@planted("who names a deleted record whose place another one took is taken up again")
def replaced_not_taken_up() -> Patches:
    yield patch.object(entries.Entries, "_take_up_children", lambda _self, _uow: None)


@planted("a merge that only a hint tells of is carried out")
def merge_told_by_a_hint_dropped() -> Patches:
    yield patch.object(drain, "_told_by_hints", lambda _rows, _changes: [])


@planted("an answer about a whole record holds for what was seen by who gave it")
def answer_outlives_what_was_seen() -> Patches:
    yield patch.object(Group, "_still", lambda _self, _conflict, _winner: True)


@planted("an answer is heard that was given before the records were tied")
def answer_unheard_before_the_tie() -> Patches:
    yield swap(Gathering, "_load_state", lambda real: lambda self: (real(self), [
        group.conflicts.clear() for canonical_id, group in self.groups.items()
        if not self.known.by_canonical.get(canonical_id)]))


@planted("a tie answers the question which record it is, and no other")
def tie_answers_every_question() -> Patches:
    yield patch.object(entries, "AMBIGUOUS", ANY)


@planted("the place of a deleted record that is back is not given to another one")
def back_overlooked() -> Patches:
    yield patch.object(Gathering, "_is_there", lambda _self, link: link.seen is not None)


@planted("a claim follows what it belongs to, also within one run")
def claim_of_one_that_is_none() -> Patches:
    def join(real: Any) -> Any:
        def joined(self: aliases.Regrouping, *ids: str) -> None:
            claims = dict(self._claims)
            real(self, *ids)
            self._claims.update(claims)
        return joined

    yield swap(aliases.Regrouping, "join", join)


@planted("who was held up by another one in his place goes on once that is deleted")
def place_not_offered() -> Patches:
    yield patch.object(entries.Entries, "_offer_vacated", lambda _self, _uow: None)


@planted("of a record that was deleted before it had a counterpart it stays known what it was")
def deleted_and_forgotten() -> Patches:
    yield swap(entries.Entries, "save", lambda real: lambda self, uow: (
        real(self, uow), [uow.remove_links(self.pair.name, self.entity, x.system, [x.external_id])
                          for x in self.links if x.seen is None and not x.alias
                          and len(uow.links_by_canonical(self.pair.name, self.entity, [
                              x.canonical_id])[x.canonical_id]) == 1]))


@planted("where a reference names what stands nowhere any more a person is asked")
def orphaned_by_the_rules() -> Patches:
    yield patch.object(gather, "note_orphaned", lambda *_: None)


@planted("it is asked whose a record is that refers to one of the parted")
def parted_with_what_refers_to_it() -> Patches:
    yield patch.object(aliases.Regrouping, "_ask_whose", lambda *_: None)


@planted("what was added to a record that a run made keeps it from being undone")
def added_overlooked() -> Patches:
    yield patch.object(undo._Undoing, "_added", lambda *_: ())


@planted("a deletion that no run has taken up yet is not taken for known by an undo")
def deletion_known_by_an_undo() -> Patches:
    yield patch.object(undo._Keeping, "link", keep.Keeping.link)


@planted("a creation that was found again is undone only as it was made")
def found_again_untold() -> Patches:
    yield patch.object(adopt, "all_new", lambda _rules, _given: ())
