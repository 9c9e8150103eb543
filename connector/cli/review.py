"""`conflicts`, `history` and `explain`: what wants a person, and why it is so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli.common import (
    Entity,
    Json,
    Number,
    PairName,
    opened,
    print_json,
    print_table,
    say,
    told_apart,
)
from connector.domain.actions import AMBIGUOUS
from connector.errors import RunFailed

if TYPE_CHECKING:
    from connector.bootstrap import Connector
    from connector.domain.ledger import Conflict, HistoryEntry

Record = Annotated[str, typer.Argument(help="An external ID on either side, or a canonical ID.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    conflicts = typer.Typer(no_args_is_help=True, help="Differences that wait for a person.")
    conflicts.command("list")(list_conflicts)
    conflicts.command("show")(show_conflict)
    conflicts.command("resolve")(resolve_conflict)
    app.add_typer(conflicts, name="conflicts")
    app.command()(history)
    app.command()(explain)


def list_conflicts(
    context: typer.Context, pair: PairName = None,
    all: Annotated[bool, typer.Option("--all", help="Settled ones too.")] = False,
    json: Json = False,
) -> None:
    """List conflicts, oldest first."""
    from connector.domain.ledger import ConflictState

    states = tuple(ConflictState) if all else (ConflictState.OPEN, ConflictState.DECIDED)
    with opened(context) as connector, connector.store.begin() as uow:
        found = uow.conflicts(connector.pair_name(pair), states=states)
    if json:
        print_json(found)
        return
    print_table(f"{len(found)} conflicts",
                ("no", "entity", "record", "field", "base", "CRM", "ERP", "state", "by"),
                [(str(c.id), c.entity, c.title, c.path or c.kind, *told_apart(c.base, c.crm, c.erp),
                  c.state.value, c.settled_by) for c in found])


def show_conflict(context: typer.Context, number: Number, json: Json = False) -> None:
    """Show a conflict with its base and both values."""
    with opened(context) as connector:
        conflict = _conflict(connector, number)
    if json:
        print_json(conflict)
        return
    base, crm, erp = told_apart(conflict.base, conflict.crm, conflict.erp)
    print_table(f"Conflict {conflict.id}: {conflict.entity} {conflict.title}", ("", ""), [
        ("field", conflict.path or "(the whole record)"), ("kind", conflict.kind),
        ("last agreed", base), ("CRM", crm), ("ERP", erp),
        ("state", conflict.state.value), ("settled by", conflict.settled_by),
        ("canonical ID", conflict.canonical_id), ("run", conflict.run_id),
        ("since", conflict.opened_at)])
    if conflict.kind == AMBIGUOUS:
        say(f"Settle it: connector conflicts resolve {number} --link EXTERNAL_ID | --create")
    elif conflict.kind == "proposal":
        say(f"The ERP has to answer. Take it back: connector conflicts resolve {number} --take erp")
    else:
        say(f"Settle it: connector conflicts resolve {number} --take crm | --take erp | "
            "--value VALUE")


def resolve_conflict(
    context: typer.Context, number: Number, pair: PairName = None,
    take: Annotated[str | None, typer.Option(help="crm or erp: whose value stands.")] = None,
    value: Annotated[str | None, typer.Option(help="A third value, for both sides.")] = None,
    link: Annotated[str | None, typer.Option(
        help="Ambiguous match: the other side's external ID.")] = None,
    create: Annotated[bool, typer.Option(
        "--create", help="Ambiguous match: it is a new one.")] = False,
    json: Json = False,
) -> None:
    """Settle a conflict and carry the decision out at once."""
    from connector.cli.runs import print_run
    from connector.domain.ledger import ConflictState
    from connector.engine.answers import decision_for

    with opened(context) as connector:
        conflict = _conflict(connector, number)
        decision = decision_for(conflict, take=take, value=value, link=link, create=create)
        run = connector.engine(connector.pair_name(pair)).resolve(conflict, decision)
        now = _conflict(connector, number)
    if json:
        print_json(run)
    else:
        print_run(run, f"Conflict {number} is {now.state.value}")
        if now.state is ConflictState.OPEN:
            say("A side has moved since: look at it once more.")


def history(context: typer.Context, entity: Entity, record: Record, pair: PairName = None,
            json: Json = False) -> None:
    """What happened to a record: every outcome that touched it, oldest first."""
    with opened(context) as connector:
        canonical_id, entries = _history(connector, pair, entity, record)
    if json:
        print_json({"canonical_id": canonical_id, "history": entries})
        return
    rows = []
    for entry in entries:
        head = (entry.at, entry.run_id, entry.kind.value, f"read from {entry.side}")
        rows += [(*head, entry.target or "", f"{c.path or 'the whole record'}: "
                  f"{_short(c.before)} → {_short(c.after)}", c.rule) for c in entry.changes]
        if entry.reason or not entry.changes:
            rows.append((*head, "", "", entry.reason))
    print_table(f"{entity} {record} ({canonical_id})",
                ("at", "run", "outcome", "side", "written to", "field: before → after", "why"),
                rows)


def explain(
    context: typer.Context, entity: Entity, record: Record,
    field: Annotated[str | None, typer.Argument(help="Only this field.")] = None,
    pair: PairName = None, json: Json = False,
) -> None:
    """Why a record's fields hold what they hold: the rule and run that set each of them."""
    with opened(context) as connector:
        canonical_id, entries = _history(connector, pair, entity, record)
        told = _told(connector, pair, entity, canonical_id)
    last: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in entries:
        for change in entry.changes:
            last[change.path, entry.target or ""] = {
                "field": change.path, "in": entry.target, "value": change.after,
                "before": change.before, "rule": change.rule, "run": entry.run_id,
                "at": entry.at}
    chosen = [row for (path, _), row in sorted(last.items())
              if field is None or path == field or path.startswith(f"{field}[")]
    if not chosen and (field or not told):
        raise RunFailed(f"No run has written {field or 'any field'} of {entity} {record}.",
                        hint="What both sides held already was never written.")
    if json:
        print_json({"canonical_id": canonical_id, "fields": chosen, "told": told})
        return
    if chosen:
        print_table(f"{entity} {record}", ("field", "in", "value", "before", "why", "run", "at"),
                    [(r["field"], r["in"], _short(r["value"]), _short(r["before"]), r["rule"],
                      r["run"], r["at"]) for r in chosen])
    for place in told:
        why = f": {place['reason']}" if place["reason"] else ""
        say(f"{place['record']} of the {place['in']} says since {_short(place['since'])}: "
            f"{place['state'].replace('_', ' ')}{why}")


