"""A plan as a file: saved, reviewed, and later applied exactly, or refused where things moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from connector.domain.actions import Action
from connector.engine.plan import fingerprint
from connector.errors import ConfigInvalid

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """Decided actions of one pair. `gate` names, by canonical ID, the fingerprints of the actions
    that may be carried out."""

    pair: str
    made_at: datetime
    actions: Sequence[Action]

    def to_json(self) -> bytes:
        """The plan as a file's content; decimals and times as text."""
        rows = [{**asdict(action), "fingerprint": fingerprint(action)} for action in self.actions]
        return orjson.dumps({"format": FORMAT, "pair": self.pair,
                             "made_at": self.made_at.isoformat(), "actions": rows},
                            default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)


Gate = Mapping[str, frozenset[str]]


def read_gate(path: Path, pair: str) -> Gate:
    """The gate of a saved plan: fingerprints by canonical ID. Raises `ConfigInvalid`."""
    try:
        data: Any = orjson.loads(path.read_bytes())
        if data["format"] != FORMAT:
            raise ConfigInvalid(f"{path}: plan format {data['format']} is not {FORMAT}.",
                                hint="Make the plan again with this release.")
        if data["pair"] != pair:
            raise ConfigInvalid(f"{path}: this plan is for pair {data['pair']!r}, not {pair!r}.",
                                hint="Name that pair with --pair.")
        gate: dict[str, set[str]] = {}
        for row in data["actions"]:
            gate.setdefault(row["canonical_id"], set()).add(row["fingerprint"])
    except FileNotFoundError:
        raise ConfigInvalid(f"{path}: no such plan file.",
                            hint="Make one with `connector plan --out FILE`.") from None
    except OSError as error:
        raise ConfigInvalid(f"{path}: can't be read: {error.strerror}.",
                            hint="Name a file made by `connector plan --out FILE`.") from None
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ConfigInvalid(f"{path}: not a plan file ({error}).",
                            hint="Make one with `connector plan --out FILE`.") from None
    return {canonical_id: frozenset(prints) for canonical_id, prints in gate.items()}
