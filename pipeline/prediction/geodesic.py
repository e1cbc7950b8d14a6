"""Which part of the brain lies nearest to an outline through tissue."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..travel import Terrain, travel_time

REACHES_MM = (40.0, 80.0, np.inf)
"""Reaches up to which a front is followed, one after the other, until it has covered enough."""


def nearest_through_tissue(
    outline: NDArray[np.bool_], terrain: Terrain, n_voxels: int
) -> NDArray[np.bool_]:
    """The part of the brain of a given size that a front from an outline covers first.

    Parameters
    ----------
    outline : (nx, ny, nz) bool array
        The outline; its part of the brain comes first.
    terrain : Terrain
    n_voxels : int
        Size of the part: no less than that of the outline in the brain, no more than the brain's.

    Returns
    -------
    (nx, ny, nz) bool array
        Among voxels reached at the same time, those nearer to the outline's centre come first. If
        the brain is in pieces, and the front's piece is too small, the rest is nearest in a
        straight line.
    """
    brain, spacing_mm = terrain.brain, terrain.grid.spacing_mm
    covered = outline & brain
    n_missing = n_voxels - int(covered.sum())
    if n_missing == 0:
        return covered
    others = brain & ~outline
    for reach in REACHES_MM:
        times = travel_time(outline, terrain.speed, spacing_mm, reach_mm=reach)
        reached = others & np.isfinite(times)
        if reached.sum() >= n_missing:
            return covered | _first(n_missing, times, reached, outline, spacing_mm)
    covered |= reached
    straight = ndimage.distance_transform_edt(~outline, sampling=spacing_mm)
    left = n_voxels - int(covered.sum())
    return covered | _first(left, straight, others & ~reached, outline, spacing_mm)


def _first(
    n: int,
    values: NDArray[np.floating],
    among: NDArray[np.bool_],
    outline: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
) -> NDArray[np.bool_]:
    """The n voxels of the least values; ties go to those nearer to the outline's centre."""
    voxels = np.argwhere(among)
    off_centre = (((voxels - np.argwhere(outline).mean(axis=0)) * spacing_mm) ** 2).sum(axis=1)
    chosen = voxels[np.lexsort((off_centre, values[among]))[:n]]
    found = np.zeros(among.shape, bool)
    found[tuple(chosen.T)] = True
    return found
