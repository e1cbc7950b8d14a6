"""When two facts of a NIfTI header contradict each other, whatever its image shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .grid import Grid, sizes_as_text

FRAMES_APART_MM = 0.5
"""Distance between a corner's place by the sform and by the qform that is more than rounding."""

SIZES_APART = 0.005
"""Relative difference of two voxel sizes that is more than rounding: 0.94 for 0.9375 is not."""


def require_one_size(grid: Grid, frame: str, sizes: NDArray[np.float64], name: str) -> None:
    """See that a header's frame and its pixdim agree about the voxel size.

    Parameters
    ----------
    grid : Grid
        Grid by the frame.
    frame : str
        "sform" or "qform".
    sizes : (3,) float array
        Voxel size by pixdim, mm; 0 where it states none.
    name : str
        Begins the message.

    Raises
    ------
    InputError
        If a size differs by more than `SIZES_APART`.
    """
    found = np.array(grid.spacing_mm)
    stated = sizes != 0
    if not (np.abs(found / np.where(stated, sizes, found) - 1) <= SIZES_APART).all():
        raise InputError(
            f"{name}: its header contradicts itself about the voxel size: {sizes_as_text(found)} "
            f"mm by the {frame}, {sizes_as_text(sizes)} mm by pixdim; write the right one into "
            "both, or export the image again"
        )
