"""A cohort at a glance: a table, a page with pictures, and how well its tumours were matched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...dbgen import Database
from ...dbgen.machine.files import write_text
from ...paths import StrPath
from ...query import Index, search
from ..pictures.drawing import MaxNLocator, drawn, new_figure, own_style, png_of
from ..report.page import render_page
from ..results.csv_file import write_csv
from ..results.json_values import plain
from ..results.outputs import REPORT_FILE
from ..results.result_folder import RESULT_FILE
from .cohort import PICTURE_FILE, Outcome

TABLE_FILE = "cohort.csv"
PAGE_FILE = "cohort.html"

N_REFERENCE = 200

FIELDS = {
    "id": "patient",
    "status": "status",
    "source": "answer",
    "score": "sum of Dice",
    "dice_core": "Dice core",
    "dice_whole": "Dice whole",
    "mean_dice": "mean Dice",
    "brain_dice": "brain Dice",
    "lambda_mm": "λ (mm)",
    "rho_t": "ρT",
    "origin_x_mm": "origin x (mm)",
    "origin_y_mm": "origin y (mm)",
    "origin_z_mm": "origin z (mm)",
    "core_ml": "core (ml)",
    "whole_ml": "whole (ml)",
    "covered_standard": "recurrence in the standard volume",
    "covered_model": "recurrence in the model's volume",
    "seconds": "seconds",
    "problems": "problems",
    "error": "error",
    "report": "report",
}
"""Columns of the table and, on the page, their heads."""

OFF_PAGE = ("origin_x_mm", "origin_y_mm", "origin_z_mm", "error", "report")
"""Columns that only the table has, or that the page shows otherwise."""

WHERE_GIVEN = ("covered_standard", "covered_model")
"""Columns that the page has only where a patient has a value there."""

DECIMALS = {
    "score": 3, "dice_core": 3, "dice_whole": 3, "mean_dice": 3, "brain_dice": 3, "lambda_mm": 2,
    "rho_t": 1, "core_ml": 1, "whole_ml": 1, "covered_standard": 2,
    "covered_model": 2, "seconds": 0,
}  # fmt: skip

CORE_COLOUR, WHOLE_COLOUR, SUM_COLOUR = "#2f855a", "#2b6cb0", "#6b46c1"


@dataclass(frozen=True, eq=False)
class DiceScores:
    """Dice of many tumours with their best matches; NaN where an outline is empty.

    Attributes
    ----------
    core, whole : (n,) float array
    """

    core: NDArray[np.float64]
    whole: NDArray[np.float64]


def other_fields(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Columns of the summary for those of the cases' table that were not read, by their heads.

    A head that the summary has itself gets `cases_` before it.
    """
    fields: dict[str, str] = {}
    for head in dict.fromkeys(head for outcome in outcomes for head in outcome.case.others):
        key = head
        while key in FIELDS or key in fields.values():
            key = f"cases_{key}"
        fields[head] = key
    return fields


def cohort_rows(outcomes: Sequence[Outcome], out: Path) -> list[dict[str, Any]]:
    """One row a patient, with the keys of `FIELDS` and `other_fields`.

    What a failed patient has not is None.
    """
    rows = []
    others = other_fields(outcomes)
    for outcome in outcomes:
        row: dict[str, Any] = dict.fromkeys(FIELDS) | {"id": outcome.case.identifier}
        row |= {key: outcome.case.others.get(head) for head, key in others.items()}
        if outcome.error is not None:
            rows.append(row | {"status": "failed", "error": outcome.error})
            continue
        result = _result_of(outcome)
        answer, quality = result["answer"], result["quality"]
        growth = answer["growths"][0]  # of several tumours, that of the largest core
        x, y, z = growth["origin_mm"]
        covered: dict[str, float] = next(
            iter(result["recurrence"]), {}
        )  # its core, where it has one
        has_core = quality["core"]["patient_ml"] > 0
        report = (outcome.folder / REPORT_FILE).relative_to(out.absolute())
        rows.append(
            row
            | {key: answer[key] for key in ("source", "score", "dice_whole")}
            | {key: growth[key] for key in ("lambda_mm", "rho_t")}
            | {
                "status": result["status"],
                "dice_core": answer["dice_core"] if has_core else None,
                "mean_dice": result["mean_dice"],
                "brain_dice": quality["brain_dice"],
                "origin_x_mm": x,
                "origin_y_mm": y,
                "origin_z_mm": z,
                "core_ml": quality["core"]["patient_ml"],
                "whole_ml": quality["whole"]["patient_ml"],
                "covered_standard": covered.get("standard"),
                "covered_model": covered.get("model"),
                "seconds": sum(result["timings_s"].values()),
                "problems": len(result["problems"]),
                "report": report.as_posix(),
            }
        )
    return rows


