"""Outlines as bits of a box, eight voxels along z in a byte, the first in the highest bit."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...atlas.regions import Box
from ...solver import TumorMasks


def unpack_outlines(packed: Iterable[NDArray[np.uint8]], box: Box, grid: Grid) -> TumorMasks:
    """The two outlines of a tumour whose bits are packed along z of a box.

    Parameters
    ----------
    packed : pair of (bx, by, bz / 8) uint8 array
        Core and whole.
    box : tuple of three slice
        Part of the grid.
    grid : Grid

    Returns
    -------
    TumorMasks
    """
    core, whole = np.zeros((2, *grid.shape), bool)
    for mask, bits in zip((core, whole), packed, strict=True):
        mask[box] = np.unpackbits(bits, axis=-1)
    return TumorMasks(core, whole, grid)
