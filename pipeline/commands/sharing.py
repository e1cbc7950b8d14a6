"""Commands that pass databases on: export, fetch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...dbgen.sharing import export, fetch
from ...dbgen.sharing.exporting import HELD_OUT
from ...dbgen.store.opening import open_database
from ..arguments.options import DatabaseFolder, Json
from ..terminal.printing import show
from ..terminal.progress import progress_bar


def export_command(
    database: DatabaseFolder,
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="New folder; its name becomes the database's."),
    ],
    held_out: Annotated[
        float,
        typer.Option(help="Share of the runs whose tumours are marked as queries of a benchmark."),
    ] = HELD_OUT,
    seed: Annotated[int, typer.Option(min=0, help="Seed that chooses these runs.")] = 0,
    as_json: Json = False,
) -> None:
    """Export a database for a repository of data: archive, table, Croissant, checksums."""
    with progress_bar("export", "files") as progress:
        folder = export(
            open_database(database), out, held_out=held_out, seed=seed, progress=progress
        )
    files = [path.name for path in sorted(folder.iterdir())]
    show({"folder": str(folder), "files": files}, as_json)


def fetch_command(
    source: Annotated[
        str,
        typer.Argument(help="Address of the archive: https://.../NAME.tar or doi:DOI/NAME.tar."),
    ],
    sha256: Annotated[
        str | None, typer.Option(help="Checksum of the archive, from SHA256SUMS of the export.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the database from now on; default: the archive's.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fetch a published database. Commands then take its name in place of its folder."""
    with progress_bar("fetch", "bytes") as progress:
        database = fetch(source, sha256=sha256, name=name, progress=progress)
    show(
        {
            "name": database.path.name,
            "samples": len(database),
            "checksum": database.checksum,
            "folder": str(database.path),
        },
        as_json,
    )
