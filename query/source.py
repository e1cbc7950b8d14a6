"""What an index needs to know of a database of simulated tumours."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..atlas import Grid
from ..solver import Thresholds


class OutlineSource(Protocol):
    """The outlines of a database's tumours, as an index reads them.

    Attributes
    ----------
    n_samples : int
        Number of tumours; their ids are 0 .. n_samples - 1.
    checksum : str
        Identifies the content of the database: another content has another checksum.
    thresholds : Thresholds
        Densities at which the outlines were drawn.
    grid : Grid
        The grid of the outlines.
    box : tuple of three slice
        The part of the grid that the packed outlines cover; no outline leaves it. Its length
        along z is a multiple of 8.
    """

    @property
    def n_samples(self) -> int: ...  # noqa: D102 - described above, as of all five
    @property
    def checksum(self) -> str: ...  # noqa: D102
    @property
    def thresholds(self) -> Thresholds: ...  # noqa: D102
    @property
    def grid(self) -> Grid: ...  # noqa: D102
    @property
    def box(self) -> tuple[slice, slice, slice]: ...  # noqa: D102

    def packed_outlines(self, start: int, stop: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Outlines (core, whole) of the samples start .. stop - 1.

        Returns
        -------
        core, whole : (stop - start, bx, by, bz // 8) uint8 array
            One bit a voxel of the box, packed along z in the order of `numpy.packbits`.
        """
        ...
