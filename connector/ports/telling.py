"""What a unit of work offers about what records are told about themselves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from connector.domain.records import Payload
from connector.domain.telling import Parked, Told, Unsettled


class Telling(Protocol):
    """What was told, and what tells how a record stands, in short rows without payloads."""

    def begin_telling(self, pair: str, entity: str, system: str, *, again: bool = False) -> None:
        """Once, or `again`: let all be told that is linked and never was."""
        ...

    def to_tell(self, pair: str, records: Collection[tuple[str, str, str]], *,
                anew: bool) -> None:
        """Let records, as (entity, system, external ID), be told how they stand: those that never
        were, or all of them, `anew`."""
        ...

    def untold(self, pair: str, entity: str, system: str) -> dict[str, Told]:
        """What was last told, by external ID, to the records that are to be told, and to those that
        were told anything but that they are in sync."""
        ...

    def told(self, pair: str, entity: str, system: str,
             external_ids: Collection[str]) -> dict[str, Told]:
        """What records were last told, by external ID."""
        ...

    def save_told(self, pair: str, entity: str, system: str, told: Sequence[Told]) -> None:
        """Insert or replace what records were told."""
        ...

    def forget_told(self, pair: str, entity: str, system: str,
                    external_ids: Collection[str]) -> None:
        """Drop it: the records are gone, or nobody's concern."""
        ...

    def parked(self, pair: str, entity: str) -> list[Parked]:
        """The parked records of an entity."""
        ...

    def unsettled(self, pair: str, entity: str) -> list[Unsettled]:
        """What is in the inbox of an entity."""
        ...

    def unsettled_payloads(self, pair: str, entity: str, system: str,
                           external_ids: Collection[str]) -> dict[str, tuple[str, Payload]]:
        """The version and payload in which records wait in the inbox or else are parked, by
        external ID."""
        ...

    def restamp(self, pair: str, entity: str, system: str,
                versions: Mapping[str, tuple[str, str]]) -> None:
        """Put a record's version, by external ID (before, now), wherever the one before is kept:
        between the two nothing changed but what we told it."""
        ...
