"""`init`, `prepare`, `check` and `mappings lint`: from nothing to a config that holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.common import Json, opened, print_json, print_table, say
from connector.errors import ConfigInvalid, ConnectorError

if TYPE_CHECKING:
    from connector.bootstrap import Connector
    from connector.domain.values import FieldType
    from connector.mapping.compile import Mapping
    from connector.ports import Adapter


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(init)
    app.command()(prepare)
    app.command()(check)
    mappings = typer.Typer(no_args_is_help=True, help="The field mappings.")
    mappings.command("lint")(lint)
    app.add_typer(mappings, name="mappings")


def init(context: typer.Context,
         force: Annotated[bool, typer.Option("--force", help="Overwrite.")] = False,
         json: Json = False) -> None:
    """Write a commented config to start from."""
    from connector.bootstrap import shipped

    path: Path = context.obj
    if path.exists() and not force:
        raise ConfigInvalid(f"{path} is there already.", hint="Overwrite it with --force.")
    path.write_text(shipped("config.example.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    if json:
        print_json({"config": str(path), "written": True})
    else:
        say(f"Wrote {path}. Fill in your systems, then: connector check")


def prepare(
    context: typer.Context,
    systems: Annotated[list[str] | None, typer.Argument(
        help="Systems of the config; all of them where none is named.")] = None,
    json: Json = False,
) -> None:
    """Make the systems ready: add the fields that the mappings name and a system lacks, where it
    takes new ones, and what its adapter keeps references in."""
    with opened(context) as connector:
        rows = [(system, mapping.object, path)
                for system in systems or connector.config.systems
                for mapping, fields in _wanted(connector, system)
                for path in connector.adapter(system).prepare(mapping.object, fields)]
    if json:
        print_json([{"system": s, "object": o, "added": path} for s, o, path in rows])
    elif rows:
        print_table("Added", ("system", "object", "field"), rows)
    else:
        say("Everything is there.")


def check(context: typer.Context, json: Json = False) -> None:
    """Prove that the config, the store and every system work, and that mapped fields exist."""
    with opened(context) as connector:
        rows = [_checked("store", "opened", lambda: (connector.store, connector.config.store)[1])]
        for system in connector.config.systems:
            rows += _check_system(connector, system)
        for pair in connector.config.pairs:
            rows.append(_checked(f"pair {pair}", "rules and mappings",
                                 lambda pair=pair: f"{len(connector.pair(pair).entities)} "
                                 "entities"))
        if connector.config.scale.by != "process":
            rows.append(_checked("scale", "its workers can be started", lambda: (
                connector.spread(), connector.config.scale.by)[1]))
    if json:
        print_json([{"what": w, "check": c, "ok": ok, "found": f} for w, c, ok, f in rows])
    else:
        print_table("Checks", ("what", "check", "", "found"),
                    [(w, c, "ok" if ok else "WRONG", f) for w, c, ok, f in rows])
    if not all(ok for _, _, ok, _ in rows):
        raise typer.Exit(1)


Row = tuple[str, str, bool, str]


def _checked(what: str, check: str, probe: object) -> Row:
    try:
        return what, check, True, str(probe())  # type: ignore[operator]
    except ConnectorError as error:
        return what, check, False, str(error)


def _check_system(connector: Connector, system: str) -> list[Row]:
    answer = _checked(system, "answers, with these credentials",
                      lambda: connector.adapter(system).check())
    if not answer[2]:
        return [answer]
    adapter = connector.adapter(system)
    return [answer, *(_checked(system, f"fields of {mapping.entity.name}",
                               lambda mapping=mapping, fields=fields:
                               _fields_exist(adapter, mapping, fields))
                      for mapping, fields in _wanted(connector, system))]


def _wanted(connector: Connector, system: str) -> list[tuple[Mapping, dict[str, FieldType]]]:
    """For each shared mapping of a system, the fields that a pair has a use for: those that the
    other side maps as well."""
    mappings = {m.entity.name: m for m in _shared(connector, system)}
    used: dict[str, set[str]] = {entity: set() for entity in mappings}
    for name, conf in connector.config.pairs.items():
        if system in (conf.crm, conf.erp):
            for entity, rules in connector.pair(name).rules.items():
                used[entity] |= set(rules.header)
    return [(mapping, mapping.narrowed(used[entity]).field_types)
            for entity, mapping in mappings.items()]


def _shared(connector: Connector, system: str) -> list[Mapping]:
    """A system's mappings of the entities that it shares with any other. Raises
    `ConfigInvalid` where the config has no such system."""
    if system not in connector.config.systems:
        raise ConfigInvalid(f"The config has no system {system!r}.",
                            hint=f"It has: {', '.join(connector.config.systems)}.")
    shared = {e for pair in connector.config.pairs.values() if system in (pair.crm, pair.erp)
              for e in pair.entities}
    told = {e for pair in connector.config.pairs.values() if pair.tells(system)
            for e in pair.entities}
    mappings = connector.mappings(system)
    return [mappings[entity] if entity in told else mappings[entity].untold
            for entity in sorted(shared & set(mappings))]


def _fields_exist(adapter: Adapter, mapping: Mapping, fields: dict[str, FieldType]) -> str:
    schema = adapter.describe(mapping.object)
    unknown = sorted((fields.keys() - schema.fields)
                     | {f"lines: {p}" for p in mapping.line_paths - schema.line_fields})
    if unknown:
        raise ConfigInvalid(f"{mapping.object} has no {', '.join(unknown)}.",
                            hint=f"Add them by `connector prepare`, or mend "
                            f"{mapping.system}/{mapping.entity.name}.yaml.")
    return f"{len(fields) + len(mapping.line_paths)} mapped fields exist"


def lint(
    folder: Annotated[Path | None, typer.Argument(
        help="A folder of mappings, SYSTEM/ENTITY.yaml; the shipped ones where none is given.")]
    = None,
    transforms: Annotated[Path | None, typer.Option(
        help="A Python file with your own transforms.")] = None,
    json: Json = False,
) -> None:
    """Check mappings without any system: YAML, fields, transforms, values."""
    from connector.bootstrap import shipped
    from connector.mapping.load import load_mappings
    from connector.mapping.transforms import REGISTRY, load_transforms

    root = folder or shipped("mappings")
    if not root.is_dir():
        raise ConfigInvalid(f"{root} is no folder.", hint="Name a folder of SYSTEM/ENTITY.yaml.")
    known = {**REGISTRY, **(load_transforms(transforms) if transforms else {})}
    rows = [(system.name, entity, len(m.source_paths) + len(m.line_paths))
            for system in sorted(root.iterdir()) if system.is_dir()
            for entity, m in sorted(load_mappings(root, system.name, known).items())]
    if json:
        print_json([{"system": s, "entity": e, "fields": n} for s, e, n in rows])
    else:
        print_table(f"{len(rows)} mappings hold", ("system", "entity", "fields"), rows,
                    right=("fields",))
