"""Writes the lines of opportunities, which BottleCRM keeps as records of their own."""

from __future__ import annotations

from collections.abc import Sequence

from connector.adapters.bottlecrm import lines, records
from connector.adapters.bottlecrm.calls import Calls, Rejected
from connector.adapters.bottlecrm.lines import Line
from connector.errors import OutcomeUnknown, RetryLater


def write_lines(calls: Calls, place: str, wanted: Sequence[Line], there: Sequence[Line]) -> None:
    """Make the lines of the record at `place` those that are wanted; `there` are those it has.

    Raises `Rejected`, and `OutcomeUnknown` where BottleCRM went away in between: what was written
    by then is there.
    """
    path = f"{place}line-items/"
    kept = {line["order"] for line in wanted}
    try:
        for line in there:
            if line["order"] not in kept:
                _call(calls, "DELETE", f"{path}{line['id']}/", None)
        for line, now in records.lines_to_write(wanted, there):
            if now is None:
                _call(calls, "POST", path, line)
            else:
                _call(calls, "PUT", f"{path}{now['id']}/", line)
    except RetryLater as error:
        raise OutcomeUnknown(f"Not all of its lines were written: {error}",
                             after=error.after) from error


def _call(calls: Calls, method: str, path: str, line: Line | None) -> None:
    answer = calls.make(method, path, repeatable=method != "POST",
                        body=None if line is None else lines.write_apart(line))
    if answer.status == 404 and method != "DELETE":
        raise Rejected("The record or its line is gone.")
