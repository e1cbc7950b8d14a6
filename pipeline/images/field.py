"""The part of an image around the brain: most of an image is air."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...atlas.regions import Box, bounding_box, embed
from ...solver import TumorDensity, TumorMasks

T = TypeVar("T", bound=np.generic)

BLOCK = 8
"""Voxels by which a part is cut off: blocks of 2, 4 or 8 are averaged there as in the whole."""

MARGIN_MM = 4.0
"""Air that stays around the brain: interpolation and smoothing reach so far."""


@dataclass(frozen=True, eq=False)
class Field:
    """A grid, and the box of its voxels that is worked on.

    Attributes
    ----------
    whole : Grid
    box : Box
        Part of its array, not empty.
    """

    whole: Grid
    box: Box

    @classmethod
    def around(cls, mask: NDArray[np.bool_], grid: Grid) -> Field:
        """The field that holds a mask, with a margin and a multiple of `BLOCK` voxels cut off.

        Parameters
        ----------
        mask : bool array of the grid's shape
            Not empty.
        grid : Grid

        Returns
        -------
        Field
        """
        box = bounding_box(mask, np.ceil(MARGIN_MM / np.array(grid.spacing_mm)))
        x, y, z = (
            slice(side.start // BLOCK * BLOCK, n - (n - side.stop) // BLOCK * BLOCK)
            for side, n in zip(box, grid.shape, strict=True)
        )
        return cls(grid, (x, y, z))

    @cached_property
    def grid(self) -> Grid:
        """The grid of the box."""
        return self.whole.part(self.box)

    def cut(self, values: NDArray[T]) -> NDArray[T]:
        """What an array holds in the box.

        Parameters
        ----------
        values : array of the whole grid's shape

        Returns
        -------
        array of the box's shape
            A view.
        """
        return values[self.box]

    def cut_masks(self, masks: TumorMasks) -> TumorMasks:
        """What outlines hold in the box.

        Parameters
        ----------
        masks : TumorMasks
            On the whole grid.

        Returns
        -------
        TumorMasks
            Views, on the grid of the box.
        """
        return TumorMasks(self.cut(masks.core), self.cut(masks.whole), self.grid)

    def laid(self, values: NDArray[T]) -> NDArray[T]:
        """Lay values of the box on the whole grid; 0 outside the box.

        Parameters
        ----------
        values : array of the box's shape

        Returns
        -------
        array of the whole grid's shape
            A new one. Its first axis changes fastest, as in a NIfTI file, which is twice as fast to
            write.
        """
        return embed(values, self.box, self.whole.shape, order="F")

    def laid_density(self, density: TumorDensity) -> TumorDensity:
        """Lay a density of the box on the whole grid; 0 outside the box.

        Parameters
        ----------
        density : TumorDensity
            On the grid of the box.

        Returns
        -------
        TumorDensity
            On the whole grid.
        """
        return TumorDensity(self.laid(density.u), self.whole)
