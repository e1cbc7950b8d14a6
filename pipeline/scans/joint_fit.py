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
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...dbgen import Database
from ...dbgen.machine.cores import available_threads
from ...query import Index
from ...solver import Accuracy, GrowthParameters, Treatment, march, on_grid
from ...solver.declarations import symmetry_of
from ...solver.own_settings import own_arithmetic
from ...solver.treated_state import require_treatable
from ..fit.descent import Descent, Interior, descend
from ..fit.refinement import NoGrowthError, Stage
from .dated_outlines import STILL, DatedOutlines, in_order
from .joint_outlines import SPEED, JointComparison, JointTarget
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

PACE_PARTS = 8
"""Parts into which the step of a run that reaches a volume is divided in search of its time."""


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
    extra_starts: Sequence[GrowthParameters] = (),
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
    extra_starts : sequence of GrowthParameters
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
        treatments are given of a model with several populations, or maps of them of one that
        pushes tissue.
    NoGrowthError
        If no growth passes through the volumes of all scans.
    """
    if treatments:
        require_treatable(database.model, treatments)
    begin = min((scan.day for scan in scans), default=0.0)
    treated = [begin + one.day for one in treatments]
    ordered = in_order(scans, treated)
    joint = JointTarget(
        ordered, database.tissue, database.model, database.thresholds, tuple(treatments)
    )
    untreated = [scan for scan in ordered if scan.day < min(treated, default=math.inf)]
    growths = (*extra_starts, *stored_runs(database, index, untreated))
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
    return JointFit(
        joint=joint,
        growth=growth,
        dice=tuple(
            target.dice_of(on_grid(joint.tissue, snapshot.u))
            for target, snapshot in zip(joint.targets, seen, strict=True)
        ),
        covariance=arrived.covariance(joint.coordinates),
        accuracy=accuracy,
        start=ranked[0],
        n_runs=n_runs + 2,
    )


def keep_pace(joint: JointTarget, growth: GrowthParameters, accuracy: Accuracy) -> GrowthParameters:
    """The growth itself, or at another speed if it does not follow the outlined volumes.

    Lambda, rho T and so the shape at the first scan stay, and rho stays within `RHO`. A treated
    growth is left as it is, and so is one between outlines that differ by less than two of one
    tumour: these tell no pace.

    Parameters
    ----------
    joint : JointTarget
    growth : GrowthParameters
        In real days.
    accuracy : Accuracy
        Bounds of the time step of the growth's runs.
    """
    symmetry = symmetry_of(joint.model)
    outlined = joint.scans[-1].whole_ml / joint.scans[0].whole_ml
    if joint.is_treated or not symmetry or outlined < STILL:
        return growth
    first, last = (
        snapshot.whole_voxels
        for snapshot in joint.snapshots(growth, (0.0, joint.after_days[-1]), accuracy)
    )
    if first == 0:
        return growth
    if abs(math.log(max(last, 1) / first) / math.log(outlined) - 1) <= PACE_TOLERANCE:
        return growth
    days = _days_to_grow(joint, growth, outlined, accuracy)
    if days is None:
        return growth
    rho = SPEED.moved(growth.rho, math.log(days / joint.after_days[-1]))
    return growth.scaled(rho / growth.rho, symmetry)


def _days_to_grow(
    joint: JointTarget, growth: GrowthParameters, factor: float, accuracy: Accuracy
) -> float | None:
    """Days after the first scan at which the whole outline is `factor` > 1 times as large as then.

    Voxels are counted by one rule on all days and compared with their own number at the first
    scan, so that a small change is found as exactly as a large one. Between two counts the radius
    of a ball of that size is interpolated. None if it takes `LONGEST_PACE` times as long as between
    the scans, or never comes to that.
    """
    n_domain = int(joint.tissue.domain.sum())
    states = march(
        joint.tissue,
        growth,
        model=joint.model,
        thresholds=joint.thresholds,
        accuracy=accuracy,
    )
    before = next(state for state in states if state.next_days > growth.days)
    if before.days < growth.days:
        before = before.at(growth.days)
    wanted = factor * max(before.whole_voxels, 1)
    latest = growth.days + LONGEST_PACE * joint.after_days[-1]
    for state in states:
        if state.whole_voxels >= wanted:
            break
        if state.days >= latest or state.core_voxels >= n_domain:
            return None
        before = state
    else:  # its density stops being a number
        return None
    days = np.linspace(before.days, state.days, PACE_PARTS + 1)
    inside = (before.at(day).whole_voxels for day in days[1:-1].tolist())
    voxels = [before.whole_voxels, *inside, state.whole_voxels]
    radii = np.cbrt(np.maximum.accumulate(voxels))
    return float(np.interp(np.cbrt(wanted), radii, days)) - growth.days
