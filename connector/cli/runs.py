"""`sync`, `plan`, `apply` and `status`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli.carrying import AsFlow, BusyChoice, Patience, Wish, carry_out
from connector.cli.common import (
    Entities,
    Json,
    PairName,
    opened,
    print_json,
    print_table,
    progress,
    say,
    told_apart,
)

if TYPE_CHECKING:
    from connector.domain.actions import Action
    from connector.domain.ledger import Run

NEEDS_ATTENTION = 7
SafetyStop = Annotated[bool, typer.Option(
    "--safety-stop/--no-safety-stop",
    help="Stop before the first write where too much would change.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(sync)
    app.command()(drain)
    app.command()(plan)
    app.command()(apply)
    app.command()(status)


def sync(
    context: typer.Context, entity: Entities = None, pair: PairName = None,
    safety_stop: SafetyStop = True, busy: BusyChoice = None, patience: Patience = None,
    prefect: AsFlow = None, json: Json = False,
) -> None:
    """Bring both sides into agreement."""
    run, _ = carry_out(context, Wish("sync", pair, entity or [], busy, patience, prefect, json,
                                     {"safety_stop": safety_stop}))
    finish(run, json)


def drain(
    context: typer.Context, entity: Entities = None, pair: PairName = None,
    safety_stop: SafetyStop = True, busy: BusyChoice = None, patience: Patience = None,
    prefect: AsFlow = None, json: Json = False,
) -> None:
    """Work off what webhooks have told and what waits in the inbox; nothing else is read."""
    run, _ = carry_out(context, Wish("drain", pair, entity or [], busy, patience, prefect, json,
                                     {"safety_stop": safety_stop, "trigger": "cli"}))
    finish(run, json)


def plan(
    context: typer.Context, entity: Entities = None, pair: PairName = None,
    out: Annotated[Path | None, typer.Option("--out", help="Save the plan here.")] = None,
    json: Json = False,
) -> None:
    """Show what a sync would do; nothing is written to either system."""
    with opened(context) as connector, progress(not json) as observe:
        engine = connector.engine(connector.pair_name(pair))
        made = engine.plan(entity or [], observe=observe)
    if out is not None:
        out.write_bytes(made.to_json())
    if json:
        print_json({"pair": made.pair, "actions": list(made.actions)})
        return
    print_actions(made.actions)
    if out is not None:
        say(f"Saved. Carry it out with: connector apply {out}")


def apply(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A plan saved by `plan --out`.")],
    pair: PairName = None, json: Json = False,
) -> None:
    """Carry out a saved plan exactly; what has changed since is refused."""
    from connector.engine.plan_file import read_gate

    with opened(context) as connector, progress(not json) as observe:
        name = connector.pair_name(pair)
        run = connector.engine(name).apply(read_gate(file, name), observe=observe)
    finish(run, json)


def status(context: typer.Context, pair: PairName = None, json: Json = False) -> None:
    """How things stand: the last runs, what waits, and what wants a person."""
    from connector.domain.ledger import ConflictState

    with opened(context) as connector:
        name = connector.pair_name(pair)
        with connector.store.begin() as uow:
            runs = uow.runs(name, 10)
            inbox = uow.inbox_counts(name)
            conflicts = uow.conflicts(name, states=(ConflictState.OPEN,))
            letters = uow.dead_letters(name)
            requests = uow.requests(name)
            pair_conf = connector.config.pairs[name]
            connections = {system: state for system, state in
                           uow.connections(connector.clock.now()).items()
                           if system in (pair_conf.crm, pair_conf.erp)}
    if json:
        print_json({"pair": name, "runs": runs, "inbox": inbox, "connections": connections,
                    "open_conflicts": len(conflicts), "dead_letters": len(letters),
                    "requests": requests})
        return
    print_table(f"Last runs of {name}", ("run", "started", "trigger", "state", "writes", "note"),
                [(r.id, r.started_at, r.trigger, r.state.value, sum(r.writes.values()),
                  r.message) for r in runs])
    if inbox:
        print_table("In the inbox", ("entity", "system", "state", "records"),
                    [(*key, number) for key, number in sorted(inbox.items())])
    if connections:
        print_table("Connections", ("system", "calls in 24 hours", "no call before",
                                    "credentials refused since", "note"),
                    [(system, state.used, state.not_before, state.denied_at, state.denied)
                     for system, state in sorted(connections.items())])
    if requests:
        say(f"{len(requests)} runs were left with the one at work, or with the next one.")
    say(f"{len(conflicts)} open conflicts (connector conflicts list), "
        f"{len(letters)} dead letters (connector dead-letters list)")


def print_actions(actions: Any) -> None:
    """A plan as tables: what each step changes, and the rule behind it."""
    rows = []
    for action in actions:
        head = (action.entity, action.kind.value, action.target or "", action.title)
        if not action.changes:
            rows.append((*head, "", action.reason))
        for i, change in enumerate(action.changes):
            what = (f"{change.path}: {_brief(change.before)} → {_brief(change.after)}"
                    if change.path else "the whole record")
            rows.append((*(head if i == 0 else ("",) * 4), what, change.rule))
        rows += [("", "", "", "", _conflict(c), c.settled_by or "waits for a person")
                 for c in action.conflicts]
    print_table(f"Plan: {_summary(actions)}",
                ("entity", "step", "written to", "record", "field: before → after", "why"), rows)


def _conflict(conflict: Any) -> str:
    from connector.domain.values import shown

    _, crm, erp = told_apart(conflict.base, conflict.crm, conflict.erp)
    return f"conflict on {conflict.path or 'the record'}: CRM {shown(crm)}, ERP {shown(erp)}"


def _brief(value: Any) -> str:
    from connector.domain.values import shown

    if isinstance(value, dict):
        return ", ".join(f"{k} {shown(v)}" for k, v in value.items()
                         if k in ("quantity", "unit_price") and v is not None) or "line"
    return shown(value)


def _summary(actions: list[Action]) -> str:
    counts: dict[str, int] = {}
    for action in actions:
        counts[action.kind.value] = counts.get(action.kind.value, 0) + 1
    return ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items())) or "nothing to do"


def print_run(run: Run, title: str = "") -> None:
    """A run's account: records read on each side and what came of them, and what was written."""
    from connector.domain.actions import OutcomeKind

    kinds = list(OutcomeKind)
    rows = [(entity, role, tally.read, *(tally.outcomes[k] for k in kinds))
            for (entity, role), tally in sorted(run.tallies.items()) if tally.read]
    columns = ("entity", "read from", "read", *(k.value for k in kinds))
    print_table(title or f"Run {run.id}: {run.state.value}", columns, rows, right=columns[2:])
    written = [(entity, role, operation, n)
               for (entity, role, operation), n in sorted(run.writes.items()) if n]
    if written:
        print_table("Written", ("entity", "to", "what", "records"), written, right=("records",))
    else:
        say("Nothing was written.")
    for (entity, role), number in sorted(run.told.items()):
        if number:
            say(f"Told {number} {entity} records of the {role} how they stand.")
    if run.message:
        say(run.message)


def finish(run: Run, json: bool) -> None:
    """Print a run, and end the command as it ended."""
    if json:
        print_json(run)
    else:
        print_run(run)
    exit_as(run, quiet=json)


def exit_as(run: Run, *, quiet: bool) -> None:
    """End the command where the run failed, or records did."""
    from connector.domain.ledger import RunState
    from connector.engine.run import needs_attention

    if run.state is RunState.FAILED:
        raise typer.Exit(1)
    if needs_attention(run):
        if not quiet:
            say("Some records failed: connector dead-letters list")
        raise typer.Exit(NEEDS_ATTENTION)
