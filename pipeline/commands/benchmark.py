"""The command that a benchmark's container runs: predict-gbm."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ...errors import explained
from ...query.index.opening import open_database, require_model
from ...solver.compilation import prepare_jax
from ..cohort.exams import find_exams
from ..inversion.options import InversionOptions
from ..patient.brain_way import checked_way
from ..results.result_folder import only_run, prepare_output
from ..terminal.printing import print_notice, print_step, show
from ..terminal.progress import console
from .opening import open_index
from .options import BrainOption, DatabaseModel, Json, KeepIslands, with_inversion_options


@with_inversion_options
def predict_gbm_command(
    *,
    context: typer.Context,
    input_: Annotated[
        Path, typer.Option("--input", help="Folder with Patient-<id>/ as PREDICT-GBM makes it.")
    ] = Path("/mlcube_io0"),
    output: Annotated[Path, typer.Option("--output", help="Folder of the maps.")] = Path(
        "/mlcube_io1"
    ),
    database: Annotated[
        Path | None, typer.Option(metavar="DB", help="Default: the one that comes along.")
    ] = None,
    model: DatabaseModel = None,
    details: Annotated[
        Path | None, typer.Option(help="Keep each patient's report and files in this folder.")
    ] = None,
    options: InversionOptions,
    keep_islands: KeepIslands = False,
    brain: BrainOption = "auto",
    as_json: Json = False,
) -> None:
    """Rank the brain's voxels for each patient of the PREDICT-GBM benchmark."""
    brain_way = checked_way(brain)
    exams = find_exams(input_)
    source = open_database(database)
    if options.own_anatomy:  # asks the model
        require_model(source, model)
    options.require_fit(source, open_index(source).n_samples)
    context.with_resource(only_run(output))
    if details is not None:
        prepare_output(details)
    prepare_jax()

    from ..cohort.predict_gbm import predict_exam, read_exam

    require_model(source, model)
    written: dict[str, str] = {}
    failed: dict[str, str] = {}
    for folder in exams:
        try:
            exam = read_exam(folder)
            path = predict_exam(
                source,
                exam,
                output,
                options,
                details=None if details is None else details / exam.identifier,
                keep_islands=keep_islands,
                brain=brain_way,
                step=print_step,
                notice=print_notice,
            )
            written[exam.identifier] = str(path)
        except Exception as error:  # whatever it is, it is this patient's alone
            failed[folder.name] = explained(error)
            console.print(f"[bold red]{folder.name} failed:[/] {escape(failed[folder.name])}")
    show({"maps": written, "failed": failed}, as_json)
    if failed:
        raise typer.Exit(1)
