"""A path is taken apart into what it was put together from, and finds what stands there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.domain.paths import field_at, parsed, path_of, value_at

ORDER = {"number": "SO-1", "lines": [{"line_no": 10, "text": "Bolt"}, {"line_no": 20}]}


@given(st.integers() | st.text(st.characters(exclude_characters="]")),
       st.sampled_from(["", "text", "unit_price"]))
def test_the_path_of_a_line_names_it(key: Any, name: str) -> None:
    assert parsed(path_of(key, name)) == (str(key), name)


@pytest.mark.parametrize(("path", "line", "name"), [
    ("", None, ""), ("number", None, "number"), ("lines", None, "lines"),
    ("lines[10]", "10", ""), ("lines[10].text", "10", "text")])
def test_a_path_has_a_line_and_a_name(path: str, line: str | None, name: str) -> None:
    assert parsed(path) == (line, name)


@pytest.mark.parametrize(("path", "value"), [
    ("", ORDER), ("number", "SO-1"), ("remark", None), ("lines[10]", ORDER["lines"][0]),
    ("lines[10].text", "Bolt"), ("lines[20].text", None), ("lines[30]", None),
    ("lines[30].text", None)])
def test_what_stands_at_a_path(path: str, value: object) -> None:
    assert value_at("order", ORDER, path) == value


@pytest.mark.parametrize(("path", "name"), [
    ("number", "number"), ("lines[10].unit_price", "unit_price"), ("", None), ("lines[10]", None),
    ("unit_price", None), ("match", None)])
def test_a_path_names_a_field_or_the_whole(path: str, name: str | None) -> None:
    field = field_at("order", path)
    assert (field and field.name) == name
