"""DICOM's world and ours: DICOM and ITK point to left, posterior, superior; NIfTI to the right.

A `Grid` has the axes column, row, slice of DICOM's images; highdicom's volumes have them the other
way round. Only affines tell where a voxel lies, never the order of an array.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...atlas.grid import LPS_FROM_RAS
from .dicom_packages import highdicom

SWAPPED = [2, 1, 0, 3]
"""Columns of an affine when an array's axes are reversed."""


def grid_from_lps(shape: tuple[int, int, int], affine: NDArray[np.float64]) -> Grid:
    """A grid by its affine to DICOM's world.

    The numbers are rounded to single precision, as NIfTI headers hold them: so a series and its
    NIfTI give one result, to the last bit.
    """
    return Grid(shape, (LPS_FROM_RAS @ affine).astype(np.float32))


def grid_of(volume: Any) -> Grid:
    """The grid of a highdicom volume (slice, row, column): column, row, slice in RAS."""
    columns, rows, slices = volume.spatial_shape[::-1]
    return grid_from_lps((columns, rows, slices), volume.affine[:, SWAPPED])


def values_of(volume: Any) -> NDArray[Any]:
    """The values of a highdicom volume on `grid_of`; channels stay behind."""
    return np.swapaxes(volume.array, 0, 2)


def volume_of(values: NDArray[Any], grid: Grid, frame_uid: str, **channels: Any) -> Any:
    """A highdicom volume (slice, row, column, channels) of values on a grid.

    Its axes are the nearest ones at right angles, which highdicom asks for, about the grid's
    centre: the cosines of a series are rounded.
    """
    u, _, v = np.linalg.svd(grid.affine[:3, :3] / grid.spacing_mm)
    centre = (np.array(grid.shape) - 1) / 2
    affine = np.eye(4)
    affine[:3, :3] = (u @ v) * grid.spacing_mm
    affine[:3, 3] = grid.to_world(centre) - affine[:3, :3] @ centre
    return highdicom.Volume(
        np.ascontiguousarray(np.swapaxes(values, 0, 2)),
        (LPS_FROM_RAS @ affine)[:, SWAPPED],
        coordinate_system="PATIENT",
        frame_of_reference_uid=frame_uid,
        **channels,
    )
