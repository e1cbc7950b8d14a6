"""What commands about many patients share: their summary, and their end if some failed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..names import SUMMARY_PAGE, SUMMARY_TABLE
from ..terminal.printing import print_notice
from ..terminal.progress import console

if TYPE_CHECKING:
    from ...dbgen import Database
    from ..cohort.cohort import Outcome
    from ..cohort.match_quality import DiceScores


def failures_of(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """The error's line of each patient that failed, by the user's name for the patient."""
    return {one.case.identifier: one.error for one in outcomes if one.error is not None}


def end_if_failed(n_failed: int, n: int, noun: str) -> None:
    """End a command with exit code 1 if some of its patients failed.

    Parameters
    ----------
    n_failed, n : int
        How many failed, and how many there are.
    noun : str
        What they are, in the plural.

    Raises
    ------
    typer.Exit
        If any failed.
    """
    if n_failed:
        console.print(f"[bold red]{n_failed} of {n} {noun} failed[/]")
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
    from ..cohort.cohort_report import write_cohort

    declared = Declared.by(source.model)
    for failure in write_cohort(out, outcomes, reference=reference, declared=declared):
        print_notice(failure)
    return {"table": str(out / SUMMARY_TABLE), "page": str(out / SUMMARY_PAGE)}
