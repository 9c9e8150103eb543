"""What the torture test is told of a system that an adapter speaks to, and the system of canonical
words that it puts on the other side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from requests.adapters import BaseAdapter

from connector.domain.entities import Field
from connector.domain.policies import EntityPolicy, Role
from connector.domain.values import FieldType
from connector.errors import ConfigInvalid
from connector.mapping.compile import compile_mapping
from connector.mapping.compiled import FieldCode
from connector.mapping.compiled import Mapping as FieldMap
from connector.mapping.document import MappingDocument
from connector.mapping.transforms import Transform
from connector.ports import Adapter
from connector.testing.clock import VirtualClock
from connector.testing.torture.company import MARK


@dataclass(frozen=True, slots=True)
class Records:
    """The records of an entity, as the system's users deal with them; fields are named by their
    paths in the system's words (`address.city`).

    `payload(n)` is what the n-th new record needs besides texts and parents; whatever must not
    stand twice in the system comes from n. `texts` are the fields that users write short texts
    into, each mapped to a canonical text as it stands, those that a new record has to have among
    them; `blank` are those of them that may be blanked. `amounts` are fields with amounts of two
    decimals. `deleted` says whether users delete such records.
    """

    texts: tuple[str, ...]
    payload: Callable[[int], Mapping[str, Any]] = lambda _n: {}
    blank: tuple[str, ...] = ()
    amounts: tuple[str, ...] = ()
    deleted: bool = True


@dataclass(frozen=True, slots=True)
class Simulated:
    """A system to torture an adapter on, without records at first, and an adapter for it.

    `role` is the part it plays in the pair. `connect(transport)` gives a new adapter whose calls
    go through `transport` (`settings.through(transport)`), one at a time and with small pages;
    it is asked again each time the process is started anew. `mappings` are the compiled mappings
    by entity, `records` says by entity what users do with the records; what refers to a parent is
    known from the mappings. `create(object, payload)` enters a record behind the adapter's back,
    as a user of the system does, and returns its external ID; `edit(object, external_id, changes)`
    changes fields of one (`{"address": {"city": "Bonn"}}` changes one of a group), and
    `delete(object, external_id)` deletes one.

    What stands below may be left out. `late(object, external_id, changes)` begins an edit in a
    transaction that is open until the returned call is made; it stays open for less than the
    adapter's look-back, which has to be more than a second then. `policies` are the rules of the
    pair by entity; where none are given, each seed draws how conflicts are settled and what
    becomes of deleted records.
    """

    role: Role
    connect: Callable[[BaseAdapter], Adapter]
    mappings: Mapping[str, FieldMap]
    records: Mapping[str, Records]
    create: Callable[[str, Mapping[str, Any]], str]
    edit: Callable[[str, str, Mapping[str, Any]], Any]
    delete: Callable[[str, str], Any]
    late: Callable[[str, str, Mapping[str, Any]], Callable[[], Any]] | None = None
    policies: Mapping[str, EntityPolicy] = field(default_factory=dict)


Factory = Callable[[VirtualClock, Random], AbstractContextManager[Simulated]]
"""Makes a system for one seed. The clock is the one that all time comes from, the system's too; a
system that gives its records random IDs draws them from the source of chance."""


# ---- the other side

OTHER = "memory"
"""What the system of canonical words is called."""

_SAME = Transform("same", lambda value: value, lambda value: value, "as it stands")
_NEED_ONE = (FieldType.DATE, FieldType.TIMESTAMP, FieldType.RATE)  # a transform


def opposite(theirs: FieldMap) -> FieldMap:
    """The mapping of a system whose words are the canonical ones, of the fields that another
    system's mapping has. Raises `ConfigInvalid` for documents: their lines are not simulated."""
    entity = theirs.entity
    if entity.is_document:
        raise ConfigInvalid(f"{entity.name} has lines, which the torture test of adapters does not "
                            "simulate.", hint="Leave it out; AdapterSuite takes any object.")
    document = MappingDocument.model_validate({
        "system": OTHER, "entity": entity.name, "object": entity.name,
        "fields": {code.name: _as_it_stands(entity.fields[code.name]) for code in theirs.fields}})
    return compile_mapping(document, entity, {_SAME.name: _SAME})


def _as_it_stands(spec: Field) -> dict[str, Any]:
    told: dict[str, Any] = {"path": spec.name, "direction": "pull" if spec.computed else "both"}
    if spec.to:
        told["link"] = spec.to
    if spec.type in _NEED_ONE:
        told["transform"] = _SAME.name
    return told


# ---- what the users are told

def code_at(mapping: FieldMap, path: str) -> FieldCode:
    """The field that stands at a path, as it is compiled. Raises `ConfigInvalid` where none does
    that goes both ways."""
    for code in mapping.fields:
        if code.path == path and code.read is not None and code.encode is not None:
            return code
    raise ConfigInvalid(f"No field of {mapping.entity.name} is mapped to {path}, both ways.",
                        hint="Name fields of the mapping by their paths in the system.")


def checked(simulated: Simulated) -> Simulated:
    """A simulated system whose fields are there. Raises `ConfigInvalid` for an entity or a field
    that is not mapped, and for a text that does not come back as it was written."""
    for entity, records in simulated.records.items():
        if entity not in simulated.mappings:
            raise ConfigInvalid(f"There are records of {entity}, and no mapping of it.",
                                hint="Write one, or leave them out.")
        for path in (*records.texts, *records.blank, *records.amounts):
            code = code_at(simulated.mappings[entity], path)
            if path in records.texts and _there_and_back(code, f"a{MARK}") != f"a{MARK}":
                raise ConfigInvalid(f"{path} of {entity} takes no text as it stands.",
                                    hint="Name fields that are mapped without a transform.")
    return simulated


def _there_and_back(code: FieldCode, text: str) -> Any:
    try:
        return code.decode(text) if code.encode is None else code.encode(code.decode(text))
    except ValueError:
        return None


def nested(path: str, value: Any) -> dict[str, Any]:
    """A payload with one value at a path."""
    for step in reversed(path.split(".")):
        value = {step: value}
    found: dict[str, Any] = value
    return found


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """A payload with what another one has, too."""
    both = dict(one)
    for name, value in other.items():
        inner = both.get(name)
        both[name] = merged(inner, value) if isinstance(inner, Mapping) \
            and isinstance(value, Mapping) else value
    return both
