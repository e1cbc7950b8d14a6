"""Commands about databases: generate, describe, verify."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from ...dbgen import Database, ParameterSpace, Plan, generate, verify
from ...dbgen.datacard import describe_database
from ...dbgen.generation import SHARD_SIZE
from ...solver import FisherKolmogorov
from ...solver.models import find_model, parse_settings
from ..database_picture import draw_database
from ..printing import show
from ..progress import progress_bar
from .options import Address, DatabaseFolder, Json, ModelName, ModelSettings


def generate_command(
    database: DatabaseFolder,
    n: Annotated[int, typer.Option("--n", help="Number of tumours.")],
    space: Annotated[Path | None, typer.Option(help="Parameter space, .toml.")] = None,
    sampler: Annotated[str | None, typer.Option(help="trajectory, uniform or sobol.")] = None,
    seed: Annotated[int, typer.Option(help="Of the random draws.")] = 0,
    model: ModelName = FisherKolmogorov.name,
    settings: ModelSettings = None,
    store: Annotated[str, typer.Option(help="density or outlines.")] = "density",
    shard_size: Annotated[int, typer.Option(help="Tumours a file.")] = SHARD_SIZE,
    workers: Annotated[int | None, typer.Option(help="Cores; default: all.")] = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Generate a database; the same command resumes, a larger N extends."""
    named = {} if sampler is None else {"sampler": sampler}
    chosen = ParameterSpace.from_toml(space, **named) if space else ParameterSpace.from_dict(named)
    growth = find_model(model, **parse_settings(settings or ()))
    with progress_bar("generate", "tumours") as progress:
        made = generate(
            database,
            n,
            plan=Plan(space=chosen, seed=seed, model=growth),
            store=store,
            shard_size=shard_size,
            n_workers=workers,
            address=address,
            progress=progress,
        )
    show({"database": str(made.path), "samples": len(made), "checksum": made.checksum}, as_json)


def describe_command(
    database: DatabaseFolder,
    picture: Annotated[Path | None, typer.Option(help="Draw what it covers as PNG.")] = None,
    as_json: Json = False,
) -> None:
    """What a database holds: model, ranges, counts, sizes, time and space it took."""
    source = Database.open(database)
    facts = dataclasses.asdict(describe_database(source)) | {"path": str(source.path.absolute())}
    if picture is not None:
        picture.write_bytes(draw_database(source))
        facts["picture"] = str(picture.absolute())
    show(facts, as_json)


def verify_command(database: DatabaseFolder, as_json: Json = False) -> None:
    """Check a database against its format; exit code 1 if it has faults."""
    with progress_bar("verify", "shards") as progress:
        faults = verify(database, progress=progress)
    show({"database": str(database), "faults": faults}, as_json)
    if faults:
        raise typer.Exit(1)
