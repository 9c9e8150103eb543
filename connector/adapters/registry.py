"""Which adapter speaks to which kind of system; nothing is imported before it is asked for."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from connector.errors import ConfigInvalid

GROUP = "connector.adapters"

_OWN = {
    "native_crm": "connector.adapters.native_crm:NativeCrm",
    "native_erp": "connector.adapters.native_erp:NativeErp",
    "bottlecrm": "connector.adapters.bottlecrm:BottleCrm",
    "tryton": "connector.adapters.tryton:Tryton",
    "memory": "connector.adapters.memory:MemoryAdapter",
}


def kinds() -> dict[str, str]:
    """Every known kind and where its class stands: our own, and installed ones."""
    return {**{point.name: point.value for point in entry_points(group=GROUP)}, **_OWN}


def adapter_class(kind: str) -> type[Any]:
    """The class for a kind of system: `settings_model` and `(settings, clock)`.

    Raises `ConfigInvalid` for a kind that nothing installed provides, or whose class can't be
    imported.
    """
    value = _OWN.get(kind) or kinds().get(kind)
    if value is None:
        raise ConfigInvalid(f"There is no adapter {kind!r}.",
                            hint=f"Known: {', '.join(sorted(kinds()))}.")
    try:
        found: type[Any] = EntryPoint(kind, value, GROUP).load()
    except Exception as error:  # others wrote it: anything may go wrong while it is imported
        raise ConfigInvalid(
            f"The adapter {kind!r} can't be loaded from {value}: {type(error).__name__}: {error}.",
            hint="Mend its package, or install it again.") from error
    return found
