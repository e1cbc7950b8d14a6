"""The terrain of a front on one grid of a patient."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...errors import InputError
from ...solver import TumorMasks
from .arrival import travel_time

REACH_MM = 60.0
"""Travel time from an outline up to which a terrain knows it, unless more is asked for."""


@dataclass(frozen=True, eq=False)
class Terrain:
    """The outlines that a front starts from, and how fast it goes from there.

    Attributes
    ----------
    outlines : TumorMasks
        The patient's outlines; the core may be empty.
    brain : bool array of the grid's shape
        Voxels that a front can enter.
    speed : float32 array of the grid's shape
        Speed in units of that in white matter, >= 0; 0 outside the brain (see `tissue_speed`).
    reach_mm : float
        Travel time from an outline up to which it is known.

    Raises
    ------
    InputError
        If the arrays do not lie on the outlines' grid, or a front leaves the brain.
    """

    outlines: TumorMasks
    brain: NDArray[np.bool_]
    speed: NDArray[np.float32]
    reach_mm: float = REACH_MM

    def __post_init__(self) -> None:
        if not self.brain.shape == self.speed.shape == self.grid.shape:
            raise InputError(
                f"brain and speed lie on the outlines' grid, {self.grid}, got a brain of "
                f"{self.brain.shape} and a speed of {self.speed.shape}"
            )
        if self.speed[~self.brain].any():
            raise InputError("a front stays in the brain: expected a speed of 0 outside, got more")

    @property
    def grid(self) -> Grid:
        """The grid of outlines, brain and speed."""
        return self.outlines.grid

    @cached_property
    def from_core(self) -> NDArray[np.float32] | None:
        """Signed travel times from the core's surface, see `time_from`; computed once."""
        return self.time_from(self.outlines.core)

    @cached_property
    def from_whole(self) -> NDArray[np.float32] | None:
        """Signed travel times from the whole outline's surface, likewise."""
        return self.time_from(self.outlines.whole)

    def reaching(self, reach_mm: float) -> Terrain:
        """The same terrain, known at least so far from an outline.

        Parameters
        ----------
        reach_mm : float
            Travel time.

        Returns
        -------
        Terrain
            Itself, where it is known so far.
        """
        return self if reach_mm <= self.reach_mm else replace(self, reach_mm=reach_mm)

    def time_from(self, region: NDArray[np.bool_]) -> NDArray[np.float32] | None:
        """Signed travel times from the surface of a region's part in the brain.

        Parameters
        ----------
        region : bool array of the grid's shape

        Returns
        -------
        float32 array of the grid's shape, or None
            As `travel_time`, +inf beyond the reach; None of a part without surface.
        """
        region = region & (self.speed > 0)
        if not region.any() or region.all():
            return None
        return travel_time(region, self.speed, self.grid.spacing_mm, reach_mm=self.reach_mm)
