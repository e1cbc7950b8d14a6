"""How far the answer may be from the truth: an ensemble of growths, weighted by their scores.

    w_i ~ exp((s_i - max s) / 0.1),    s_i the sum of the Dice of member i

Without refinement the members are the best matches. With refinement they are drawn from the valley
in which the best descent ended, a normal distribution with the covariance of `Refinement`; the
places where the other descents arrived join them. Mean and standard deviation are weighted over the
members' densities (`average`).

`intervals` says where parameters lie.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...dbgen import Database
from ...solver import TumorDensity
from ..fit.coordinates import Coordinates
from ..fit.refinement import Refinement
from ..fit.trajectory import Target
from .interval_factors import LEVEL, SEGMENTATION_NOISE, Reach, Source
from .intervals import Fitted, Interval, find_intervals, tell_fitted, weigh
from .members import Member, draw_members


@dataclass(frozen=True, eq=False)
class DensitySpread:
    """The density over an ensemble, voxel by voxel.

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
    """The ensemble and its spread.

    Attributes
    ----------
    source : Source
        Source of the members.
    members : tuple of Member
    weights : (n,) float64 array
        Sum to 1.
    intervals : mapping of str to Interval, or None
        Interval of each of `QUANTITIES` and of each further fitted parameter; None if none is
        claimed.
    calibration : str
        The basis of the intervals, or why there are none and how to get them.
    maps : DensitySpread
        Maps on the grid on which the members grew.
    n_dropped : int
        Drawn members that were left out: the tissue at their origin holds no seed, their density
        stopped being a number, or they fold the tissue.
    fitted : mapping of str to Fitted
        What the outlines say about each fitted parameter that is not in `QUANTITIES`.
    """

    source: Source
    members: tuple[Member, ...]
    weights: NDArray[np.float64]
    intervals: Mapping[str, Interval] | None
    calibration: str
    maps: DensitySpread
    n_dropped: int = 0
    fitted: Mapping[str, Fitted] = field(default_factory=dict)

    @property
    def notices(self) -> list[str]:
        """Notices about the ensemble."""
        if not self.n_dropped:
            return []
        return [
            f"{self.n_dropped} of {self.n_dropped + len(self.members)} members of the ensemble "
            "were left out: the tissue at their origin is too small to hold a tumour's seed, their "
            "density stopped being a number, or the tissue folds where they push it."
        ]

    def row(self) -> dict[str, object]:
        """Plain values by name, as `result.json` and the report show them.

        Returns
        -------
        dict
        """
        return {
            "members": len(self.members),
            "dropped_members": self.n_dropped,
            "source": self.source,
            "effective_members": float(1 / (self.weights**2).sum()),
            "level": LEVEL,
            "noise": SEGMENTATION_NOISE,
            **self._told_intervals(),
            **({"fitted": {k: asdict(v) for k, v in self.fitted.items()}} if self.fitted else {}),
        }

    def _told_intervals(self) -> dict[str, object]:
        if self.intervals is None:
            return {"calibration": None, "intervals": None, "no_intervals": self.calibration}
        intervals = {name: [i.low, i.high] for name, i in self.intervals.items()}
        return {"calibration": self.calibration, "intervals": intervals, "no_intervals": None}


def average(
    densities: Iterable[TumorDensity], weights: Sequence[float] | NDArray[np.float64]
) -> DensitySpread:
    """Mean and deviation of the densities of an ensemble.

    Both are updated from member to member in float64 (West 1979): if all members are near 1, the
    difference of mean square and squared mean would be rounding alone.

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
    coordinates: Coordinates,
) -> Uncertainty:
    """The uncertainty from the best matches.

    Parameters
    ----------
    database : Database
    members : sequence of Member
        The matches.
    samples : sequence of int
        Numbers of their samples.
    reach : Reach
        Reach of the intervals.
    coordinates : Coordinates
        Coordinates of the growths.
    """
    weights = weigh([member.score for member in members])
    maps = average((database.density(sample) for sample in samples), weights)
    return _told("matches", members, weights, reach, maps, coordinates)


def of_refinement(
    target: Target,
    refinement: Refinement,
    reach: Reach,
    *,
    source: Source = "refinement",
) -> Uncertainty:
    """The uncertainty from a refinement's valley and its other arrivals.

    Parameters
    ----------
    target : Target
        Target of the refinement.
    refinement : Refinement
    reach : Reach
        Reach of the intervals.
    source : "refinement" or "own anatomy"
        Anatomy of the refinement.
    """
    drawn = draw_members(target, refinement)
    weights = weigh([member.score for member in drawn.members])
    maps = average(drawn.densities, weights)
    return _told(
        source,
        drawn.members,
        weights,
        reach,
        maps,
        target.coordinates,
        refinement.covariance,
        drawn.n_dropped,
    )


def _told(
    source: Source,
    members: Sequence[Member],
    weights: NDArray[np.float64],
    reach: Reach,
    maps: DensitySpread,
    coordinates: Coordinates,
    covariance: NDArray[np.float64] | None = None,
    n_dropped: int = 0,
) -> Uncertainty:
    intervals = None
    fitted = tell_fitted(members, source, reach.factors, coordinates, covariance)
    if reach.factors is not None:
        intervals = find_intervals(members, source, reach.factors, coordinates)
        intervals |= {
            name: Interval(one.low, one.high)
            for name, one in fitted.items()
            if name in intervals and not one.is_determined
        }
    return Uncertainty(
        source, tuple(members), weights, intervals, reach.said, maps, n_dropped, fitted
    )
