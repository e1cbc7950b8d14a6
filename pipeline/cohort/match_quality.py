"""How well a cohort's tumours are matched, compared with the database's own tumours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...dbgen import Database
from ...query import Index, search
from ..pictures.drawing import MaxNLocator, new_figure, own_style, png_of

N_REFERENCE = 200
"""Most stored tumours that are matched, evenly spread over the database."""

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


def scores_of_matches(results: Iterable[Mapping[str, Any]]) -> DiceScores:
    """Dice of the patients' best matches, without refinement.

    Parameters
    ----------
    results : iterable of mapping
        The content of each patient's `result.json`.
    """
    return _scores_of([(r["best"]["dice_core"], r["best"]["dice_whole"]) for r in results])


def match_stored(database: Database, index: Index) -> DiceScores | None:
    """Match stored tumours with the rest of the database, without tumours of their own run.

    Snapshots of one run are nearly alike; without them, a stored tumour is as unseen as a new draw
    of the same parameter space. None if there is only one run.

    Parameters
    ----------
    database : Database
    index : Index
        Index of this database.
    """
    runs = database.parameters.run.values
    m = int(np.bincount(runs).max())
    if len(database) <= m:
        return None
    n = min(N_REFERENCE, len(database))
    chosen = np.unique(np.linspace(0, len(database) - 1, n).astype(int))
    scores = []
    for sample in map(int, chosen):
        outlines = database.outlines(sample)
        found = search(index, outlines, k=m + 1)
        best = next(match for match in found if runs[match.sample] != runs[sample])
        scores.append((best.dice_core if outlines.core.any() else None, best.dice_whole))
    return _scores_of(scores)


def _scores_of(pairs: Sequence[tuple[float | None, float]]) -> DiceScores:
    """Scores of pairs of Dice, core and whole; None where there is no core."""
    core, whole = np.array(pairs, np.float64).T  # None becomes NaN
    return DiceScores(core, whole)


@own_style()
def draw_dice(patients: DiceScores, stored: DiceScores | None = None) -> bytes:
    """Draw every tumour's Dice with its best match, as the paper's Figures 2 and 3 do; a PNG.

    Rows: core (T1Gd), whole tumour (FLAIR), their sum (of tumours that have both). Columns: the
    patients; the stored tumours.
    """
    n = len(patients.whole)
    columns = [(f"{n} patient{'' if n == 1 else 's'}", patients)]
    if stored is not None:
        columns.append((f"{len(stored.whole)} stored tumours, each without its own run", stored))
    figure = new_figure(4.4 * len(columns), 6.0, layout="constrained")
    axes = figure.subplots(3, len(columns), squeeze=False)
    for column, (name, scores) in enumerate(columns):
        drawn = (
            ("Dice, core (T1Gd)", scores.core, CORE_COLOUR, 1),
            ("Dice, whole (FLAIR)", scores.whole, WHOLE_COLOUR, 1),
            ("Dice, core + whole", scores.core + scores.whole, SUM_COLOUR, 2),
        )
        for axis, (label, values, colour, top) in zip(axes[:, column], drawn, strict=True):
            values = np.sort(values[np.isfinite(values)])[::-1]
            axis.bar(np.arange(values.size) + 1, values, width=1.0 if values.size > 60 else 0.8,
                     color=colour)  # fmt: skip
            axis.set_ylim(0, top)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
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
