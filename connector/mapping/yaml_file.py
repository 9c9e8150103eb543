"""Reads YAML 1.2 and says where each part of it stands.

Every error, of syntax or of content, becomes `ConfigInvalid` with `file:line:`, what is wrong and
what is expected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scalarbool import ScalarBoolean

from connector.errors import ConfigInvalid

MAX_BYTES = 256 * 1024
MAX_PARTS = 100_000
MAX_DEPTH = 100

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A file's content as plain data, and where its parts stand."""

    path: Path
    data: Any
    marked: Any

    def line(self, location: Sequence[str | int]) -> int:
        """The line (from 1) of the part at `location`, or of the nearest part around it."""
        node, line = self.marked, 1
        for step in location:
            if isinstance(node, CommentedMap) and step in node:
                line = node.lc.key(step)[0] + 1
            elif isinstance(node, CommentedSeq) and isinstance(step, int) and step < len(node):
                line = node.lc.item(step)[0] + 1
            else:
                continue  # a step of the model that the file does not have
            node = node[step]
        return line

    def invalid(self, location: Sequence[str | int], message: str, hint: str = "") -> ConfigInvalid:
        """An error about the part at `location`."""
        return ConfigInvalid(f"{self.path}:{self.line(location)}: {message}", hint=hint)

    def validate(self, model: type[Model]) -> Model:
        """The content as a model. Raises `ConfigInvalid` for the first thing wrong with it."""
        try:
            return model.model_validate(self.data)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            location = [step for step in first["loc"] if isinstance(step, str | int)]
            where = ".".join(str(step) for step in location)
            raise self.invalid(location, f"{where}: {_plain(first)}".lstrip(": "),
                               _HINTS.get(first["type"], "")) from None


_HINTS = {"extra_forbidden": "Take it out, or mend its spelling.", "missing": "Add it."}


def _plain(error: Any) -> str:
    kind, given = error["type"], error.get("input")
    if kind == "extra_forbidden":
        return "unknown key."
    if kind == "missing":
        return "is missing."
    if kind in ("model_type", "dict_type"):
        return "a map (`key: value`) is expected."
    if kind == "string_type" and isinstance(given, int | float) and not isinstance(given, bool):
        return f"{given!r} is a number here, text is expected; put it in quotes."
    if kind == "string_type" and isinstance(given, bool | date):
        return f"{str(given).lower()} is no text here; put it in quotes."
    message = str(error["msg"]).removeprefix("Value error, ")
    return message[0].lower() + message[1:] + ("" if message.endswith(".") else ".")


def read_yaml(path: Path) -> YamlFile:
    """Read a file. Raises `ConfigInvalid` where it can't be read, is too large or no YAML."""
    try:
        raw = path.read_bytes()
        if len(raw) > MAX_BYTES:
            raise ConfigInvalid(f"{path}: {len(raw)} bytes are too many, {MAX_BYTES} are allowed.",
                                hint="Split the file.")
        text = raw.decode("utf-8")
    except OSError as error:
        raise ConfigInvalid(f"{path}: can't be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise ConfigInvalid(f"{path}: not UTF-8 at byte {error.start}.",
                            hint="Save it as UTF-8.") from None
    return parse_yaml(path, text)


def parse_yaml(path: Path, text: str) -> YamlFile:
    """Parse `text` as the content of `path`; duplicate keys are refused."""
    yaml = YAML(typ="rt")
    yaml.allow_duplicate_keys = False
    try:
        marked = yaml.load(StringIO(text))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = (error.problem or "is not YAML").strip().splitlines()[0]
        raise ConfigInvalid(f"{path}:{line}: {problem}.", hint="Mend the YAML there.") from None
    except YAMLError as error:
        raise ConfigInvalid(f"{path}: {error}".splitlines()[0]) from None
    except RecursionError:
        raise ConfigInvalid(f"{path}: nested too deeply.") from None
    return YamlFile(path, _plain_data(marked, path, [MAX_PARTS]), marked)


def _plain_data(node: Any, path: Path, left: list[int], depth: int = 0) -> Any:
    """`node` without marks; `left` counts down, for aliases of aliases grow without end."""
    left[0] -= 1
    if left[0] < 0 or depth > MAX_DEPTH:
        raise ConfigInvalid(f"{path}: its aliases (`*name`) repeat too much.",
                            hint="Write the parts out.")
    if isinstance(node, CommentedMap):
        return {key: _plain_data(value, path, left, depth + 1) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain_data(value, path, left, depth + 1) for value in node]
    if node is None:
        return node
    if isinstance(node, bool | ScalarBoolean):
        return bool(node)
    for kind in (int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node
