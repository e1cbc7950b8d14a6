"""What an index needs from a database of simulated tumours."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...atlas.regions import Box
from ...solver import Thresholds

ABSOLUTE = "absolute"
OWN_MAXIMUM = "own-maximum"
NORMALISATIONS = (ABSOLUTE, OWN_MAXIMUM)
"""Unit of a threshold: the carrying capacity, {u >= c}, or the tumour's own largest density, {u >=
c max u}, as in the code of the paper's authors."""


class Portion(NamedTuple):
    """Samples first <= i < last of a database: unchanged as long as their checksum is."""

    first: int
    last: int
    checksum: str


class Indexed(Protocol):
    """Attributes that distinguish databases; a `Database` has them, too.

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
    """

    @property
    def n_samples(self) -> int: ...  # noqa: D102 - described above, as of all
    @property
    def checksum(self) -> str: ...  # noqa: D102
    @property
    def thresholds(self) -> Thresholds: ...  # noqa: D102
    @property
    def grid(self) -> Grid: ...  # noqa: D102


class OutlineSource(Indexed, Protocol):
    """The outlines of a database's tumours, as an index reads them.

    Attributes
    ----------
    normalisation : str
        Unit of the thresholds, one of `NORMALISATIONS`.
    portions : sequence of Portion
        All samples in order. A database that grows keeps the portions it has.
    box : tuple of three slice
        The part of the grid that the packed outlines cover; no outline leaves it. Its length
        along z is a multiple of 8.
    tissue : (bx, by, bz) bool array
        Voxels of the box where a tumour can be; no outline leaves them.
    """

    @property
    def normalisation(self) -> str: ...  # noqa: D102
    @property
    def portions(self) -> tuple[Portion, ...]: ...  # noqa: D102
    @property
    def box(self) -> Box: ...  # noqa: D102
    @property
    def tissue(self) -> NDArray[np.bool_]: ...  # noqa: D102

    def packed_outlines(self, start: int, stop: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Outlines (core, whole) of the samples start .. stop - 1.

        Parameters
        ----------
        start, stop : int
            The first sample, and the one after the last.

        Returns
        -------
        core, whole : (stop - start, bx, by, bz // 8) uint8 array
            One bit a voxel of the box, packed along z in the order of `numpy.packbits`.
        """
        ...
