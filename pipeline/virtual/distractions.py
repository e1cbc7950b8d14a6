"""What a scan shows beside the cells: oedema without cells, and tissue that they have pushed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...atlas import Grid
from ...atlas.regions import bounding_box
from ..images.point_map import PointMap, Points, inverse, sample
from .anatomies import Anatomy, lattice_of, points_of

OEDEMA_MM = (8.0, 15.0)
"""Range of the oedema's reach beyond the whole outline, to the side where it reaches farthest."""

OEDEMA_WIDTH = 1.5
"""Reach in a direction, relative to the farthest: this times the cosine of the angle between the
two, at most 1. On the other side there is none."""

LEAST_WHITE = 0.5
"""Probability of white matter where fluid spreads."""

PUSH_RADIUS = 1.2
"""Distance at which the tissue is pushed farthest, in radii of a sphere of the core's volume."""

PUSH = 0.25
"""Largest push as a share of that distance. It is below exp(-1/2), or the tissue would fold."""


@dataclass(frozen=True)
class Push:
    """A smooth radial displacement away from a tumour's core.

    A point at x was at x - (x - c) (a / R) exp((1 - |x - c|^2 / R^2) / 2) before.

    Attributes
    ----------
    centre_mm : tuple of three float
        c, in the world.
    radius_mm : float
        R.
    most_mm : float
        a, the displacement at R.
    """

    centre_mm: tuple[float, float, float]
    radius_mm: float
    most_mm: float

    @classmethod
    def of_core(cls, core: NDArray[np.bool_], grid: Grid) -> Push:
        """The push that a core of this volume and place exerts."""
        ml = float(core.sum()) * grid.voxel_ml
        radius = PUSH_RADIUS * (3000 * ml / (4 * math.pi)) ** (1 / 3)
        x, y, z = grid.to_world(np.argwhere(core).mean(axis=0)).tolist()
        return cls((x, y, z), radius, PUSH * radius)

    def displacement(self, points: Points) -> Points:
        """Displacement of points (3, n) in mm, from each to where its tissue was before."""
        away = points - np.reshape(self.centre_mm, (3, 1))
        distance = (away**2).sum(axis=0) / self.radius_mm**2
        return -self.most_mm / self.radius_mm * np.exp((1 - distance) / 2) * away

    def before(self, grid: Grid) -> PointMap:
        """Where the points of a grid's world lay before the push, in the same world."""
        lattice = lattice_of(grid)
        return PointMap(
            np.eye(4), np.eye(4), _field(self.displacement(points_of(lattice)), lattice), lattice
        )

    def then(self, head: PointMap, grid: Grid) -> PointMap:
        """Turn a map from the world before the push into one from the world after it."""
        lattice = lattice_of(grid)
        points = points_of(lattice)
        moved = self.displacement(points)
        if head.field is not None and head.grid is not None:
            at = inverse(head.grid.affine)[:3] @ np.vstack(
                [points + moved, np.ones(points.shape[1])]
            )
            moved += [sample(head.field[..., i], at) for i in range(3)]
        return PointMap(head.before, head.after, _field(moved, lattice), lattice)


def _field(displacement: Points, lattice: Grid) -> NDArray[np.float32]:
    return displacement.T.reshape(*lattice.shape, 3).astype(np.float32)


def add_oedema(
    whole: NDArray[np.bool_], anatomy: Anatomy, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Widen a whole outline by oedema without cells: in white matter, to one side.

    Parameters
    ----------
    whole : bool array of the anatomy's shape
        Not empty.
    anatomy : Anatomy
    rng : numpy.random.Generator
        Random numbers for the reach and the side.

    Returns
    -------
    bool array
        The outline with the oedema. It is nowhere thinner than three voxels, and connected with
        the outline but for islands behind bridges that were thinner.
    """
    grid = anatomy.grid
    reach = rng.uniform(*OEDEMA_MM)
    side = rng.standard_normal(3)
    box = bounding_box(whole, np.ceil(reach / np.array(grid.spacing_mm)).astype(int) + 2)
    outlined, white = whole[box], anatomy.wm[box] > LEAST_WHITE
    centre = np.reshape(np.argwhere(outlined).mean(axis=0), (3, 1, 1, 1))
    away = np.tensordot(grid.affine[:3, :3], np.indices(outlined.shape) - centre, axes=1)
    length = np.maximum(np.sqrt((away**2).sum(axis=0)), 1e-3)
    cosine = np.tensordot(side / np.linalg.norm(side), away / length, axes=1)
    distance = ndimage.distance_transform_edt(~outlined, sampling=grid.spacing_mm)
    is_near = distance <= reach * np.clip(OEDEMA_WIDTH * cosine, 0, 1)
    wide = outlined | (is_near & white & anatomy.brain[box])
    labels, _ = ndimage.label(wide)
    wide &= np.isin(labels, np.unique(labels[outlined]))
    found = whole.copy()
    found[box] = outlined | ndimage.binary_opening(wide)
    return found
