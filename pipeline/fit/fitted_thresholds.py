"""The densities at which a patient's outlines may have been drawn, fitted with the growth.

The core is taken as {u >= c1} and the whole as {u >= c2}, 0.6 and 0.2 by convention. Here c1 and c2
are chosen, within the ranges that the literature holds possible, so that the sum of the Dice is
largest. One scan does not tell a low threshold from a small tumour: so the fit stands beside the
result at the conventional thresholds, and the Dice of the two cannot be compared.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...query import dice_from_counts
from ...solver import Accuracy, Thresholds
from .refinement import STAGES, NoGrowthError, Refined, refine
from .trajectory import Target, Trajectory, follow

CORE_RANGE = (0.5, 0.85)
WHOLE_RANGE = (0.05, 0.5)
STEP = 0.01
"""Thresholds that are tried."""

N_ROUNDS = 2
"""Rounds in which thresholds and growth are fitted in turn."""


@dataclass(frozen=True)
class FittedThresholds:
    """The thresholds of the largest sum of the Dice, and the growth that reaches it.

    Attributes
    ----------
    thresholds : Thresholds
    fit : Refined
        Its Dice are those at these thresholds. Without a core its threshold stays the target's.
    failure : str or None
        Why a round found no growth, if one did not; the earlier result stands.
    """

    thresholds: Thresholds
    fit: Refined
    failure: str | None = None


def fit_thresholds(
    target: Target, start: Refined, *, accuracy: Accuracy = Accuracy()
) -> FittedThresholds:
    """Fit both thresholds and the growth in turn, from a refined growth.

    Parameters
    ----------
    target : Target
    start : Refined
        Growth refined at the target's own thresholds.
    accuracy : Accuracy
    """
    best = FittedThresholds(target.thresholds, start)
    for _ in range(N_ROUNDS):
        run = follow(target, best.fit.parameters, accuracy)
        if run is None:
            return replace(best, failure="the growth does not come near the tumour's volume again")
        thresholds, days = _best_along(run)
        there = replace(target, thresholds=thresholds)
        growth = replace(best.fit.parameters, days=days)
        try:
            found = refine(there, [growth], accuracy=accuracy, stages=STAGES[-1:]).best
        except NoGrowthError as error:
            return replace(best, failure=str(error))
        if found.score <= best.fit.score:
            break
        best = FittedThresholds(thresholds, found)
    return best


def _best_along(run: Trajectory) -> tuple[Thresholds, float]:
    """The thresholds and the duration of the largest sum of the Dice along a run."""
    target = run.target
    found = []
    between = (np.array(run.days[:-1]) + np.array(run.days[1:])) / 2
    for days in sorted((*run.days, *between.tolist())):
        z = run.at(days)
        core, dice_core = target.thresholds.core, 0.0
        if target.n_core:
            core, dice_core = _best_level(z, target.core, target.n_core, CORE_RANGE)
        bounds = (min(WHOLE_RANGE[0], core), min(WHOLE_RANGE[1], core))
        whole, dice_whole = _best_level(z, target.whole, target.n_whole, bounds)
        found.append((dice_core + dice_whole, Thresholds(core, whole), days))
    _, thresholds, days = max(found, key=lambda f: f[0])
    return thresholds, days


def _best_level(
    z: NDArray[np.float32], mask: NDArray[np.bool_], n: int, bounds: tuple[float, float]
) -> tuple[float, float]:
    """The threshold within bounds at which an outline of a density overlaps a mask best."""
    levels = np.round(np.arange(bounds[0], bounds[1] + STEP / 2, STEP), 6)
    logits = np.log(levels / (1 - levels))
    # How many voxels reach each level: a cumulative histogram, from the highest level down.
    reached = np.searchsorted(logits, z.ravel(), side="right")
    ours, both = (
        np.bincount(values, minlength=len(levels) + 1)[::-1].cumsum()[::-1][1:]
        for values in (reached, reached[mask.ravel()])
    )
    dice = dice_from_counts(both, ours + n)
    best = int(np.argmax(dice))
    return float(levels[best]), float(dice[best])
