"""What a unit of work offers about which records are the same thing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from connector.domain.records import (
    Link,
    Snapshot,
)


class Identity(Protocol):
    """Links, snapshots, redirects and claims."""

    # links and snapshots
    def links_by_external(self, pair: str, entity: str, system: str,
                          external_ids: Collection[str]) -> dict[str, Link]:
        """Links by external ID."""
        ...

    def links_after(self, pair: str, entity: str, system: str, after: str,
                    limit: int) -> list[Link]:
        """Links of one side whose external ID comes after `after`, in the order of those."""
        ...

    def links_by_canonical(self, pair: str, entity: str,
                           canonical_ids: Collection[str]) -> dict[str, list[Link]]:
        """All links of each canonical ID: those that are no alias first, then the oldest."""
        ...

    def versions(self, pair: str, entity: str, system: str,
                 external_ids: Collection[str]) -> dict[str, str]:
        """Only the versions last seen, by external ID."""
        ...

    def living(self, pair: str, entity: str, system: str) -> set[str]:
        """The external IDs of all records of one side that are linked or in the inbox, and not
        known to be deleted."""
        ...

    def canonical_ids(self, pair: str, entity: str, system: str,
                      external_ids: Collection[str]) -> dict[str, str]:
        """Only the canonical IDs, by external ID."""
        ...

    def external_ids(self, pair: str, entity: str, system: str,
                     canonical_ids: Collection[str]) -> dict[str, str]:
        """Only the external IDs, by canonical ID; an alias's only where there is nothing else."""
        ...

    def replaced(self, pair: str, entity: str, system: str,
                 external_ids: Collection[str]) -> set[str]:
        """Those of them that name a deleted record in whose place another one stands."""
        ...

    def referring(self, pair: str, entity: str, system: str,
                  canonical_ids: Collection[str]) -> list[str]:
        """The external IDs of one side's living records that name one of these, as last seen;
        some that name none may be among them. Reads all links of that side: for rare events."""
        ...

    def save_links(self, pair: str, links: Sequence[Link]) -> None:
        """Insert or replace links, by (entity, system, external_id)."""
        ...

    def remove_links(self, pair: str, entity: str, system: str,
                     external_ids: Collection[str]) -> None:
        """Untie records."""
        ...

    def snapshots(self, pair: str, entity: str,
                  canonical_ids: Collection[str]) -> dict[str, Snapshot]:
        """Snapshots by canonical ID."""
        ...

    def save_snapshots(self, pair: str, snapshots: Sequence[Snapshot]) -> None:
        """Insert or replace snapshots."""
        ...

    def remove_snapshots(self, pair: str, entity: str, canonical_ids: Collection[str]) -> None:
        """Forget what was agreed."""
        ...

    # canonical IDs that became part of another one
    def redirects(self, pair: str) -> dict[str, str]:
        """What became of each canonical ID that is none any more; few, for merges are rare."""
        ...

    def redirected_to(self, pair: str, canonical_ids: Collection[str]) -> set[str]:
        """The canonical IDs that became one of these."""
        ...

    def redirect(self, pair: str, entity: str, canonical_id: str, became: str | None) -> None:
        """Let whoever names `canonical_id` mean `became` from now on, claims too; None ends
        that."""
        ...

    # claims: which canonical ID a match key belongs to
    def claims(self, pair: str, entity: str, keys: Collection[str]) -> dict[str, str]:
        """Canonical ID by match key, where it is claimed."""
        ...

    def claim(self, pair: str, entity: str, claims: Mapping[str, str]) -> None:
        """Claim match keys; a key that another canonical ID holds stays with that one."""
        ...
