"""How far a tumour's outlines are from a patient's, as a smooth function of its growth.

    r = sqrt(1 / n) G * (o - m)    for core and whole, one after the other

m is an outline of n voxels, o the share of each voxel that a tumour's outline covers, G a Gaussian
blur. |r|^2 falls with the voxels that disagree; the blur lets outlines that lie apart feel each
other, and so widens the valley around the best growth: coarse first, fine later.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...atlas.regions import bounding_box
from ...solver import Accuracy, GrowthParameters
from .coordinates import Coordinates
from .trajectory import Target, Trajectory, follow

MARGIN_SD = 3.0
"""Reach of the blur and margin around the patient's outline, in standard deviations of the blur."""

MARGIN_MM = 16.0
"""Further margin for tumours that overshoot."""

LEAST_SLOPE = 0.05
"""Slope of the logit per voxel below which a voxel counts as covered wholly or not at all."""


@dataclass(frozen=True, eq=False)
class BlurredOverlap:
    """A target and the blur at which growths are compared with it.

    Attributes
    ----------
    target : Target
    blur_mm : float
        Standard deviation of the blur.
    part : tuple of slice
        Part of the tissue's box, around the patient's outline.
    """

    target: Target
    blur_mm: float
    part: tuple[slice, ...]
    _inside: NDArray[np.bool_]
    _wanted: tuple[NDArray[np.float32], ...]

    @classmethod
    def of(cls, target: Target, blur_mm: float) -> BlurredOverlap:
        """Prepare a comparison around the patient's outline."""
        spacing = np.array(target.tissue.grid.spacing_mm)
        margin = np.ceil((MARGIN_MM + MARGIN_SD * blur_mm) / spacing).astype(int)
        crop = bounding_box(target.whole, margin)
        inside = target.reach[crop]
        wanted = tuple(
            _blur(mask[crop].astype(np.float32), blur_mm / spacing)
            for mask in (target.core, target.whole)
        )
        return cls(target, blur_mm, crop, inside, wanted)

    @property
    def coordinates(self) -> Coordinates:
        """Coordinates of the target."""
        return self.target.coordinates

    def follow(
        self, parameters: GrowthParameters, accuracy: Accuracy, *, until: float = math.inf
    ) -> Trajectory | None:
        """Grow a tumour past the patient's volume; see `trajectory.follow`."""
        return follow(self.target, parameters, accuracy, until=until)

    def residual_at(self, trajectory: Trajectory, days: float) -> NDArray[np.float32]:
        """The vector r of a run at a duration."""
        return self.residual(trajectory.at(days, self.part))

    def residual(self, z: NDArray[np.float32]) -> NDArray[np.float32]:
        """The vector r of a density, given by its logit on the part that is compared."""
        slope = _slope(z, self._inside)
        spacing = np.array(self.target.tissue.grid.spacing_mm)
        parts = []
        for level, wanted, n in zip(
            self.target.levels,
            self._wanted,
            (self.target.n_core, self.target.n_whole),
            strict=True,
        ):
            if n == 0:
                continue
            covered = np.where(self._inside, np.clip(0.5 + (z - level) / slope, 0, 1), 0)
            apart = _blur(covered.astype(np.float32), self.blur_mm / spacing) - wanted
            parts.append(apart.ravel() / np.float32(np.sqrt(n)))
        return np.concatenate(parts)


def _slope(z: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Steepest change of the logit per voxel, over neighbours that both lie in the tissue."""
    squares = np.full(z.shape, LEAST_SLOPE**2, np.float32)
    for axis in range(3):
        lower = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        upper = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        change = np.where(inside[lower] & inside[upper], (z[upper] - z[lower]) ** 2, 0)
        steepest = np.zeros_like(z)
        steepest[lower] = change
        steepest[upper] = np.maximum(steepest[upper], change)
        squares += steepest
    return np.sqrt(squares)


def _blur(values: NDArray[np.float32], sd_voxels: NDArray[np.float64]) -> NDArray[np.float32]:
    """Blurred values, with samples left out where the blur makes them redundant."""
    for axis, sd in enumerate(sd_voxels):
        values = ndimage.gaussian_filter1d(values, sd, axis, mode="constant", truncate=MARGIN_SD)
        values = values[(slice(None),) * axis + (slice(None, None, max(1, int(sd))),)]
    return values
