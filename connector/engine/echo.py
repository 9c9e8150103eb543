"""Echoes: our own writes coming back as changes, and records read again behind the cursor.

An echo is told by content, never by a timer or a user: its version is the one last seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from connector.domain.records import RemoteRecord


def fresh(records: Iterable[RemoteRecord], versions: Mapping[str, str]) -> list[RemoteRecord]:
    """The records whose version is not the one last seen."""
    return [record for record in records if versions.get(record.external_id) != record.version]
