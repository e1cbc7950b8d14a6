"""The growth in real days that overlaps the outlines of all scans best.

Stored runs that pass through all of them (`runs_of_pairs`) begin descents (`fit.descent`) in
origin, lambda, rho T and rho, over all scans at once. Of those that arrive, the one with the
largest sum of the Dice continues in full accuracy. Its place of least |r|^2 is the growth: the
noise of an outline moves a Dice in steps, but the residual smoothly.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...dbgen import Database
from ...dbgen.machine.cores import available_threads
from ...query import Index
from ...solver import Accuracy, GrowthParameters, Treatment, on_grid, simulate
from ...solver.declarations import symmetry_of
from ...solver.own_settings import own_arithmetic
from ...solver.treated_state import require_treatable
from ..fit.descent import Descent, Interior, descend
from ..fit.refinement import NoGrowthError, Stage
from .dated_outlines import DatedOutlines, in_order
from .joint_outlines import JointComparison, JointTarget
from .runs_of_pairs import COARSE, ScoredGrowth, score_runs, stored_runs

STAGES = (
    Stage(4.0, COARSE, 5, 2),
    Stage(1.5, Accuracy(), 4, 1),
)
"""Blurs, accuracies and numbers of steps and descents; see `fit.refinement`."""


PACE_TOLERANCE = 0.3
"""Share of the logarithm of the outlined volumes' ratio by which that of the growth may differ. Of
simulated pairs whose shape is the growth's own, the outlines' noise moves about one in fifty so
far."""

LONGEST_PACE = 10.0
"""Most times as fast as the outlines tell it a growth is sped up."""


@dataclass(frozen=True, eq=False)
class JointFit:
    """The growth that was found for the scans of one patient.

    Attributes
    ----------
    joint : JointTarget
        The scans.
    growth : GrowthParameters
        In real days; `days` is the age at the first scan.
    dice : tuple of (float, float)
        Dice of core and whole at each scan.
    covariance : (n, n) float64 array
        Covariance of the valley around the growth, as in `Refinement`, in the directions of the
        target's coordinates: origin, ln lambda, rho T, ln rho.
    accuracy : Accuracy
        Accuracy of the growth's runs.
    start : ScoredGrowth
        The best of the runs from which it began.
    n_runs : int
        Simulations made.
    """

    joint: JointTarget
    growth: GrowthParameters
    dice: tuple[tuple[float, float], ...]
    covariance: NDArray[np.float64]
    accuracy: Accuracy
    start: ScoredGrowth
    n_runs: int

    @property
    def score(self) -> float:
        """Sum of all Dice."""
        return sum(sum(pair) for pair in self.dice)


def fit_scans(
    database: Database,
    index: Index,
    scans: Sequence[DatedOutlines],
    *,
    treatments: Sequence[Treatment] = (),
    also: Sequence[GrowthParameters] = (),
    n_threads: int | None = None,
) -> JointFit:
    """Find the growth in real days that meets the outlines of two scans or more.

    Parameters
    ----------
    database : Database
        Database of growths from which the fit begins.
    index : Index
        Index of its stored outlines.
    scans : sequence of DatedOutlines
        On the database's grid, in any order.
    treatments : sequence of Treatment
        Their days count from the first scan. A scan on the day of one is after it.
    also : sequence of GrowthParameters
        Growths from which it may begin, beside the stored ones.
    n_threads : int, optional
        Descents at a time, by default as many as there are cores for this process.

    Returns
    -------
    JointFit

    Raises
    ------
    InputError
        If there are fewer than two scans, two are of one day, the tumour shrinks untreated, or
        treatments are given of a model with several populations.
    NoGrowthError
        If no growth passes through the volumes of all scans.
    """
    if treatments:
        require_treatable(database.model)
    begin = min((scan.day for scan in scans), default=0.0)
    treated = [begin + one.day for one in treatments]
    ordered = in_order(scans, treated)
    joint = JointTarget(
        ordered, database.tissue, database.model, database.thresholds, tuple(treatments)
    )
    untreated = [scan for scan in ordered if scan.day < min(treated, default=math.inf)]
    growths = (*also, *stored_runs(database, index, untreated))
    return fit_jointly(joint, growths, accuracy=database.accuracy, n_threads=n_threads)


@own_arithmetic()
def fit_jointly(
    joint: JointTarget,
    growths: Iterable[GrowthParameters],
    *,
    accuracy: Accuracy = Accuracy(),
    n_threads: int | None = None,
) -> JointFit:
    """Find the growth that meets all scans, from growths that may be near it.

    Parameters
    ----------
    joint : JointTarget
    growths : iterable of GrowthParameters
        The likeliest first.
    accuracy : Accuracy
        Accuracy of the growth's runs.
    n_threads : int, optional

    Raises
    ------
    NoGrowthError
        If no growth passes through the volumes of all scans.
    """
    ranked = score_runs(joint, growths)
    going = [scored.parameters for scored in ranked]
    interior = Interior(joint.tissue)
    n_runs = len(ranked)
    arrived: Descent | None = None
    with ThreadPoolExecutor(n_threads or available_threads()) as pool:
        for stage in STAGES:
            down = functools.partial(
                descend,
                JointComparison.of(joint, stage.blur_mm),
                interior,
                accuracy=stage.accuracy,
                n_steps=stage.n_steps,
            )
            found = [d for d in pool.map(down, going[: stage.n_descents]) if d is not None]
            n_runs += sum(descent.n_runs for descent in found)
            if found:
                found.sort(key=lambda descent: -descent.best.best_score)
                arrived, going = found[0], [descent.last.nearest for descent in found]
    if arrived is None:
        raise NoGrowthError("no growth passes through the volumes of all scans")
    growth = keep_pace(joint, arrived.last.nearest, accuracy)
    seen = joint.snapshots(growth, joint.after_days, accuracy)
    precision = arrived.curvature / arrived.last.cost + np.diag(1 / joint.coordinates.reach**2)
    return JointFit(
        joint=joint,
        growth=growth,
        dice=tuple(
            target.dice_of(on_grid(joint.tissue, snapshot.u))
            for target, snapshot in zip(joint.targets, seen, strict=True)
        ),
        covariance=np.asarray(np.linalg.inv(precision), np.float64),
        accuracy=accuracy,
        start=ranked[0],
        n_runs=n_runs + 2,
    )


def keep_pace(joint: JointTarget, growth: GrowthParameters, accuracy: Accuracy) -> GrowthParameters:
    """The growth itself, or at another speed if it does not follow the outlined volumes.

    Lambda, rho T and so the shape at the first scan stay. A treated growth is left as it is.

    Parameters
    ----------
    joint : JointTarget
    growth : GrowthParameters
        In real days.
    accuracy : Accuracy
        Bounds of the time step of the growth's runs.
    """
    symmetry = symmetry_of(joint.model)
    outlined = math.log(joint.scans[-1].whole_ml / joint.scans[0].whole_ml)
    if joint.is_treated or not symmetry or outlined <= 0:
        return growth
    first, last = (
        snapshot.whole_voxels
        for snapshot in joint.snapshots(growth, (0.0, joint.after_days[-1]), accuracy)
    )
    if first == 0 or abs(math.log(max(last, 1) / first) / outlined - 1) <= PACE_TOLERANCE:
        return growth
    as_large_ml = first * math.exp(outlined) * joint.tissue.grid.voxel_ml
    run = simulate(
        joint.tissue,
        replace(growth, days=growth.days + LONGEST_PACE * joint.after_days[-1]),
        model=joint.model,
        thresholds=joint.thresholds,
        snapshot_ml=[as_large_ml],
        stop_ml=as_large_ml,
        accuracy=accuracy,
    )
    if not run.snapshots:
        return growth
    speed = (run.snapshots[0].days - growth.days) / joint.after_days[-1]
    return growth.scaled(speed, symmetry)
