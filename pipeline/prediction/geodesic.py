"""Which part of the brain lies nearest to an outline through tissue."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...atlas.regions import squared_distances
from ..travel import Terrain, travel_time


def nearest_through_tissue(
    gross: Literal["core", "whole"], terrain: Terrain, n_voxels: int
) -> NDArray[np.bool_]:
    """The part of the brain of a given size that a front from an outline covers first.

    Parameters
    ----------
    gross : "core" or "whole"
        Which outline; its part of the brain comes first.
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
    outline = terrain.outlines.core if gross == "core" else terrain.outlines.whole
    covered = outline & brain
    n_missing = n_voxels - int(covered.sum())
    if n_missing == 0:
        return covered
    others = brain & ~outline
    times = terrain.from_core if gross == "core" else terrain.from_whole
    if times is None or (others & np.isfinite(times)).sum() < n_missing:  # it lies farther away
        times = travel_time(outline, terrain.speed, spacing_mm)
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
    off_centre = squared_distances(np.argwhere(outline).mean(axis=0), among, spacing_mm)
    chosen = voxels[np.lexsort((off_centre, values[among]))[:n]]
    found = np.zeros(among.shape, bool)
    found[tuple(chosen.T)] = True
    return found
