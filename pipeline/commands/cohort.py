"""Commands about many patients: cohort, and predict-gbm, which a benchmark's container runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from ...errors import InputError, explained
from ...query.index.opening import require_model
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
    with_inversion_options,
)
from ..cohort.case_table import COLUMNS, read_cases
from ..cohort.exams import find_exams
from ..inversion.options import InversionOptions
from ..patient.brain_option import checked_way
from ..results.dataset_description import describe_dataset
from ..results.result_folder import only_run, prepare_output
from ..terminal.printing import print_notice, print_step, show
from ..terminal.progress import console, progress_bar

if TYPE_CHECKING:
    from ...dbgen import Database
    from ..cohort.cohort import Outcome
    from ..cohort.match_quality import DiceScores


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
    workers: Annotated[
        int | None, typer.Option(help="Number of cores to use; default: all.")
    ] = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Invert many patients. The same command resumes; exit code 1 if any patient failed."""
    if len(inputs) > 2:
        raise InputError(f"a cohort takes [DB] CASES.csv, got {len(inputs)} paths")
    brain_way = checked_way(brain)
    *database, cases = inputs
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
    failed = {o.case.identifier: o.error for o in outcomes if o.error is not None}
    show(
        {
            "patients": len(outcomes),
            "kept": sum(outcome.kept for outcome in outcomes),
            "failed": failed,
            **summary,
        },
        as_json,
    )
    if failed:
        console.print(f"[bold red]{len(failed)} of {len(outcomes)} patients failed[/]")
        raise typer.Exit(1)


def write_summary(
    out: Path, outcomes: Sequence[Outcome], source: Database, reference: DiceScores | None
) -> dict[str, str]:
    """Write a cohort's table and page, and show which patients failed.

    Parameters
    ----------
    out : Path
        The cohort's folder, absolute.
    outcomes : sequence of Outcome
    source : Database
    reference : DiceScores or None
        Scores of the database's stored tumours.

    Returns
    -------
    dict of str to str
        Paths of the two.
    """
    from ...solver.declarations import Declared
    from ..cohort.cohort_report import PAGE_FILE, TABLE_FILE, write_cohort

    declared = Declared.by(source.model)
    for failure in write_cohort(out, outcomes, reference=reference, declared=declared):
        print_notice(failure)
    return {"table": str(out / TABLE_FILE), "page": str(out / PAGE_FILE)}


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
    exams = find_exams(input_)
    source, _ = open_for(options, database, model)
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
