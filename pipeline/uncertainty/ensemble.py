"""How far the answer may be from the truth: an ensemble of growths, weighed by their scores.

    w_i ~ exp((s_i - max s) / 0.1),    s_i the sum of the Dice of member i

Without refinement the members are the best matches. With it they are drawn from the valley that the
best descent ended in, a normal distribution with the covariance of `Refinement`, beside the places
where the other descents arrived. Mean, standard deviation and the probability of exceeding a
density are weighted over the members' densities (`average`).

A quantity's interval is m +- f sqrt(v + b^2) with the members' weighted mean m and variance v. The
factor f makes 90 % of the intervals hold the truth (split conformal calibration: Lei et al. 2018),
b is what the database's spacing leaves open at least; lambda and rho T are judged by logarithms.

f belongs to one database and is calibrated on simulated tumours whose outlines are disturbed like
segmentations (`calibration`, `factors`); where it was not, there are no intervals. It knows of no
error of the model, the anatomy or the registration: for a real patient the intervals say how well
the outlines determine the model, and nothing is claimed of the truth.

References
----------
J. Lei, M. G'Sell, A. Rinaldo, R. J. Tibshirani, L. Wasserman, "Distribution-free predictive
inference for regression", Journal of the American Statistical Association 113:1094-1111, 2018.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...dbgen import Database
from ...solver import Accuracy, GrowthParameters, TumorDensity
from ..fit.refinement import Refinement
from ..fit.trajectory import Target
from .interval_factors import (
    LEVEL,
    QUANTITIES,
    SEGMENTATION_NOISE,
    Calibrated,
    Reach,
    Source,
    kind_of,
)
from .members import Member, draw_members

TEMPERATURE = 0.1
"""Difference of the score by which a weight falls to 1 / e."""

LOGARITHMIC = ("lambda_mm", "rho_t")

LEAST_SPREAD: Mapping[Calibrated, Mapping[str, float]] = {
    "matches": {
        "origin_x_mm": 6.0,
        "origin_y_mm": 6.0,
        "origin_z_mm": 6.0,
        "lambda_mm": 0.4,
        "rho_t": 0.2,
    },
    "refinement": {
        "origin_x_mm": 0.2,
        "origin_y_mm": 0.2,
        "origin_z_mm": 0.2,
        "lambda_mm": 0.02,
        "rho_t": 0.02,
    },
}
"""b, in mm or in natural logarithms."""


@dataclass(frozen=True)
class Interval:
    """Where a quantity lies with a probability of 90 % under the stated model.

    Attributes
    ----------
    low, high : float
    """

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class DensitySpread:
    """What an ensemble says of the density, voxel by voxel.

    Attributes
    ----------
    mean, sd : float32 array of the grid's shape
        Weighted mean and standard deviation.
    grid : Grid
    """

    mean: NDArray[np.float32]
    sd: NDArray[np.float32]
    grid: Grid


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """The ensemble and what it says.

    Attributes
    ----------
    source : Source
        Where the members come from.
    members : tuple of Member
    weights : (n,) float64 array
        Sum to 1.
    intervals : mapping of str to Interval, or None
        For each of `QUANTITIES`; None where none is claimed.
    calibration : str
        What the intervals rest on, or why there are none and how to get them.
    maps : DensitySpread
        On the grid that the members grew on.
    n_dropped : int
        Members that were drawn and left out: the tissue at their origin holds no seed, or their
        density stopped being a number.
    """

    source: Source
    members: tuple[Member, ...]
    weights: NDArray[np.float64]
    intervals: Mapping[str, Interval] | None
    calibration: str
    maps: DensitySpread
    n_dropped: int = 0

    @property
    def notices(self) -> list[str]:
        """What a person should know of the ensemble."""
        if not self.n_dropped:
            return []
        return [
            f"{self.n_dropped} of {self.n_dropped + len(self.members)} members of the ensemble "
            "were left out: the tissue at their origin is too small to hold a tumour's seed, or "
            "their density stopped being a number."
        ]

    def row(self) -> dict[str, object]:
        """Plain values by name, as `result.json` and the report show them."""
        return {
            "members": len(self.members),
            "dropped_members": self.n_dropped,
            "source": self.source,
            "effective_members": float(1 / (self.weights**2).sum()),
            "level": LEVEL,
            "noise": SEGMENTATION_NOISE,
            **self._told_intervals(),
        }

    def _told_intervals(self) -> dict[str, object]:
        if self.intervals is None:
            return {"calibration": None, "intervals": None, "no_intervals": self.calibration}
        intervals = {name: [i.low, i.high] for name, i in self.intervals.items()}
        return {"calibration": self.calibration, "intervals": intervals, "no_intervals": None}


def weigh(scores: Sequence[float]) -> NDArray[np.float64]:
    """Weights of members, which sum to 1."""
    values = np.asarray(scores, np.float64)
    weights = np.exp((values - values.max()) / TEMPERATURE)
    return weights / weights.sum()


def quantities_of(parameters: GrowthParameters) -> NDArray[np.float64]:
    """The values of `QUANTITIES`, those of `LOGARITHMIC` as natural logarithms."""
    return np.array(
        [*parameters.origin_mm, math.log(parameters.lambda_mm), math.log(parameters.rho_t)]
    )


def spread(
    members: Sequence[Member], source: Source
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre m and spread sqrt(v + b^2) of each of `QUANTITIES`, logarithms where they are used."""
    weights = weigh([member.score for member in members])
    values = np.array([quantities_of(member.parameters) for member in members])
    centre = weights @ values
    variance = weights @ (values - centre) ** 2
    least = np.array([LEAST_SPREAD[kind_of(source)][name] for name in QUANTITIES])
    return centre, np.sqrt(variance + least**2)


