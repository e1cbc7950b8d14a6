"""Bringing a patient's own images together, rigidly (see `linear`).

Images of one head differ by where it lay: x_fixed = R x_moving. R enters the moving image's affine,
so that nothing is resampled here: an image is looked up once, through the whole chain. Contrasts
differ from image to image, hence mutual information.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...atlas import Grid
from ..alignment.comparison import normalised_information
from ..alignment.linear import find_pose, refine_pose
from ..images.coarsening import even_out
from ..images.foreground import foreground, shows_head
from ..images.nifti import Scan
from ..images.point_map import inverse
from .brain import make_brainlike

SPACING_MM = 2.0
"""Voxel size at which the agreement of images is measured."""


def align(moving: Scan, fixed: Scan) -> NDArray[np.float64]:
    """Find the rigid motion that lays one image of a head on another (2-5 s).

    Parameters
    ----------
    moving, fixed : Scan
        Images of one patient, with any contrast and grid, with skull or without.

    Returns
    -------
    (4, 4) float array
        R, from the moving image's world to the fixed one's.

    Raises
    ------
    RegistrationError
        If ANTs, which evens out the intensities of a head, fails.
    """
    heads = shows_head(moving), shows_head(fixed)
    if heads == (True, False):
        return inverse(_find_in_head(fixed, moving))
    if heads == (False, True):
        return _find_in_head(moving, fixed)
    return refine_pose(moving, fixed, find_pose(moving, fixed, measure="information"))


def _find_in_head(brain: Scan, head: Scan) -> NDArray[np.float64]:
    alike = make_brainlike(head)
    return refine_pose(brain, alike, find_pose(brain, alike, head=True))


def move(grid: Grid, motion: NDArray[np.float64]) -> Grid:
    """Voxels of a grid in another world: the motion enters the affine."""
    return Grid(grid.shape, motion @ grid.affine)


def measure_agreement(a: Scan, b: Scan) -> float:
    """Normalised mutual information of two images that share a world, 0 (none) to 1 (all).

    Over the points where both have foreground; 0 where there are none.
    """
    x, y = even_out(a, SPACING_MM), even_out(b, SPACING_MM)
    at = y.grid.to_voxel(x.grid.to_world(np.argwhere(foreground(x.values)))).T
    both = ndimage.map_coordinates(foreground(y.values).astype(np.float32), at, order=1) > 0.5
    if not both.any():
        return 0.0
    ours = x.values[foreground(x.values)][both]
    return normalised_information(ours, ndimage.map_coordinates(y.values, at[:, both], order=1))
