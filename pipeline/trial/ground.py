"""The part of a patient's image around the brain, on which rankings compete voxel by voxel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...atlas.regions import Box, bounding_box, signed_distance_mm
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
        grid = masks.grid.part(box)
        core, whole = ((mask & brain)[box] for mask in (masks.core, masks.whole))
        return cls(
            brain[box],
            core,
            whole,
            signed_distance_mm(core, grid.spacing_mm).astype(np.float32),
            signed_distance_mm(whole, grid.spacing_mm).astype(np.float32),
            grid,
            box,
        )

    def of_brain(self, values: NDArray[Any]) -> NDArray[Any]:
        """The values (n,) that an image has in the brain, in C order."""
        return values[self.box][self.brain]
