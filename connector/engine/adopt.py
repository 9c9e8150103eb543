"""Takes in records whose creation was begun and whose result was lost: they were found again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from connector.domain.actions import Outcome, OutcomeKind
from connector.domain.entities import ENTITIES, unpack
from connector.domain.records import (
    Batch,
    Change,
    Intent,
    Link,
    Snapshot,
    WriteResult,
    WriteStatus,
)
from connector.engine.group import Group, Seen
from connector.engine.keep import Keeping, Result
from connector.engine.match import match_key
from connector.engine.works import all_new
from connector.ports import UnitOfWork


class Adopting(Keeping):
    """Keeps created records that were found again."""

    def adopt(self, uow: UnitOfWork, batch: Batch, results: Sequence[WriteResult]) -> None:
        """Keep created records whose result was lost: the base is what was sent, never what the
        other side holds by now. Those of the batch that were kept stay as they are."""
        self._decode_returned(uow, [
            (self.pair.role_of(intent.system), Result(intent, result),
             unpack(ENTITIES[self.entity], intent.record))
            for intent, result in zip(batch.intents, results, strict=True)])
        if not any(result.status is WriteStatus.UNKNOWN for result in results):
            self.batches.append(batch.key)
        links = uow.links_by_canonical(self.pair.name, self.entity,
                                       [intent.canonical_id for intent in batch.intents])
        for intent, result in zip(batch.intents, results, strict=True):
            if result.record is None or result.status is not WriteStatus.CREATED:
                continue
            if any((link.system, link.external_id) == (intent.system, result.record.external_id)
                   and link.seen is not None for link in links.get(intent.canonical_id, ())):
                continue
            role = self.pair.role_of(intent.system)
            sent = unpack(ENTITIES[self.entity], intent.record)
            group = Group(self.entity, intent.canonical_id, sent)
            key = match_key(self.rules.policy.match, sent)
            if key:  # else a record with the same one, read meanwhile, would be taken for new
                group.match_keys.add(key)
            decoded = self.returned.get((role, result.record.external_id))
            group.sides[role] = Seen(result.record.external_id, "",
                                     decoded if isinstance(decoded, dict) else sent)
            self._adopt_place(group, intent, result.record.external_id,
                              links.get(intent.canonical_id, ()))
            self.link(group, role, unsettled=True)
            self._adopt_origin(uow, group, intent, sent)
            self.snapshots.append(Snapshot(self.entity, intent.canonical_id, intent.record))
            self.session.count_write(self.entity, role, intent.operation)
            system, _, origin = intent.reference.partition(":")
            self.received.append(Change(0, self.entity, self.pair.side(role).system,
                                        result.record.external_id, "", hint=True))
            self.outcomes.append(Outcome(
                OutcomeKind.CREATED, self.entity, self.pair.role_of(system), origin,
                intent.canonical_id, role, all_new(self.rules, sent),
                "found again after an interruption", counted=False))

    def _adopt_place(self, group: Group, intent: Intent, external_id: str,
                     links: Iterable[Link]) -> None:
        """Let a found record take the place of the deleted one that it was made for."""
        for link in links:
            if link.system == intent.system and not link.alias and link.external_id != external_id:
                group.retired.append(link)
                self.replaced[intent.system].add(group.canonical_id)

    def _adopt_origin(self, uow: UnitOfWork, group: Group, intent: Intent,
                      sent: dict[str, Any]) -> None:
        """Tie the record that a found one was created for, unless that stands in no system: its
        change may be parked before it is ever tied."""
        system, _, external_id = intent.reference.partition(":")
        waiting = uow.inbox_by_external(self.pair.name, self.entity, system, [external_id])
        if external_id not in waiting or not waiting[external_id].derived_from:
            role = self.pair.role_of(system)
            group.sides[role] = Seen(external_id, "", sent)
            self.link(group, role, unsettled=True)
