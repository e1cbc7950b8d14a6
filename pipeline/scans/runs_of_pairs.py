"""Stored runs that pass through the outlines of all scans.

Scaling (c Dw, c rho, T / c) leaves a run unchanged, so that a stored tumour is a point of a curve
in rho t. The first scan and the last each choose stored tumours by exact search. Each of their
runs is followed through all volumes of the patient; at every moment it has a sum of Dice with each
scan. Two unknowns are searched: the moment of the first scan in the run, and the number of run days
per real day. The pair with the largest sum of Dice over all scans is the growth in real days.

Under treatment the first scan alone chooses, and tells the age in days of the run; each speed is
then tried by a run of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...dbgen import Database
from ...query import Index, search
from ...solver import Accuracy, GrowthParameters, OriginError
from ...solver.declarations import symmetry_of
from ..fit.refinement import choose_starts
from ..fit.trajectory import follow
from .dated_outlines import DatedOutlines
from .joint_outlines import RHO, JointTarget, JointTrajectory

N_RANKED = 30
"""Number of matches of each of the two scans among which the runs are chosen."""

N_RUNS = 8
"""Number of runs that are followed."""

COARSE = Accuracy.for_error(0.05)
"""Accuracy of the runs that are followed, which only rank growths."""

N_SPEEDS = 121
"""Number of speeds that are tried between the slowest and the fastest."""

N_TREATED_RUNS = 3
"""Runs, those most like the first scan, that are grown on under treatment."""

N_TREATED_SPEEDS = (12, 6)
"""Speeds of each between the slowest and the fastest, and then between the neighbours of the best.
"""

LARGEST_SHARE = 4.0
"""Multiple of the scans' largest whole volume at which a run under treatment ends."""


@dataclass(frozen=True)
class ScoredGrowth:
    """A growth in real days, and the sum of the Dice over all scans.

    Attributes
    ----------
    parameters : GrowthParameters
        Its days are the age at the first scan.
    score : float
    """

    parameters: GrowthParameters
    score: float


def stored_runs(
    database: Database, index: Index, scans: Sequence[DatedOutlines]
) -> list[GrowthParameters]:
    """Stored growths that are most like the first scan or the last, in turn, the best first.

    Parameters
    ----------
    database : Database
    index : Index
    scans : sequence of DatedOutlines
        In the order of their days: those among which no treatment was given.
    """
    ends = {id(scan): scan for scan in (scans[0], scans[-1])}
    found = [search(index, scan.masks, k=N_RANKED) for scan in ends.values()]
    in_turn = itertools.chain.from_iterable(zip(*found, strict=True))
    return [database.growth_parameters(match.sample) for match in in_turn]


def score_runs(joint: JointTarget, growths: Iterable[GrowthParameters]) -> list[ScoredGrowth]:
    """Follow distinct growths along all scans, the best first.

    Parameters
    ----------
    joint : JointTarget
    growths : iterable of GrowthParameters
        Their speed plays no part where the model's time can be scaled.

    Returns
    -------
    list of ScoredGrowth
        The growths that can begin and come near the volumes of the scans.
    """
    followed = (_followed(joint, growth) for growth in choose_starts(growths, N_RUNS))
    scored = sorted((one for one in followed if one is not None), key=lambda one: -one.score)
    if not joint.is_treated:
        return scored
    treated = (under_treatment(joint, one.parameters) for one in scored[:N_TREATED_RUNS])
    return sorted((one for one in treated if one is not None), key=lambda one: -one.score)


def _followed(joint: JointTarget, growth: GrowthParameters) -> ScoredGrowth | None:
    """A growth where it meets all scans best, or under treatment the first."""
    try:
        if joint.is_treated:
            alone = follow(joint.first, growth, COARSE)
            if alone is None:
                return None
            score, days = alone.best()
            return ScoredGrowth(replace(growth, days=days), score)
        run = joint.follow(growth, COARSE)
    except OriginError:
        return None
    return None if run is None else in_real_days(run)


def in_real_days(run: JointTrajectory) -> ScoredGrowth:
    """The growth in real days whose outlines overlap those of all scans best."""
    symmetry = symmetry_of(run.joint.model)
    speeds = _speeds(run) if symmetry else np.ones(1)
    totals = np.array([run.totals(speed) for speed in speeds.tolist()])
    speed, moment = np.unravel_index(int(np.argmax(totals)), totals.shape)
    growth = replace(run.parameters, days=float(run.scores[0][moment]))
    if symmetry:
        growth = growth.scaled(float(speeds[speed]), symmetry)
    return ScoredGrowth(growth, float(totals[speed, moment]))


def _speeds(run: JointTrajectory) -> NDArray[np.float64]:
    """Days of a run in a real day to try, with which its rho lies in `RHO`."""
    shortest = min(b - a for a, b in itertools.pairwise(run.joint.after_days))
    slowest, fastest = (rho / run.parameters.rho for rho in RHO)
    fastest = min(fastest, (run.days[-1] - run.days[0]) / shortest)
    return np.geomspace(min(slowest, fastest), fastest, N_SPEEDS)


def under_treatment(joint: JointTarget, growth: GrowthParameters) -> ScoredGrowth | None:
    """The speed of a growth at which it meets all scans best under treatment.

    Parameters
    ----------
    joint : JointTarget
    growth : GrowthParameters
        Growth as it meets the first scan, in days of its own.

    Returns
    -------
    ScoredGrowth or None
        None where it outgrows the scans at every speed.
    """
    symmetry = symmetry_of(joint.model)
    if not symmetry:
        return _scored(joint, growth)
    low, high = (rho / growth.rho for rho in RHO)
    best: ScoredGrowth | None = None
    for n in N_TREATED_SPEEDS:
        speeds = np.geomspace(low, high, n).tolist()
        scores = []
        for speed in speeds:
            found = _scored(joint, growth.scaled(speed, symmetry))
            if found is None:  # a faster one outgrows the scans, too
                break
            scores.append(found.score)
            if best is None or found.score > best.score:
                best = found
        if not scores:
            break
        peak = int(np.argmax(scores))
        low, high = speeds[max(peak - 1, 0)], speeds[min(peak + 1, n - 1)]
    return best


def _scored(joint: JointTarget, growth: GrowthParameters) -> ScoredGrowth | None:
    largest = max(scan.whole_ml for scan in joint.scans)
    run = joint.follow_treated(growth, COARSE, stop_ml=LARGEST_SHARE * largest)
    return None if run is None else ScoredGrowth(growth, run.best()[0])
