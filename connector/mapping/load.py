"""Reads a folder of mapping documents and compiles them."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from pathlib import Path

from connector.domain.entities import ENTITIES
from connector.mapping.compile import MappingError, compile_mapping
from connector.mapping.compiled import Mapping
from connector.mapping.document import read_document
from connector.mapping.transforms import Transform


def load_mappings(folder: Path, system: str,
                  transforms: AnyMapping[str, Transform]) -> dict[str, Mapping]:
    """The compiled mappings `folder/system/*.yaml`, by entity; none where there is no such
    folder. Raises `ConfigInvalid` with file and line."""
    found: dict[str, Mapping] = {}
    for path in sorted((folder / system).glob("*.yaml")):
        read = read_document(path)
        document = read.document
        if document.system != system:
            raise read.file.invalid(["system"], f"{document.system!r} stands in the folder of "
                                    f"{system!r}.", "Move the file, or mend the line.")
        if document.entity in found:
            raise read.file.invalid(["entity"], f"{document.entity} is mapped twice for "
                                    f"{system}.", "Keep one of the two files.")
        try:
            found[document.entity] = compile_mapping(document, ENTITIES[document.entity],
                                                     transforms)
        except MappingError as error:
            raise read.file.invalid(error.location, error.message, error.hint) from None
    return found
