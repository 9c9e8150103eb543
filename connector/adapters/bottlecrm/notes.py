"""Keeps a few named values in the last line of a description, where a record takes no fields."""

from __future__ import annotations

from collections.abc import Mapping

_OPENS = "[ERP] "
_BETWEEN = " | "


def split(description: str | None) -> tuple[str | None, dict[str, str]]:
    """A description without its line of notes, and the notes."""
    text, _, last = (description or "").rpartition("\n")
    if not last.startswith(_OPENS):
        return description, {}
    pairs = (note.partition(": ") for note in last.removeprefix(_OPENS).split(_BETWEEN))
    return text.rstrip("\n") or None, {name: value for name, _, value in pairs if value}


def join(description: str | None, notes: Mapping[str, object]) -> str | None:
    """The inverse of `split`; notes that are None are left out."""
    kept = [f"{name}: {value}" for name, value in notes.items() if value is not None]
    if not kept:
        return description
    line = _OPENS + _BETWEEN.join(kept)
    return f"{description}\n\n{line}" if description else line


def searched(name: str, value: str) -> str:
    """What a text search finds a note by."""
    return f"{name}: {value}"