def write_cohort(
    out: StrPath, outcomes: Sequence[Outcome], *, reference: DiceScores | None = None
) -> list[str]:
    """Write `cohort.csv` and `cohort.html`.

    Parameters
    ----------
    out : path
        The cohort's folder.
    outcomes : sequence of Outcome
    reference : DiceScores, optional
        Of stored tumours, to draw beside the patients'.

    Returns
    -------
    list of str
        A sentence for each picture or page that could not be made.
    """
    out = Path(out)
    rows = cohort_rows(outcomes, out)
    others = list(other_fields(outcomes).values())
    write_csv(out / TABLE_FILE, plain(rows), [*FIELDS, *others])
    done = [row for row in rows if row["error"] is None]
    pictures = {
        outcome.case.identifier: (outcome.folder / PICTURE_FILE).read_bytes()
        for outcome in outcomes
        if outcome.error is None and (outcome.folder / PICTURE_FILE).is_file()
    }
    failures: list[str] = []
    plot = None
    if done:
        scores = _scores_of_matches(outcomes)
        plot = drawn("The picture of all Dice", lambda: draw_dice(scores, reference), failures)
    values: dict[str, object] = {
        "rows": rows,
        "fields": {
            key: name
            for key, name in FIELDS.items()
            if key not in OFF_PAGE
            and (key not in WHERE_GIVEN or any(row[key] is not None for row in rows))
        },
        "others": [key for key in others if any(row[key] for row in rows)],
        "decimals": DECIMALS,
        "pictures": pictures,
        "n_failed": len(rows) - len(done),
        "plausible": sum(row["status"] == "plausible match" for row in done),
        "plot": plot,
    }
    page = out / PAGE_FILE
    page.unlink(missing_ok=True)  # an earlier one would not belong to the table
    drawn(
        "The page", lambda: write_text(page, render_page("cohort.html.jinja", **values)), failures
    )
    return failures


def _result_of(outcome: Outcome) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((outcome.folder / RESULT_FILE).read_text(encoding="utf-8"))
    return result


def _scores_of_matches(outcomes: Sequence[Outcome]) -> DiceScores:
    """Dice of the patients' best matches, whatever was found beyond them."""
    results = [_result_of(outcome) for outcome in outcomes if outcome.error is None]
    core = [
        result["best"]["dice_core"] if result["quality"]["core"]["patient_ml"] > 0 else np.nan
        for result in results
    ]
    return DiceScores(np.array(core), np.array([r["best"]["dice_whole"] for r in results]))


def match_stored(database: Database, index: Index, n: int = N_REFERENCE) -> DiceScores | None:
    """Match stored tumours against the database without their own run.

    Snapshots of one run are nearly alike; without them, a stored tumour is as unseen as a new draw
    of the same parameter space. None where there is but one run.

    Parameters
    ----------
    database : Database
    index : Index
        Of this database.
    n : int
        Number of tumours, evenly spread over the database.
    """
    runs = database.parameters.run.values
    m = int(np.bincount(runs).max())
    if len(database) <= m:
        return None
    chosen = np.unique(np.linspace(0, len(database) - 1, min(n, len(database))).astype(int))
    scores = []
    for sample in map(int, chosen):
        found = search(index, database.outlines(sample), k=m + 1)
        best = next(match for match in found if runs[match.sample] != runs[sample])
        scores.append((best.dice_core, best.dice_whole))
    core, whole = np.array(scores).T
    return DiceScores(core, whole)


@own_style()
def draw_dice(patients: DiceScores, stored: DiceScores | None = None) -> bytes:
    """Draw every tumour's Dice with its best match, as the paper's Figures 2 and 3 do; a PNG.

    Rows: core (T1Gd), whole tumour (FLAIR), their sum (of tumours that have both). Columns: the
    patients; the stored tumours.
    """
    columns = [(f"{len(patients.whole)} patients", patients)]
    if stored is not None:
        columns.append((f"{len(stored.whole)} stored tumours, each without its own run", stored))
    figure = new_figure(4.4 * len(columns), 6.0, layout="constrained")
    axes = figure.subplots(3, len(columns), squeeze=False)
    for column, (name, scores) in enumerate(columns):
        drawn = (
            ("core (T1Gd)", scores.core, CORE_COLOUR, 1),
            ("whole (FLAIR)", scores.whole, WHOLE_COLOUR, 1),
            ("core + whole", scores.core + scores.whole, SUM_COLOUR, 2),
        )
        for axis, (label, values, colour, top) in zip(axes[:, column], drawn, strict=True):
            values = np.sort(values[np.isfinite(values)])[::-1]
            axis.bar(np.arange(values.size) + 1, values, width=1.0 if values.size > 60 else 0.8,
                     color=colour)  # fmt: skip
            axis.set_ylim(0, top)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            axis.set_ylabel(label)
            axis.spines[["top", "right"]].set_visible(False)
            if values.size:
                axis.axhline(values.mean(), color="#444444", linewidth=0.9, linestyle="--")
                axis.text(
                    0.99, 0.97, f"mean {values.mean():.2f}, median {np.median(values):.2f}",
                    transform=axis.transAxes, ha="right", va="top", fontsize=8,
                )  # fmt: skip
        axes[0, column].set_title(name, fontsize=10)
        axes[-1, column].set_xlabel("tumours, best match first")
    return png_of(figure)
