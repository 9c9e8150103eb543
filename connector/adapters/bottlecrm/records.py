"""Records as BottleCRM gives them, what is sent for one, and what it did not keep of it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from connector.adapters.bottlecrm import lines, notes
from connector.adapters.bottlecrm.objects import ORDER, UNFINISHED, BottleObject
from connector.domain.records import RemoteRecord

Payload = Mapping[str, Any]
_QUOTE_STATUSES = ("Draft", "Sent", "Declined", "Expired", "Accepted", "Ordered")
"""How far an estimate is; of what BottleCRM and the ERP say, what is further counts."""
_OF_LINKS = {"account_id": "account", "contact_id": "contact", "opportunity_id": "opportunity"}


def record(kind: BottleObject, row: Payload, defined: Collection[str],
           currency: str) -> RemoteRecord:
    """A row of a whole list, or of a single answer, as a record.

    Its version is a fingerprint of its own fields: BottleCRM has none, and computed ones
    (`is_overdue`, `rollups`) change by themselves. A custom field that is blank is absent there;
    here it is null. `currency` is the organization's, which holds where a record has none.
    """
    payload = {name: row.get(name) for name in kind.fields}
    custom = dict(row.get("custom_fields") or {})
    if kind.notes:
        payload["description"], custom = notes.split(row.get("description"))
    if kind.lines_apart:
        payload["account"] = (row["account"] or {}).get("id")
        payload["line_items"] = lines.read_apart(row)
    elif kind.line_fields:
        payload |= {name: (row.get(nested) or {}).get("id") for name, nested in _OF_LINKS.items()}
        payload["line_items"] = lines.read(row)
    if kind.stands_on:
        payload[kind.stands_on] = row["id"]
    version = _fingerprint({**payload, "custom_fields": custom})
    payload["custom_fields"] = {**dict.fromkeys((*kind.notes, *sorted(defined))), **custom}
    if "currency" in payload:
        payload["currency"] = payload["currency"] or currency
    if kind.stands_on:
        payload[kind.told] = custom.get(kind.told) or payload["status"]
    elif kind.told:
        payload[kind.told] = _quote_status(str(row["status"]), custom, kind.told)
    reference = (custom.get(kind.mark) or "").removesuffix(UNFINISHED) or None
    return RemoteRecord(row["id"], version, payload, reference=reference)


def _quote_status(own: str, custom: Payload, told: str) -> str:
    said = "Ordered" if custom.get(ORDER) else custom.get(told)
    plain = "Sent" if own == "Viewed" else own
    known = [plain, said] if said in _QUOTE_STATUSES else [plain]
    return str(max(known, key=_QUOTE_STATUSES.index))


def _fingerprint(payload: Payload) -> str:
    text = orjson.dumps(payload, default=str, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:32]


def unknown(kind: BottleObject, payload: Payload, defined: Collection[str]) -> list[str]:
    """The fields of a payload that BottleCRM would drop without a word."""
    custom = payload.get("custom_fields") or {}
    names = sorted(set(payload) - kind.writable)
    names += [f"custom_fields.{key}" for key in sorted(set(custom) - {*defined, *kind.notes})]
    if kind.told in payload and kind.told not in defined:
        names.append(f"custom_fields.{kind.told}")
    for line in payload.get("line_items") or ():
        names += [f"line_items.{name}" for name in sorted(set(line) - kind.line_fields)]
    return list(dict.fromkeys(names))


def body(kind: BottleObject, payload: Payload, current: Payload | None,
         reference: str | None = None) -> dict[str, Any]:
    """What is sent for a payload; `current` is the record it changes, `reference` what a new one
    is made for."""
    sent = dict(payload)
    custom = dict(sent.pop("custom_fields", None) or {})
    if reference is not None:
        custom[kind.mark] = reference
    if kind.told in sent:
        custom[kind.told] = sent.pop(kind.told)
    sent.pop(kind.stands_on, None)
    if kind.notes:
        now = current or {}
        if custom or "description" in sent:
            sent["description"] = notes.join(sent.get("description", now.get("description")),
                                             {**now.get("custom_fields", {}), **custom})
        if "sku" in sent:
            sent["sku"] = sent["sku"] or None  # blank would be unique, too
    elif custom:
        sent["custom_fields"] = custom
    sent.pop("amount_due", None)  # moved by payments
    if kind.lines_apart:
        if sent.pop("line_items", None) or (current or {}).get("line_items"):
            sent.pop("amount", None)  # the sum of the lines
    elif "line_items" in sent:
        _with_lines(sent, current)
    return sent


def _with_lines(sent: dict[str, Any], current: Payload | None) -> None:
    """Lines as they are taken; left out where they are as they were: an issued document refuses
    any."""
    if current is not None and not _dropped_lines(sent["line_items"], current["line_items"]):
        del sent["line_items"]
        return
    rates = lines.rates(sent["line_items"])
    if len(rates) == 1:
        sent.setdefault("tax_rate", f"{rates.pop():f}")
    sent["line_items"] = lines.write(sent["line_items"])


def mixed_rates(payload: Payload) -> bool:
    """Whether a document's lines are taxed at several rates: BottleCRM charges one."""
    return len(lines.rates(payload.get("line_items") or ())) > 1


