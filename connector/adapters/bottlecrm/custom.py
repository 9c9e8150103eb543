"""Definitions of custom fields: which there are, and adding those that are missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from connector.domain.values import FieldType
from connector.errors import RequestRefused

PREFIX = "custom_fields."
_TYPES = {FieldType.INTEGER: "number", FieldType.DECIMAL: "number", FieldType.MONEY: "number",
          FieldType.BOOLEAN: "checkbox", FieldType.DATE: "date"}
_SERVES = {"text": ("text", "textarea", "dropdown"), "number": ("number", "text"),
           "date": ("date", "text"), "checkbox": ("checkbox",)}
"""Which types of a field that is there hold values of a wanted one."""

Call = Callable[..., Any]
"""(method, path, query=…, body=…) → the answer's body. Raises `RequestRefused` for a refusal."""


class CustomFields:
    """The custom fields of BottleCRM's objects, read once and again after each addition.

    BottleCRM drops a value of a field that is not defined, without a word.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._known: dict[str, frozenset[str]] = {}

    def of(self, target: str) -> frozenset[str]:
        """The keys defined for an object, and in use; none for an object that takes none."""
        if not target:
            return frozenset()
        keys = self._known.get(target)
        if keys is None:
            keys = frozenset(d["key"] for d in self._definitions(target) if d["is_active"])
            self._known[target] = keys
        return keys

    def read_again(self, target: str) -> frozenset[str]:
        """The same, after others may have added some."""
        self._known.pop(target, None)
        return self.of(target)

    def add(self, target: str, wanted: Mapping[str, FieldType]) -> list[str]:
        """Define those of the wanted keys that are not; returns their keys. Raises
        `RequestRefused` where one is there with a type that can't hold the values."""
        there = {d["key"]: d for d in self._definitions(target)}
        types = {key: _TYPES.get(kind, "text") for key, kind in wanted.items()}
        _fit(target, types, {key: d["field_type"] for key, d in there.items()})
        added = []
        for key, field_type in types.items():
            if key not in there:
                self._call("POST", "/api/custom-fields/", body={
                    "target_model": target, "key": key, "label": _label(key),
                    "field_type": field_type, "is_filterable": True})
            elif not there[key]["is_active"]:
                self._call("PUT", f"/api/custom-fields/{there[key]['id']}/",
                           body={"is_active": True})
            else:
                continue
            added.append(key)
        self._known.pop(target, None)
        return added

    def _definitions(self, target: str) -> list[dict[str, Any]]:
        body = self._call("GET", "/api/custom-fields/",
                          query={"target_model": target, "include_counts": "false"})
        return [d for d in body["definitions"] if d["target_model"] == target]


def _fit(target: str, wanted: Mapping[str, str], there: Mapping[str, str]) -> None:
    for key, field_type in wanted.items():
        if key in there and there[key] not in _SERVES[field_type]:
            raise RequestRefused(f"The custom field {key} of {target} is a {there[key]}; "
                                 f"a {field_type} is needed.",
                                 hint="Its type can't be changed: map another field.")


def _label(key: str) -> str:
    return key.replace("_", " ").capitalize()


def custom_keys(paths: Mapping[str, FieldType]) -> dict[str, FieldType]:
    """Those of the paths that lead to custom fields, by key."""
    return {path.removeprefix(PREFIX): kind for path, kind in paths.items()
            if path.startswith(PREFIX)}


def no_such_fields(name: str, missing: list[str]) -> RequestRefused:
    """What to say of fields that an object neither has nor takes."""
    return RequestRefused(f"{name} have no {', '.join(missing)}, and take no such fields.",
                          hint="Mend the mapping; new fields are written custom_fields.NAME.")
