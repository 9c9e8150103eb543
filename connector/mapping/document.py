"""The mapping document: one system's words for one entity, as YAML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from connector.domain.entities import ENTITIES
from connector.mapping.yaml_file import YamlFile, read_yaml


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _short(value: Any) -> Any:
    """The short form: a field that is just a path."""
    if isinstance(value, str):
        return {"path": value}
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is neither a path nor a map such as "
                         "{path: ..., transform: ...}")
    return value


def _dotted(path: str) -> str:
    if not all(step and step == step.strip() for step in path.split(".")):
        raise ValueError(f"{path!r} is no path such as name or address.city")
    return path


SystemPath = Annotated[str, AfterValidator(_dotted)]


class FieldSpec(_Strict):
    """How one canonical field stands in a system's payload."""

    path: SystemPath | None = None
    transform: str | None = None
    values: Annotated[dict[str, str], Field(min_length=1)] | None = None
    link: str | None = None
    formula: str | None = None
    direction: Literal["both", "pull", "push"] = "both"

    @model_validator(mode="after")
    def _one_source(self) -> FieldSpec:
        if (self.path is None) == (self.formula is None):
            raise ValueError("give either a path or a formula, and not both")
        if self.values is not None and (self.transform is not None or self.link is not None):
            raise ValueError("values go with neither transform nor link; take one out")
        if self.formula is not None and self.direction != "pull":
            raise ValueError("a formula goes one way: add `direction: pull`")
        return self


FieldEntry = Annotated[FieldSpec, BeforeValidator(_short)]


class LinesSpec(_Strict):
    """How line items stand in a payload: a list at `path`; `key` is the canonical line key."""

    path: SystemPath
    key: str = "line_no"
    direction: Literal["both", "pull"] = "both"
    fields: dict[str, FieldEntry] = Field(min_length=1)


class MappingDocument(_Strict):
    """A whole mapping document."""

    system: str
    entity: str
    object: str
    select: str | None = None
    fields: dict[str, FieldEntry] = Field(min_length=1)
    lines: LinesSpec | None = None
    sync_state: Annotated[dict[str, FieldEntry], Field(min_length=1)] | None = None


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """A document and the file it stands in."""

    document: MappingDocument
    file: YamlFile

    def source(self, location: Sequence[str]) -> str:
        """`file:line` of a part of the document: `["fields", "name"]`."""
        return f"{self.file.path}:{self.file.line(location)}"


def read_document(path: Path) -> ReadDocument:
    """Read a mapping. Raises `ConfigInvalid` with file and line."""
    file = read_yaml(path)
    document = file.validate(MappingDocument)
    if document.entity not in ENTITIES:
        raise file.invalid(["entity"], f"unknown entity {document.entity!r}.",
                           f"Known: {', '.join(ENTITIES)}.")
    return ReadDocument(document, file)
