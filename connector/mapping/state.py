"""What a mapping may give a place under `sync_state`: no canonical fields of any entity."""

from __future__ import annotations

from collections.abc import Mapping

from connector.domain.entities import Field
from connector.domain.telling import SyncState
from connector.domain.values import FieldType

STATE_FIELDS: Mapping[str, Field] = {
    "state": Field("state", FieldType.CHOICE, choices=tuple(SyncState), required=True),
    "since": Field("since", FieldType.TIMESTAMP),
    "reason": Field("reason", FieldType.TEXT),
}
