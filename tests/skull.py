"""A ball of white matter in a skull, on voxels of 2 mm: a medium that a tumour can push."""

import numpy as np

from glioquery.atlas import Grid
from glioquery.solver import Tissue


def brain(radius_mm, ventricle_mm=0.0):
    """A ball of white matter in a skull of 36 mm; fluid between, and beside the centre if asked."""
    n, first = 39, -38.0
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = first
    grid = Grid((n, n, n), affine)
    wm = radii(grid) < radius_mm
    if ventricle_mm:
        off = places(grid) - np.array([-radius_mm / 2, 0, 0])[:, None, None, None]
        wm &= (off**2).sum(axis=0) > ventricle_mm**2
    fluid = (radii(grid) < 36) & ~wm
    return Tissue.from_probabilities(wm, np.zeros(wm.shape), fluid, grid)


def places(grid):
    return np.moveaxis(grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1)), -1, 0)


def radii(grid):
    return np.sqrt((places(grid) ** 2).sum(axis=0))
