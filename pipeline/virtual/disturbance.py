"""Outlines as a person or a network draws them, a millimetre or two off the true ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...atlas.regions import bounding_box
from ...solver import TumorMasks

NOISE_MM = 2.0
"""Standard deviation of the disturbances."""

NOISE_SD_MM = 8.0
"""Distance over which the disturbances are correlated."""

FARTHEST = 8.0
"""Standard deviations that no disturbance exceeds: distances farther off an outline are spared."""


def disturb(
    masks: TumorMasks,
    within: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    noise_mm: float = NOISE_MM,
) -> TumorMasks:
    """Move each outline's boundary in and out by a smooth random field.

    The field is white noise under a Gaussian of standard deviation `NOISE_SD_MM` / 2, so that it is
    correlated over `NOISE_SD_MM`.

    Parameters
    ----------
    masks : TumorMasks
    within : bool array of the grid's shape
        Voxels that an outline may hold.
    rng : numpy.random.Generator
    noise_mm : float
        Standard deviation of the field.

    Returns
    -------
    TumorMasks
        The core inside the whole; an empty outline stays empty.
    """
    spacing = np.array(masks.grid.spacing_mm)
    reach = np.ceil(FARTHEST * noise_mm / spacing)

    def moved(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        noise = rng.standard_normal(mask.shape).astype(np.float32)
        noise = ndimage.gaussian_filter(noise, NOISE_SD_MM / 2 / spacing, mode="wrap")
        box = bounding_box(mask, reach)
        part = mask[box]
        depth = np.where(part, _to_boundary(part, spacing), -_to_boundary(~part, spacing))
        found = np.zeros_like(mask)
        found[box] = (depth + noise_mm * noise[box] / noise.std() > 0) & within[box]
        return found

    whole = moved(masks.whole)
    return TumorMasks(moved(masks.core) & whole, whole, masks.grid)


def _to_boundary(mask: NDArray[np.bool_], spacing_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance in mm from each voxel of a mask to its boundary.

    The boundary lies between voxels: half a voxel before the nearest centre on its other side,
    along the axis on which that is farthest.
    """
    distance, nearest = ndimage.distance_transform_edt(
        mask, sampling=spacing_mm, return_indices=True
    )
    along = np.abs(nearest - np.indices(mask.shape)) * np.reshape(spacing_mm, (3, 1, 1, 1))
    return np.asarray(distance - spacing_mm[along.argmax(axis=0)] / 2)
