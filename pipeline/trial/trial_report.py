"""A trial's tables and picture, in files."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from math import isnan
from pathlib import Path

from ...dbgen.machine.files import write_bytes, write_json, write_text
from ..pictures.drawing import drawn
from ..results.csv_file import write_csv
from ..results.json_values import plain
from .plan import TrialPlan
from .rivals import GROWTH, MAP, RANKINGS
from .summary import ARM_NAMES, Figure, TrialSummary
from .trial import request_of
from .trial_picture import draw_trial

TABLE_FILE, BINS_FILE, JSON_FILE = "trial.csv", "reliability.csv", "trial.json"
PAGE_FILE, PICTURE_FILE = "trial.md", "trial.png"

Cell = Callable[[str], str]
"""The text of a table's cell for an arm."""


def write_trial(out: Path, plan: TrialPlan, summary: TrialSummary) -> list[str]:
    """Write tables and picture of a trial.

    Parameters
    ----------
    out : Path
        Folder that receives `trial.csv`, `reliability.csv`, `trial.json`, `trial.md` and
        `trial.png`.
    plan : TrialPlan
    summary : TrialSummary

    Returns
    -------
    list of str
        A sentence if the picture failed.
    """
    figures = [dataclasses.asdict(figure) for figure in summary.figures]
    bins = [dataclasses.asdict(one) for one in summary.bins]
    whole = {
        "plan": dataclasses.asdict(plan),
        "request": request_of(plan),
        "failures": summary.failures,
        "figures": figures,
        "reliability": bins,
    }
    for name in (JSON_FILE, TABLE_FILE, BINS_FILE, PAGE_FILE, PICTURE_FILE):
        (out / name).unlink(missing_ok=True)  # an earlier trial's
    failures: list[str] = []
    if figures:
        write_csv(out / TABLE_FILE, figures)
        write_csv(out / BINS_FILE, bins)
        write_text(out / PAGE_FILE, page_of(plan, summary))
        picture = drawn("The picture of the trial", lambda: draw_trial(summary), failures)
        if picture is not None:
            write_bytes(out / PICTURE_FILE, picture)
    write_json(out / JSON_FILE, plain(whole))
    return failures


def page_of(plan: TrialPlan, summary: TrialSummary) -> str:
    """The tables as Markdown."""
    arms = summary.arms
    request = request_of(plan)
    lines = [
        "# Trial",
        "",
        f"Patients {plan.first} to {plan.patients[-1]} of seed {plan.seed}, database "
        f"{request['database'][:12]}, glioquery {request['version']}. Means over patients, with "
        "95 % bootstrap intervals.",
    ]
    if summary.failures:
        lines += ["", f"{len(summary.failures)} cases failed and are left out:", ""]
        lines += [f"- {case}: {told}" for case, told in summary.failures.items()]

    def figures(quantity: str, of: str, say: Callable[[Figure], str] | None = None) -> Cell:
        def cell(arm: str) -> str:
            figure = summary.figure(arm, quantity, of)
            return "" if figure is None else (say or said)(figure)

        return cell

    names = ("Share of the true cells outside the core that a volume of the standard plan's size "
             "holds", "Average precision of {true u >= 0.01} outside the whole outline",
             "ROC-AUC of the same")  # fmt: skip
    for title, quantity in zip(names, ("coverage_1", "average_precision", "roc_auc"), strict=True):
        rows = [(words, figures(quantity, name)) for name, words in RANKINGS.items()]
        lines += table(title, arms, rows)
    rows = [
        ("patients", lambda arm: _n_of(summary, arm)),
        (
            "coverage minus that of the best rival",
            lambda arm: (
                figures("minus_rival", summary.best_rival(arm), signed)(arm)
                + f", {RANKINGS[summary.best_rival(arm)]}"
            ),
        ),
        ("share of the oracle's gain over the standard", figures("share_of_gain", MAP)),
        ("share of the patients in which it covers more than the standard", figures("better", MAP)),
    ]
    lines += table("The map compared with the others", arms, rows)
    plans = dict.fromkeys(f.of for f in summary.figures if f.quantity == "plan_coverage")
    lines += table(
        "Share of these cells that each plan holds",
        arms,
        [(name, figures("plan_coverage", name)) for name in plans],
    )
    rows = [
        (f"{words}: {said_of}", figures(quantity, name))
        for name, words in ((MAP, "the map"), (GROWTH, "the growth alone"))
        for quantity, said_of in (
            ("correlation", "r inside the true 1 % isoline"),
            ("mean_absolute_error", "mean absolute error there"),
            ("dice_core", "Dice with the core as drawn"),
            ("dice_whole", "Dice with the whole as drawn"),
            ("residual", "residual of the growth equation"),
        )
    ]
    lines += table("Density", arms, rows)
    lines += table(
        "Probability that a density is exceeded: of the tenths that hold 1 % of the voxels within "
        "30 mm of the whole outline, the one that is farthest off, claimed and true",
        arms,
        [
            (f"u >= {density}", functools.partial(_worst, summary, density))
            for density in dict.fromkeys(one.density for one in summary.bins)
        ],
    )
    return "\n".join([*lines, ""])


def short_table(summary: TrialSummary) -> list[dict[str, str]]:
    """The coverage at the standard plan's size, as rows for people."""
    rows = []
    for name, words in RANKINGS.items():
        figures = {arm: summary.figure(arm, "coverage_1", name) for arm in summary.arms}
        rows.append(
            {"coverage": words}
            | {ARM_NAMES[arm]: "" if f is None else said(f) for arm, f in figures.items()}
        )
    return rows


def table(title: str, arms: Sequence[str], rows: Sequence[tuple[str, Cell]]) -> list[str]:
    """Lines of a table with a column for each arm."""
    head = ["", *(ARM_NAMES[arm] for arm in arms)]
    lines = ["", f"## {title}", "", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for words, cell in rows:
        lines.append(f"| {' | '.join([words, *(cell(arm) for arm in arms)])} |")
    return lines


def said(figure: Figure) -> str:
    """A figure with its interval, if it has one."""
    interval = "" if isnan(figure.low) else f" ({figure.low:.3f} to {figure.high:.3f})"
    return f"{figure.mean:.3f}{interval}"


def signed(figure: Figure) -> str:
    """A difference with its interval, if it has one."""
    interval = "" if isnan(figure.low) else f" ({figure.low:+.3f} to {figure.high:+.3f})"
    return f"{figure.mean:+.3f}{interval}"


def _n_of(summary: TrialSummary, arm: str) -> str:
    figure = summary.figure(arm, "better", MAP)
    return "" if figure is None else str(figure.n)


def _worst(summary: TrialSummary, density: str, arm: str) -> str:
    worst = summary.worst_bin(arm, density)
    return "" if worst is None else f"{worst.claimed:.2f}, {worst.true:.2f}"
