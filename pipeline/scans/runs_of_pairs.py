"""Stored runs that pass through the outlines of all scans.

Scaling (c Dw, c rho, T / c) leaves a run unchanged, so that a stored tumour is a point of a curve
in rho t. The first scan and the last each choose stored tumours by exact search. Each of their
runs is followed through all volumes of the patient; at every moment it has a sum of Dice with each
scan. The moment of the first scan and the days of the run that pass in a real day are those with
the largest sum over all scans: that is the growth in real days.
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
from .dated_outlines import DatedOutlines
from .joint_outlines import RHO, JointTarget, JointTrajectory

N_RANKED = 30
"""Matches of each of the two scans among which the runs are chosen."""

N_RUNS = 8
"""Runs that are followed."""

COARSE = Accuracy.for_error(0.05)
"""Of these runs: they begin descents."""

N_SPEEDS = 121
"""Speeds that are tried between the slowest and the fastest."""


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
        In the order of their days.
    """
    found = [search(index, scans[i].masks, k=N_RANKED) for i in (0, -1)]
    in_turn = itertools.chain.from_iterable(zip(*found, strict=True))
    return [database.growth_parameters(match.sample) for match in in_turn]


def score_runs(joint: JointTarget, growths: Iterable[GrowthParameters]) -> list[ScoredGrowth]:
    """Follow growths that differ along all scans, the best first.

    Parameters
    ----------
    joint : JointTarget
    growths : iterable of GrowthParameters
        Their speed plays no part where the model's time can be scaled.

    Returns
    -------
    list of ScoredGrowth
        Without those that cannot begin, or never come near the volumes of the scans.
    """
    scored = []
    for growth in choose_starts(growths, N_RUNS):
        try:
            run = joint.follow(growth, COARSE)
        except OriginError:
            continue
        if run is not None:
            scored.append(in_real_days(run))
    return sorted(scored, key=lambda growth: -growth.score)


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
    """Days of a run in a real day that are tried: its rho then lies in `RHO`."""
    shortest = min(b - a for a, b in itertools.pairwise(run.joint.after_days))
    slowest, fastest = (rho / run.parameters.rho for rho in RHO)
    fastest = min(fastest, (run.days[-1] - run.days[0]) / shortest)
    return np.geomspace(min(slowest, fastest), fastest, N_SPEEDS)
