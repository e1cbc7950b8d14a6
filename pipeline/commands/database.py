"""Commands about databases: generate, merge, describe, verify, calibrate."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from ...dbgen import Plan, generate, merge, verify
from ...dbgen.datacard import describe_database
from ...dbgen.request import SHARD_SIZE
from ...dbgen.store.embedded import EMBEDDED
from ...dbgen.store.fetched import located
from ...dbgen.store.header import HEADER, read_header
from ...dbgen.store.opening import open_database, require_model
from ...dbgen.study.samplers import SAMPLERS
from ...dbgen.study.space import check_common
from ...errors import InputError
from ...solver.compilation import prepare_jax
from ...solver.models import find_class, find_model, parse_settings, register_model
from ...solver.models.registry import DEFAULT
from ..arguments.opening import open_index
from ..arguments.options import (
    Address,
    DatabaseFolder,
    DatabaseModel,
    FitParameters,
    Json,
    ModelSettings,
    OptionalDatabase,
    Workers,
)
from ..arguments.picture_files import places_for, require_png, save_picture
from ..terminal.printing import print_notice, said, show, show_table
from ..terminal.progress import generation_progress, progress_bar
from ..uncertainty.interval_factors import FILE, N_TUMOURS, QUANTITIES, SEED


def generate_command(
    database: DatabaseFolder,
    n: Annotated[
        int | None,
        typer.Option(
            "--n",
            help="Number of tumours; default: all points of a sweep or design (samplers grid, "
            "table, latin-hypercube), or as many as the database has.",
        ),
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option(help="Study file, .toml, with parameter space, sampler and growth model."),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(help="Table of runs, .csv or .parquet, with a column for each parameter."),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(help=f"Sampler, instead of the study's: {', '.join(SAMPLERS)}."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the random draws; default: 0.")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Growth model, by name or as module:Class, instead of the study's."),
    ] = None,
    settings: ModelSettings = None,
    store: Annotated[
        str | None, typer.Option(help="What to store: density (default; outlines too) or outlines.")
    ] = None,
    shard_size: Annotated[
        int, typer.Option(help="Number of tumours in a file; an existing database keeps its own.")
    ] = SHARD_SIZE,
    workers: Workers = None,
    address: Address = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Estimate time and disk from a short pilot, and stop.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Generate a database. The same command resumes; a larger N extends.

    Without --space, --table, --sampler, --seed, --model and --set, an existing database keeps its
    plan. If you give one of them, the others have their defaults. Only --model module:Class, where
    it names the database's own class again, changes nothing by itself.
    """
    if n is not None and n < 1:
        raise InputError(f"--n is 1 or more, got {n}")
    named = {"sampler": sampler, "table": table}
    named = {name: value for name, value in named.items() if value is not None}
    given = parse_settings(settings or ())
    if not (named or given) and space is None and seed is None and _names_again(database, model):
        model = None
    plan = _plan(space, named, seed, model, given)
    if dry_run:
        from ...dbgen.pilot import forecast_rest

        n_done, rest = forecast_rest(
            database, n, plan=plan, store=store, shard_size=shard_size, n_workers=workers
        )
        facts = {"database": str(database.absolute()), "n_done": n_done}
        show(facts | dataclasses.asdict(rest), as_json)
        return
    with generation_progress() as progress:
        made = generate(
            database,
            n,
            plan=plan,
            store=store,
            shard_size=shard_size,
            n_workers=workers,
            address=address,
            progress=progress.count,
            on_shard=progress.add,
        )
    show({"database": str(made.path), "samples": len(made), "checksum": made.checksum}, as_json)


def _names_again(database: Path, model: str | None) -> bool:
    """Whether a class that a person names, known from then on, is that of a database's model."""
    if model is None or ":" not in model or not (database / HEADER).exists():
        return False
    described = read_header(database)["plan"]["model"]
    name = register_model(find_class(model)).__qualname__
    return str(described.get("class", "")).partition(":")[2] == name


def _plan(
    space: Path | None,
    named: dict[str, Any],
    seed: int | None,
    model: str | None,
    settings: dict[str, Any],
) -> Plan | None:
    """The plan of a study file, changed by the options; None without a file and options."""
    if space is None and seed is None and model is None and not (named or settings):
        return None
    seed = seed or 0
    if space is None:
        check_common(named)
        chosen = find_model(model or DEFAULT, **settings)
        return Plan.of_values(named, seed=seed, model=chosen, given=settings)
    made = None if model is None else find_model(model, **settings)
    return Plan.from_toml(space, seed=seed, model=made, settings=settings, **named)


