"""The growths of an ensemble, and how they are drawn from the valley of a refinement."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...dbgen.machine.cores import available_threads
from ...solver import Accuracy, GrowthParameters, OriginError, TumorDensity
from ..fit.coordinates import Coordinates
from ..fit.descent import Interior
from ..fit.refinement import Refinement
from ..fit.trajectory import Target

N_DRAWS = 15
"""Members drawn from the valley of a refinement."""

VALLEY_SCALE = 1.0
"""Standard deviations of a refinement's draws per that of its valley."""

ACCURACY = Accuracy.for_error(0.05)
"""Accuracy of the drawn growths. It changes their standard deviation by up to 3 %; all of them
together take half the time of the default (docs/results.md)."""


@dataclass(frozen=True)
class Member:
    """A growth of the ensemble and the sum of the Dice of its outlines."""

    parameters: GrowthParameters
    score: float


@dataclass(frozen=True, eq=False)
class Draws:
    """The members of a refinement's ensemble.

    Attributes
    ----------
    members : list of Member
        The refined growth first.
    densities : list of TumorDensity
        Densities of the members.
    n_dropped : int
        As in `Uncertainty`.
    """

    members: list[Member]
    densities: list[TumorDensity]
    n_dropped: int


def draw_members(target: Target, refinement: Refinement, *, seed: int = 0) -> Draws:
    """The refined growth, draws from its valley and the other arrivals, each simulated.

    Parameters
    ----------
    target : Target
        Target of the refinement.
    refinement : Refinement
        Refinement with the curvature of its valley.
    seed : int
        Seed of the draws.

    Returns
    -------
    Draws
        Members with their scores and densities.
    """
    rng = np.random.default_rng(seed)
    interior = Interior(target.tissue)
    best = refinement.best.parameters
    deviations = VALLEY_SCALE * rng.multivariate_normal(
        np.zeros(len(refinement.covariance)), refinement.covariance, N_DRAWS, method="eigh"
    )
    coordinates = target.coordinates
    growths = [_moved(best, deviation, coordinates, interior) for deviation in deviations]
    growths += [growth for growth, _ in refinement.arrivals[1:]]

    def grown(growth: GrowthParameters) -> TumorDensity | None:
        try:
            return target.grown(growth, ACCURACY)
        except OriginError:
            return None

    members = [Member(best, refinement.best.score)]
    densities = [refinement.density]
    with ThreadPoolExecutor(available_threads()) as pool:
        for growth, density in zip(growths, pool.map(grown, growths), strict=True):
            if density is not None:
                members.append(Member(growth, sum(target.dice_of(density))))
                densities.append(density)
    return Draws(members, densities, 1 + len(growths) - len(members))


def _moved(
    growth: GrowthParameters,
    deviation: NDArray[np.float64],
    coordinates: Coordinates,
    interior: Interior,
) -> GrowthParameters:
    """A growth moved in the directions of the coordinates, and kept within their limits."""
    moved = interior.moved(growth, deviation, coordinates)
    rho_t = max(growth.rho_t + float(deviation[4]), 0.1 * growth.rho_t)
    return replace(moved, days=rho_t / moved.rho)
