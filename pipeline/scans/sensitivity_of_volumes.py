"""How the volumes of a fitted growth change with each of its coordinates.

One run gives the volumes at all ages; another one for each coordinate, a small step aside, gives
their change. With the covariance of the fit, these give the standard deviation of every volume.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...solver import GrowthParameters, Snapshot
from ..fit.coordinates import N_COMMON, Coordinates
from ..fit.descent import DIFFERENCE_LOG, DIFFERENCE_MM, DIFFERENCE_RHO_T, Interior
from .joint_fit import JointFit

DIFFERENCES = (DIFFERENCE_MM, DIFFERENCE_MM, DIFFERENCE_MM, DIFFERENCE_LOG, DIFFERENCE_RHO_T)
"""Steps aside in the coordinates of every growth; in any other `DIFFERENCE_LOG`."""


@dataclass(frozen=True, eq=False)
class Volumes:
    """Volumes of a fitted growth on some days.

    Attributes
    ----------
    days : tuple of float
        Days after the first scan.
    ml : (days, 2) float64 array
        Volumes of core and whole, millilitres.
    slopes : (days, 2, n) float64 array
        Change of their logarithms along each coordinate; 0 for an outline of less than a voxel.
    """

    days: tuple[float, ...]
    ml: NDArray[np.float64]
    slopes: NDArray[np.float64]


def volumes_of(fit: JointFit, seen: Sequence[Snapshot], days: Sequence[float]) -> Volumes:
    """The volumes of a growth, and their sensitivity to its coordinates.

    Parameters
    ----------
    fit : JointFit
    seen : sequence of Snapshot
        The growth on these days.
    days : sequence of float
        Days after the first scan, rising.
    """
    here = _voxels(seen)
    slopes = np.zeros((*here.shape, len(fit.joint.coordinates)))
    for i, (growth, step) in enumerate(_growths_aside(fit)):
        if growth is None:
            continue
        there = _voxels(fit.joint.snapshots(growth, days, fit.accuracy))
        change = np.log(np.maximum(there, 1) / np.maximum(here, 1)) / step
        slopes[..., i] = np.where((here > 0) & (there > 0), change, 0.0)
    return Volumes(tuple(days), here * fit.joint.tissue.grid.voxel_ml, slopes)


def _growths_aside(fit: JointFit) -> Iterator[tuple[GrowthParameters | None, float]]:
    """For each coordinate a growth a step aside, None where none can begin, and the step taken.

    Where the tissue or the range of a coordinate ends, the step goes back.
    """
    coordinates, growth = fit.joint.coordinates, fit.growth
    interior = Interior(fit.joint.tissue)
    for i in range(len(coordinates)):
        step = DIFFERENCES[i] if i < N_COMMON else DIFFERENCE_LOG
        for aside in (step, -step):
            moved = _moved(coordinates, interior, growth, i, aside)
            taken = float(coordinates.between(growth, moved)[i])
            if abs(taken - aside) <= 0.5 * step:
                yield moved, taken
                break
        else:  # no tissue on either side; the other axes tell how far the origin is known
            yield None, step


def _moved(
    coordinates: Coordinates, interior: Interior, growth: GrowthParameters, i: int, step: float
) -> GrowthParameters:
    moves = np.zeros(len(coordinates))
    moves[i] = step
    moved = interior.moved(growth, moves, coordinates)
    return replace(moved, days=moved.days + float(moves[4]) / moved.rho)


def _voxels(seen: Sequence[Snapshot]) -> NDArray[np.float64]:
    return np.array([(one.core_voxels, one.whole_voxels) for one in seen], np.float64)
