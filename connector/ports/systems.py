"""What an adapter and a clock must offer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime
from typing import Protocol, runtime_checkable

from connector.domain.records import (
    Batch,
    Capabilities,
    Delivery,
    Endpoint,
    ObjectSchema,
    Page,
    RemoteRecord,
    WriteResult,
)
from connector.domain.values import FieldType

INTERACTIVE: ContextVar[bool] = ContextVar("interactive", default=False)
"""Whether a person waits for what is being done; such calls may use a budget's reserve."""


class Clock(Protocol):
    """Where the time comes from; virtual in simulations."""

    def now(self) -> datetime:
        """The present instant, UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        ...


class Adapter(Protocol):
    """Our code for one kind of system: it speaks the system's words and knows no others.

    Every call may raise `RetryLater` (`SystemUnreachable`, `RateLimited`), `AccessDenied` or
    `RequestRefused`. An adapter is safe to call from several threads.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What the system can do."""
        ...

    def check(self) -> str:
        """Prove that the system answers and the credentials work; returns its name and version."""
        ...

    def describe(self, object: str) -> ObjectSchema:
        """The fields of an object, as the system documents them."""
        ...

    def prepare(self, object: str, fields: Mapping[str, FieldType]) -> list[str]:
        """Make an object of the system ready: add those of `fields`, by path, that it lacks, and
        whatever the adapter keeps its references in. Returns the paths that were added. Raises
        `RequestRefused` where a field is missing and can't be added."""
        ...

    def pull(self, object: str, cursor: str | None) -> Iterator[Page]:
        """The records changed since `cursor` (all, where None), page by page, deletions too.

        Every page's cursor, if kept, lets a later pull start behind that page without losing a
        change, late commits included. A cursor the system no longer knows raises
        `CursorExpired`.
        """
        ...

    def get(self, object: str, external_ids: Sequence[str]) -> dict[str, RemoteRecord]:
        """The named records as they are now, by external ID; absent where there is none."""
        ...

    def find(self, object: str, references: Sequence[str]) -> dict[str, RemoteRecord]:
        """The records created with these references (`origin:origin_id`), by reference."""
        ...

    def write(self, batch: Batch) -> list[WriteResult]:
        """Make the batch's writes; one result for each intent, in order.

        A failure of the call as a whole is told in every result (RETRY where it surely was not
        made, UNKNOWN where it may have been), except `AccessDenied`, which is raised.
        """
        ...

    def parse_webhook(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Delivery:
        """What a delivery that came at the instant `at` says has changed; header names are in
        lower case. Raises `DeliveryRefused` where its signature isn't that of one of our secrets,
        where it was signed long before or after `at`, and where it can't be read; nothing else,
        whatever is sent."""
        ...

    def close(self) -> None:
        """Give connections back."""
        ...


@runtime_checkable
class RegistersWebhooks(Protocol):
    """What an adapter may offer besides, where its system lets us say where webhooks go. Every
    call may raise what those of an adapter may."""

    def endpoints(self) -> list[Endpoint]:
        """Where the system sends its webhooks."""
        ...

    def add_endpoint(self, url: str, objects: Sequence[str]) -> Endpoint:
        """Have it send those about `objects` to `url`, signed with the first secret of the config.
        Raises `ConfigInvalid` where there is none."""
        ...

    def remove_endpoint(self, endpoint_id: str) -> None:
        """Have it send there no more."""
        ...
