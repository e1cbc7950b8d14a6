"""The command about virtual patients: trial."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..arguments.options import Address, Json, Workers
from ..results.result_folder import only_run
from ..terminal.printing import print_notice, show, show_table
from ..terminal.progress import console, progress_bar
from ..trial.plan import ALL_ARMS, N_PATIENTS, TrialPlan
from ..virtual.arms import SEED
from .many_patients import end_if_failed


def trial_command(
    context: typer.Context,
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the results.")],
    patients: Annotated[int, typer.Option(metavar="N", help="Number of patients.")] = N_PATIENTS,
    first: Annotated[int, typer.Option(metavar="I", help="Number of the first patient.")] = 0,
    arms: Annotated[
        str,
        typer.Option(
            help="Kinds of patient: a (cells only), b (with oedema), c (with mass effect)."
        ),
    ] = ALL_ARMS,
    seed: Annotated[int, typer.Option(help="Seed of the patients.")] = SEED,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="Keep the patients' files and the true densities (7 to 26 MB for a case).",
        ),
    ] = False,
    workers: Workers = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Measure what the map is worth on virtual patients. The same command resumes."""
    plan = TrialPlan(patients, first, arms, seed)
    context.with_resource(only_run(output))

    from ..trial.summary import summarise
    from ..trial.trial import run_trial
    from ..trial.trial_report import PAGE_FILE, short_table, write_trial

    with progress_bar("trial", "cases") as progress:
        rows = run_trial(
            plan, output, keep=keep, address=address, n_workers=workers, progress=progress
        )
    summary = summarise(rows)
    for notice in write_trial(output, plan, summary):
        print_notice(notice)
    page = output / PAGE_FILE
    if as_json:
        show(
            {
                "cases": len(rows),
                "failed": summary.failures,
                "page": str(page.absolute()) if page.exists() else None,
            },
            as_json,
        )
    else:
        show_table(short_table(summary), n_keys=1)
        console.print(f"written to {output.absolute()}", markup=False)
    end_if_failed(len(summary.failures), len(rows), "cases")
