"""DICOM's world and ours: DICOM and ITK point to left, posterior, superior; NIfTI to the right.

A `Grid` has the axes column, row, slice of DICOM's images; highdicom's volumes have them the other
way round. Only affines tell where a voxel lies, never the order of an array.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from .dicom_packages import highdicom

LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Signs that turn a point of one world into the same point of the other, both ways."""

SWAPPED = [2, 1, 0, 3]
"""Columns of an affine when an array's axes are reversed."""


def to_lps(points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (..., 3) of our world in DICOM's, or the other way round."""
    return points_mm * np.diag(LPS_RAS)[:3]


def grid_from_lps(shape: tuple[int, int, int], affine: NDArray[np.float64]) -> Grid:
    """A grid by its affine to DICOM's world.

    The numbers are rounded to single precision, as NIfTI headers hold them: so a series and its
    NIfTI give one result, to the last bit.
    """
    return Grid(shape, (LPS_RAS @ affine).astype(np.float32))


def grid_of(volume: Any) -> Grid:
    """The grid of a highdicom volume (slice, row, column): column, row, slice in RAS."""
    columns, rows, slices = volume.spatial_shape[::-1]
    return grid_from_lps((columns, rows, slices), volume.affine[:, SWAPPED])


def values_of(volume: Any) -> NDArray[Any]:
    """The values of a highdicom volume on `grid_of`; channels stay behind."""
    return np.swapaxes(volume.array, 0, 2)


def volume_of(values: NDArray[Any], grid: Grid, frame_uid: str, **channels: Any) -> Any:
    """A highdicom volume (slice, row, column, channels) of values on a grid."""
    return highdicom.Volume(
        np.ascontiguousarray(np.swapaxes(values, 0, 2)),
        (LPS_RAS @ grid.affine)[:, SWAPPED],
        coordinate_system="PATIENT",
        frame_of_reference_uid=frame_uid,
        **channels,
    )
