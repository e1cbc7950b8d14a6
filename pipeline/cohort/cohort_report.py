"""A cohort at a glance: a table, and a page with pictures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...dbgen.machine.files import write_text
from ...paths import StrPath
from ...solver.declarations import NOTHING_DECLARED, Combination, Declared, Parameter
from ..inversion.result import InversionStatus
from ..names import SUMMARY_PAGE, SUMMARY_TABLE
from ..pictures.drawing import drawn
from ..report.page import render_page
from ..results.csv_file import write_csv
from ..results.json_values import plain
from ..results.outputs import REPORT_FILE
from ..results.result_folder import RESULT_FILE, has_all_files
from .case import Case
from .cohort import PICTURE_FILE, Outcome
from .match_quality import DiceScores, draw_dice, scores_of_matches

FIELDS = {
    "id": "patient",
    "status": "status",
    "source": "kind of growth",
    "score": "sum of Dice",
    "dice_core": "Dice core",
    "dice_whole": "Dice whole",
    "mean_dice": "mean Dice",
    "brain_dice": "brain Dice",
    "lambda_mm": "λ (mm)",
    "rho_t": "ρT",
    "rho": "ρ (1/day)",
    "dw": "Dw (mm²/day)",
    "velocity_mm_per_year": "velocity (mm/year)",
    "origin_x_mm": "origin x (mm)",
    "origin_y_mm": "origin y (mm)",
    "origin_z_mm": "origin z (mm)",
    "core_ml": "core (ml)",
    "whole_ml": "whole (ml)",
    "covered_standard": "recurrence in standard volume",
    "covered_model": "recurrence in model's volume",
    "covered_geodesic": "recurrence in geodesic volume",
    "auc_model": "ROC-AUC, model",
    "auc_geodesic": "ROC-AUC, geodesic",
    "precision_model": "average precision, model",
    "precision_geodesic": "average precision, geodesic",
    "seconds": "seconds",
    "problems": "problems",
    "error": "error",
    "report": "report",
}
"""Columns of the table and their heads on the page; a model's own follow `LAST_COMMON`."""

LAST_COMMON = "rho_t"

OFF_PAGE = (
    "mean_dice",
    "origin_x_mm",
    "origin_y_mm",
    "origin_z_mm",
    "precision_model",
    "precision_geodesic",
    "error",
    "report",
)
"""Columns of the table alone, so that the page fits a laptop's screen, or shown otherwise there."""

OF_SEVERAL_SCANS = ("rho", "dw", "velocity_mm_per_year")
"""Columns of rates in real days, for patients with two scans or more."""

WHERE_GIVEN = (
    *OF_SEVERAL_SCANS,
    "covered_standard",
    "covered_model",
    "covered_geodesic",
    "auc_model",
    "auc_geodesic",
)
"""Columns that the page has only if some patient has a value there."""

TEXTS = ("id", "status", "source")
"""Columns of text, which may take several lines."""

DECIMALS = {
    "score": 3, "dice_core": 3, "dice_whole": 3, "mean_dice": 3, "brain_dice": 3, "lambda_mm": 2,
    "rho_t": 1, "rho": 4, "dw": 3, "velocity_mm_per_year": 1, "core_ml": 1, "whole_ml": 1,
    "covered_standard": 2, "covered_model": 2, "covered_geodesic": 2,
    "auc_model": 3, "auc_geodesic": 3,
    "precision_model": 3, "precision_geodesic": 3, "seconds": 0,
}  # fmt: skip


def model_fields(declared: Declared) -> dict[str, str]:
    """Columns of the summary for the combinations and parameters of a model, by their names.

    A name that the summary already has gets the prefix `model_`.
    """
    names = [one.name for one in _added(declared)]
    return {name: f"model_{name}" if name in FIELDS else name for name in names}


def _added(declared: Declared) -> list[Combination | Parameter]:
    return [*declared.combinations, *declared.parameters]


def other_fields(outcomes: Sequence[Outcome], taken: Collection[str]) -> dict[str, str]:
    """Columns of the summary for the unread columns of the cases' table, by their heads.

    A head that another column has gets the prefix `cases_`.
    """
    fields: dict[str, str] = {}
    for head in dict.fromkeys(head for outcome in outcomes for head in outcome.case.others):
        key = head
        while key in taken or key in fields.values():
            key = f"cases_{key}"
        fields[head] = key
    return fields


def cohort_rows(outcomes: Sequence[Outcome], out: Path, declared: Declared) -> list[dict[str, Any]]:
    """One row for each patient, with the keys of `FIELDS`, `model_fields` and `other_fields`.

    Missing values of a failed patient are None.
    """
    rows = []
    of_model = model_fields(declared)
    own = (*FIELDS, *of_model.values())
    others = other_fields(outcomes, own)
    for outcome in outcomes:
        row: dict[str, Any] = dict.fromkeys(own) | {"id": outcome.case.identifier}
        row |= {key: outcome.case.others.get(head) for head, key in others.items()}
        if outcome.error is not None:
            rows.append(row | {"status": "failed", "error": outcome.error})
            continue
        report = outcome.folder / REPORT_FILE
        place = report.relative_to(out.absolute()).as_posix() if report.is_file() else None
        found = _values_of(_result_of(outcome), of_model)
        rows.append(row | found | {"report": place})  # a page that could not be written has no link
    return rows