def _told(connector: Connector, pair: str | None, entity: str,
          canonical_id: str) -> list[dict[str, Any]]:
    """What the records of a thing were last told about how they stand, by the CRM's first."""
    name = connector.pair_name(pair)
    conf = connector.config.pairs[name]
    found = []
    with connector.store.begin() as uow:
        for role, system in (("crm", conf.crm), ("erp", conf.erp)):
            ids = uow.external_ids(name, entity, system, [canonical_id]).values()
            found += [{"in": role, "record": told.external_id, "state": told.state,
                       "reason": told.reason, "since": told.since}
                      for told in uow.told(name, entity, system, list(ids)).values() if told.since]
    return found


def _short(value: Any) -> str:
    from connector.domain.values import shown

    if isinstance(value, dict):
        return ", ".join(f"{k} {shown(v)}" for k, v in value.items() if v is not None)
    return shown(value)


def _conflict(connector: Connector, number: int) -> Conflict:
    with connector.store.begin() as uow:
        conflict = uow.conflict(number)
    if conflict is None:
        raise RunFailed(f"There is no conflict {number}.",
                        hint="See them with `connector conflicts list`.")
    return conflict


def _history(connector: Connector, pair: str | None, entity: str,
             record: str) -> tuple[str, list[HistoryEntry]]:
    """A record's canonical ID and story, by any of its IDs."""
    name = connector.pair_name(pair)
    conf = connector.config.pairs[name]
    with connector.store.begin() as uow:
        for system in (conf.crm, conf.erp):
            found = uow.canonical_ids(name, entity, system, [record])
            if found:
                return found[record], uow.history(name, entity, found[record])
        entries = uow.history(name, entity, record)
    if not entries:
        raise RunFailed(f"No {entity} {record!r} is linked.",
                        hint="Give its ID in the CRM or in the ERP.")
    return record, entries