def merge_command(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the new database.")],
    databases: Annotated[
        list[Path], typer.Argument(metavar="DB...", help="Folders of the databases.")
    ],
    as_json: Json = False,
) -> None:
    """Merge databases of one model, solver and pair of thresholds into a new one."""
    with progress_bar("merge", "shards") as progress:
        made = merge(out, databases, progress=progress, tell=print_notice)
    show({"database": str(made.path), "samples": len(made), "checksum": made.checksum}, as_json)


def describe_command(
    context: typer.Context,
    database: OptionalDatabase = None,
    picture: Annotated[
        Path | None, typer.Option(help="File for a picture of what the database covers, PNG.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a database holds: model, ranges, counts, sizes and processor time."""
    if picture is not None:
        require_png(picture)
    context.with_resource(places_for(picture))
    source = open_database(database)
    facts = dataclasses.asdict(describe_database(source)) | {"path": str(source.path.absolute())}
    if picture is not None:
        from ..pictures.database_picture import draw_database

        save_picture(picture, lambda: draw_database(source), facts)
    if as_json:
        show(facts, as_json)
    else:
        _print_description(facts)


def _print_description(facts: dict[str, Any]) -> None:
    """The facts of a database for people, with tables."""
    in_tables = ("parts", "parameters", "units", "stored", "volume_edges_ml", "volume_counts")
    show({name: value for name, value in facts.items() if name not in in_tables}, as_json=False)
    parts = facts["parts"]
    for number, part in enumerate(parts, start=1):
        asked = {name: value for name, value in part.items() if name not in ("space", "settings")}
        asked |= part["space"]
        if len(parts) > 1:  # those of a single part are the model's
            asked |= part["settings"]
        show({f"part {number} of {len(parts)}": asked}, as_json=False)
    show_table(
        [
            {
                "stored": name,
                "unit": facts["units"][name],
                "least": least,
                "median": median,
                "greatest": greatest,
            }
            for name, (least, median, greatest) in facts["stored"].items()
        ]
    )
    edges, counts = facts["volume_edges_ml"], facts["volume_counts"]
    show_table(
        [
            {"whole outline, ml": f"{said(low)} to {said(high)}", "tumours": count}
            for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
        ]
    )


def verify_command(
    database: OptionalDatabase = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed that chooses the 1 % of the tumours to simulate again.")
    ] = 0,
    model: DatabaseModel = None,
    as_json: Json = False,
) -> None:
    """Check a database against its format; exit code 1 if it has faults."""
    folder = EMBEDDED if database is None else located(database)
    read_header(folder)  # refuses what is no database before JAX is imported
    prepare_jax()
    if model is not None:
        register_model(find_class(model))
    with progress_bar("verify", "shards") as progress:
        faults = verify(folder, seed=seed, progress=progress)
    show({"database": str(folder), "faults": faults}, as_json)
    if faults:
        raise typer.Exit(1)


def calibrate_command(
    database: DatabaseFolder,
    n: Annotated[
        int, typer.Option("--n", help="Number of simulated tumours to calibrate on.")
    ] = N_TUMOURS,
    seed: Annotated[
        int, typer.Option(help="Seed of their draws; it must differ from the database's.")
    ] = SEED,
    fit: FitParameters = None,
    model: DatabaseModel = None,
    as_json: Json = False,
) -> None:
    """Calibrate the intervals that `invert` gives with a database. The same command resumes."""
    source = open_database(database)
    require_model(source, model)

    from ..virtual.calibration import calibrate

    found = calibrate(source, open_index(source), n=n, seed=seed, fit=fit or (), bars=progress_bar)
    facts = {"calibration": str(source.path / FILE), "tumours": dict(found.n_tumours)}
    if as_json:
        show({**facts, "factors": found.factors}, as_json)
        return
    show(facts, as_json)
    show_table(
        [
            {"factor of": name, **{kind: found.factors[kind][name] for kind in found.factors}}
            for name in (*QUANTITIES, *found.fitted)
        ]
    )
