"""The command about results: check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ..results.result_folder import find_faults, find_results
from ..terminal.printing import show
from ..terminal.progress import console
from .options import Json


def check_command(
    folder: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder of a result, or of a cohort's results.")
    ],
    as_json: Json = False,
) -> None:
    """See that the files of a result belong together; exit code 1 if they do not."""
    found = find_results(folder)
    faults = []
    for place in found:
        inside = "" if place == folder else f"{place.name}/"
        faults += [f"{inside}{fault}" for fault in find_faults(place)]
    if as_json:
        show({"folder": str(folder.absolute()), "results": len(found), "faults": faults}, as_json)
    else:
        for fault in faults:
            console.print(f"[bold red]fault:[/] {escape(fault)}")
        if not faults:
            n = f"{len(found)} results" if len(found) > 1 else "one result"
            console.print(f"{n}: all files are those that were written together")
    if faults:
        raise typer.Exit(1)
