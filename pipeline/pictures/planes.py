"""Planes through a brain, as points of the world.

Orientation, oblique axes and anisotropic voxels are right by construction: a plane is sampled in
world coordinates. Radiological convention: the patient's right is on the left of axial and coronal
planes, anterior on the left of sagittal ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from ...atlas import Grid
from ...atlas.regions import bounding_box, corners_mm, largest_component
from ..patient.patient import Patient

STEP_MM = 0.5
"""Distance between the sample points."""

MARGIN_MM = 12.0
"""Margin that is shown around the brain."""

AXES = {"axial": (0, 1, 2), "coronal": (0, 2, 1), "sagittal": (1, 2, 0)}
"""World axis along each panel's width and height, both from high to low, and across it."""
LETTERS = {"axial": "RLAP", "coronal": "RLSI", "sagittal": "APSI"}
"""Letters on the left, right, top and bottom of each panel."""
ACROSS = {"axial": "z", "coronal": "y", "sagittal": "x"}


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane of sample points in the world.

    Attributes
    ----------
    name : "axial", "coronal" or "sagittal"
    points_mm : (height, width, 3) array
    position_mm : float
        World coordinate across the plane.
    """

    name: str
    points_mm: NDArray[np.float64]
    position_mm: float

    @property
    def grid(self) -> Grid:
        """The points as a grid of shape (height, width, 1), a millimetre thick."""
        down, right = (self.points_mm[i, j] - self.points_mm[0, 0] for i, j in ((1, 0), (0, 1)))
        across = np.cross(down, right)
        affine = np.eye(4)
        affine[:3, :3] = np.stack([down, right, across / np.linalg.norm(across)], axis=1)
        affine[:3, 3] = self.points_mm[0, 0]
        height, width, _ = self.points_mm.shape
        return Grid((height, width, 1), affine)

    def sample(self, values: NDArray[Any], grid: Grid) -> NDArray[np.float32]:
        """Values of an image on the plane's points, 0 outside the image."""
        shape = self.points_mm.shape[:2]
        voxels = np.ascontiguousarray(grid.to_voxel(self.points_mm.reshape(-1, 3)).T)
        # Of the image only the slab around the plane need be numbers of the right kind, and of
        # the plane only what lies within a voxel of a value.
        first = np.clip(np.floor(voxels.min(axis=1)).astype(int) - 1, 0, values.shape)
        last = np.clip(np.ceil(voxels.max(axis=1)).astype(int) + 2, 0, values.shape)
        sampled = np.zeros(len(voxels[0]), np.float32)
        slab = values[tuple(slice(a, b) for a, b in zip(first, last, strict=True))]
        if not slab.any():
            return sampled.reshape(shape)
        box = bounding_box(slab != 0)
        voxels -= (first + [side.start for side in box])[:, None]
        slab = np.asarray(slab[box], np.float32)
        near = ((voxels > -1) & (voxels < np.array(slab.shape)[:, None])).all(axis=0)
        sampled[near] = ndimage.map_coordinates(
            slab, voxels[:, near], order=1, mode="grid-constant", prefilter=False
        )
        return sampled.reshape(shape)


def planes_through(point_mm: ArrayLike, brain: NDArray[np.bool_], grid: Grid) -> list[Plane]:
    """Three planes through a world point that show the whole brain."""
    point = np.asarray(point_mm, np.float64)
    world = corners_mm(brain, grid)
    low, high = world.min(axis=0) - MARGIN_MM, world.max(axis=0) + MARGIN_MM
    ticks = [np.arange(h, b, -STEP_MM) for b, h in zip(low, high, strict=True)]
    planes = []
    for name, (width, height, across) in AXES.items():
        points = np.empty((len(ticks[height]), len(ticks[width]), 3))
        points[..., width] = ticks[width][None, :]
        points[..., height] = ticks[height][:, None]
        points[..., across] = point[across]
        planes.append(Plane(name, points, float(point[across])))
    return planes


def centre_of(mask: NDArray[np.bool_], grid: Grid) -> NDArray[np.float64]:
    """World point of the mask's voxel that is nearest to the centre of its largest component."""
    if not mask.any():
        return grid.to_world((np.array(grid.shape) - 1) / 2)
    box = bounding_box(mask)
    points = grid.part(box).to_world(np.argwhere(largest_component(mask[box])))
    return points[np.linalg.norm(points - points.mean(axis=0), axis=1).argmin()]


def tumour_planes(patient: Patient) -> list[Plane]:
    """Three planes through the middle of a patient's whole tumour."""
    centre = centre_of(patient.masks.whole, patient.grid)
    return planes_through(centre, patient.brain, patient.grid)