def find_intervals(
    members: Sequence[Member], source: Source, factors: Mapping[str, float]
) -> dict[str, Interval]:
    """The interval of each of `QUANTITIES`, in its own unit.

    Parameters
    ----------
    members : sequence of Member
    source : Source
    factors : mapping of str to float
        f of each of `QUANTITIES`.
    """
    found = {}
    for name, m, s in zip(QUANTITIES, *spread(members, source), strict=True):
        reach = factors[name] * s
        ends = float(m - reach), float(m + reach)
        if name in LOGARITHMIC:
            ends = math.exp(ends[0]), math.exp(ends[1])
        found[name] = Interval(*ends)
    return found


def average(
    densities: Iterable[TumorDensity], weights: Sequence[float] | NDArray[np.float64]
) -> DensitySpread:
    """Mean and deviation of the densities of an ensemble.

    Both are updated from member to member in float64 (West 1979): the difference of mean square and
    squared mean would be rounding alone where all members are near 1.

    Parameters
    ----------
    densities : iterable of TumorDensity
        On one grid; taken one at a time.
    weights : (n,) array
        Sum to 1.

    References
    ----------
    D. H. D. West, "Updating mean and variance estimates: an improved method", Communications of
    the ACM 22:532-535, 1979.
    """
    mean = squares = None
    total = 0.0
    for weight, density in zip(weights, densities, strict=True):
        u = density.u
        if mean is None or squares is None:
            mean, squares = np.zeros(u.shape), np.zeros(u.shape)
            grid = density.grid
        before, total = total, total + float(weight)
        part = weight / total if weight else 0.0
        away = u - mean
        mean += part * away
        squares += before * part * away**2
    if mean is None or squares is None:
        raise ValueError("an ensemble has at least one member")
    return DensitySpread(mean.astype(np.float32), np.sqrt(squares / total).astype(np.float32), grid)


def of_matches(
    database: Database,
    members: Sequence[Member],
    samples: Sequence[int],
    reach: Reach,
) -> Uncertainty:
    """The uncertainty that the best matches tell.

    Parameters
    ----------
    database : Database
    members : sequence of Member
        The matches.
    samples : sequence of int
        Their ids.
    reach : Reach
        Of the intervals.
    """
    weights = weigh([member.score for member in members])
    maps = average((database.density(sample) for sample in samples), weights)
    return _told("matches", members, weights, reach, maps)


def of_refinement(
    target: Target,
    refinement: Refinement,
    reach: Reach,
    *,
    source: Source = "refinement",
    accuracy: Accuracy = Accuracy(),
    seed: int = 0,
) -> Uncertainty:
    """The uncertainty that a refinement's valley and its other arrivals tell.

    Parameters
    ----------
    target : Target
        That was refined.
    refinement : Refinement
    reach : Reach
        Of the intervals.
    source : "refinement" or "own anatomy"
        Where it was refined.
    accuracy : Accuracy
        Of the members' simulations, as of the refined growth's.
    seed : int
        Of the draws.
    """
    drawn = draw_members(target, refinement, accuracy=accuracy, seed=seed)
    weights = weigh([member.score for member in drawn.members])
    maps = average(drawn.densities, weights)
    return _told(source, drawn.members, weights, reach, maps, drawn.n_dropped)


def _told(
    source: Source,
    members: Sequence[Member],
    weights: NDArray[np.float64],
    reach: Reach,
    maps: DensitySpread,
    n_dropped: int = 0,
) -> Uncertainty:
    intervals = None
    if reach.factors is not None:
        intervals = find_intervals(members, source, reach.factors)
    return Uncertainty(source, tuple(members), weights, intervals, reach.said, maps, n_dropped)
