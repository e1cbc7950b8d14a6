"""A small head for tests: white matter within grey, a ventricle, fluid around; a coarse grid."""

import numpy as np

from glioquery.atlas import Grid
from glioquery.pipeline.virtual.anatomies import Anatomy

COARSE_GRID = Grid(
    (64, 64, 64),
    np.array([[4, 0, 0, -245.5], [0, 4, 0, -6.5], [0, 0, 4, -48.5], [0, 0, 0, 1.0]]),
)
"""The cube of the simulation grid in voxels of 4 mm."""


def phantom(n=40, spacing=2.0):
    """An ellipsoid of n voxels a side, off the world's origin."""
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = (-30, 10, 5)
    x, y, z = (np.indices((n, n, n)) - (n - 1) / 2) / (n / 2)
    r = np.sqrt(1.2 * x**2 + y**2 + 1.1 * z**2)
    brain, ventricle = r < 0.9, np.hypot(x, z) + 0.3 * np.abs(y) < 0.12
    wm = ((r < 0.65) & ~ventricle).astype(np.float32)
    gm = ((r >= 0.65) & (r < 0.8)).astype(np.float32)
    csf = (brain & (wm + gm == 0)).astype(np.float32)
    t1 = (0.9 * wm + 0.6 * gm + 0.2 * csf).astype(np.float32)
    return Anatomy(t1, wm, gm, csf, Grid((n, n, n), affine))