def write_cohort(
    out: StrPath,
    outcomes: Sequence[Outcome],
    *,
    reference: DiceScores | None = None,
    declared: Declared = NOTHING_DECLARED,
) -> list[str]:
    """Write `cohort.csv` and `cohort.html`.

    Parameters
    ----------
    out : path
        The cohort's folder.
    outcomes : sequence of Outcome
        As `invert_cohort` returns them.
    reference : DiceScores, optional
        Scores of stored tumours, to draw beside the patients'.
    declared : Declared
        The growth model's declaration; its columns stand after lambda and rho T if a growth has
        values.

    Returns
    -------
    list of str
        A sentence for each picture or page that could not be made.

    Raises
    ------
    OSError
        If the table cannot be written.
    """
    out = Path(out)
    rows = cohort_rows(outcomes, out, declared)
    fields = _with_model(declared, rows)
    others = list(other_fields(outcomes, (*FIELDS, *model_fields(declared).values())).values())
    columns = [*fields, *others]  # not those of the model that no growth has
    write_csv(
        out / SUMMARY_TABLE, plain([{key: row[key] for key in columns} for row in rows]), columns
    )
    done = [row for row in rows if row["error"] is None]
    pictures = {
        outcome.case.identifier: (outcome.folder / PICTURE_FILE).read_bytes()
        for outcome in outcomes
        if outcome.error is None and (outcome.folder / PICTURE_FILE).is_file()
    }
    failures: list[str] = []
    plot = None
    if done:
        scores = scores_of_matches(_result_of(o) for o in outcomes if o.error is None)
        plot = drawn("The picture of all Dice", lambda: draw_dice(scores, reference), failures)
    values: dict[str, object] = {
        "rows": rows,
        "fields": {
            key: name
            for key, name in fields.items()
            if key not in OFF_PAGE
            and (key not in WHERE_GIVEN or any(row[key] is not None for row in rows))
        },
        "others": [key for key in others if any(row[key] for row in rows)],
        "decimals": DECIMALS,
        "texts": TEXTS,
        "pictures": pictures,
        "n_failed": len(rows) - len(done),
        "n_plausible": sum(
            row["status"] != InversionStatus.NO_PLAUSIBLE_MATCH.value for row in done
        ),
        "n_doubtful": sum(
            row["status"] == InversionStatus.REGISTRATION_DOUBTFUL.value for row in done
        ),
        "plot": plot,
    }
    page = out / SUMMARY_PAGE
    page.unlink(missing_ok=True)  # an earlier one would not belong to the table
    drawn(
        "The page", lambda: write_text(page, render_page("cohort.html.jinja", **values)), failures
    )
    return failures


def find_outcomes(cases: Sequence[Case], out: StrPath) -> list[Outcome]:
    """The existing results of a cohort, whatever they were made from; nothing is computed.

    Parameters
    ----------
    cases : sequence of Case
    out : path
        The cohort's folder.

    Returns
    -------
    list of Outcome
        In the order of the cases. One without a result that the summary can show has an error.
    """
    outcomes = []
    for case in cases:
        outcome = Outcome(case, Path(out).absolute() / case.place, kept=True, error=None)
        try:
            result = _result_of(outcome)
            error = None
            if not has_all_files(outcome.folder, result):
                error = "files of its result are missing"
            _values_of(result, {})
            scores_of_matches([result])
        except OSError:
            error = "it has no result"
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            error = f"its {RESULT_FILE} is not one that this version writes: invert it again"
        outcomes.append(dataclasses.replace(outcome, error=error))
    return outcomes


def _with_model(declared: Declared, rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """`FIELDS`, and heads of the model's own columns with values."""
    keys, heads = model_fields(declared), {}
    for one in _added(declared):
        if any(row[keys[one.name]] is not None for row in rows):
            head = one.symbol or one.name
            heads[keys[one.name]] = f"{head} ({one.unit})" if one.unit else head
    place = list(FIELDS).index(LAST_COMMON) + 1
    fields = list(FIELDS.items())
    return dict([*fields[:place], *heads.items(), *fields[place:]])


def _values_of(result: dict[str, Any], of_model: Mapping[str, str]) -> dict[str, Any]:
    """What a result says, with the keys of `FIELDS` and those of the model's own columns."""
    answer, quality = result["answer"], result["quality"]
    growth = answer["growths"][0]  # of several tumours, that of the largest core
    x, y, z = growth["origin_mm"]
    return {
        **{key: answer[key] for key in ("source", "score", "dice_core", "dice_whole")},
        **{key: growth[key] for key in ("lambda_mm", "rho_t")},
        **{key: growth.get(name) for name, key in of_model.items()},
        **_of_several_scans(result),
        "status": result["status"],
        "mean_dice": result["mean_dice"],
        "brain_dice": quality["brain_dice"],
        "origin_x_mm": x,
        "origin_y_mm": y,
        "origin_z_mm": z,
        "core_ml": quality["core"]["patient_ml"],
        "whole_ml": quality["whole"]["patient_ml"],
        **_of_recurrence(result),
        "seconds": sum(result["timings_s"].values()),
        "problems": len(result["problems"]),
    }


def _of_several_scans(result: dict[str, Any]) -> dict[str, float]:
    """Rates in real days; empty if the scans tell none."""
    outlook = result.get("outlook")  # a result of earlier versions has none
    return {key: outlook["rates"][key]["value"] for key in OF_SEVERAL_SCANS} if outlook else {}


def _of_recurrence(result: dict[str, Any]) -> dict[str, float | None]:
    """Coverage and ranking of a recurrence: of its core if it has one, else of the whole."""
    if not result["recurrence"]:
        return {}
    found, row = result["recurrence"][0], {}
    for name in ("standard", "model", "geodesic"):
        row[f"covered_{name}"] = found[name]
    for name in ("model", "geodesic"):
        score = found[f"{name}_ranking"] or {"auc": None, "average_precision": None}
        row |= {f"auc_{name}": score["auc"], f"precision_{name}": score["average_precision"]}
    return row


def _result_of(outcome: Outcome) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((outcome.folder / RESULT_FILE).read_text(encoding="utf-8"))
    return result
