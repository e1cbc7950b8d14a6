"""Commands about many patients: cohort, and predict-gbm, which a benchmark's container runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ...dbgen.store.opening import require_model
from ...errors import InputError, explained
from ...solver.compilation import prepare_jax
from ..arguments.opening import open_for
from ..arguments.options import (
    Address,
    Anonymous,
    BrainOption,
    DatabaseModel,
    Json,
    KeepIslands,
    Labels,
    NamedDatabase,
    Workers,
    with_inversion_options,
)
from ..arguments.picture_files import places_for
from ..cohort.case_table import COLUMNS, read_cases
from ..cohort.exams import find_exams, identifier_of
from ..inversion.options import InversionOptions
from ..names import SUMMARY_FILES
from ..patient.brain_option import checked_way
from ..results.dataset_description import describe_dataset
from ..results.result_folder import only_run, output_folder
from ..terminal.printing import print_notice, print_step, show
from ..terminal.progress import console, progress_bar
from .many_patients import end_if_failed, failures_of, write_summary


@with_inversion_options
def cohort_command(
    *,
    context: typer.Context,
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="[DB] CASES.csv",
            help="Folder of the database (default: the embedded database), and the "
            f"table of cases with the columns {', '.join(COLUMNS)}. Paths are relative to the "
            "table. Other columns go to the summary.",
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")],
    options: InversionOptions,
    labels: Labels = None,
    keep_islands: KeepIslands = False,
    brain: BrainOption = "auto",
    anonymous: Anonymous = False,
    model: DatabaseModel = None,
    workers: Workers = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Invert many patients. The same command resumes; exit code 1 if any patient failed."""
    if len(inputs) > 2:
        raise InputError(f"a cohort takes [DB] CASES.csv, got {len(inputs)} paths")
    brain_way = checked_way(brain)
    *database, cases = inputs
    context.with_resource(places_for(*(output / name for name in SUMMARY_FILES), inputs=[cases]))
    table = read_cases(cases, labels=labels)
    for notice in table.notices:
        print_notice(notice)
    if anonymous and all(case.dicom is None for case in table.cases):
        raise InputError("--anonymous is for DICOM files: name folders for them in a column dicom")
    source, index = open_for(options, database[0] if database else None, model)
    context.with_resource(only_run(output))

    from ..cohort.cohort import invert_cohort
    from ..cohort.match_quality import match_stored

    require_model(source, model)
    reference = match_stored(source, index)
    with progress_bar("cohort", "patients") as progress:
        outcomes = invert_cohort(
            source,
            table.cases,
            output,
            options,
            keep_islands=keep_islands,
            brain=brain_way,
            anonymous=anonymous,
            address=address,
            n_workers=workers,
            progress=progress,
        )
    describe_dataset(output.absolute())
    summary = write_summary(output.absolute(), outcomes, source, reference)
    failed = failures_of(outcomes)
    show(
        {
            "patients": len(outcomes),
            "kept": sum(outcome.kept for outcome in outcomes),
            "failed": failed,
            **summary,
        },
        as_json,
    )
    end_if_failed(len(failed), len(outcomes), "patients")


@with_inversion_options
def predict_gbm_command(
    *,
    context: typer.Context,
    input_: Annotated[
        Path,
        typer.Option(
            "--input", help="Folder with a Patient-<id> for each patient, as PREDICT-GBM makes it."
        ),
    ] = Path("/mlcube_io0"),
    output: Annotated[Path, typer.Option("--output", help="Folder for the maps.")] = Path(
        "/mlcube_io1"
    ),
    database: NamedDatabase = None,
    model: DatabaseModel = None,
    details: Annotated[
        Path | None,
        typer.Option(
            help="Folder for each patient's report and files; default: keep the map alone."
        ),
    ] = None,
    options: InversionOptions,
    keep_islands: KeepIslands = False,
    brain: BrainOption = "auto",
    as_json: Json = False,
) -> None:
    """Rank the brain's voxels for each patient of the PREDICT-GBM benchmark."""
    brain_way = checked_way(brain)
    if options.tissue_from != "auto":
        raise InputError("the benchmark gives each patient's tissue maps: leave --tissue-from out")
    exams = find_exams(input_)
    source, _ = open_for(options, database, model)
    context.with_resource(only_run(output))
    if details is not None:
        context.with_resource(output_folder(details))
    prepare_jax()

    from ..cohort.predict_gbm import place_of_map, predict_exam, read_exam

    require_model(source, model)
    written: dict[str, str] = {}
    failed: dict[str, str] = {}
    for folder in exams:
        try:
            exam = read_exam(folder)
            for text in exam.notices:
                print_notice(f"{folder.name}: {text}")
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
            place_of_map(output, identifier_of(folder)).unlink(missing_ok=True)  # of a former run
            console.print(f"[bold red]{folder.name} failed:[/] {escape(failed[folder.name])}")
    show({"maps": written, "failed": failed}, as_json)
    if failed:
        raise typer.Exit(1)
