"""The part of a patient's image around the brain, on which rankings compete voxel by voxel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...atlas import Grid
from ...atlas.regions import Box, bounding_box
from ...solver import TumorMasks


@dataclass(frozen=True, eq=False)
class Ground:
    """A patient's brain and outlines, as far as the brain goes.

    Attributes
    ----------
    brain, core, whole : bool array of the grid's shape
        The outlines inside the brain.
    from_core, from_whole : float32 array of the grid's shape
        Signed Euclidean distance to each outline in mm, negative inside.
    grid : Grid
    box : tuple of slices
        Where it lies in the image.
    """

    brain: NDArray[np.bool_]
    core: NDArray[np.bool_]
    whole: NDArray[np.bool_]
    from_core: NDArray[np.float32]
    from_whole: NDArray[np.float32]
    grid: Grid
    box: Box

    @classmethod
    def of(cls, masks: TumorMasks, brain: NDArray[np.bool_]) -> Ground:
        """The brain's part of an image; both outlines reach into it."""
        box = bounding_box(brain)
        affine = masks.grid.affine.copy()
        affine[:3, 3] = masks.grid.to_world([side.start for side in box])
        grid = Grid(brain[box].shape, affine)
        core, whole = ((mask & brain)[box] for mask in (masks.core, masks.whole))
        return cls(
            brain[box],
            core,
            whole,
            signed_distance(core, grid.spacing_mm),
            signed_distance(whole, grid.spacing_mm),
            grid,
            box,
        )

    def of_brain(self, values: NDArray[Any]) -> NDArray[Any]:
        """The values (n,) that an image has in the brain, in C order."""
        return values[self.box][self.brain]


def signed_distance(
    outline: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> NDArray[np.float32]:
    """Distance from each voxel's centre to the nearest one on the other side of an outline.

    Parameters
    ----------
    outline : (nx, ny, nz) bool array
        Neither empty nor all.
    spacing_mm : tuple of three float

    Returns
    -------
    (nx, ny, nz) float32 array
        In mm, negative inside.
    """
    found = ndimage.distance_transform_edt(~outline, sampling=spacing_mm)
    box = bounding_box(outline, 1)
    found[box] -= ndimage.distance_transform_edt(outline[box], sampling=spacing_mm)
    return found.astype(np.float32)
