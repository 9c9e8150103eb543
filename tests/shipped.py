"""The shipped mappings, read once a process: to read them is most of what a small test takes."""

from __future__ import annotations

from functools import cache

from connector.bootstrap import shipped
from connector.mapping.compiled import Mapping
from connector.mapping.load import load_mappings
from connector.mapping.transforms import REGISTRY


@cache
def mappings(system: str) -> dict[str, Mapping]:
    """By entity, the shipped mappings of a system."""
    return load_mappings(shipped("mappings"), system, REGISTRY)