def not_kept(payload: Payload, after: Payload) -> list[str]:
    """Which fields of a payload the written record does not hold, with what it holds instead."""
    return [f"{name} (sent {_shown(sent)}, kept {_shown(kept)})"
            for name, sent, kept in _differences(payload, after)]


def lines_to_write(sent: Any, kept: Any) -> list[tuple[Payload, Payload | None]]:
    """The lines of a payload that are not there as they were sent, each with the one there is."""
    there = {line["order"]: line for line in kept}
    return [(line, there.get(line["order"])) for line in sent
            if any(not same(value, there.get(line["order"], {}).get(name))
                   for name, value in line.items())]


def _differences(payload: Payload, after: Payload) -> Iterator[tuple[str, Any, Any]]:
    for name, sent in payload.items():
        kept = after.get(name)
        if name == "custom_fields":
            for key, value in (sent or {}).items():
                if not same(value, (kept or {}).get(key)):
                    yield f"{name}.{key}", value, (kept or {}).get(key)
        elif name == "line_items":
            yield from _dropped_lines(sent or (), kept or ())
        elif not same(sent, kept):
            yield name, sent, kept


def _dropped_lines(sent: Any, kept: Any) -> list[tuple[str, Any, Any]]:
    there = {line["order"]: line for line in kept}
    found: list[tuple[str, Any, Any]] = []
    if len(there) != len(sent):
        found.append(("line_items", f"{len(sent)} lines", f"{len(there)} lines"))
    for place, line in enumerate(sent):
        order = line.get("order", place)
        row = there.get(order, {})
        found += [(f"line {order}: {name}", value, row.get(name))
                  for name, value in line.items() if not same(value, row.get(name))]
    return found


def same(sent: Any, kept: Any) -> bool:
    """Whether a value was kept as it was sent: blank is blank, `12` is `12.00`."""
    sent, kept = _plain(sent), _plain(kept)
    if isinstance(sent, bool) or isinstance(kept, bool) or None in (sent, kept):
        return sent is kept
    if sent == kept:
        return True
    try:
        return Decimal(str(sent)) == Decimal(str(kept))
    except InvalidOperation:
        return False


def _plain(value: Any) -> Any:
    return (value.strip() or None) if isinstance(value, str) else value


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def refused(answer: Any) -> str:
    """BottleCRM's own words about what is wrong, in one line."""
    if not isinstance(answer, Mapping):
        return "no reason given"
    for key in ("errors", "message", "detail"):
        if answer.get(key):
            return "; ".join(_said(answer[key], "")) or "no reason given"
    return "; ".join(_said({k: v for k, v in answer.items() if k != "error"}, ""))


def _said(node: Any, where: str) -> Iterator[str]:
    if isinstance(node, Mapping):
        for name, inner in node.items():
            at = name if name != "non_field_errors" else ""
            yield from _said(inner, f"{where}.{at}".strip("."))
    elif isinstance(node, list):
        for place, inner in enumerate(node):
            deeper = isinstance(inner, Mapping | list)
            yield from _said(inner, f"{where} {place}" if deeper else where)
    elif node not in (None, ""):
        words = " ".join(str(node).split()).rstrip(".")[:300]
        yield f"{where}: {words}" if where else words
