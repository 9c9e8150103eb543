"""The errors, sorted by what the caller should do next.

* `RetryLater`: nothing is wrong with the record; the same call may succeed later.
* `RecordFailed`: this one record can't be handled; park it and go on with the others.
* `RunFailed`: the run can't go on; its message says what to put right.

Every message says what happened, to which record, and what to do next.
"""

from __future__ import annotations


class ConnectorError(Exception):
    """Root of the tree; `message` is fit for a user, `hint` says what to do next."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class RetryLater(ConnectorError):
    """The system can't answer now; `after` is the wait it asked for, in seconds, if any."""

    exit_code = 5

    def __init__(self, message: str, *, after: float | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.after = after


class SystemUnreachable(RetryLater):
    """No connection, no answer in time, or a 5xx."""


class RateLimited(RetryLater):
    """The system asked us to slow down (HTTP 429)."""


class BudgetSpent(RetryLater):
    """The calls that a connection may make in a day are used up for `after` seconds."""

    exit_code = 9


class OutcomeUnknown(RetryLater):
    """A write was sent and no answer came: it may or may not have been made."""


class RecordFailed(ConnectorError):
    """One record can't be handled at `stage`; `field` is the canonical or system field at fault."""

    def __init__(self, message: str, *, stage: str, field: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.stage = stage
        self.field = field


class DecodeFailed(RecordFailed):
    """A payload can't be put into canonical words."""

    def __init__(self, message: str, *, field: str = "", hint: str = "") -> None:
        super().__init__(message, stage="decode", field=field, hint=hint)


class EncodeFailed(RecordFailed):
    """A canonical record can't be put into a system's words."""

    def __init__(self, message: str, *, field: str = "", hint: str = "") -> None:
        super().__init__(message, stage="encode", field=field, hint=hint)


class ParentMissing(RecordFailed):
    """A record refers to another one that isn't linked yet: it waits; `wanted` names that one."""

    def __init__(self, wanted: str, *, field: str) -> None:
        super().__init__(f"{field} refers to {wanted}, which is not linked yet.", stage="match",
                         field=field)
        self.wanted = wanted


class RunFailed(ConnectorError):
    """The run can't go on."""


class ConfigInvalid(RunFailed):
    """The config, a mapping or a plan file is wrong; the message gives file and line."""

    exit_code = 3


class AccessDenied(RunFailed):
    """A system refused our credentials or rights."""

    exit_code = 4


class ReauthRequired(AccessDenied):
    """Credentials of `system` have expired or were revoked: a person has to give new ones."""

    def __init__(self, message: str, *, system: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.system = system


class RequestRefused(RunFailed):
    """A system refused a call for a reason that repeating won't cure."""


class BodyRefused(RequestRefused):
    """What was sent is too large, or not what the system takes; less of it may go through."""


class CursorExpired(RunFailed):
    """A system no longer knows our cursor: everything has to be read again."""


class SafetyStopped(RunFailed):
    """The run would delete or change more than the pair allows; nothing was written."""

    exit_code = 8


class LeaseHeld(RunFailed):
    """Another run works on this pair."""

    exit_code = 6


class RunCancelled(RunFailed):
    """Somebody has stopped this run; what it had not done by then is left for the next one."""

    exit_code = 130


class LeaseLost(RunFailed):
    """This run's lease was taken over: it must write nothing more."""

    exit_code = 6


class StoreUnusable(RunFailed):
    """The store can't be opened, or its schema isn't ours."""

    exit_code = 3


class StoreContended(StoreUnusable):
    """Another transaction stood in the way of this one, which may succeed if it is repeated."""


class DeliveryRefused(ConnectorError):
    """A webhook delivery is forged, stale or unreadable; it has no effect."""
