"""Which adapter speaks to which kind of system; nothing is imported before it is asked for."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from connector.errors import ConfigInvalid

GROUP = "connector.adapters"

_OWN = {
    "native_crm": "connector.adapters.native_crm:NativeCrm",
    "native_erp": "connector.adapters.native_erp:NativeErp",
    "memory": "connector.adapters.memory:MemoryAdapter",
}


def kinds() -> dict[str, str]:
    """Every known kind and where its class stands: our own, and installed ones."""
    return {**{point.name: point.value for point in entry_points(group=GROUP)}, **_OWN}


def adapter_class(kind: str) -> Any:
    """The class for a kind of system: `settings_model` and `(settings, clock)`.

    Raises `ConfigInvalid` for a kind that nothing installed provides.
    """
    known = kinds()
    if kind not in known:
        raise ConfigInvalid(f"There is no adapter {kind!r}.",
                            hint=f"Known: {', '.join(sorted(known))}.")
    module, _, name = known[kind].partition(":")
    return getattr(import_module(module), name)
